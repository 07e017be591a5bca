//! Streams, consumers and servers that are not what a reader needs: refused with a sentence, and left as they are.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull, push};
use async_nats::jetstream::stream::{self, StorageType};
use hookflow::error::Exit;
use hookflow::source::nats::config::NatsConfig;
use hookflow::source::nats::partitions::Partitions;
use hookflow::source::nats::{check, setup};

use super::job::Job;
use super::proxy::with_version;
use super::server::Server;
use super::world::{World, config, plain};

/// The job does not begin, and nothing is changed, for this reason.
fn is_refused(world: &World, words: &str) {
    let before = world.consumers_as_text();
    for failure in [
        check(&world.config).unwrap_err(),
        Job::start(&world.config).fails_in_time(),
    ] {
        assert_eq!(failure.exit, Exit::Config, "{failure}");
        assert!(failure.message.contains(words), "{failure}");
    }
    assert_eq!(world.consumers_as_text(), before);
}

impl World {
    fn stream_config(&self) -> stream::Config {
        self.wait(async {
            let stream = self.context.get_stream(&self.config.stream).await.unwrap();
            stream.cached_info().config.clone()
        })
    }

    /// Makes the stream anew with something changed.
    fn with_stream(&self, change: impl FnOnce(&mut stream::Config)) {
        let mut config = self.stream_config();
        change(&mut config);
        self.delete_stream();
        self.wait(self.context.create_stream(config)).unwrap();
    }

    /// Makes the consumer anew with something changed.
    fn with_consumer(&self, change: impl FnOnce(&mut pull::Config)) {
        let mut config = self.consumer_config();
        change(&mut config);
        self.delete_consumer(&self.config.consumer);
        let created = self
            .context
            .create_consumer_on_stream(config, &self.config.stream);
        self.wait(created).unwrap();
    }

    fn consumer_config(&self) -> pull::Config {
        use async_nats::jetstream::consumer::FromConsumer;
        pull::Config::try_from_consumer_config(self.consumer().config).unwrap()
    }

    fn consumers_as_text(&self) -> String {
        self.wait(async {
            use futures_util::TryStreamExt;
            let Ok(stream) = self.context.get_stream(&self.config.stream).await else {
                return "no stream".into();
            };
            let all = stream.consumers().map_ok(|info| (info.name, info.config));
            let mut all: Vec<_> = all.try_collect().await.unwrap();
            all.sort_by(|one, other| one.0.cmp(&other.0));
            format!("{:?} {all:?}", stream.cached_info().config)
        })
    }
}

/// What makes a good configuration a bad one.
type Change<'a, C> = Box<dyn FnOnce(&mut C) + 'a>;

#[test]
#[ignore = "needs NATS"]
fn what_is_missing_is_named() {
    let Some(world) = World::new("missing") else {
        return;
    };
    is_refused(
        &world,
        &format!(
            "the stream {} does not exist: create it with `hookflow setup`",
            world.config.stream
        ),
    );
    let world = world.set_up();
    check(&world.config).unwrap();
    world.delete_consumer(&world.config.consumer);
    is_refused(
        &world,
        &format!("the consumer {} does not exist", world.config.consumer),
    );
}

#[test]
#[ignore = "needs NATS"]
fn setup_twice_or_by_several_at_once_changes_nothing() {
    let Some(world) = World::new("setup twice") else {
        return;
    };
    let several: Vec<_> = (0..3)
        .map(|_| {
            let settings = world.config.clone();
            std::thread::spawn(move || setup(&settings))
        })
        .collect();
    for one in several {
        one.join().unwrap().unwrap();
    }
    let before = world.consumers_as_text();
    let said = setup(&world.config).unwrap();
    assert!(
        said.iter().all(|line| !line.contains("created")),
        "{said:?}"
    );
    assert_eq!(world.consumers_as_text(), before);
}

#[test]
#[ignore = "needs NATS"]
fn a_stream_of_another_shape_is_refused() {
    let Some(world) = World::new("stream's shape") else {
        return;
    };
    let world = world.set_up();
    let good = world.stream_config();
    let changes: [(Change<'_, stream::Config>, &str); 4] = [
        (
            Box::new(|config| {
                config.subject_transform = Some(stream::SubjectTransform {
                    source: format!("{}.*.*", config.name),
                    destination: format!("{}.{{{{wildcard(2)}}}}.{{{{wildcard(1)}}}}", config.name),
                })
            }),
            "maps its subjects to others",
        ),
        (
            Box::new(|config| config.subjects.push(format!("{}_more.*.*", config.name))),
            "does not take",
        ),
        (
            Box::new(|config| config.storage = StorageType::Memory),
            "is kept in memory",
        ),
        (
            Box::new(|config| config.no_ack = true),
            "does not confirm publications",
        ),
    ];
    for (change, words) in changes {
        world.with_stream(|config| {
            *config = good.clone();
            change(config);
        });
        let failure = setup(&world.config).unwrap_err();
        assert!(
            failure.exit == Exit::Config && failure.message.contains(words),
            "{failure}"
        );
        is_refused(&world, words);
    }
}

/// The number is part of stored subjects: neither setup nor a reader goes on with another one, or with 32 lanes of old.
#[test]
#[ignore = "needs NATS"]
fn another_number_of_partitions_is_refused_with_the_way_out() {
    let Some(world) = World::new("number of partitions") else {
        return;
    };
    let with = |count: Option<u32>| NatsConfig {
        partitions: count.map(Partitions::all),
        ..world.config.clone()
    };
    setup(&with(Some(32))).unwrap();
    let before = world.consumers_as_text();
    for (other, words) in [(None, "no partitions"), (Some(16), "16 partitions")] {
        for failure in [
            setup(&with(other)).unwrap_err(),
            check(&with(other)).unwrap_err(),
        ] {
            assert_eq!(failure.exit, Exit::Config, "{failure}");
            let message = &failure.message;
            assert!(message.contains("was made with 32 partitions"), "{message}");
            assert!(message.contains(&format!("asks for {words}")), "{message}");
            assert!(message.contains("Make a new stream"), "{message}");
        }
    }
    assert_eq!(world.consumers_as_text(), before);
}

/// The consumers of an earlier version acknowledged ranges.
#[test]
#[ignore = "needs NATS"]
fn consumers_that_acknowledge_ranges_are_refused() {
    let Some(world) = World::new("old lanes") else {
        return;
    };
    let world = world.set_up_with(|config| config.partitions = Some(Partitions::all(2)));
    let name = &world.config.consumers()[1].name;
    world.delete_consumer(name);
    let old = pull::Config {
        durable_name: Some(name.clone()),
        filter_subject: world.config.consumers()[1].filter.clone(),
        ack_policy: AckPolicy::All,
        ..pull::Config::default()
    };
    let created = world
        .context
        .create_consumer_on_stream(old, &world.config.stream);
    world.wait(created).unwrap();
    is_refused(&world, "does not have every message acknowledged by itself");
    setup(&world.config).unwrap_err();
}

#[test]
#[ignore = "needs NATS"]
fn too_few_open_messages_for_two_members_are_refused() {
    let Some(mut world) = World::new("open_max") else {
        return;
    };
    world.config.open_max = 2 * world.config.in_flight_events_max - 1;
    let failure = setup(&world.config).unwrap_err();
    let words = "at least twice job.in_flight_events_max";
    assert!(failure.message.contains(words), "{failure}");
    assert_eq!(world.consumers_as_text(), "no stream");
    world.config.open_max += 1;
    let mut world = world.set_up();
    check(&world.config).unwrap();
    world.config.open_max -= 1;
    is_refused(&world, words);
}

#[test]
#[ignore = "needs NATS"]
fn a_consumer_of_another_shape_is_refused() {
    let Some(world) = World::new("consumer's shape") else {
        return;
    };
    let world = world.set_up();
    let good = world.consumer_config();
    let changes: [(Change<'_, pull::Config>, &str); 6] = [
        (
            Box::new(|config| config.filter_subject = format!("{}.ses.*", world.config.subject)),
            "does not read the whole stream",
        ),
        (
            Box::new(|config| config.ack_policy = AckPolicy::All),
            "does not have every message acknowledged by itself",
        ),
        (
            Box::new(|config| config.ack_wait = Duration::from_secs(7)),
            "waits 7s for an acknowledgement, and nats.ack_wait is 10s",
        ),
        (
            Box::new(|config| config.max_deliver = 5),
            "gives messages up after some deliveries",
        ),
        (
            Box::new(|config| config.max_ack_pending = 39_999),
            "allows 39999 open messages (max_ack_pending), fewer than 40000",
        ),
        (
            Box::new(|config| {
                config.max_deliver = 5;
                config.backoff = vec![Duration::from_secs(1)];
            }),
            "has a backoff",
        ),
    ];
    for (change, words) in changes {
        world.with_consumer(|config| {
            *config = good.clone();
            change(config);
        });
        is_refused(&world, words);
    }
}

#[test]
#[ignore = "needs NATS"]
fn a_push_consumer_is_refused() {
    let Some(world) = World::new("push consumer") else {
        return;
    };
    let world = world.set_up();
    world.delete_consumer(&world.config.consumer);
    let push = push::Config {
        durable_name: Some(world.config.consumer.clone()),
        deliver_subject: world.context.client().new_inbox(),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: 40_000,
        ..push::Config::default()
    };
    let created = world
        .context
        .create_consumer_on_stream(push, &world.config.stream);
    world.wait(created).unwrap();
    is_refused(&world, "is not a pull consumer");
}

#[test]
#[ignore = "needs NATS"]
fn a_server_that_is_too_old_or_has_no_streams_is_refused() {
    let Some(server) = Server::start("old server", "") else {
        return;
    };
    let port = with_version(server.port(), "2.9.25");
    let failure = setup(&config(plain(&format!("nats://127.0.0.1:{port}")))).unwrap_err();
    assert_eq!(failure.exit, Exit::Config);
    assert!(
        failure
            .message
            .contains("has version 2.9.25, and hookflow needs 2.10 or newer"),
        "{failure}"
    );
}
