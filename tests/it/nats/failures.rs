//! What goes wrong at the server, and what the source says of it.

use std::collections::BTreeSet;
use std::time::Duration;

use hookflow::error::Exit;
use hookflow::metrics::Counter;

use super::job::{Job, distinct, numbers};
use super::servers::{on_both_servers, with_both_programs};
use super::world::{World, until};

#[test]
#[ignore = "needs NATS"]
fn a_deleted_consumer_is_reported_and_read_again_when_it_is_made_anew() {
    on_both_servers("consumer deleted", |world| {
        let world = world.set_up();
        world.publish(0..10);
        let mut job = Job::start(&world.config);
        let records = job.take(10);
        job.settle_all(&records);
        until("all is acknowledged", || world.is_acknowledged());
        world.delete_consumer(&world.config.consumer);
        let said = job.says_in_time("1 consumers of the stream");
        assert!(said.contains("hookflow setup"), "{said}");
        hookflow::source::nats::setup(&world.config).unwrap();
        job.is_well_in_time();
        // The new one knows nothing of what the old one was told.
        let again = job.take(10);
        assert_eq!(distinct(&again), (0..10).collect::<Vec<_>>());
        job.settle_all(&again);
        until("all is acknowledged", || world.is_acknowledged());
        assert!(job.end().is_none());
    });
}

#[test]
#[ignore = "needs NATS"]
fn a_consumer_made_anew_redelivers_held_messages_to_nobody_twice() {
    let Some(world) = World::new("consumer made anew") else {
        return;
    };
    let world = world.set_up();
    world.publish(0..10);
    let mut job = Job::start(&world.config);
    let records = job.take(10);
    world.delete_consumer(&world.config.consumer);
    hookflow::source::nats::setup(&world.config).unwrap();
    until("the new one delivers", || {
        world.consumer().num_ack_pending == 10
    });
    job.is_quiet(Duration::from_millis(300));
    job.settle_all(&records);
    until("all is acknowledged", || world.is_acknowledged());
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
    let mut job = Job::start(&world.config);
    job.says_in_time("dropped 100 messages that no consumer was sent");
    assert_eq!(job.count(Counter::SourceLost), 100);
    let rest = job.take(100);
    assert_eq!(distinct(&rest), (100..200).collect::<Vec<_>>());
    job.settle_all(&rest);
    assert!(job.end().is_none());
    let job = Job::start(&world.config);
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
    let mut job = Job::start(&world.config);
    job.take(100);
    world.delete_stream();
    hookflow::source::nats::setup(&world.config).unwrap();
    world.publish(100..200);
    let failure = job.fails_in_time();
    assert_eq!(failure.exit, Exit::Internal);
    assert!(failure.message.contains("made anew"), "{failure}");
}

#[test]
#[ignore = "needs NATS"]
fn a_stream_that_is_deleted_is_said() {
    let Some(world) = World::new("stream deleted") else {
        return;
    };
    let world = world.set_up();
    let mut job = Job::start(&world.config);
    world.publish(0..100);
    // It reads: a stream that is missing at the start is refused.
    let parcels = job.take(100);
    job.settle_all(&parcels);
    until("all is confirmed", || {
        job.count(Counter::Acknowledged) == 100
    });
    world.delete_stream();
    let said = job.says_in_time("does not exist");
    assert!(said.contains("hookflow setup"), "{said}");
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs NATS"]
fn a_server_that_is_killed_and_started_again_costs_nothing() {
    with_both_programs("server killed", |mut server| {
        let world = World::on(&server.url());
        let world = world.set_up_with(|config| config.ack_wait = Duration::from_secs(2));
        world.publish(0..3_000);
        let mut job = Job::start(&world.config);
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
            while let Some(records) = job.next(Duration::ZERO) {
                all.extend(numbers([&records]));
                job.settle_all(&[records]);
            }
            all.len() == 4_000 && world.is_acknowledged()
        });
        assert!(job.end().is_none());
    });
}

#[test]
#[ignore = "needs NATS"]
fn a_source_whose_last_acknowledgements_are_not_confirmed_ends_with_75() {
    with_both_programs("unconfirmed", |mut server| {
        let world = World::on(&server.url()).set_up();
        world.publish(0..10);
        let mut job = Job::start(&world.config);
        let records = job.take(10);
        server.kill();
        job.settle_all(&records);
        let failure = job.end().expect("it ended as if all were confirmed");
        assert_eq!(failure.exit, Exit::Unfinished, "{failure}");
        server.start_again();
    });
}
