//! What is handed out, and what is acknowledged of it.

use std::collections::BTreeSet;
use std::time::Duration;

use hookflow::metrics::Counter;
use hookflow::source::Record;
use hookflow::source::commit_tracker::SettledPrefix;
use rand::SeedableRng;
use rand::seq::SliceRandom;

use super::job::{Job, distinct, numbers};
use super::servers::on_both_servers;
use super::world::{World, throughout, until};

const MOMENT: Duration = Duration::from_millis(800);

#[test]
#[ignore = "needs NATS"]
fn a_held_message_is_handed_out_once_however_often_it_is_delivered() {
    on_both_servers("redelivery", |world| {
        let world = world.set_up();
        world.publish(0..500);
        let mut job = Job::start(&world.config);
        let records = job.take(500);
        assert_eq!(numbers(&records), (0..500).collect::<Vec<_>>());
        for delivery in 1..=500 {
            world.answer(delivery, delivery, "-NAK");
        }
        until("everything is delivered again", || {
            job.count(Counter::Redelivered) == 500
        });
        job.is_quiet(MOMENT);
        assert_eq!(job.count(Counter::Acknowledged), 0);
        job.settle_all(&records);
        until("all is acknowledged", || world.is_acknowledged());
        // Confirmed to the source, not only gone at the server.
        until("all is confirmed", || {
            job.count(Counter::Acknowledged) == 500
        });
        assert!(job.end().is_none());
    });
}

#[test]
#[ignore = "needs NATS"]
fn every_message_comes_once_with_its_sequence_and_is_acknowledged() {
    on_both_servers("everything", |world| {
        let world = world.set_up();
        world.publish(0..5_000);
        let mut job = Job::start(&world.config);
        let records = job.take(5_000);
        assert_eq!(distinct(&records), (0..5_000).collect::<Vec<_>>());
        for record in records.iter().flat_map(|records| &records.records) {
            let Record::Message(message) = record else {
                panic!("{record:?}")
            };
            let number: u64 = std::str::from_utf8(&message.body).unwrap().parse().unwrap();
            assert_eq!(message.origin.offset, number + 1);
        }
        job.settle_all(&records);
        until("all is acknowledged", || world.is_acknowledged());
        until("it is counted", || {
            job.count(Counter::Acknowledged) == 5_000
        });
        assert_eq!(job.count(Counter::AckUnconfirmed), 0);
        assert!(job.end().is_none());
    });
}

/// Settles records in random order, and compares what the server holds acknowledged with the settled prefix.
#[test]
#[ignore = "needs NATS"]
fn nothing_above_the_settled_prefix_is_acknowledged() {
    on_both_servers("acknowledgements", |mut world| {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        world.config.batch_messages = 40;
        let world = world.set_up();
        world.publish(0..800);
        let mut job = Job::start(&world.config);
        let mut records = job.take(800);
        records.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
        let mut settled = SettledPrefix::default();
        for run in &records {
            if settled.settle(run.start, run.end) {
                job.settle(0, settled.offset());
            }
            // One publisher, one member: ordinal n is sequence n + 1.
            let floor = settled.offset();
            until("the settled prefix is acknowledged", || {
                let info = world.consumer();
                let there = info.ack_floor.stream_sequence;
                assert!(
                    there <= floor,
                    "{there} is acknowledged, {floor} is settled"
                );
                there == floor && info.num_ack_pending as u64 == 800 - floor
            });
        }
        assert!(job.end().is_none());
    });
}

#[test]
#[ignore = "needs NATS"]
fn a_killed_member_redelivers_after_ack_wait_and_new_messages_come_at_once() {
    on_both_servers("killed", |world| {
        let world = world.set_up_with(|config| config.ack_wait = Duration::from_secs(3));
        world.publish(0..400);
        world.died_over(300);
        let mut job = Job::start(&world.config);
        let new = job.take(100);
        assert_eq!(distinct(&new), (300..400).collect::<Vec<_>>());
        // They are settled before the dead member's messages come again.
        job.settle_all(&new);
        until("new messages are acknowledged", || {
            job.count(Counter::Acknowledged) == 100
        });
        assert_eq!(world.consumer().num_ack_pending, 300);
        let again = job.take(300);
        assert_eq!(distinct(&again), (0..300).collect::<Vec<_>>());
        job.settle_all(&again);
        until("all is acknowledged", || world.is_acknowledged());
        assert!(job.end().is_none());
    });
}

#[test]
#[ignore = "needs NATS"]
fn draining_returns_at_once_what_was_not_handed_out_and_nothing_else() {
    on_both_servers("drain", |world| {
        let world = world.set_up();
        world.publish(0..3_000);
        let source = hookflow::source::nats::NatsSource::new(world.config.clone());
        let mut job = Job::with(Box::new(source), 1);
        let first = job.take(1);
        until("all is delivered", || world.consumer().num_pending == 0);
        job.stop();
        // What was handed out before the stop is still the job's; the rest is another member's, long before ack_wait is over.
        let mut other = Job::start(&world.config);
        let mut here: BTreeSet<u64> = numbers(&first).into_iter().collect();
        while let Some(records) = job.next(Duration::from_millis(300)) {
            here.extend(numbers([&records]));
            job.settle_all(&[records]);
        }
        job.settle_all(&first);
        let there = other.take(3_000 - here.len());
        let mut all: Vec<u64> = distinct(&there);
        assert!(all.iter().all(|number| !here.contains(number)));
        all.extend(&here);
        all.sort_unstable();
        assert_eq!(all, (0..3_000).collect::<Vec<_>>());
        throughout(MOMENT, "what a worker had was given back", || {
            other.next(Duration::ZERO).is_none()
        });
        assert!(job.end().is_none());
        other.settle_all(&there);
        until("all is acknowledged", || world.is_acknowledged());
        assert!(other.end().is_none());
    });
}

#[test]
#[ignore = "needs NATS"]
fn a_member_never_holds_more_than_its_share_of_open_messages() {
    let Some(world) = World::new("share") else {
        return;
    };
    let world = world.set_up_with(|config| {
        config.in_flight_events_max = 400;
        config.open_max = 800;
    });
    world.publish(0..2_000);
    let mut job = Job::start(&world.config);
    job.take(400);
    throughout(MOMENT, "it holds as much as two members may", || {
        world.consumer().num_ack_pending <= 500
    });
    assert!(job.end().is_none());
}

/// The only member is killed while it holds everything that there is: nothing can move before the server redelivers.
#[test]
#[ignore = "needs NATS"]
fn after_a_kill_the_first_commit_takes_at_most_twelve_seconds() {
    on_both_servers("first commit", |world| {
        let world = world.set_up();
        assert_eq!(
            world.config.ack_wait,
            Duration::from_secs(10),
            "the default"
        );
        world.publish(0..1_000);
        world.died_over(1_000);
        let begun = std::time::Instant::now();
        let mut job = Job::start(&world.config);
        let again = job.take(1);
        job.settle_all(&again);
        until("the first commit is confirmed", || {
            job.count(Counter::Acknowledged) > 0
        });
        let took = begun.elapsed();
        println!("the first commit took {took:?}");
        assert!(took < Duration::from_secs(12), "{took:?}");
        let rest = job.take(1_000 - numbers(&again).len());
        assert_eq!(distinct(again.iter().chain(&rest)).len(), 1_000);
        job.settle_all(&rest);
        until("all is acknowledged", || world.is_acknowledged());
        assert!(job.end().is_none());
    });
}
