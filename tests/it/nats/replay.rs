//! The stream's past as a finite source.

use hookflow::event::Millis;
use hookflow::source::nats::replay::NatsReplay;
use hookflow::source::replay::{ReplayRange, ReplayStart};
use hookflow::source::{PartitionEvent, Records};

use super::job::{Job, numbers};
use super::server::Server;
use super::world::{World, until};

/// Everything that a replay hands out, in order.
fn replayed(world: &World, start: ReplayStart, until: Option<Millis>) -> Vec<Records> {
    let replay = NatsReplay::new(world.settings.clone(), ReplayRange { start, until });
    rest(Job::with(Box::new(replay), 256), Vec::new())
}

fn rest(mut job: Job, mut parcels: Vec<Records>) -> Vec<Records> {
    let mut partition_events = job.partition_events();
    until("the replay has ended", || {
        parcels.extend(std::iter::from_fn(|| job.next(std::time::Duration::ZERO)));
        partition_events.extend(job.partition_events());
        matches!(partition_events.last(), Some(PartitionEvent::Ended { .. }))
    });
    parcels.extend(std::iter::from_fn(|| job.next(std::time::Duration::ZERO)));
    assert!(job.end().is_none());
    parcels
}

/// When the stream took the message of that sequence.
fn taken_at(world: &World, sequence: u64) -> Millis {
    world.wait(async {
        let stream = world.stream().await;
        let message = stream.get_raw_message(sequence).await.unwrap();
        Millis(i64::try_from(message.time.unix_timestamp_nanos() / 1_000_000).unwrap())
    })
}

#[test]
#[ignore = "needs NATS"]
fn the_past_is_read_from_a_sequence_or_a_time_up_to_another() {
    let Some(world) = World::new("replay") else {
        return;
    };
    let world = world.set_up();
    assert!(
        replayed(&world, ReplayStart::Beginning, None).is_empty(),
        "an empty stream has no past"
    );
    world.publish(0..1_000);
    let first = taken_at(&world, 1_000);
    until("the clock moves on", || Millis::now() > Millis(first.0 + 2));
    world.publish(1_000..2_000);
    let second = taken_at(&world, 1_001);
    let all = |since, until| numbers(&replayed(&world, since, until));
    let range = |range: std::ops::Range<u64>| range.collect::<Vec<_>>();
    assert_eq!(all(ReplayStart::Beginning, None), range(0..2_000));
    assert_eq!(all(ReplayStart::Offset(501), None), range(500..2_000));
    assert_eq!(all(ReplayStart::Offset(0), None), range(0..2_000));
    assert_eq!(all(ReplayStart::Offset(2_001), None), range(0..0));
    assert_eq!(all(ReplayStart::Time(second), None), range(1_000..2_000));
    assert_eq!(
        all(ReplayStart::Time(Millis(0)), Some(second)),
        range(0..1_000)
    );
    assert_eq!(all(ReplayStart::Time(second), Some(second)), range(0..0));
    assert!(
        world.consumers().iter().all(
            |partition| partition.num_pending > 0 || partition.delivered.consumer_sequence == 0
        ),
        "live readers notice nothing"
    );
}

#[test]
#[ignore = "needs NATS"]
fn a_replay_ends_with_what_the_stream_held_when_it_began() {
    let Some(world) = World::new("replay's end") else {
        return;
    };
    let world = world.set_up();
    world.publish(0..2_000);
    let replay = NatsReplay::new(world.settings.clone(), ReplayRange::default());
    let mut job = Job::with(Box::new(replay), 1);
    let first = job.take(1);
    world.publish(2_000..3_000);
    assert_eq!(numbers(&rest(job, first)), (0..2_000).collect::<Vec<_>>());
}

#[test]
#[ignore = "needs NATS"]
fn a_replay_goes_on_behind_the_last_message_when_its_server_is_killed() {
    let Some(mut server) = Server::start("replay, server killed", "") else {
        return;
    };
    let world = World::on(&server.url()).set_up();
    world.publish(0..20_000);
    let replay = NatsReplay::new(world.settings.clone(), ReplayRange::default());
    let mut job = Job::with(Box::new(replay), 1);
    let first = job.take(1);
    server.kill();
    server.start_again();
    assert_eq!(numbers(&rest(job, first)), (0..20_000).collect::<Vec<_>>());
}
