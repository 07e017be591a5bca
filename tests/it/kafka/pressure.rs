//! A job that takes nothing for a long time.

use std::time::Duration;

use hookflow::metrics::{Counter, Gauge};
use hookflow::source::kafka::KafkaSource;

use super::job::{Job, distinct};
use super::wait::{throughout, until};
use super::world::{World, begins_in_time, begun};

const POLL_INTERVAL: Duration = Duration::from_secs(4);

#[test]
#[ignore = "needs Kafka"]
fn a_member_whose_job_takes_nothing_stays_in_its_group_and_loses_nothing() {
    let Some(mut world) = World::new("backpressure") else {
        return;
    };
    world.settings.session_timeout = Duration::from_secs(4);
    world.settings.poll_interval_max = POLL_INTERVAL;
    world.settings.revoke_deadline = Duration::from_secs(1);
    world.settings.queue_bytes = 1 << 20;
    let world = world.set_up(4);
    // More than waits in the source and in the driver.
    world.publish(0..60_000);
    let mut job = Job::with(Box::new(KafkaSource::new(world.settings.clone())), 1);
    begins_in_time(&job, 4);
    until("it is full", || {
        job.metrics.gauge(Gauge::SourceLag) > 10_000
    });
    throughout(3 * POLL_INTERVAL, "it left its group", || {
        begun(&job).is_empty() && world.group() == (1, "Stable".into())
    });
    assert_eq!(job.health.problems(), [""; 0]);
    let parcels = job.take(60_000);
    assert_eq!(distinct(&parcels), (0..60_000).collect::<Vec<_>>());
    job.settle_all(&parcels);
    until("all is committed", || world.is_committed());
    assert_eq!(begun(&job), [], "nothing was begun anew");
    assert_eq!(job.count(Counter::AckUnconfirmed), 0);
    assert!(job.end().is_none());
}
