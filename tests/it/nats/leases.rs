//! Messages that are held for longer than `ack_wait`, and outages of the state store.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use futures_util::StreamExt;
use hookflow::metrics::Counter;

use super::job::{Job, distinct};
use super::servers::on_both_servers;
use super::world::{World, throughout, until};

const ACK_WAIT: Duration = Duration::from_secs(2);

#[test]
#[ignore = "needs NATS"]
fn a_held_message_is_not_redelivered_while_its_lease_is_extended() {
    on_both_servers("leases", |world| {
        let world = world.set_up_with(|config| config.ack_wait = ACK_WAIT);
        world.publish(0..1_000);
        let mut job = Job::start(&world.config);
        let records = job.take(1_000);
        throughout(3 * ACK_WAIT, "a held message was redelivered", || {
            job.count(Counter::Redelivered) == 0 && world.consumer().num_redelivered == 0
        });
        job.settle_all(&records);
        until("all is acknowledged", || world.is_acknowledged());
        assert!(job.end().is_none());
    });
}

/// The other side of the test above: the same server and consumer, and a reader that extends nothing.
#[test]
#[ignore = "needs NATS"]
fn a_message_without_extension_is_redelivered() {
    let Some(world) = World::new("no leases") else {
        return;
    };
    let world = world.set_up_with(|config| config.ack_wait = ACK_WAIT / 2);
    world.publish(0..10);
    let redelivered = world.wait(async {
        let stream = world.stream().await;
        let consumer: PullConsumer = stream.get_consumer(&world.config.consumer).await.unwrap();
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
fn a_lease_ends_at_its_maximum_age_and_a_late_acknowledgement_counts() {
    let Some(world) = World::new("lease_max") else {
        return;
    };
    let world = world.set_up_with(|config| {
        config.ack_wait = ACK_WAIT;
        config.lease_max = ACK_WAIT;
    });
    world.publish(0..10);
    let mut job = Job::start(&world.config);
    let records = job.take(10);
    until("they are redelivered to their holder", || {
        job.count(Counter::Redelivered) >= 10
    });
    job.is_quiet(Duration::from_millis(300));
    job.settle_all(&records);
    until("all is acknowledged", || world.is_acknowledged());
    assert!(job.end().is_none());
}

/// A scaled-down outage of the state store: longer than ack_wait, with messages held and messages waiting.
#[test]
#[ignore = "needs NATS"]
fn after_an_outage_every_held_message_is_redelivered_at_most_once() {
    on_both_servers("outage", |world| {
        // So long that a moment in which nothing runs here is no matter.
        let ack_wait = 2 * ACK_WAIT;
        let world = world.set_up_with(|config| config.ack_wait = ack_wait);
        world.publish(0..2_000);
        let mut job = Job::start(&world.config);
        let held = job.take(2_000);
        job.state_is_out(true);
        until("requests have run out", || {
            world.consumer().num_waiting == 0
        });
        world.publish(2_000..3_000);
        assert_eq!(job.count(Counter::Redelivered), 0);
        throughout(3 * ack_wait, "something was pulled in the outage", || {
            job.next(Duration::ZERO).is_none() && world.consumer().num_pending == 1_000
        });
        // Their leases have ended long ago. Half of them becomes durable at once, half when new messages have come.
        job.state_is_out(false);
        let half = held.len() / 2;
        job.settle_all(&held[..half]);
        let new = job.take(1_000);
        let numbers = distinct(&new);
        assert_eq!(
            numbers.first(),
            Some(&2_000),
            "a held message was handed out again"
        );
        assert_eq!(numbers.len(), 1_000);
        job.settle_all(&held[half..]);
        job.settle_all(&new);
        until("all is acknowledged", || world.is_acknowledged());
        job.is_quiet(Duration::from_millis(300));
        let redelivered = job.count(Counter::Redelivered);
        println!("{redelivered} redeliveries of 2000 held messages");
        assert!(redelivered <= 2_000, "{redelivered} redeliveries of 2000");
        assert!(job.end().is_none());
    });
}
