//! Members that share a stream's partitions.

use std::time::Duration;

use hookflow::source::nats::assign::Partitions;
use hookflow::source::nats::settings::{Acknowledge, Settings};

use super::job::{Job, distinct};
use super::world::{World, until};

fn member(world: &World, partitions: &str) -> Settings {
    Settings {
        partitions: Partitions::parse(partitions).unwrap(),
        ..world.settings.clone()
    }
}

#[test]
#[ignore = "needs NATS"]
fn two_members_have_every_message_between_them_once() {
    let Some(world) = World::new("members") else {
        return;
    };
    let world = world.set_up();
    world.publish(0..4_000);
    let (first, second) = (member(&world, "1/2"), member(&world, "2/2"));
    let waits = |settings: &Settings| {
        let partitions = settings
            .partitions
            .iter()
            .map(|partition| world.consumer(partition).num_pending);
        usize::try_from(partitions.sum::<u64>()).unwrap()
    };
    let (of_first, of_second) = (waits(&first), waits(&second));
    assert!(
        of_first > 1_000 && of_second > 1_000,
        "{of_first} and {of_second}"
    );
    let (mut one, mut other) = (Job::start(&first), Job::start(&second));
    let (of_one, of_other) = (one.take(of_first), other.take(of_second));
    assert_eq!(
        distinct(of_one.iter().chain(&of_other)),
        (0..4_000).collect::<Vec<_>>()
    );
    assert!(of_one.iter().all(|parcel| parcel.partition < 16));
    assert!(of_other.iter().all(|parcel| parcel.partition >= 16));

    // One that stands still does not hold up the other.
    other.settle_all(&of_other);
    until("the second member's partitions are acknowledged", || {
        second
            .partitions
            .iter()
            .all(|partition| world.consumer(partition).num_ack_pending == 0)
    });
    one.settle_all(&of_one);
    until("all is acknowledged", || world.is_acknowledged());
    assert!(one.end().is_none() && other.end().is_none());
}

#[test]
#[ignore = "needs NATS"]
fn two_readers_of_one_lane_are_told_of_and_acknowledge_nothing_that_the_other_holds() {
    let Some(world) = World::new("overlapping partitions") else {
        return;
    };
    let world = world.set_up_with(Acknowledge::UpTo, Duration::from_secs(1));
    let partition = world.publish_to_one_lane(0..20);
    let mut one = Job::start(&world.settings);
    let held = one.take(20);
    let mut other = Job::start(&member(&world, "16-31,0-15"));
    until("the second one reads too", || {
        world.consumer(partition).num_waiting > 1
    });
    world.publish_to_one_lane(20..2_000);
    let more = other.take(1);
    other.settle_all(&more);
    other.says_in_time("give each partition to one member");
    assert_eq!(
        world.consumer(partition).ack_floor.stream_sequence,
        0,
        "what the first holds was acknowledged"
    );
    one.settle_all(&held);
    assert!(one.end().is_none() && other.end().is_none());
}
