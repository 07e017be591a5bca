//! The stream's past as a finite source.

use std::time::Duration;

use hookflow::event::Millis;
use hookflow::source::nats::publisher::{NatsMessage, publish};
use hookflow::source::nats::replay::NatsReplay;
use hookflow::source::pace::Pace;
use hookflow::source::replay::{ReplayRange, ReplayStart};
use hookflow::source::{PartitionEvent, Records};

use super::job::{Job, numbers};
use super::server::Server;
use super::world::{World, until};

/// Everything that a replay hands out, in order.
fn replayed(world: &World, start: ReplayStart, until: Option<Millis>) -> Vec<Records> {
    let replay = NatsReplay::new(world.config.clone(), ReplayRange { start, until });
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
    let all = |start, until| numbers(&replayed(&world, start, until));
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
        world.consumer().delivered.consumer_sequence == 0,
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
    let replay = NatsReplay::new(world.config.clone(), ReplayRange::default());
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
    let replay = NatsReplay::new(world.config.clone(), ReplayRange::default());
    let mut job = Job::with(Box::new(replay), 1);
    let first = job.take(1);
    server.kill();
    server.start_again();
    assert_eq!(numbers(&rest(job, first)), (0..20_000).collect::<Vec<_>>());
}

/// A thousand messages of 0.9 MB are a gigabyte: neither the records nor the requests may hold much of it at once.
#[test]
#[ignore = "needs NATS"]
fn a_replay_is_bounded_in_bytes_as_well_as_in_messages() {
    const LARGE: usize = 900_000;
    let Some(world) = World::new("replay's bytes") else {
        return;
    };
    let world = world.set_up_with(|config| config.batch_bytes = 2 << 20);
    let prefix = world.config.subject.clone();
    let messages = (0..64).map(|number| {
        let body = vec![b'x'; LARGE];
        NatsMessage::junk(&prefix, &format!("{number}"), body.into())
    });
    publish(&world.config.connection, messages, Pace::default()).unwrap();
    let replay = NatsReplay::new(world.config.clone(), ReplayRange::default());
    let mut job = Job::with(Box::new(replay), 1);
    let first = job.take(1);
    // The job takes no more: a run waits for room, one waits in the channel, and two requests are under way.
    let delivered = || world.replay_delivered();
    until("it stands still", || {
        let before = delivered();
        std::thread::park_timeout(Duration::from_millis(500));
        before > 0 && delivered() == before
    });
    let read = delivered();
    assert!(read <= 14, "{read} messages of 0.9 MB were read ahead");
    let mut count: usize = first.iter().map(|records| records.records.len()).sum();
    while let Some(records) = job.next(Duration::from_secs(5)) {
        assert!(
            records.bytes <= (1 << 20) + LARGE + 1_000,
            "{}",
            records.bytes
        );
        count += records.records.len();
        if count == 64 {
            break;
        }
    }
    assert_eq!(count, 64);
    assert!(job.end().is_none());
}

impl World {
    /// How many messages the replay's consumer was sent.
    fn replay_delivered(&self) -> u64 {
        self.wait(async {
            use futures_util::TryStreamExt;
            let stream = self.stream().await;
            let all: Vec<_> = stream.consumers().try_collect().await.unwrap();
            let replays = all.iter().filter(|one| one.name.starts_with("replay-"));
            replays.map(|one| one.delivered.consumer_sequence).sum()
        })
    }
}
