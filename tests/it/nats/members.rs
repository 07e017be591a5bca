//! Members that share a consumer, and partitions.

use std::time::{Duration, Instant};

use hookflow::source::nats::config::NatsConfig;
use hookflow::source::nats::partitions::Partitions;
use hookflow::source::nats::{NatsSource, check, setup};

use super::job::{Job, distinct, numbers};
use super::servers::on_both_servers;
use super::world::{World, until};

#[test]
#[ignore = "needs NATS"]
fn two_members_have_every_message_between_them_once() {
    on_both_servers("members", |world| {
        let world = world.set_up();
        let (mut one, mut other) = (Job::start(&world.config), Job::start(&world.config));
        until("both ask", || world.consumer().num_waiting >= 2);
        world.publish(0..10_000);
        let mut here = Vec::new();
        let mut there = Vec::new();
        let messages = |records: &[hookflow::source::Records]| numbers(records).len();
        until("everything has come", || {
            here.extend(std::iter::from_fn(|| one.next(Duration::ZERO)));
            there.extend(std::iter::from_fn(|| other.next(Duration::ZERO)));
            messages(&here) + messages(&there) >= 10_000
        });
        assert_eq!(
            distinct(here.iter().chain(&there)),
            (0..10_000).collect::<Vec<_>>()
        );
        assert!(messages(&here) > 1_000 && messages(&there) > 1_000);
        one.settle_all(&here);
        other.settle_all(&there);
        until("all is acknowledged", || world.is_acknowledged());
        assert!(one.end().is_none() && other.end().is_none());
    });
}

/// Four members, one of which takes nothing from its source and acknowledges nothing.
#[test]
#[ignore = "needs NATS"]
fn a_frozen_member_does_not_stop_the_others_for_a_second() {
    on_both_servers("frozen", |world| {
        let world = world.set_up_with(|config| {
            config.in_flight_events_max = 2_000;
            config.open_max = 4_000;
        });
        let frozen = Job::with(Box::new(NatsSource::new(world.config.clone())), 1);
        let mut others: Vec<Job> = (0..3).map(|_| Job::start(&world.config)).collect();
        until("all ask", || world.consumer().num_waiting >= 4);
        let (mut came, mut longest, mut last) = (0, Duration::ZERO, Instant::now());
        let prefix = world.config.subject.clone();
        let connection = world.config.connection.clone();
        let publishing = std::thread::spawn(move || {
            let messages = (0..20_000).map(|number| super::world::outgoing(&prefix, number));
            let pace = hookflow::source::pace::Pace {
                per_second: Some(5_000),
            };
            hookflow::source::nats::publisher::publish(&connection, messages, pace).unwrap();
        });
        // The frozen one holds as much as it may, and no more.
        let expected = 20_000 - 2_500;
        until("the others have the rest", || {
            for job in &mut others {
                while let Some(records) = job.next(Duration::ZERO) {
                    came += records.records.len();
                    job.settle_all(&[records]);
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
            }
            came >= expected
        });
        publishing.join().unwrap();
        println!("{came} messages came; the longest pause was {longest:?}");
        assert!(longest < Duration::from_secs(1), "{longest:?}");
        assert!(frozen.end().is_none());
        // What the frozen one never handed to a worker went back when it ended.
        until("all is acknowledged", || {
            for job in &mut others {
                while let Some(records) = job.next(Duration::ZERO) {
                    job.settle_all(&[records]);
                }
            }
            world.is_acknowledged()
        });
        assert!(others.into_iter().all(|job| job.end().is_none()));
    });
}

fn member(world: &World, assignment: &str) -> NatsConfig {
    NatsConfig {
        partitions: Partitions::parse(assignment, 8),
        ..world.config.clone()
    }
}

#[test]
#[ignore = "needs NATS"]
fn members_of_a_partitioned_stream_read_their_partitions() {
    on_both_servers("partitions", |world| {
        let world = world.set_up_with(|config| config.partitions = Some(Partitions::all(8)));
        check(&world.config).unwrap();
        world.publish(0..4_000);
        let (first, second) = (member(&world, "1/2"), member(&world, "2/2"));
        let waits = |config: &NatsConfig| {
            let consumers = config.consumers();
            let waiting = consumers
                .iter()
                .map(|one| world.info(&one.name).num_pending);
            usize::try_from(waiting.sum::<u64>()).unwrap()
        };
        let (of_first, of_second) = (waits(&first), waits(&second));
        assert_eq!(of_first + of_second, 4_000);
        assert!(of_first > 800 && of_second > 800, "{of_first}, {of_second}");
        let (mut one, mut other) = (Job::start(&first), Job::start(&second));
        let (here, there) = (one.take(of_first), other.take(of_second));
        assert_eq!(
            distinct(here.iter().chain(&there)),
            (0..4_000).collect::<Vec<_>>()
        );
        one.settle_all(&here);
        other.settle_all(&there);
        until("all is acknowledged", || world.is_acknowledged());
        assert!(one.end().is_none() && other.end().is_none());
        assert!(setup(&world.config).unwrap().len() == 1, "nothing to do");
    });
}
