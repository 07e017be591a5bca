//! What goes wrong at the server, and what the source says of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hookflow::error::Exit;
use hookflow::metrics::{Counter, Gauge};
use hookflow::source::nats::NatsSource;
use hookflow::source::nats::settings::Acknowledge;

use super::job::{Job, distinct, numbers};
use super::server::Server;
use super::world::{World, until};

#[test]
#[ignore = "needs NATS"]
fn a_consumer_that_is_deleted_is_said_and_read_again_when_it_is_made_anew() {
    let Some(world) = World::new("consumer deleted") else {
        return;
    };
    let world = world.set_up();
    let partition = world.publish_to_one_lane(0..10);
    let mut job = Job::start(&world.settings);
    let parcels = job.take(10);
    job.settle_all(&parcels);
    until("all is acknowledged", || world.is_acknowledged());
    world.delete_consumer(partition);
    let said = job.says_in_time("1 consumers of the stream are gone");
    assert!(said.contains("hookflow setup"), "{said}");
    hookflow::source::nats::setup(&world.settings).unwrap();
    job.is_well_in_time();
    // The new one knows nothing of what the old one was told.
    let again = job.take(10);
    assert_eq!(distinct(&again), (0..10).collect::<Vec<_>>());
    job.settle_all(&again);
    until("all is acknowledged", || world.is_acknowledged());
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs NATS"]
fn messages_that_are_purged_before_they_were_read_are_said_and_counted() {
    let Some(mut world) = World::new("purged") else {
        return;
    };
    // Room for little, so that most of it waits at the server.
    world.settings.batch_messages = 10;
    world.settings.ack_pending_max = 10;
    let world = world.set_up();
    world.publish_to_one_lane(0..1_000);
    let mut job = Job::with(Box::new(NatsSource::new(world.settings.clone())), 1);
    job.take(1);
    until("it is seen that messages wait", || {
        job.metrics.gauge(Gauge::SourceLag) > 900
    });
    let waits: u64 = world
        .consumers()
        .iter()
        .map(|partition| partition.num_pending)
        .sum();
    world.wait(async {
        let stream = world.stream().await;
        stream.purge().await.unwrap();
    });
    job.says_in_time("dropped 9");
    assert_eq!(job.count(Counter::SourceLost), waits);
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs NATS"]
fn a_stream_that_has_dropped_what_no_consumer_was_sent_is_said_at_the_start() {
    let Some(world) = World::new("dropped unread") else {
        return;
    };
    let world = world.set_up();
    world.publish(0..200);
    keep(&world, 100);
    let mut job = Job::start(&world.settings);
    job.says_in_time("dropped messages that no consumer was sent");
    let rest = job.take(100);
    assert_eq!(distinct(&rest), (100..200).collect::<Vec<_>>());
    job.settle_all(&rest);
    assert!(job.end().is_none());
    let job = Job::start(&world.settings);
    until("it begins", || !job.partition_events().is_empty());
    assert_eq!(job.health.problems(), [""; 0], "all that is there was read");
    assert!(job.end().is_none());
}

/// Lets the stream keep that many messages and no more.
fn keep(world: &World, messages: i64) {
    world.wait(async {
        let stream = world.stream().await;
        let mut config = stream.cached_info().config.clone();
        config.max_messages = messages;
        world.context.update_stream(config).await.unwrap();
    });
}

#[test]
#[ignore = "needs NATS"]
fn a_stream_made_anew_under_open_messages_ends_the_job() {
    let Some(world) = World::new("stream made anew") else {
        return;
    };
    let world = world.set_up();
    world.publish(0..100);
    let mut job = Job::start(&world.settings);
    job.take(100);
    world.delete_stream();
    hookflow::source::nats::setup(&world.settings).unwrap();
    world.publish(100..200);
    let failure = job.fails_in_time();
    assert_eq!(failure.exit, Exit::Watchdog);
    assert!(failure.message.contains("made anew"), "{failure}");
}

#[test]
#[ignore = "needs NATS"]
fn a_consumer_made_anew_under_open_messages_ends_the_job() {
    for acknowledge in [Acknowledge::UpTo, Acknowledge::Each] {
        let Some(world) = World::new("consumer made anew") else {
            return;
        };
        let world = world.set_up_with(acknowledge, Duration::from_secs(30));
        let begun = Instant::now();
        let partition = world.publish_to_one_lane(0..10);
        let mut job = Job::start(&world.settings);
        job.take(10);
        until(
            "the old consumer is old enough to be told from the new one",
            || begun.elapsed() > Duration::from_millis(200),
        );
        world.delete_consumer(partition);
        hookflow::source::nats::setup(&world.settings).unwrap();
        let failure = job.fails_in_time();
        assert_eq!(failure.exit, Exit::Watchdog);
        assert!(failure.message.contains("made anew"), "{failure}");
    }
}

#[test]
#[ignore = "needs NATS"]
fn a_stream_that_is_deleted_is_said() {
    let Some(world) = World::new("stream deleted") else {
        return;
    };
    let world = world.set_up();
    let mut job = Job::start(&world.settings);
    world.publish(0..100);
    // It reads: a stream that is missing at the start is refused.
    let parcels = job.take(100);
    job.settle_all(&parcels);
    world.delete_stream();
    let said = job.says_in_time("does not exist");
    assert!(said.contains("hookflow setup"), "{said}");
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs NATS"]
fn a_server_that_is_killed_and_started_again_costs_nothing() {
    for acknowledge in [Acknowledge::UpTo, Acknowledge::Each] {
        let Some(mut server) = Server::start("server killed", "") else {
            return;
        };
        let world = World::on(&server.url());
        let world = world.set_up_with(acknowledge, Duration::from_secs(2));
        world.publish(0..3_000);
        let mut job = Job::start(&world.settings);
        let first = job.take(2_000);
        job.settle_all(&first);
        server.kill();
        job.says_in_time("NATS");
        server.start_again();
        job.is_well_in_time();
        world.publish(3_000..4_000);
        // A server that is killed may forget what it confirmed a moment ago, and deliver it again: it is settled again.
        let mut all: BTreeSet<u64> = numbers(&first).into_iter().collect();
        until("all is acknowledged", || {
            while let Some(parcel) = job.next(Duration::ZERO) {
                all.extend(numbers([&parcel]));
                job.settle_all(&[parcel]);
            }
            all.len() == 4_000 && world.is_acknowledged()
        });
        assert!(job.end().is_none());
    }
}
