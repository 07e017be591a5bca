//! Kafka: the members are a group, and what the group has committed of a partition is acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::broker::{Broker, Message, Standing};
use super::members::until;
use super::stack::Stack;

/// How many partitions the topic has.
const PARTITIONS: i32 = 12;
/// A member that is silent for longer loses its partitions.
const SESSION_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The tests' Kafka.
pub struct Kafka;

fn consumer(stack: &Stack, group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set(
            "bootstrap.servers",
            stack.variable("HOOKFLOW_KAFKA_BROKERS"),
        )
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .create()
        .unwrap()
}

fn all(name: &str, offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(name, partition, offset).unwrap();
    }
    list
}

fn number(offset: i64) -> u64 {
    u64::try_from(offset).unwrap()
}

fn taken(message: &BorrowedMessage<'_>) -> Message {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    Message {
        partition: message.partition().unsigned_abs(),
        position: number(message.offset()),
        headers: headers
            .map(|header| (header.key.to_owned(), text(header.value)))
            .collect(),
        body: message.payload().unwrap_or_default().to_vec(),
    }
}

/// Where each partition ends.
fn ends(consumer: &BaseConsumer, name: &str) -> Option<BTreeMap<u32, u64>> {
    let end = |partition: i32| {
        let ends = consumer.fetch_watermarks(name, partition, PATIENCE).ok()?;
        Some((partition.unsigned_abs(), number(ends.1)))
    };
    (0..PARTITIONS).map(end).collect()
}

impl Broker for Kafka {
    fn service(&self) -> &'static str {
        "kafka"
    }

    fn environment(&self, stack: &Stack, name: &str) -> Vec<(&'static str, String)> {
        let brokers = stack.variable("HOOKFLOW_KAFKA_BROKERS").to_owned();
        let timeout = format!("{}s", SESSION_TIMEOUT.as_secs());
        vec![
            ("HOOKFLOW_SOURCE_LIVE", "kafka".to_owned()),
            ("HOOKFLOW_KAFKA_BROKERS", brokers),
            ("HOOKFLOW_KAFKA_TOPICS", name.to_owned()),
            ("HOOKFLOW_KAFKA_GROUP", name.to_owned()),
            ("HOOKFLOW_KAFKA_TOPIC_PARTITIONS", PARTITIONS.to_string()),
            ("HOOKFLOW_KAFKA_SESSION_TIMEOUT", timeout),
        ]
    }

    fn member(&self, name: &str, number: usize) -> Vec<(&'static str, String)> {
        vec![("HOOKFLOW_SOURCE_MEMBER", format!("{name}-{number}"))]
    }

    fn patience(&self) -> Duration {
        SESSION_TIMEOUT
    }

    fn standing(&self, stack: &Stack, name: &str) -> Option<Standing> {
        let consumer = consumer(stack, name);
        let committed = consumer.committed_offsets(all(name, Offset::Invalid), PATIENCE);
        // Looked at after what is committed, so that they are behind it; a broker that has just started may not know that yet.
        let ends = ends(&consumer, name)?;
        let mut standing = Standing::default();
        for element in committed.ok()?.elements() {
            element.error().ok()?;
            let partition = element.partition().unsigned_abs();
            let floor = match element.offset() {
                Offset::Offset(offset) => number(offset),
                _ => 0,
            };
            standing.floors.insert(partition, floor);
            standing.acknowledged += floor;
            standing.open += ends[&partition].checked_sub(floor)?;
        }
        Some(standing)
    }

    fn messages(&self, stack: &Stack, name: &str) -> Vec<Message> {
        let consumer = consumer(stack, &format!("{name}-looks"));
        let mut left = until("the broker answers", || ends(&consumer, name));
        left.retain(|_, end| *end > 0);
        consumer.assign(&all(name, Offset::Beginning)).unwrap();
        let mut messages = Vec::new();
        while !left.is_empty() {
            // Errors pass: the client mends its connections by itself.
            let next = || taken(&consumer.poll(PATIENCE)?.ok()?).into();
            let message: Message = until("the next message comes", next);
            left.retain(|partition, end| {
                *partition != message.partition || message.position + 1 < *end
            });
            messages.push(message);
        }
        messages
    }
}
