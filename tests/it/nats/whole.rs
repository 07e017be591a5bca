//! The stream as a whole, read by one member; and the way from partitions to it and back.

use std::ops::Range;
use std::time::Duration;

use hookflow::source::nats::assign::Partitions;
use hookflow::source::nats::settings::Settings;
use hookflow::source::nats::{check, setup};

use super::job::{Job, distinct};
use super::world::{World, throughout, until};

fn read(world: &World, partitions: Partitions) -> Settings {
    Settings {
        partitions,
        ..world.settings.clone()
    }
}

/// Nothing waits for these consumers, nothing is open.
fn is_acknowledged(world: &World, settings: &Settings) -> bool {
    let mut consumers = settings
        .partitions
        .iter()
        .map(|partition| world.consumer(partition));
    consumers.all(|info| info.num_pending == 0 && info.num_ack_pending == 0)
}

#[test]
#[ignore = "needs NATS"]
fn one_member_reads_the_whole_stream_once_and_acknowledges_below_the_floor() {
    let Some(world) = World::new("whole") else {
        return;
    };
    let settings = read(&world, Partitions::whole());
    setup(&settings).unwrap();
    check(&settings).unwrap();
    world.publish(0..4_000);
    let mut job = Job::start(&settings);
    let parcels = job.take(4_000);
    assert_eq!(distinct(&parcels), (0..4_000).collect::<Vec<_>>());
    let partition = settings.partitions.iter().next().unwrap();
    let floor = || world.consumer(partition).ack_floor.stream_sequence;
    assert_eq!(floor(), 0);
    job.settle(partition, 100);
    until("a hundred are acknowledged", || floor() > 0);
    throughout(Duration::from_millis(300), "no more is", || floor() == 100);
    job.settle_all(&parcels);
    until("all is acknowledged", || is_acknowledged(&world, &settings));
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs NATS"]
fn consumers_of_the_other_way_begin_where_the_first_have_come_to() {
    let Some(world) = World::new("whole and back") else {
        return;
    };
    let reads = |partitions: Partitions, expected: Range<u64>, upto: Option<u64>| {
        let settings = read(&world, partitions);
        setup(&settings).unwrap();
        world.publish(expected.end - 1_000..expected.end);
        let mut job = Job::start(&settings);
        let parcels = job.take(usize::try_from(expected.end - expected.start).unwrap());
        assert_eq!(distinct(&parcels), expected.collect::<Vec<_>>());
        match upto {
            Some(upto) => job.settle(parcels[0].partition, upto),
            None => job.settle_all(&parcels),
        }
        assert!(job.end().is_none());
        settings
    };
    let partitions = reads(Partitions::all(), 0..1_000, None);
    reads(Partitions::whole(), 1_000..2_000, Some(600));
    partitions
        .partitions
        .iter()
        .for_each(|partition| world.delete_consumer(partition));
    reads(Partitions::all(), 1_600..3_000, None);
}
