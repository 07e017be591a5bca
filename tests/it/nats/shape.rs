//! Streams, consumers and servers that are not what a reader needs: refused with a sentence, and left as they are.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull, push};
use async_nats::jetstream::stream::{self, StorageType};
use hookflow::error::Exit;
use hookflow::source::nats::{check, setup};

use super::job::Job;
use super::proxy::with_version;
use super::server::Server;
use super::world::{World, plain, settings};

/// The job does not begin, and nothing is changed, for this reason.
fn is_refused(world: &World, words: &str) {
    let before = world.consumers_as_text();
    for failure in [
        check(&world.settings).unwrap_err(),
        Job::start(&world.settings).fails_in_time(),
    ] {
        assert_eq!(failure.exit, Exit::Config, "{failure}");
        assert!(failure.message.contains(words), "{failure}");
    }
    assert_eq!(world.consumers_as_text(), before);
}

impl World {
    fn stream_config(&self) -> stream::Config {
        self.wait(async {
            let stream = self
                .context
                .get_stream(&self.settings.stream)
                .await
                .unwrap();
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

    /// Makes a partition's consumer anew with something changed.
    fn with_consumer(&self, partition: u32, change: impl FnOnce(&mut pull::Config)) {
        let mut config = self.consumer_config(partition);
        change(&mut config);
        self.delete_consumer(partition);
        let created = self
            .context
            .create_consumer_on_stream(config, &self.settings.stream);
        self.wait(created).unwrap();
    }

    fn consumer_config(&self, partition: u32) -> pull::Config {
        self.wait(async {
            let stream = self
                .context
                .get_stream(&self.settings.stream)
                .await
                .unwrap();
            let name = self.settings.consumer_of(partition);
            let consumer: async_nats::jetstream::consumer::PullConsumer =
                stream.get_consumer(&name).await.unwrap();
            use async_nats::jetstream::consumer::FromConsumer;
            pull::Config::try_from_consumer_config(consumer.cached_info().config.clone()).unwrap()
        })
    }

    fn consumers_as_text(&self) -> String {
        self.wait(async {
            use futures_util::TryStreamExt;
            let Ok(stream) = self.context.get_stream(&self.settings.stream).await else {
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
            world.settings.stream
        ),
    );
    let world = world.set_up();
    check(&world.settings).unwrap();
    world.delete_consumer(7);
    is_refused(
        &world,
        &format!("the consumer {}-7 does not exist", world.settings.stream),
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
            let settings = world.settings.clone();
            std::thread::spawn(move || setup(&settings))
        })
        .collect();
    for one in several {
        one.join().unwrap().unwrap();
    }
    let before = world.consumers_as_text();
    let said = setup(&world.settings).unwrap();
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
    let subject = world.settings.subject.clone();
    let changes: [(Change<'_, stream::Config>, &str); 5] = [
        (
            Box::new(|config| config.subject_transform = None),
            "does not map its subjects to",
        ),
        (
            Box::new(|config| {
                config.subject_transform.as_mut().unwrap().destination = format!(
                    "{subject}.{{{{partition(16,1,2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}"
                )
            }),
            "does not map its subjects to",
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
            "confirms nothing to those who publish",
        ),
    ];
    for (change, words) in changes {
        world.with_stream(|config| {
            *config = good.clone();
            change(config);
        });
        let failure = setup(&world.settings).unwrap_err();
        assert!(
            failure.exit == Exit::Config && failure.message.contains(words),
            "{failure}"
        );
        is_refused(&world, words);
    }
}

#[test]
#[ignore = "needs NATS"]
fn a_consumer_of_another_shape_is_refused() {
    let Some(world) = World::new("consumer's shape") else {
        return;
    };
    let world = world.set_up();
    let good = world.consumer_config(3);
    let filter = format!("{}.4.*.*", world.settings.subject);
    let changes: [(Change<'_, pull::Config>, &str); 6] = [
        (
            Box::new(|config| config.filter_subject = filter),
            "does not read",
        ),
        (
            Box::new(|config| config.ack_policy = AckPolicy::Explicit),
            "has another policy of acknowledgement than All",
        ),
        (
            Box::new(|config| config.ack_wait = Duration::from_secs(7)),
            "waits 7s for an acknowledgement, not 30s",
        ),
        (
            Box::new(|config| config.max_deliver = 5),
            "gives messages up after some deliveries",
        ),
        (
            Box::new(|config| config.max_ack_pending = 100),
            "may hold 100 messages open (max_ack_pending), and the job may hold 20000",
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
        world.with_consumer(3, |config| {
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
    world.delete_consumer(3);
    let name = world.settings.consumer_of(3);
    let config = push::Config {
        durable_name: Some(name),
        deliver_subject: world.context.client().new_inbox(),
        filter_subject: format!("{}.3.*.*", world.settings.subject),
        ack_policy: AckPolicy::All,
        max_ack_pending: 20_000,
        ..push::Config::default()
    };
    world
        .wait(
            world
                .context
                .create_consumer_on_stream(config, &world.settings.stream),
        )
        .unwrap();
    is_refused(&world, "is no pull consumer");
}

#[test]
#[ignore = "needs NATS"]
fn a_server_that_is_too_old_or_has_no_streams_is_refused() {
    let Some(server) = Server::start("old server", "") else {
        return;
    };
    let port = with_version(server.port(), "2.9.25");
    let failure = setup(&settings(plain(&format!("nats://127.0.0.1:{port}")))).unwrap_err();
    assert_eq!(failure.exit, Exit::Config);
    assert!(
        failure
            .message
            .contains("has version 2.9.25, and hookflow needs 2.10 or newer"),
        "{failure}"
    );
}
