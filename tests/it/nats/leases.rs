//! What is held for longer than the server's patience.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use futures_util::StreamExt;
use hookflow::metrics::Counter;
use hookflow::source::nats::settings::Acknowledge;

use super::job::Job;
use super::world::{World, throughout, until};

const ACK_WAIT: Duration = Duration::from_secs(1);

#[test]
#[ignore = "needs NATS"]
fn what_is_held_is_not_delivered_again() {
    for acknowledge in [Acknowledge::UpTo, Acknowledge::Each] {
        let Some(world) = World::new("leases") else {
            return;
        };
        // So long that a moment in which nothing runs here is no matter.
        let world = world.set_up_with(acknowledge, 2 * ACK_WAIT);
        world.publish(0..1_000);
        let mut job = Job::start(&world.settings);
        let parcels = job.take(1_000);
        throughout(
            6 * ACK_WAIT,
            "a message that is held was delivered again",
            || {
                job.count(Counter::Redelivered) == 0
                    && world
                        .consumers()
                        .iter()
                        .all(|partition| partition.num_redelivered == 0)
            },
        );
        job.settle_all(&parcels);
        until("all is acknowledged", || world.is_acknowledged());
        assert!(job.end().is_none());
    }
}

/// The other side of the test above: the same server and consumer, and a reader that does not say that it works on anything.
#[test]
#[ignore = "needs NATS"]
fn without_signs_of_work_it_is_delivered_again() {
    let Some(world) = World::new("no leases") else {
        return;
    };
    let world = world.set_up_with(Acknowledge::Each, ACK_WAIT);
    let partition = world.publish_to_one_lane(0..10);
    let redelivered = world.wait(async {
        let stream = world.stream().await;
        let name = world.settings.consumer_of(partition);
        let consumer: PullConsumer = stream.get_consumer(&name).await.unwrap();
        let ask = || consumer.fetch().max_messages(10).messages();
        assert_eq!(ask().await.unwrap().count().await, 10);
        tokio::time::timeout(10 * ACK_WAIT, async {
            loop {
                let again = ask().await.unwrap().count().await;
                if again > 0 {
                    return again;
                }
            }
        })
        .await
        .unwrap()
    });
    assert_eq!(redelivered, 10);
}

#[test]
#[ignore = "needs NATS"]
fn what_a_dead_reader_held_is_delivered_again_and_acknowledged_by_the_next() {
    let Some(world) = World::new("dead reader") else {
        return;
    };
    // So long that the others are delivered before.
    let world = world.set_up_with(Acknowledge::UpTo, 5 * ACK_WAIT);
    let partition = world.publish_to_one_lane(0..10);
    world.died_over(partition, 5);
    let mut job = Job::start(&world.settings);
    let later = job.take(5);
    job.settle_all(&later);
    // Acknowledging up to the tenth would acknowledge the five that a reader holds of which nothing is known.
    throughout(ACK_WAIT / 2, "what nobody settled was acknowledged", || {
        world.consumer(partition).ack_floor.stream_sequence == 0
    });
    let first = job.take(5);
    job.settle_all(&first);
    until("all is acknowledged", || world.is_acknowledged());
    assert!(job.end().is_none());
}
