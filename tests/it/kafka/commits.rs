//! What is committed, and what a restart receives.

use std::time::{Duration, Instant};

use hookflow::error::Exit;
use hookflow::metrics::Counter;
use hookflow::source::commit_tracker::SettledPrefix;
use hookflow::source::kafka::config::Topic;
use rand::SeedableRng;
use rand::seq::SliceRandom;

use super::job::{Job, distinct};
use super::wait::until;
use super::world::{World, begins_in_time};

/// Settles the parcels of one partition in random order, and compares what is committed with the settled prefix.
#[test]
#[ignore = "needs Kafka"]
fn nothing_above_the_settled_prefix_is_committed() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let Some(world) = World::new("commits") else {
        return;
    };
    let world = world.set_up(1);
    let mut job = Job::start(&world.settings);
    let mut parcels = Vec::new();
    for from in (0..400).step_by(20) {
        world.publish_to(0, from..from + 20, None);
        parcels.extend(job.take(20));
    }
    assert!(parcels.len() >= 20);
    parcels.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
    let partition = parcels[0].partition;
    let mut settled = SettledPrefix::default();
    for parcel in &parcels {
        if settled.settle(parcel.start, parcel.end) {
            job.settle(partition, settled.offset());
        }
        until("the settled prefix is committed", || {
            let there = world.committed().get(&0).copied().unwrap_or(0);
            let floor = settled.offset();
            assert!(
                there <= floor,
                "{there} is committed, and only {floor} are settled"
            );
            there == floor
        });
    }
    assert_eq!(world.committed()[&0], 400);
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs Kafka"]
fn a_restart_goes_on_with_exactly_what_was_not_settled() {
    let Some(world) = World::new("restart") else {
        return;
    };
    let world = world.set_up(8);
    world.publish(0..3_000);
    let mut job = Job::start(&world.settings);
    let (settled, open): (Vec<_>, Vec<_>) = job
        .take(3_000)
        .into_iter()
        .partition(|parcel| parcel.partition % 2 == 0);
    assert!(!settled.is_empty() && !open.is_empty());
    job.settle_all(&settled);
    // What is settled last is committed before it ends.
    assert!(job.end().is_none());

    let mut job = Job::start(&world.settings);
    let open = distinct(&open);
    let mut parcels = job.take(open.len());
    assert_eq!(distinct(&parcels), open);
    world.publish(3_000..4_000);
    parcels.extend(job.take(1_000));
    let again: Vec<u64> = open.into_iter().chain(3_000..4_000).collect();
    assert_eq!(distinct(&parcels), again);
    job.settle_all(&parcels);
    until("all is committed", || world.is_committed());
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs Kafka"]
fn a_partition_whose_commits_are_refused_holds_up_no_other() {
    let Some(mut world) = World::new("partial refusal") else {
        return;
    };
    let Some(doomed) = World::new("partial refusal") else {
        return;
    };
    let doomed = doomed.set_up(1);
    world = world.set_up(1);
    let second = Topic::parse(doomed.topic()).unwrap();
    let mut both = world.settings.clone();
    both.topics.push(second);
    world.publish_to(0, 0..10, None);
    doomed.publish_to(0, 10..20, None);
    let mut job = Job::start(&both);
    let parcels = job.take(20);
    begins_in_time(&job, 2);
    until("both beginnings are committed", || {
        world.committed().len() == 1
    });
    doomed.delete_topic();
    job.says_in_time("is gone");
    let settled = Instant::now();
    job.settle_all(&parcels);
    until("the other topic is committed", || world.is_committed());
    until("what stands is counted, and nothing else", || {
        job.count(Counter::Acknowledged) == 10
    });
    // And not only when the driver has forgotten the topic, half a minute later.
    let took = settled.elapsed();
    println!("{took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(job.count(Counter::AckUnconfirmed) > 0);
    job.says_in_time("no commit stand");
    let end = job.end().map(|fatal| fatal.exit);
    assert_eq!(end, Some(Exit::Unfinished), "not all is committed");
}
