//! Partitions over which processes died.

use std::time::Duration;

use super::job::Job;
use super::wait::until;
use super::world::World;
use crate::broker::suspicion::{Suspicion, Written, singly};

const MOMENT: Duration = Duration::from_millis(1_500);

#[test]
#[ignore = "needs Kafka"]
fn suspect_partitions_go_singly_and_in_turn() {
    let Some(world) = World::new("turns") else {
        return;
    };
    let world = world.set_up(2);
    world.publish_to(0, 0..9, None);
    world.publish_to(1, 0..9, None);
    let written = Written::default();
    let attempts = Suspicion::new(format!("{}/", world.topic()), singly(), &written);
    let mut job = Job::guarded(&world.settings, attempts);
    let first = job.take(1);
    // By then the messages of both have come.
    job.is_quiet(MOMENT);
    job.settle_all(&first);
    let mut partitions = vec![first[0].partition];
    for _ in 1..18 {
        let parcels = job.take(1);
        assert_eq!(parcels[0].records.len(), 1);
        partitions.push(parcels[0].partition);
        job.settle_all(&parcels);
    }
    let turns = partitions.windows(2).filter(|two| two[0] != two[1]).count();
    assert!(
        turns > 8,
        "one was given more than its turn: {partitions:?}"
    );
    until("all is committed", || world.is_committed());
    assert!(job.end().is_none());
}
