//! Topics: made by `hookflow setup`, or checked.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::config::{KafkaConfig, Topic};
use super::connect::{PATIENCE, client, consumer, find, meaning, not_made, of_topic};
use crate::error::{Exit, Fatal};
use crate::source::connect_error::ConnectError;

/// Creates topics that are missing. Answers what it did, a sentence each.
pub fn setup(config: &KafkaConfig) -> Result<Vec<String>, Fatal> {
    let asking = consumer(config)?;
    for topic in &config.topics {
        if find(&asking, &topic.name)?.is_none() {
            create(config, topic)?;
        }
    }
    let done = config.topics.iter().map(|topic| {
        let partitions = until_known(&asking, &topic.name)?;
        Ok(ready(&topic.name, partitions, config.storage.partitions))
    });
    done.collect()
}

fn ready(name: &str, partitions: usize, wanted: usize) -> String {
    let mut text = format!(
        "topic {name}: {partitions} partitions ready; publish with the key <provider>|<user>"
    );
    if partitions != wanted {
        text.push_str(&format!(
            " (kafka.topic_partitions says {wanted}: what is there is left as it is)"
        ));
    }
    text
}

/// A topic that was just made is not known everywhere at once.
fn until_known(asking: &super::consumer::Consumer, name: &str) -> Result<usize, ConnectError> {
    let mut found = of_topic(asking, name);
    for _ in 0..20 {
        if found.is_ok() {
            break;
        }
        drop(asking.poll(std::time::Duration::from_millis(100)));
        found = of_topic(asking, name);
    }
    found
}

/// Creates a topic, unless somebody else just did.
fn create(config: &KafkaConfig, topic: &Topic) -> Result<(), Fatal> {
    let storage = &config.storage;
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let retention = storage.max_age.as_millis().to_string();
    let wanted = NewTopic::new(
        &topic.name,
        number(storage.partitions),
        TopicReplication::Fixed(number(storage.replicas)),
    )
    .set("retention.ms", &retention);
    let admin: AdminClient<DefaultClientContext> = client(&config.connection)?
        .create()
        .map_err(|error| not_made(&error))?;
    let options = AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime
        .map_err(|error| Fatal::new(Exit::Watchdog, format!("no runtime for Kafka: {error}")))?;
    let created = runtime.block_on(admin.create_topics([&wanted], &options));
    let created =
        created.map_err(|error| meaning(error.rdkafka_error_code().unwrap_or(Code::Unknown)))?;
    match created.into_iter().next() {
        Some(Ok(_)) => {
            tracing::info!(topic = topic.name, "created");
            Ok(())
        }
        Some(Err((_, Code::TopicAlreadyExists))) | None => Ok(()),
        Some(Err((_, code))) => Err(not_created(config, topic, code).into()),
    }
}

fn not_created(config: &KafkaConfig, topic: &Topic, code: Code) -> ConnectError {
    match (code, meaning(code)) {
        (Code::InvalidReplicationFactor, _) => ConnectError::Permanent(format!(
            "there are fewer brokers than kafka.replicas ({})",
            config.storage.replicas
        )),
        (_, ConnectError::Transient(_)) => ConnectError::Permanent(format!(
            "Kafka refuses to create the topic {} ({code:?})",
            topic.name
        )),
        (_, refused) => refused,
    }
}
