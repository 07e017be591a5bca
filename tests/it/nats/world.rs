//! A stream of a test's own, and the test's own view of it.

use std::time::Duration;

use async_nats::jetstream::{Context, consumer, stream};
use hookflow::event::{Delivery, Provider, User};
use hookflow::source::nats::config::{ConnectionConfig, Login, NatsConfig, Secret, StreamStorage};
use hookflow::source::nats::publisher::{NatsMessage, NatsPublishTotals, publish};
use hookflow::source::nats::setup;
use hookflow::source::pace::Pace;
use tokio::runtime::Runtime;

pub use crate::broker::wait::{LIMIT, throughout, until, until_or_say};
use crate::skip::skipped_server;

/// A connection without a login.
pub fn plain(url: &str) -> ConnectionConfig {
    ConnectionConfig {
        servers: Secret::new(url.into()),
        login: Login::None,
        tls_required: false,
        ca_file: None,
        certificate: None,
    }
}

/// The configuration of a stream that nothing else uses.
pub fn config(connection: ConnectionConfig) -> NatsConfig {
    let name = format!("it_{:016x}", rand::random::<u64>());
    NatsConfig {
        connection,
        stream: name.clone(),
        subject: name.clone(),
        consumer: name,
        partitions: None,
        open_max: 40_000,
        in_flight_events_max: 20_000,
        ack_wait: Duration::from_secs(10),
        lease_max: Duration::from_secs(60),
        batch_messages: 1_000,
        batch_bytes: 1 << 20,
        stall_limit: LIMIT,
        storage: StreamStorage {
            max_age: Duration::from_secs(3_600),
            replicas: 1,
            duplicate_window: Duration::from_secs(120),
        },
    }
}

/// A stream, gone when it is dropped.
pub struct World {
    pub config: NatsConfig,
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
            config: config(plain(url)),
            context: runtime.block_on(async { async_nats::jetstream::new(client) }),
            runtime,
        }
    }

    /// With the stream and its consumers made.
    pub fn set_up(self) -> Self {
        setup(&self.config).unwrap();
        self
    }

    /// The same, with something configured otherwise.
    pub fn set_up_with(mut self, change: impl FnOnce(&mut NatsConfig)) -> Self {
        change(&mut self.config);
        self.set_up()
    }

    /// Runs a future of the client.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Publishes the messages of these numbers, each by its tenant.
    pub fn publish(&self, numbers: std::ops::Range<u64>) -> NatsPublishTotals {
        let prefix = self.config.subject.clone();
        let messages = numbers.map(move |number| outgoing(&prefix, number));
        publish(&self.config.connection, messages, Pace::default()).unwrap()
    }

    /// A reader took so many messages, and died.
    pub fn died_over(&self, messages: usize) {
        self.wait(async {
            use futures_util::StreamExt;
            let consumer: consumer::PullConsumer = self
                .stream()
                .await
                .get_consumer(&self.config.consumer)
                .await
                .unwrap();
            let taken = consumer.fetch().max_messages(messages).messages();
            assert_eq!(taken.await.unwrap().count().await, messages);
        });
    }

    /// The stream itself.
    pub async fn stream(&self) -> stream::Stream {
        self.context.get_stream(&self.config.stream).await.unwrap()
    }

    /// What the server says of the stream.
    pub fn state(&self) -> stream::State {
        self.wait(async { self.stream().await.cached_info().state.clone() })
    }

    /// What the server says of a consumer.
    pub fn info(&self, name: &str) -> consumer::Info {
        self.wait(async { self.stream().await.consumer_info(name).await.unwrap() })
    }

    /// What the server says of the shared consumer.
    pub fn consumer(&self) -> consumer::Info {
        self.info(&self.config.consumer)
    }

    /// Nothing waits, nothing is open.
    pub fn is_acknowledged(&self) -> bool {
        let consumers = self.config.all_consumers();
        let infos = consumers.iter().map(|one| self.info(&one.name));
        let mut open = infos.map(|info| info.num_pending + info.num_ack_pending as u64);
        open.all(|open| open == 0)
    }

    /// Deletes a consumer.
    pub fn delete_consumer(&self, name: &str) {
        let deleted = self
            .context
            .delete_consumer_from_stream(name, &self.config.stream);
        assert!(self.wait(deleted).unwrap().success);
    }

    /// Deletes the stream.
    pub fn delete_stream(&self) {
        self.wait(self.context.delete_stream(&self.config.stream))
            .unwrap();
    }

    /// Sends an answer to a delivery, as if we were its reader.
    pub fn answer(&self, sequence: u64, delivery: u64, what: &'static str) {
        let (stream, consumer) = (&self.config.stream, &self.config.consumer);
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
        let deleted = self.context.delete_stream(&self.config.stream);
        let limited = async { tokio::time::timeout(Duration::from_secs(5), deleted).await };
        self.runtime.block_on(limited).ok();
    }
}

/// A message whose body is its number, of one of a hundred tenants.
pub fn outgoing(prefix: &str, number: u64) -> NatsMessage {
    let delivery = Delivery {
        provider: Provider::new("ses"),
        user: User::new(format!("tenant {}", number % 100)),
        method: "POST".into(),
        body: number.to_string().into(),
        ..Delivery::default()
    };
    NatsMessage::delivery(prefix, &number.to_string(), &delivery)
}
