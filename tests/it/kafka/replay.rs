//! The topic's past as a finite source.

use std::time::Duration;

use hookflow::event::Millis;
use hookflow::source::kafka::replay::KafkaReplay;
use hookflow::source::replay::{ReplayRange, ReplayStart};
use hookflow::source::{PartitionEvent, Records};

use super::job::{Job, distinct};
use super::wait::until;
use super::world::World;

/// Everything that a replay hands out until it has ended.
fn rest(world: &World, mut job: Job, mut parcels: Vec<Records>) -> Vec<u64> {
    let mut ended = 0;
    until("the replay has ended", || {
        parcels.extend(std::iter::from_fn(|| job.next(Duration::ZERO)));
        let partition_events = job.partition_events();
        let ends = partition_events
            .iter()
            .filter(|notice| matches!(notice, PartitionEvent::Ended { .. }));
        ended += ends.count();
        ended == world.settings.storage.partitions
    });
    parcels.extend(std::iter::from_fn(|| job.next(Duration::ZERO)));
    assert!(job.end().is_none());
    distinct(&parcels)
}

fn replayed(world: &World, since: Option<i64>, until: Option<i64>) -> Vec<u64> {
    let replay = KafkaReplay::new(
        world.settings.clone(),
        ReplayRange {
            start: since.map_or(ReplayStart::Beginning, |time| {
                ReplayStart::Time(Millis(time))
            }),
            until: until.map(Millis),
        },
    );
    rest(world, Job::with(Box::new(replay), 256), Vec::new())
}

#[test]
#[ignore = "needs Kafka"]
fn the_past_is_read_from_a_time_up_to_another() {
    let Some(world) = World::new("replay") else {
        return;
    };
    let world = world.set_up(3);
    let nothing: [u64; 0] = [];
    assert_eq!(replayed(&world, None, None), nothing, "no past yet");
    let now = Millis::now().0;
    world.publish_to(0, 0..10, Some(now - 3_000));
    world.publish_to(1, 10..20, Some(now - 2_000));
    world.publish_to(0, 20..30, Some(now - 1_000));
    let range = |range: std::ops::Range<u64>| range.collect::<Vec<_>>();
    assert_eq!(replayed(&world, None, None), range(0..30));
    assert_eq!(replayed(&world, Some(now - 3_000), None), range(0..30));
    assert_eq!(replayed(&world, Some(now - 2_999), None), range(10..30));
    assert_eq!(replayed(&world, Some(now - 1_000), None), range(20..30));
    assert_eq!(replayed(&world, Some(now), None), nothing);
    assert_eq!(replayed(&world, None, Some(now - 1_000)), range(0..20));
    assert_eq!(
        replayed(&world, Some(now - 2_000), Some(now - 1_000)),
        range(10..20)
    );
    // What was dropped at its beginning is no part of it any more.
    world.drop_before(0, 5);
    assert_eq!(replayed(&world, None, None), range(5..30));
    assert!(
        world.committed().is_empty() && world.group().0 == 0,
        "live readers notice nothing"
    );
}

#[test]
#[ignore = "needs Kafka"]
fn a_replay_ends_with_what_the_topic_held_when_it_began() {
    let Some(world) = World::new("replay's end") else {
        return;
    };
    let world = world.set_up(2);
    world.publish_to(0, 0..20_000, None);
    world.publish_to(1, 20_000..40_000, None);
    let replay = KafkaReplay::new(world.settings.clone(), ReplayRange::default());
    let mut job = Job::with(Box::new(replay), 1);
    let first = job.take(1);
    world.publish_to(0, 40_000..41_000, None);
    assert_eq!(rest(&world, job, first), (0..40_000).collect::<Vec<_>>());
}
