//! Where reading begins, and what is refused at the start.

use std::time::Duration;

use hookflow::error::Exit;
use hookflow::event::Millis;
use hookflow::metrics::Counter;
use hookflow::source::kafka::config::{OnLost, StartOffset};
use hookflow::source::kafka::{KafkaSource, check, setup};
use hookflow::source::members::PartitionSet;

use super::job::{Job, distinct};
use super::wait::until;
use super::world::{World, begins_in_time};

#[test]
#[ignore = "needs Kafka"]
fn the_latest_is_what_comes_after_the_first_start_in_all_partitions() {
    let Some(mut world) = World::new("latest") else {
        return;
    };
    world.settings.start = StartOffset::Latest;
    let mut world = world.set_up(4);
    world.publish(0..500);
    let job = Job::start(&world.settings);
    begins_in_time(&job, 4);
    until("the beginning is committed", || world.is_committed());
    // It is chosen once in a group's life: what comes while nobody reads is read later.
    assert!(job.end().is_none());
    world.publish(500..1_000);
    // And a partition that is added is read from its beginning.
    world.grow(5);
    world.publish_to(4, 1_000..1_100, None);
    let mut job = Job::start(&world.settings);
    let parcels = job.take(600);
    assert_eq!(distinct(&parcels), (500..1_100).collect::<Vec<_>>());
    job.settle_all(&parcels);
    until("all is committed", || world.is_committed());
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs Kafka"]
fn a_time_is_where_its_first_message_stands() {
    let Some(mut world) = World::new("timestamp") else {
        return;
    };
    let now = Millis::now().0;
    world.settings.start = StartOffset::Time(Millis(now - 1_000));
    let world = world.set_up(3);
    world.publish_to(0, 0..10, Some(now - 60_000));
    world.publish_to(0, 10..20, Some(now - 1_000));
    world.publish_to(1, 20..30, Some(now));
    // All of it is older.
    world.publish_to(2, 30..40, Some(now - 50_000));
    let mut job = Job::start(&world.settings);
    let parcels = job.take(20);
    assert_eq!(distinct(&parcels), (10..30).collect::<Vec<_>>());
    let offsets = begins_in_time(&job, 3);
    let offset = |at: i32| offsets.iter().find(|one| one.1 == at).unwrap().2;
    assert_eq!([offset(0), offset(1), offset(2)], [10, 0, 10]);
    world.publish_to(2, 40..50, Some(now - 50_000));
    assert_eq!(distinct(&job.take(10)), (40..50).collect::<Vec<_>>());
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs Kafka"]
fn a_commit_whose_messages_are_gone_is_no_silent_beginning() {
    let Some(world) = World::new("out of range") else {
        return;
    };
    let world = world.set_up(2);
    world.publish_to(0, 0..100, None);
    let mut job = Job::start(&world.settings);
    let parcels = job.take(100);
    job.settle(parcels[0].partition, 10);
    until("ten are committed", || {
        world.committed().get(&0) == Some(&10)
    });
    assert!(job.end().is_none());
    world.drop_before(0, 40);

    let job = Job::start(&world.settings);
    until("it is counted", || job.count(Counter::SourceLost) == 30);
    let failure = job.fails_in_time();
    assert_eq!(failure.exit, Exit::Config);
    for words in ["30 messages", "kafka.on_lost", "dropped"] {
        assert!(failure.message.contains(words), "{failure}");
    }
    assert_eq!(world.committed()[&0], 10, "nothing was reset");

    let mut settings = world.settings.clone();
    settings.on_lost = OnLost::Earliest;
    let mut job = Job::start(&settings);
    let parcels = job.take(60);
    assert_eq!(distinct(&parcels), (40..100).collect::<Vec<_>>());
    assert_eq!(job.count(Counter::SourceLost), 30);
    until("the new beginning is committed", || {
        world.committed()[&0] == 40
    });
    assert!(job.end().is_none());
}

#[test]
#[ignore = "needs Kafka"]
fn a_commit_behind_the_end_is_no_silent_beginning() {
    let Some(world) = World::new("made anew") else {
        return;
    };
    let world = world.set_up(1);
    world.publish_to(0, 0..10, None);
    world.commit(0, 500);
    let failure = Job::start(&world.settings).fails_in_time();
    assert_eq!(failure.exit, Exit::Config);
    assert!(failure.message.contains("made anew"), "{failure}");
}

/// Messages are dropped under a running job, which had not fetched them.
#[test]
#[ignore = "needs Kafka"]
fn messages_that_are_dropped_before_they_were_fetched_are_no_silent_gap() {
    for on_lost in [OnLost::Stop, OnLost::Earliest] {
        let Some(mut world) = World::new("dropped meanwhile") else {
            return;
        };
        world.settings.on_lost = on_lost;
        world.settings.queue_bytes = 1 << 10;
        let world = world.set_up(1);
        // Far more than waits in the source and in the driver.
        world.send(0, (0..60_000).map(|number| format!("{number:0500}")), None);
        let source = KafkaSource::new(world.settings.clone());
        let mut job = Job::with(Box::new(source), 1);
        let first = job.take(1);
        world.drop_before(0, 59_000);
        if on_lost == OnLost::Stop {
            until("it has failed", || {
                job.next(Duration::ZERO);
                job.count(Counter::SourceLost) > 0
            });
            let failure = job.fails_in_time();
            assert_eq!(failure.exit, Exit::Config);
            assert!(failure.message.contains("kafka.on_lost"), "{failure}");
            continue;
        }
        let mut all = first;
        until("it has gone on to the end", || {
            all.extend(std::iter::from_fn(|| job.next(Duration::ZERO)));
            assert!(job.health.take_failure().is_none());
            all.last().is_some_and(|parcel| parcel.end == 60_000)
        });
        let lost = job.count(Counter::SourceLost);
        assert!(lost > 1_000, "{lost} lost");
        assert_eq!(distinct(&all).len() as u64, 60_000 - lost);
        job.settle_all(&all);
        until("all is committed", || world.is_committed());
        assert!(job.end().is_none());
    }
}

#[test]
#[ignore = "needs Kafka"]
fn what_does_not_fit_is_refused_with_what_to_do() {
    let Some(mut world) = World::new("refusals") else {
        return;
    };
    let refused = |failure: hookflow::error::Fatal, words: &str| {
        assert_eq!(failure.exit, Exit::Config, "{failure}");
        assert!(failure.message.contains(words), "{failure}");
    };
    refused(check(&world.settings).unwrap_err(), "hookflow setup");
    refused(
        Job::start(&world.settings).fails_in_time(),
        "hookflow setup",
    );
    world = world.set_up(4);
    check(&world.settings).unwrap();
    let mut settings = world.settings.clone();
    settings.partitions = PartitionSet::parse("2-4");
    refused(check(&settings).unwrap_err(), "it has 4");
    refused(Job::start(&settings).fails_in_time(), "it has 4");
    settings.storage.partitions = 6;
    let said = setup(&settings).unwrap().join("\n");
    assert!(
        said.contains("4 partitions") && said.contains("kafka.topic_partitions says 6"),
        "{said}"
    );
    assert_eq!(world.ends().len(), 4, "what is there is left as it is");
    settings.topics.push(
        hookflow::source::kafka::config::Topic::parse(&format!("{}-two", world.topic())).unwrap(),
    );
    settings.storage.replicas = 3;
    refused(setup(&settings).unwrap_err(), "kafka.replicas");
}

#[test]
#[ignore = "needs Kafka"]
fn setup_twice_or_by_several_at_once_changes_nothing() {
    let Some(world) = World::new("setup twice") else {
        return;
    };
    let several: Vec<_> = (0..3)
        .map(|_| {
            let settings = world.settings.clone();
            std::thread::spawn(move || setup(&settings))
        })
        .collect();
    for one in several {
        let said = one.join().unwrap().unwrap();
        assert!(said[0].contains("8 partitions ready"), "{said:?}");
    }
    assert_eq!(setup(&world.settings).unwrap().len(), 1);
    assert_eq!(world.ends().len(), 8);
}
