//! The stream and its consumers: how `setup` makes them, and what a reader requires of them.
//!
//! People publish to `<subject>.<provider>.<user>`. By default the stream stores that subject, and one durable consumer, shared
//! by all members, reads the whole stream. With `nats.partitions = N` the stream maps what it takes to
//! `<subject>.<partition>.<provider>.<user>`, by a stable hash of provider and user, and each partition has a consumer.
//! Subjects are mapped when a message enters the stream, so N is fixed when the stream is made.
//!
//! Contract: [`setup`] may run twice, or several times at once; what exists and differs is reported and never changed.

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{
    Config, ConsumerCreateStrictErrorKind, StorageType, SubjectTransform,
};
use async_nats::jetstream::{Context, ErrorCode, consumer, stream};
use futures_util::TryStreamExt;

use super::config::{ConsumerName, NatsConfig};
use crate::source::connect_error::ConnectError;

/// The subjects that people publish to: two tokens, so that a message of another shape is refused and not lost.
fn subjects(config: &NatsConfig) -> String {
    format!("{}.*.*", config.subject)
}

fn transform(config: &NatsConfig) -> Option<SubjectTransform> {
    let count = config.partitions.as_ref()?.count;
    Some(SubjectTransform {
        source: subjects(config),
        destination: format!(
            "{}.{{{{partition({count},1,2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}",
            config.subject
        ),
    })
}

fn wanted_stream(config: &NatsConfig) -> Config {
    Config {
        name: config.stream.clone(),
        subjects: vec![subjects(config)],
        subject_transform: transform(config),
        storage: StorageType::File,
        max_age: config.storage.max_age,
        num_replicas: config.storage.replicas,
        duplicate_window: config.storage.duplicate_window,
        description: Some("webhooks, by provider and user".into()),
        ..Config::default()
    }
}

fn wanted_consumer(config: &NatsConfig, consumer: &ConsumerName) -> pull::Config {
    pull::Config {
        durable_name: Some(consumer.name.clone()),
        name: Some(consumer.name.clone()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: config.ack_wait,
        max_deliver: -1,
        filter_subject: consumer.filter.clone(),
        max_ack_pending: i64::try_from(config.open_max).unwrap_or(i64::MAX),
        ..pull::Config::default()
    }
}

/// Creates what is missing; answers a sentence for each thing that it created.
pub async fn setup(context: &Context, config: &NatsConfig) -> Result<Vec<String>, ConnectError> {
    check_open_max(config)?;
    let mut done = Vec::new();
    if create_stream(context, config).await? {
        done.push(format!("stream {} created", config.stream));
    }
    let found = find(context, config).await?;
    check_layout(&found.stream.config, config)?;
    let mut differences = stream_differences(&found.stream.config, config);
    let mut created = 0;
    for consumer in config.all_consumers() {
        match found.consumer(&consumer.name) {
            Some(info) => {
                differences.extend(consumer_differences(&info.config, config, &consumer));
            }
            None if differences.is_empty() => {
                create_consumer(context, config, &consumer).await?;
                created += 1;
            }
            None => {}
        }
    }
    if created > 0 {
        done.push(format!("consumers created: {created}"));
    }
    refuse(&differences)?;
    Ok(done)
}

/// Whether the stream was created; one that exists is left as it is.
async fn create_stream(context: &Context, config: &NatsConfig) -> Result<bool, ConnectError> {
    match context.get_stream(&config.stream).await {
        Ok(_) => return Ok(false),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(error)
                if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            kind => {
                let why = format!("the stream cannot be read: {kind}");
                return Err(ConnectError::Transient(why));
            }
        },
    }
    let created = context.create_stream(wanted_stream(config)).await;
    match created.map_err(|error| error.kind()) {
        Ok(_) => Ok(true),
        Err(CreateStreamErrorKind::JetStream(error))
            if error.error_code() == ErrorCode::STREAM_NAME_EXIST =>
        {
            Ok(false)
        }
        Err(CreateStreamErrorKind::JetStream(error)) => Err(ConnectError::Permanent(format!(
            "the stream {} cannot be created: {error}",
            config.stream
        ))),
        Err(kind) => {
            let why = format!("the stream cannot be created: {kind}");
            Err(ConnectError::Transient(why))
        }
    }
}

async fn create_consumer(
    context: &Context,
    config: &NatsConfig,
    consumer: &ConsumerName,
) -> Result<(), ConnectError> {
    let wanted = wanted_consumer(config, consumer);
    let created = context
        .create_consumer_strict_on_stream(wanted, &config.stream)
        .await;
    match created.map_err(|error| error.kind()) {
        Ok(_) | Err(ConsumerCreateStrictErrorKind::AlreadyExists) => Ok(()),
        Err(ConsumerCreateStrictErrorKind::JetStream(error)) => {
            let name = &consumer.name;
            let why = format!("the consumer {name} cannot be created: {error}");
            Err(ConnectError::Permanent(why))
        }
        Err(kind) => {
            let why = format!("a consumer cannot be created: {kind}");
            Err(ConnectError::Transient(why))
        }
    }
}

/// The stream and its consumers as they are at the server.
#[derive(Debug)]
pub struct StreamState {
    /// The stream.
    pub stream: stream::Info,
    /// All its consumers, also those of others.
    pub consumers: Vec<consumer::Info>,
}

impl StreamState {
    /// The consumer of that name.
    pub fn consumer(&self, name: &str) -> Option<&consumer::Info> {
        self.consumers.iter().find(|one| one.name == name)
    }
}

/// Asks for the stream and all its consumers.
pub async fn find(context: &Context, config: &NatsConfig) -> Result<StreamState, ConnectError> {
    let found = context.get_stream(&config.stream).await;
    let stream = found.map_err(|error| match error.kind() {
        GetStreamErrorKind::JetStream(error)
            if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
        {
            missing(&format!("the stream {} does not exist", config.stream))
        }
        kind => ConnectError::Transient(format!("the stream cannot be read: {kind}")),
    })?;
    let consumers = stream.consumers().try_collect().await;
    let consumers = consumers.map_err(|error| {
        ConnectError::Transient(format!("the stream's consumers cannot be listed: {error}"))
    })?;
    Ok(StreamState {
        stream: stream.cached_info().clone(),
        consumers,
    })
}

/// Checks that the stream and the consumers of this member are what a reader requires.
pub fn check(found: &StreamState, config: &NatsConfig) -> Result<(), ConnectError> {
    check_open_max(config)?;
    check_layout(&found.stream.config, config)?;
    refuse(&stream_differences(&found.stream.config, config))?;
    let mut differences = Vec::new();
    for consumer in config.consumers() {
        let Some(info) = found.consumer(&consumer.name) else {
            let name = &consumer.name;
            return Err(missing(&format!("the consumer {name} does not exist")));
        };
        differences.extend(consumer_differences(&info.config, config, &consumer));
    }
    refuse(&differences)
}

fn missing(what: &str) -> ConnectError {
    ConnectError::Permanent(format!("{what}: create it with `hookflow setup`"))
}

fn refuse(differences: &[String]) -> Result<(), ConnectError> {
    if differences.is_empty() {
        return Ok(());
    }
    Err(ConnectError::Permanent(format!(
        "the server does not have what the settings under [nats] ask for, and hookflow does not change it: {}. Change the \
         settings, or delete it and run `hookflow setup`",
        differences.join("; ")
    )))
}

/// One frozen member holds up to its in-flight limit; as much must be left for the others.
fn check_open_max(config: &NatsConfig) -> Result<(), ConnectError> {
    let least = config.in_flight_events_max.saturating_mul(2);
    if config.open_max >= least {
        return Ok(());
    }
    Err(ConnectError::Permanent(format!(
        "nats.open_max is {}, and must be at least twice job.in_flight_events_max ({}), so that one member that stands still \
         does not stop the others: raise the one to {least}, or lower the other",
        config.open_max, config.in_flight_events_max
    )))
}

/// The number of partitions is part of every stored subject, so a stream of another number cannot be read or changed.
fn check_layout(there: &Config, config: &NatsConfig) -> Result<(), ConnectError> {
    let wanted = config.partitions.as_ref().map(|some| some.count);
    let transform = there.subject_transform.as_ref();
    let found = transform.and_then(|one| partition_count(&one.destination));
    if found == wanted || (found.is_none() && transform.is_some()) {
        return Ok(());
    }
    let text = |count: Option<u32>| {
        count.map_or_else(|| "no partitions".to_owned(), |n| format!("{n} partitions"))
    };
    Err(ConnectError::Permanent(format!(
        "the stream {} was made with {}, and nats.partitions asks for {}: the number is fixed when a stream is made. Make a new \
         stream (another nats.stream and nats.subject) and let members with the old settings finish the old one; hookflow \
         releases and deletes nothing of it",
        config.stream,
        text(found),
        text(wanted)
    )))
}

/// The N of `partition(N,…)`.
fn partition_count(destination: &str) -> Option<u32> {
    let (_, rest) = destination.split_once("partition(")?;
    rest.split_once(',')?.0.trim().parse().ok()
}

/// Only what matters to a reader: how long and how often messages are kept is the operator's choice.
fn stream_differences(there: &Config, config: &NatsConfig) -> Vec<String> {
    let name = &config.stream;
    let wanted = transform(config);
    let mut differences = Vec::new();
    if there.subject_transform != wanted {
        differences.push(match wanted {
            Some(wanted) => format!(
                "the stream {name} does not map its subjects to {}",
                wanted.destination
            ),
            None => format!("the stream {name} maps its subjects to others"),
        });
    }
    if there.subjects != [subjects(config)] {
        let subjects = subjects(config);
        differences.push(format!("the stream {name} does not take {subjects} alone"));
    }
    if there.storage != StorageType::File {
        differences.push(format!("the stream {name} is kept in memory"));
    }
    if there.no_ack {
        differences.push(format!("the stream {name} does not confirm publications"));
    }
    differences
}

fn consumer_differences(
    there: &consumer::Config,
    config: &NatsConfig,
    consumer: &ConsumerName,
) -> Vec<String> {
    let filter = match consumer.filter.as_str() {
        "" => "the whole stream",
        filter => filter,
    };
    let least = config.in_flight_events_max.saturating_mul(2);
    let least = i64::try_from(least).unwrap_or(i64::MAX);
    let checks = [
        (
            there.filter_subject == consumer.filter && there.filter_subjects.is_empty(),
            format!("does not read {filter}"),
        ),
        (
            there.deliver_subject.is_none(),
            "is not a pull consumer".to_owned(),
        ),
        (
            there.ack_policy == AckPolicy::Explicit,
            "does not have every message acknowledged by itself (ack_policy explicit)".to_owned(),
        ),
        (
            there.ack_wait == config.ack_wait,
            format!(
                "waits {:?} for an acknowledgement, and nats.ack_wait is {:?}",
                there.ack_wait, config.ack_wait
            ),
        ),
        (
            there.max_deliver <= 0,
            "gives messages up after some deliveries (max_deliver)".to_owned(),
        ),
        (
            there.max_ack_pending <= 0 || there.max_ack_pending >= least,
            format!(
                "allows {} open messages (max_ack_pending), fewer than {least}, twice job.in_flight_events_max",
                there.max_ack_pending
            ),
        ),
        (
            there.backoff.is_empty(),
            "has a backoff, which overrides ack_wait".to_owned(),
        ),
    ];
    let wrong = checks.into_iter().filter(|(holds, _)| !holds);
    wrong
        .map(|(_, text)| format!("the consumer {} {text}", consumer.name))
        .collect()
}
