//! What is handed out, and what is acknowledged of it.

use std::collections::BTreeMap;
use std::time::Duration;

use hookflow::metrics::Counter;
use hookflow::source::commit_tracker::SettledPrefix;
use hookflow::source::nats::settings::Acknowledge;
use rand::SeedableRng;
use rand::seq::SliceRandom;

use super::job::{Job, distinct, numbers};
use super::world::{World, until};

const BOTH: [Acknowledge; 2] = [Acknowledge::UpTo, Acknowledge::Each];
const MOMENT: Duration = Duration::from_millis(1_500);
const LONG: Duration = Duration::from_secs(30);

#[test]
#[ignore = "needs NATS"]
fn what_is_open_is_handed_out_once_however_often_it_is_delivered() {
    for acknowledge in BOTH {
        let Some(world) = World::new("redelivery") else {
            return;
        };
        let world = world.set_up_with(acknowledge, LONG);
        let partition = world.publish_to_one_lane(0..500);
        let mut job = Job::start(&world.settings);
        let parcels = job.take(500);
        assert_eq!(numbers(&parcels), (0..500).collect::<Vec<_>>());
        for delivery in 1..=500 {
            world.answer(partition, delivery, delivery, "-NAK");
        }
        until("everything is delivered again", || {
            job.count(Counter::Redelivered) == 500
        });
        job.is_quiet(MOMENT);
        assert_eq!(job.count(Counter::Acknowledged), 0);
        job.settle_all(&parcels);
        until("all is acknowledged", || world.is_acknowledged());
        assert!(job.end().is_none());
    }
}

#[test]
#[ignore = "needs NATS"]
fn every_message_comes_once_in_the_order_of_its_tenant_and_all_is_acknowledged_in_the_end() {
    for acknowledge in BOTH {
        let Some(world) = World::new("everything") else {
            return;
        };
        let world = world.set_up_with(acknowledge, LONG);
        world.publish(0..5_000);
        let mut job = Job::start(&world.settings);
        let parcels = job.take(5_000);
        assert_eq!(distinct(&parcels), (0..5_000).collect::<Vec<_>>());
        let mut partitions: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for parcel in &parcels {
            partitions
                .entry(parcel.partition)
                .or_default()
                .extend(numbers([parcel]));
        }
        assert!(
            partitions.len() > 10,
            "a hundred tenants fall into {} partitions",
            partitions.len()
        );
        assert!(partitions.values().all(|partition| partition.is_sorted()));
        job.settle_all(&parcels);
        until("all is acknowledged", || world.is_acknowledged());
        until("it is counted", || {
            job.count(Counter::Acknowledged) == 5_000
        });
        assert!(job.end().is_none());
    }
}

/// Settles the parcels of one partition in random order, and compares what the server holds acknowledged with the settled prefix.
#[test]
#[ignore = "needs NATS"]
fn nothing_above_the_settled_prefix_is_acknowledged() {
    for acknowledge in BOTH {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let Some(mut world) = World::new("acknowledgements") else {
            return;
        };
        world.settings.batch_messages = 40;
        let world = world.set_up_with(acknowledge, LONG);
        let partition = world.publish_to_one_lane(0..800);
        let mut job = Job::start(&world.settings);
        let mut parcels = job.take(800);
        parcels.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
        let mut settled = SettledPrefix::default();
        for parcel in &parcels {
            if settled.settle(parcel.start, parcel.end) {
                job.settle(partition, settled.offset());
            }
            // One partition, one publisher: ordinal n is sequence n + 1.
            let floor = settled.offset();
            until("the settled prefix is acknowledged", || {
                let there = world.consumer(partition).ack_floor.stream_sequence;
                assert!(
                    there <= floor,
                    "{there} is acknowledged, and only {floor} are settled"
                );
                there == floor
            });
            let open = world.consumer(partition).num_ack_pending as u64;
            assert_eq!(open, 800 - floor, "acknowledged above the settled prefix");
        }
        assert!(job.end().is_none());
    }
}

#[test]
#[ignore = "needs NATS"]
fn a_restart_goes_on_with_what_was_not_settled() {
    for acknowledge in BOTH {
        let Some(world) = World::new("restart") else {
            return;
        };
        let world = world.set_up_with(acknowledge, Duration::from_secs(1));
        world.publish(0..3_000);
        let mut job = Job::start(&world.settings);
        let (settled, open): (Vec<_>, Vec<_>) = job
            .take(3_000)
            .into_iter()
            .partition(|parcel| parcel.start == 0);
        assert!(!settled.is_empty());
        job.settle_all(&settled);
        assert!(job.end().is_none());

        let mut job = Job::start(&world.settings);
        let open = distinct(&open);
        let mut parcels = job.take(open.len());
        world.publish(3_000..4_000);
        parcels.extend(job.take(1_000));
        let again: Vec<u64> = open.into_iter().chain(3_000..4_000).collect();
        assert_eq!(distinct(&parcels), again);
        job.settle_all(&parcels);
        until("all is acknowledged", || world.is_acknowledged());
        assert!(job.end().is_none());
    }
}

#[test]
#[ignore = "needs NATS"]
fn what_was_read_and_not_handed_out_goes_back_at_once() {
    let Some(world) = World::new("given back") else {
        return;
    };
    let world = world.set_up_with(Acknowledge::UpTo, LONG);
    world.publish(0..2_000);
    let source = hookflow::source::nats::NatsSource::new(world.settings.clone());
    let mut job = Job::with(Box::new(source), 1);
    let first = job.take(1);
    until("all is delivered", || {
        world
            .consumers()
            .iter()
            .all(|partition| partition.num_pending == 0)
    });
    job.settle_all(&first);
    assert!(job.end().is_none());

    // All but the one or two parcels that were handed out, long before ack_wait is over.
    let mut job = Job::start(&world.settings);
    let parcels = job.take(1_000);
    distinct(&parcels);
    assert!(job.end().is_none());
}
