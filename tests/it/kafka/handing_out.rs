//! What is handed out: every message once, with everything that was published.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hookflow::event::{Delivery, Headers, Millis, Origin, Provider, User};
use hookflow::metrics::Counter;
use hookflow::source::kafka::config::Topic;
use hookflow::source::kafka::publisher::publish;
use hookflow::source::members::PartitionSet;
use hookflow::source::message::parse;
use hookflow::source::outgoing::OutgoingMessage;
use hookflow::source::pace::Pace;
use hookflow::source::{EnvelopeDefaults, Record};

use super::job::{Job, distinct, numbers};
use super::wait::until;
use super::world::{World, begins_in_time};

#[test]
#[ignore = "needs Kafka"]
fn every_message_comes_once_in_the_order_of_its_partition_and_all_is_committed_in_the_end() {
    let Some(world) = World::new("everything") else {
        return;
    };
    let world = world.set_up(8);
    world.publish(0..5_000);
    let mut job = Job::start(&world.settings);
    let parcels = job.take(5_000);
    assert_eq!(distinct(&parcels), (0..5_000).collect::<Vec<_>>());
    let mut partitions: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for parcel in &parcels {
        let partition = partitions.entry(parcel.partition).or_default();
        partition.extend(numbers([parcel]));
    }
    assert!(
        partitions.len() > 4,
        "a hundred tenants fall into {partitions:?}"
    );
    assert!(partitions.values().all(|partition| partition.is_sorted()));
    let begun = begins_in_time(&job, 8);
    let partition: BTreeMap<u32, i32> = begun
        .iter()
        .map(|(partition, at, _)| (*partition, *at))
        .collect();
    for parcel in &parcels {
        for (place, record) in (parcel.start..).zip(&parcel.records) {
            let partition = u32::try_from(partition[&parcel.partition]).unwrap();
            let Record::Message(message) = record else {
                panic!("{record:?}")
            };
            assert_eq!(
                message.origin,
                Origin {
                    partition,
                    offset: place
                }
            );
        }
    }
    assert!(world.committed().values().all(|at| *at == 0));
    job.settle_all(&parcels);
    until("all is committed", || world.is_committed());
    until("it is counted", || {
        job.count(Counter::Acknowledged) == 5_000
    });
    assert_eq!(job.count(Counter::Redelivered), 0);
    assert!(job.end().is_none());
}

/// The message of each record as a delivery, with nothing of its place.
fn deliveries(job: &mut Job, count: usize) -> Vec<(Delivery, bool)> {
    let defaults = EnvelopeDefaults {
        user: User::new("nobody"),
        provider: None,
        known: ["ses", "resend"].map(Provider::new).into(),
    };
    let parcels = job.take(count);
    let records = parcels.iter().flat_map(|parcel| &parcel.records);
    let read = records.map(|record| {
        let Record::Message(message) = record else {
            panic!("{record:?}")
        };
        let mut parsed = parse(message, &defaults, 1 << 20).unwrap();
        parsed.delivery.origin = Origin::default();
        (parsed.delivery, parsed.differs)
    });
    read.collect()
}

#[test]
#[ignore = "needs Kafka"]
fn a_message_is_the_delivery_that_was_published() {
    let Some(world) = World::new("fields") else {
        return;
    };
    let world = world.set_up(1);
    let full = Delivery {
        provider: Provider::new("resend"),
        user: User::new("tenant|with a bar, ünd more"),
        method: "PUT".into(),
        url: "https://edge.example/hooks/ses?batch=7&x=%20y".into(),
        headers: Headers::from_pairs([("Svix-Id", "msg_1"), ("Content-Encoding", "gzip")]),
        body: Bytes::from_static(b"\x1f\x8b\x00not utf-8\xff\n"),
        received_at: Millis(1_772_460_000_123),
        ..Delivery::default()
    };
    let empty = Delivery {
        user: User::new("u"),
        body: Bytes::new(),
        ..full.clone()
    };
    let messages = [&full, &empty].map(|delivery| OutgoingMessage::delivery("", delivery.clone()));
    publish(&world.settings, messages.into_iter(), Pace::default()).unwrap();
    let mut job = Job::start(&world.settings);
    let read = deliveries(&mut job, 2);
    assert_eq!(read, [(full, false), (empty, false)]);
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs Kafka"]
fn what_no_header_says_comes_from_the_topic_and_the_broker() {
    let Some(mut world) = World::new("bare messages") else {
        return;
    };
    let named = format!("{}=ses", world.topic());
    world.settings.topics = vec![Topic::parse(&named).unwrap()];
    let world = world.set_up(1);
    world.send(0, ["{}"], Some(1_772_460_000_123));
    let mut job = Job::start(&world.settings);
    let (delivery, _) = deliveries(&mut job, 1).remove(0);
    let expected = Delivery {
        provider: Provider::new("ses"),
        user: User::new("nobody"),
        method: "POST".into(),
        body: "{}".into(),
        received_at: Millis(1_772_460_000_123),
        ..Delivery::default()
    };
    assert_eq!(delivery, expected);
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs Kafka"]
fn members_that_are_given_partitions_have_every_message_between_them_once() {
    let Some(world) = World::new("static assignment") else {
        return;
    };
    let world = world.set_up(5);
    (0..5u64).for_each(|at| {
        world.publish_to(i32::try_from(at).unwrap(), at * 100..at * 100 + 100, None);
    });
    let member = |partitions: &str| {
        let mut settings = world.settings.clone();
        settings.partitions = Some(PartitionSet::parse(partitions).unwrap());
        Job::start(&settings)
    };
    let (mut one, mut other) = (member("1/2"), member("1,3"));
    let (of_one, of_other) = (one.take(300), other.take(200));
    let read = |job: &Job, count| -> BTreeSet<i32> {
        let begun = begins_in_time(job, count);
        begun.iter().map(|(_, number, _)| *number).collect()
    };
    assert_eq!(read(&one, 3), [0, 2, 4].into());
    assert_eq!(read(&other, 2), [1, 3].into());
    assert_eq!(
        distinct(of_one.iter().chain(&of_other)),
        (0..500).collect::<Vec<_>>()
    );
    assert_eq!(world.group().0, 0, "nobody is a member of the group");
    other.settle_all(&of_other);
    let expected = [(0, 0), (1, 100), (2, 0), (3, 100), (4, 0)];
    until("the second member's are committed", || {
        world.committed() == expected.into()
    });
    one.settle_all(&of_one);
    until("all is committed", || world.is_committed());
    assert!(one.end().is_none() && other.end().is_none());

    // A restart goes on where the commits are.
    world.publish_to(4, 500..510, None);
    let mut job = member("4");
    let rest = job.take(10);
    assert_eq!(distinct(&rest), (500..510).collect::<Vec<_>>());
    assert!(job.end().is_none());
}
