//! Members that come, go and stand still: no message is lost, and none is in two hands while its partition is let go in time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hookflow::error::Exit;
use hookflow::source::kafka::KafkaConfig;

use super::job::{Job, distinct, numbers};
use super::wait::{throughout, until};
use super::world::{World, begins_in_time, begun};

const MOMENT: Duration = Duration::from_millis(1_500);

#[test]
#[ignore = "needs Kafka"]
fn a_member_that_joins_goes_on_where_the_other_has_committed() {
    let Some(world) = World::new("joining") else {
        return;
    };
    let world = world.set_up(8);
    world.publish(0..4_000);
    let mut one = Job::start(&world.settings);
    let mut all = one.take(4_000);
    assert_eq!(begins_in_time(&one, 8).len(), 8);
    let mut other = Job::start(&world.settings);
    until("both are members", || world.group().0 == 2);
    // What is open is held: nobody else gets it.
    other.is_quiet(MOMENT);
    assert_eq!(begun(&other), []);
    assert!(world.committed().values().all(|at| *at == 0));
    one.settle_all(&all);
    let given = begins_in_time(&other, 4);
    let ends = world.ends();
    for (_, number, offset) in given {
        assert_eq!(offset, ends[&number], "it goes on behind what is committed");
    }
    until("all is committed", || world.is_committed());

    world.publish(4_000..6_000);
    let (mut of_one, mut of_other) = (0, 0);
    until("everything came", || {
        for (job, count) in [(&mut one, &mut of_one), (&mut other, &mut of_other)] {
            while let Some(parcel) = job.next(Duration::ZERO) {
                *count += parcel.records.len();
                job.settle_all(std::slice::from_ref(&parcel));
                all.push(parcel);
            }
        }
        of_one + of_other >= 2_000
    });
    assert_eq!(distinct(&all), (0..6_000).collect::<Vec<_>>());
    assert!(of_one > 200 && of_other > 200, "{of_one} and {of_other}");
    until("all is committed", || world.is_committed());

    // One that leaves gives its partitions back at once, and with them what it had not settled.
    let last = begun(&one);
    assert_eq!(last, [], "what one kept it never began anew");
    world.publish(6_000..7_000);
    let mut held = BTreeSet::new();
    until("the other holds some", || {
        held.extend(
            other
                .next(Duration::ZERO)
                .iter()
                .flat_map(|parcel| numbers([parcel])),
        );
        held.len() > 100
    });
    assert!(other.end().is_none());
    let mut seen = BTreeSet::new();
    until("the one that is left has all", || {
        while let Some(parcel) = one.next(Duration::ZERO) {
            for number in numbers([&parcel]) {
                assert!(seen.insert(number), "{number} came twice");
            }
            one.settle_all(&[parcel]);
        }
        seen.len() == 1_000
    });
    assert!(held.is_subset(&seen));
    until("all is committed", || world.is_committed());
    assert!(one.end().is_none());
}

#[test]
#[ignore = "needs Kafka"]
fn what_is_open_past_the_deadline_comes_again_and_what_its_old_holder_settles_later_commits_nothing()
 {
    let Some(mut world) = World::new("revoke deadline") else {
        return;
    };
    world.settings.revoke_deadline = Duration::from_secs(1);
    let world = world.set_up(2);
    world.publish_to(0, 0..100, None);
    world.publish_to(1, 100..200, None);
    let mut one = Job::start(&world.settings);
    let parcels = one.take(200);
    let partitions = begins_in_time(&one, 2);
    let mut other = Job::start(&world.settings);
    let begun = begins_in_time(&other, 1);
    let (_, moved, offset) = begun[0];
    assert_eq!(offset, 0);
    let again = other.take(100);
    // The old holder's copy settles, after the partition has gone.
    let (old, ..) = *partitions.iter().find(|(_, at, _)| *at == moved).unwrap();
    let (kept, stays, _) = *partitions.iter().find(|(_, at, _)| *at != moved).unwrap();
    let of_old: Vec<_> = parcels
        .iter()
        .filter(|parcel| parcel.partition == old)
        .collect();
    assert_eq!(distinct(of_old.iter().copied()), distinct(&again));
    one.settle(old, 100);
    one.settle(kept, 100);
    until("what it kept is committed", || {
        world.committed()[&stays] == 100
    });
    throughout(MOMENT, "an old holder's commit counts", || {
        world.committed()[&moved] == 0
    });
    other.settle_all(&again);
    until("all is committed", || world.is_committed());
    assert!(one.end().is_none() && other.end().is_none());
}

/// It holds messages of partitions that the group wants back, and has to end.
#[test]
#[ignore = "needs Kafka"]
fn a_member_that_ends_in_the_middle_of_a_rebalance_ends() {
    let Some(world) = World::new("end in a rebalance") else {
        return;
    };
    let world = world.set_up(4);
    (0..4).for_each(|at| world.publish_to(at, 0..10, None));
    let mut one = Job::start(&world.settings);
    one.take(40);
    let mut other = Job::start(&world.settings);
    until("both are members", || world.group().0 == 2);
    // The driver has told it by its next heartbeat.
    throughout(Duration::from_secs(1), "a partition was let go", || {
        begun(&other).is_empty()
    });
    let asked = Instant::now();
    assert!(one.end().is_none());
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    let all = other.take(40);
    assert_eq!(numbers(&all).len(), 40);
    other.settle_all(&all);
    until("all is committed", || world.is_committed());
    assert!(other.end().is_none());
}

/// The same for a member that has a name of its own.
pub fn named(settings: &KafkaConfig, name: &str) -> KafkaConfig {
    KafkaConfig {
        member: Some(name.into()),
        session_timeout: Duration::from_secs(10),
        ..settings.clone()
    }
}

#[test]
#[ignore = "needs Kafka"]
fn a_named_member_that_is_started_again_keeps_its_partitions_and_nobody_else_notices() {
    let Some(world) = World::new("static membership") else {
        return;
    };
    let world = world.set_up(8);
    let (first, second) = (named(&world.settings, "a"), named(&world.settings, "b"));
    let one = Job::start(&first);
    begins_in_time(&one, 8);
    let other = Job::start(&second);
    begins_in_time(&other, 4);
    until("the group stands", || world.group() == (2, "Stable".into()));
    assert!(one.end().is_none());
    let again = Job::start(&first);
    let kept: BTreeSet<i32> = begins_in_time(&again, 4).iter().map(|one| one.1).collect();
    throughout(MOMENT, "the other member was given partitions", || {
        begun(&other).is_empty() && world.group().0 == 2
    });
    assert!(other.end().is_none());

    let other = Job::start(&second);
    let others: BTreeSet<i32> = begins_in_time(&other, 4).iter().map(|one| one.1).collect();
    assert!(kept.is_disjoint(&others));
    assert!(other.end().is_none() && again.end().is_none());
}

#[test]
#[ignore = "needs Kafka"]
fn two_members_of_one_name_are_told_of() {
    let Some(world) = World::new("one name") else {
        return;
    };
    let world = world.set_up(2);
    let settings = named(&world.settings, "a");
    let one = Job::start(&settings);
    begins_in_time(&one, 2);
    let other = Job::start(&settings);
    let failure = one.fails_in_time();
    assert_eq!(failure.exit, Exit::Config);
    assert!(failure.message.contains("source.member"), "{failure}");
    begins_in_time(&other, 2);
    assert!(other.end().is_none());
}
