//! Publishing deliveries to a topic, pipelined and confirmed: for an edge's tests, demonstrations and measurements.
//!
//! Contract: [`publish`] returns when the brokers have confirmed every message, each stored once and, within a key, in order
//! (the producer is idempotent). Unlike a stream of NATS a topic knows no repetition of an earlier run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::config::KafkaConfig;
use super::connect::{client, consumer, meaning, not_made, of_topic};
use crate::error::{Exit, Fatal};
use crate::event::Delivery;
use crate::source::connect_error::ConnectError;
use crate::source::message::publish::{headers, key};
use crate::source::outgoing::{OutgoingContent, OutgoingMessage, Published};
use crate::source::pace::Pace;

/// How long a message may take until it is confirmed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Confirmations are polled after so many messages.
const LOOK_EVERY: u64 = 512;

/// A message as the driver takes it.
struct ProducerRecord {
    key: String,
    headers: OwnedHeaders,
    body: Bytes,
}

impl From<OutgoingContent> for ProducerRecord {
    fn from(content: OutgoingContent) -> Self {
        match content {
            OutgoingContent::Delivery(delivery) => Self::delivery(&delivery),
            OutgoingContent::Malformed(body) => Self {
                key: String::new(),
                headers: OwnedHeaders::new(),
                body,
            },
        }
    }
}

impl ProducerRecord {
    fn delivery(delivery: &Delivery) -> Self {
        let mut all = OwnedHeaders::new_with_capacity(8);
        for (name, value) in headers(delivery) {
            all = all.insert(Header {
                key: name,
                value: Some(value.as_bytes()),
            });
        }
        Self {
            key: key(delivery),
            headers: all,
            body: delivery.body.clone(),
        }
    }
}

/// Hears of confirmations.
#[derive(Debug, Default)]
struct Confirmations {
    count: AtomicU64,
    failed: Mutex<Option<Code>>,
}

impl Confirmations {
    fn failed(&self, code: Code) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(code);
    }

    fn failure(&self) -> Option<Fatal> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.map(|code| meaning(code).into())
    }
}

impl ClientContext for Confirmations {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, _message: &str) {
        tracing::debug!(?level, facility, "the Kafka client");
    }

    fn error(&self, error: KafkaError, _reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        if let ConnectError::Permanent(_) = meaning(code) {
            self.failed(code);
        }
    }
}

impl ProducerContext for Confirmations {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        match delivered {
            Ok(_) => {
                self.count.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => self.failed(error.rdkafka_error_code().unwrap_or(Code::Unknown)),
        }
    }
}

/// Publishes everything to the first of the topics, each message when it is due.
pub fn publish(
    config: &KafkaConfig,
    messages: impl Iterator<Item = OutgoingMessage>,
    pace: Pace,
) -> Result<Published, Fatal> {
    let Some(topic) = config.topics.first() else {
        return Err(Fatal::new(Exit::Config, "kafka.topics names no topic"));
    };
    of_topic(&consumer(config)?, &topic.name)?;
    let producer = producer(config)?;
    let started = Instant::now();
    for (number, message) in (1..).zip(messages) {
        while let Some(wait) = pace.wait(number - 1, started.elapsed()) {
            poll_confirmations(&producer, wait)?;
        }
        send(&producer, &topic.name, &message.content.into())?;
        if number % LOOK_EVERY == 0 {
            poll_confirmations(&producer, Duration::ZERO)?;
        }
    }
    while producer.in_flight_count() > 0 {
        poll_confirmations(&producer, Duration::from_millis(10))?;
    }
    poll_confirmations(&producer, Duration::ZERO)?;
    Ok(Published {
        messages: producer.context().count.load(Ordering::Relaxed),
        duplicates: None,
    })
}

fn producer(config: &KafkaConfig) -> Result<BaseProducer<Confirmations>, Fatal> {
    let mut config = client(&config.connection)?;
    config
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        // As the producers of most other languages spread keys.
        .set("partitioner", "murmur2_random")
        .set("queue.buffering.max.kbytes", "65536")
        .set("message.timeout.ms", PATIENCE.as_millis().to_string());
    let made = config.create_with_context(Confirmations::default());
    Ok(made.map_err(|error| not_made(&error))?)
}

fn send(
    producer: &BaseProducer<Confirmations>,
    topic: &str,
    message: &ProducerRecord,
) -> Result<(), Fatal> {
    let mut record = BaseRecord::<str, [u8]>::to(topic)
        .payload(&message.body)
        .headers(message.headers.clone());
    if !message.key.is_empty() {
        record = record.key(&message.key);
    }
    loop {
        record = match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((error, back)) if error.rdkafka_error_code() == Some(Code::QueueFull) => back,
            Err((error, _)) => {
                let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                let text = format!("a message cannot be published ({code:?})");
                return Err(Fatal::new(Exit::Input, text));
            }
        };
        poll_confirmations(producer, Duration::from_millis(10))?;
    }
}

/// Takes confirmations; waits a while for the first.
fn poll_confirmations(producer: &BaseProducer<Confirmations>, wait: Duration) -> Result<(), Fatal> {
    producer.poll(wait);
    producer.context().failure().map_or(Ok(()), Err)
}
