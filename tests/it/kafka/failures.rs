//! What goes wrong at the broker, and what the source says of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hookflow::error::Exit;
use hookflow::source::kafka::publisher::publish;
use hookflow::source::pace::Pace;

use super::job::{Job, numbers};
use super::members::named;
use super::wait::{LIMIT, until};
use super::world::{World, begins_in_time, message};
use crate::broker::own::Own;

fn own(test: &str) -> Option<Own> {
    Own::start(&format!("kafka {test}"), "kafka", "HOOKFLOW_KAFKA_BROKERS")
}

#[test]
#[ignore = "needs Kafka"]
fn a_broker_that_is_killed_and_started_again_costs_nothing() {
    let Some(broker) = own("broker killed") else {
        return;
    };
    let world = World::on(&broker.address).set_up(8);
    world.publish(0..3_000);
    let mut job = Job::start(&world.settings);
    let first = job.take(3_000);
    let (settled, open) = first.split_at(first.len() / 2);
    job.settle_all(settled);
    broker.does("kill");
    job.says_in_time("Kafka cannot be reached");
    // What settles meanwhile is committed when it is back.
    job.settle_all(open);
    broker.does("start");
    // It has answered once, which may take a cold one long.
    world.ends();
    let back = Instant::now();
    job.is_well_in_time();
    println!("well again {:?} after the broker", back.elapsed());
    assert!(
        back.elapsed() < Duration::from_secs(8),
        "{:?}",
        back.elapsed()
    );
    world.publish(3_000..4_000);
    let mut all: BTreeSet<u64> = numbers(&first).into_iter().collect();
    until("all is committed", || {
        while let Some(parcel) = job.next(Duration::ZERO) {
            all.extend(numbers([&parcel]));
            job.settle_all(&[parcel]);
        }
        all.len() == 4_000 && world.is_committed()
    });
    job.is_well_in_time();
    assert!(job.end().is_none());
}

/// A member that comes back may be refused as if another had its name (its own joining, answered when it had given up). Another
/// that really has it makes the broker say the same.
#[test]
#[ignore = "needs Kafka"]
fn a_member_that_is_taken_for_another_after_its_broker_was_away_joins_anew_and_loses_nothing() {
    let Some(broker) = own("joins anew") else {
        return;
    };
    let world = World::on(&broker.address).set_up(2);
    let mut settings = named(&world.settings, "a");
    // However long its broker is away, it is a member when that is back.
    settings.session_timeout = LIMIT / 2;
    (0..2).for_each(|at| world.publish_to(at, 0..100, None));
    let mut one = Job::start(&settings);
    begins_in_time(&one, 2);
    let parcels = one.take(200);
    let (settled, open): (Vec<_>, Vec<_>) = parcels.into_iter().partition(|one| one.partition == 0);
    one.settle_all(&settled);
    broker.does("kill");
    one.says_in_time("Kafka cannot be reached");
    broker.does("start");
    one.is_well_in_time();
    until("what was settled is committed", || {
        world.committed().values().sum::<u64>() == 100
    });

    let other = Job::start(&settings);
    let failure = other.fails_in_time();
    assert_eq!(failure.exit, Exit::Config, "{failure}");
    let begun = begins_in_time(&one, 2);
    let offsets: BTreeSet<u64> = begun.iter().map(|(_, _, at)| *at).collect();
    assert_eq!(offsets, BTreeSet::from([0, 100]), "where it has committed");
    let again = one.take(100);
    assert_eq!(numbers(&again), numbers(&open), "what was open comes again");
    one.settle_all(&again);
    // What settles of the partitions of before means nothing any more.
    one.settle_all(&open);
    world.publish_to(0, 100..200, None);
    let last = one.take(100);
    one.settle_all(&last);
    until("all is committed", || world.is_committed());
    one.is_well_in_time();
    assert!(one.end().is_none());
}

#[test]
#[ignore = "needs Kafka"]
fn a_job_ends_while_its_broker_is_away_and_what_it_could_not_commit_comes_again() {
    let Some(broker) = own("end without a broker") else {
        return;
    };
    let world = World::on(&broker.address).set_up(2);
    world.publish_to(0, 0..100, None);
    let mut job = Job::start(&world.settings);
    let parcels = job.take(100);
    until("the beginning is committed", || {
        world.committed().len() == 2
    });
    broker.does("kill");
    job.says_in_time("Kafka cannot be reached");
    job.settle_all(&parcels);
    let asked = Instant::now();
    assert!(job.end().is_none());
    assert!(asked.elapsed() < LIMIT / 3, "{:?}", asked.elapsed());
    broker.does("start");
    let mut job = Job::start(&world.settings);
    let again = job.take(100);
    assert_eq!(numbers(&again), (0..100).collect::<Vec<_>>());
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs Kafka"]
fn a_broker_that_is_away_at_the_start_is_waited_for_and_said() {
    let Some(broker) = own("away at the start") else {
        return;
    };
    let world = World::on(&broker.address).set_up(1);
    world.publish_to(0, 0..10, None);
    broker.does("kill");
    let mut job = Job::start(&world.settings);
    let said = job.says_in_time("Kafka cannot be reached");
    assert!(!said.contains("127.0.0.1"), "{said}");
    broker.does("start");
    job.is_well_in_time();
    let parcels = job.take(10);
    job.settle_all(&parcels);
    until("all is committed", || world.is_committed());
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs Kafka"]
fn publishing_goes_on_when_its_broker_comes_back_and_stores_everything_once() {
    let Some(broker) = own("publishing, broker killed") else {
        return;
    };
    let world = World::on(&broker.address).set_up(4);
    let settings = world.settings.clone();
    let (reached, halfway) = crossbeam_channel::bounded(1);
    let publishing = std::thread::spawn(move || {
        let messages = (0..60_000).map(|number| {
            if number == 30_000 {
                reached.send(()).unwrap();
            }
            message(number)
        });
        publish(&settings, messages, Pace::default())
    });
    halfway.recv_timeout(LIMIT).unwrap();
    broker.does("kill");
    broker.does("start");
    until("everything is published", || publishing.is_finished());
    assert_eq!(publishing.join().unwrap().unwrap().messages, 60_000);
    assert_eq!(
        world.ends().values().sum::<u64>(),
        60_000,
        "stored once each"
    );
}
