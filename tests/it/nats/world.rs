//! A stream of a test's own, and the test's own view of it.

use std::time::Duration;

use async_nats::jetstream::{Context, consumer, stream};
use hookflow::event::{Delivery, Provider, User};
use hookflow::source::message::subject::push_token;
use hookflow::source::nats::publisher::{Outgoing, Published, publish};
use hookflow::source::nats::settings::{Acknowledge, Connection, Login, Secret, Settings, Storage};
use hookflow::source::nats::{assign::Partitions, setup};
use hookflow::source::pace::Pace;
use tokio::runtime::Runtime;

pub use crate::broker::wait::{LIMIT, throughout, until, until_or_say};
use crate::skip::skipped_server;

/// A connection that says nothing of who we are.
pub fn plain(url: &str) -> Connection {
    Connection {
        servers: Secret::new(url.into()),
        login: Login::None,
        tls_required: false,
        ca_file: None,
        certificate: None,
    }
}

/// Settings of a stream that nothing else uses.
pub fn settings(connection: Connection) -> Settings {
    let name = format!("it_{:016x}", rand::random::<u64>());
    Settings {
        connection,
        stream: name.clone(),
        subject: name.clone(),
        consumer: name,
        partitions: Partitions::all(),
        acknowledge: Acknowledge::UpTo,
        ack_wait: Duration::from_secs(30),
        ack_pending_max: 20_000,
        batch_messages: 1_000,
        batch_bytes: 1 << 20,
        stall_limit: LIMIT,
        storage: Storage {
            max_age: Duration::from_secs(3_600),
            replicas: 1,
            duplicate_window: Duration::from_secs(120),
        },
    }
}

/// A stream, gone when it is dropped.
pub struct World {
    pub settings: Settings,
    runtime: Runtime,
    pub context: Context,
}

impl World {
    /// On the server of the stack; none without it, which is said loudly.
    pub fn new(test: &str) -> Option<Self> {
        let Ok(url) = std::env::var("HOOKFLOW_NATS_URL") else {
            skipped_server(&format!(
                "nats {test}: HOOKFLOW_NATS_URL is not set (see scripts/stack)"
            ));
            return None;
        };
        Some(Self::on(&url))
    }

    /// On that server.
    pub fn on(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let client = runtime.block_on(async_nats::connect(url)).unwrap();
        Self {
            settings: settings(plain(url)),
            context: runtime.block_on(async { async_nats::jetstream::new(client) }),
            runtime,
        }
    }

    /// With the stream and its consumers made.
    pub fn set_up(self) -> Self {
        setup(&self.settings).unwrap();
        self
    }

    /// As set up, but acknowledging so and waiting for so long.
    pub fn set_up_with(mut self, acknowledge: Acknowledge, ack_wait: Duration) -> Self {
        self.settings.acknowledge = acknowledge;
        self.settings.ack_wait = ack_wait;
        self.set_up()
    }

    /// Runs a future of the client.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Publishes the messages of these numbers, each by its tenant.
    pub fn publish(&self, numbers: std::ops::Range<u64>) -> Published {
        let prefix = self.settings.subject.clone();
        let messages = numbers.map(move |number| outgoing(&prefix, number));
        publish(&self.settings.connection, messages, Pace::default()).unwrap()
    }

    /// Publishes them all as one tenant's, so that they are of one partition, whose number is answered.
    pub fn publish_to_one_lane(&self, numbers: std::ops::Range<u64>) -> u32 {
        self.publish_as("one", numbers)
    }

    /// The same, as this tenant's.
    pub fn publish_as(&self, tenant: &str, numbers: std::ops::Range<u64>) -> u32 {
        let prefix = self.settings.subject.clone();
        let user = tenant.to_owned();
        let messages = numbers.map(move |number| message(&prefix, number, &user));
        publish(&self.settings.connection, messages, Pace::default()).unwrap();
        let mut filter = format!("{}.*.ses.", self.settings.subject);
        push_token(&mut filter, tenant);
        let subjects = self.wait(async {
            use futures_util::TryStreamExt;
            let stream = self.stream().await;
            let subjects = stream.info_with_subjects(filter).await.unwrap();
            subjects.try_collect::<Vec<_>>().await.unwrap()
        });
        let [(subject, _)] = &subjects[..] else {
            panic!("{subjects:?}")
        };
        subject.split('.').nth(1).unwrap().parse().unwrap()
    }

    /// A reader took so many messages of a partition, and died.
    pub fn died_over(&self, partition: u32, messages: usize) {
        self.wait(async {
            use futures_util::StreamExt;
            let name = self.settings.consumer_of(partition);
            let consumer: consumer::PullConsumer =
                self.stream().await.get_consumer(&name).await.unwrap();
            let taken = consumer.fetch().max_messages(messages).messages();
            assert_eq!(taken.await.unwrap().count().await, messages);
        });
    }

    /// The stream itself.
    pub async fn stream(&self) -> stream::Stream {
        self.context
            .get_stream(&self.settings.stream)
            .await
            .unwrap()
    }

    /// What the server says of the stream.
    pub fn state(&self) -> stream::State {
        self.wait(async { self.stream().await.cached_info().state.clone() })
    }

    /// What the server says of a partition's consumer.
    pub fn consumer(&self, partition: u32) -> consumer::Info {
        self.wait(async {
            let name = self.settings.consumer_of(partition);
            self.stream().await.consumer_info(name).await.unwrap()
        })
    }

    /// What the server says of all partitions' consumers.
    pub fn consumers(&self) -> Vec<consumer::Info> {
        self.settings
            .partitions
            .iter()
            .map(|partition| self.consumer(partition))
            .collect()
    }

    /// Nothing waits, nothing is open.
    pub fn is_acknowledged(&self) -> bool {
        let done = |info: &consumer::Info| info.num_pending == 0 && info.num_ack_pending == 0;
        self.consumers().iter().all(done)
    }

    /// Deletes a partition's consumer.
    pub fn delete_consumer(&self, partition: u32) {
        let name = self.settings.consumer_of(partition);
        let deleted = self
            .context
            .delete_consumer_from_stream(name, &self.settings.stream);
        assert!(self.wait(deleted).unwrap().success);
    }

    /// Deletes the stream.
    pub fn delete_stream(&self) {
        self.wait(self.context.delete_stream(&self.settings.stream))
            .unwrap();
    }

    /// Sends an answer to a delivery, as if we were its reader.
    pub fn answer(&self, partition: u32, sequence: u64, delivery: u64, what: &'static str) {
        let (stream, consumer) = (&self.settings.stream, self.settings.consumer_of(partition));
        let subject = format!("$JS.ACK.{stream}.{consumer}.1.{sequence}.{delivery}.0.0");
        let client = self.context.client();
        self.wait(async {
            client.publish(subject, what.into()).await.unwrap();
            client.flush().await.unwrap();
        });
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let deleted = self.context.delete_stream(&self.settings.stream);
        let limited = async { tokio::time::timeout(Duration::from_secs(5), deleted).await };
        self.runtime.block_on(limited).ok();
    }
}

/// A message whose body is its number.
pub fn message(prefix: &str, number: u64, user: &str) -> Outgoing {
    let delivery = Delivery {
        provider: Provider::new("ses"),
        user: User::new(user),
        method: "POST".into(),
        body: number.to_string().into(),
        ..Delivery::default()
    };
    Outgoing::delivery(prefix, &number.to_string(), &delivery)
}

/// The same, of one of a hundred tenants.
pub fn outgoing(prefix: &str, number: u64) -> Outgoing {
    message(prefix, number, &format!("tenant {}", number % 100))
}
