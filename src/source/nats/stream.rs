//! The stream and its consumers: how `setup` makes them, and what a reader insists on.
//!
//! People publish to `<subject>.<provider>.<user>` and know nothing of partitions: the stream itself maps what it takes to
//! `<subject>.<partition>.<provider>.<user>`, the partition by a stable hash of provider and user. One durable consumer reads each partition.
//!
//! Or one consumer reads the stream as a whole. Consumers that setup makes begin where those of the other way have come to.
//!
//! Contract: [`setup`] may run twice, or by several at once; what is there and differs is reported and never changed.

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{
    Config, ConsumerCreateStrictErrorKind, StorageType, SubjectTransform,
};
use async_nats::jetstream::{Context, ErrorCode, consumer, stream};
use futures_util::TryStreamExt;

use super::assign::{LANES, WHOLE};
use super::settings::{Acknowledge, Settings};
use crate::source::connect_error::ConnectError;

/// What people publish to: two tokens, so that what fits no partition is refused and not lost.
fn subjects(settings: &Settings) -> String {
    format!("{}.*.*", settings.subject)
}

fn transform(settings: &Settings) -> SubjectTransform {
    SubjectTransform {
        source: subjects(settings),
        destination: format!(
            "{}.{{{{partition({LANES},1,2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}",
            settings.subject
        ),
    }
}

/// None for the whole stream: any filter, even one that fits everything, would be held against each message.
fn filter(settings: &Settings, partition: u32) -> String {
    match partition {
        WHOLE => String::new(),
        partition => format!("{}.{partition}.*.*", settings.subject),
    }
}

const fn policy(acknowledge: Acknowledge) -> AckPolicy {
    match acknowledge {
        Acknowledge::Each => AckPolicy::Explicit,
        Acknowledge::UpTo => AckPolicy::All,
    }
}

fn wanted_stream(settings: &Settings) -> Config {
    Config {
        name: settings.stream.clone(),
        subjects: vec![subjects(settings)],
        subject_transform: Some(transform(settings)),
        storage: StorageType::File,
        max_age: settings.storage.max_age,
        num_replicas: settings.storage.replicas,
        duplicate_window: settings.storage.duplicate_window,
        description: Some("webhooks, spread over partitions by provider and user".into()),
        ..Config::default()
    }
}

fn wanted_consumer(settings: &Settings, partition: u32) -> pull::Config {
    let name = settings.consumer_of(partition);
    pull::Config {
        durable_name: Some(name.clone()),
        name: Some(name),
        deliver_policy: DeliverPolicy::All,
        ack_policy: policy(settings.acknowledge),
        ack_wait: settings.ack_wait,
        max_deliver: -1,
        filter_subject: filter(settings, partition),
        max_ack_pending: i64::try_from(settings.ack_pending_max).unwrap_or(i64::MAX),
        ..pull::Config::default()
    }
}

/// Creates what is missing; answers a sentence for each thing that it made.
pub async fn setup(context: &Context, settings: &Settings) -> Result<Vec<String>, ConnectError> {
    let mut made = Vec::new();
    if made_stream(context, settings).await? {
        made.push(format!("stream {} created", settings.stream));
    }
    let found = find(context, settings).await?;
    let mut differences = stream_differences(&found.stream.config, settings);
    let mut created = 0;
    let begin = begin(&found, settings);
    for partition in settings.partitions.everything().iter() {
        match found.consumer(settings, partition) {
            Some(there) => {
                differences.extend(consumer_differences(&there.config, settings, partition))
            }
            None => {
                create_consumer(context, settings, partition, begin).await?;
                created += 1;
            }
        }
    }
    if created > 0 {
        made.push(format!("{created} consumers of it created"));
    }
    match differences.is_empty() {
        true => Ok(made),
        false => Err(differs(&differences)),
    }
}

/// Whether it was made; one that is there already is left as it is.
async fn made_stream(context: &Context, settings: &Settings) -> Result<bool, ConnectError> {
    match context.get_stream(&settings.stream).await {
        Ok(_) => return Ok(false),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(error)
                if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            kind => {
                return Err(ConnectError::Transient(format!(
                    "the stream cannot be looked at: {kind}"
                )));
            }
        },
    }
    match context.create_stream(wanted_stream(settings)).await {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            CreateStreamErrorKind::JetStream(error)
                if error.error_code() == ErrorCode::STREAM_NAME_EXIST =>
            {
                Ok(false)
            }
            CreateStreamErrorKind::JetStream(error) => Err(ConnectError::Permanent(format!(
                "the stream {} cannot be created: {error}",
                settings.stream
            ))),
            kind => Err(ConnectError::Transient(format!(
                "the stream cannot be created: {kind}"
            ))),
        },
    }
}

/// Where new consumers begin: where all of the other way have come to, else at the stream's beginning. Of a consumer for which nothing
/// waits that is the end of the stream, which was looked at before it.
fn begin(found: &Found, settings: &Settings) -> DeliverPolicy {
    let others = settings.partitions.instead();
    let come_to = others.iter().map(|partition| {
        found.consumer(settings, partition).map_or(0, |other| {
            match other.num_pending == 0 && other.num_ack_pending == 0 {
                true => found.stream.state.last_sequence,
                false => other.ack_floor.stream_sequence,
            }
        })
    });
    match come_to.min() {
        None | Some(0) => DeliverPolicy::All,
        Some(done) => DeliverPolicy::ByStartSequence {
            start_sequence: done + 1,
        },
    }
}

async fn create_consumer(
    context: &Context,
    settings: &Settings,
    partition: u32,
    begin: DeliverPolicy,
) -> Result<(), ConnectError> {
    let wanted = pull::Config {
        deliver_policy: begin,
        ..wanted_consumer(settings, partition)
    };
    let created = context
        .create_consumer_strict_on_stream(wanted, &settings.stream)
        .await;
    match created.map_err(|error| error.kind()) {
        Ok(_) | Err(ConsumerCreateStrictErrorKind::AlreadyExists) => Ok(()),
        Err(ConsumerCreateStrictErrorKind::JetStream(error)) => {
            Err(ConnectError::Permanent(format!(
                "the consumer {} cannot be created: {error}",
                settings.consumer_of(partition)
            )))
        }
        Err(kind) => Err(ConnectError::Transient(format!(
            "a consumer cannot be created: {kind}"
        ))),
    }
}

/// The stream and its consumers as they are.
#[derive(Debug)]
pub struct Found {
    /// The stream.
    pub stream: stream::Info,
    /// All consumers of it, ours or not.
    pub consumers: Vec<consumer::Info>,
}

impl Found {
    /// The consumer of a partition.
    pub fn consumer(&self, settings: &Settings, partition: u32) -> Option<&consumer::Info> {
        let name = settings.consumer_of(partition);
        self.consumers.iter().find(|one| one.name == name)
    }
}

/// Looks at the stream and all its consumers.
pub async fn find(context: &Context, settings: &Settings) -> Result<Found, ConnectError> {
    let found = context.get_stream(&settings.stream).await;
    let stream = found.map_err(|error| match error.kind() {
        GetStreamErrorKind::JetStream(error)
            if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
        {
            missing(&format!("the stream {} does not exist", settings.stream))
        }
        kind => ConnectError::Transient(format!("the stream cannot be looked at: {kind}")),
    })?;
    let consumers = stream.consumers().try_collect().await;
    let consumers = consumers.map_err(|error| {
        ConnectError::Transient(format!("the stream's consumers cannot be listed: {error}"))
    })?;
    Ok(Found {
        stream: stream.cached_info().clone(),
        consumers,
    })
}

/// Whether the stream and the consumers of our partitions are what a reader needs.
pub fn check(found: &Found, settings: &Settings) -> Result<(), ConnectError> {
    let mut differences = stream_differences(&found.stream.config, settings);
    for partition in settings.partitions.iter() {
        match found.consumer(settings, partition) {
            Some(there) => {
                differences.extend(consumer_differences(&there.config, settings, partition))
            }
            None => {
                let name = settings.consumer_of(partition);
                return Err(missing(&format!("the consumer {name} does not exist")));
            }
        }
    }
    match differences.is_empty() {
        true => Ok(()),
        false => Err(differs(&differences)),
    }
}

fn missing(what: &str) -> ConnectError {
    ConnectError::Permanent(format!("{what}: create it with `hookflow setup`"))
}

fn differs(differences: &[String]) -> ConnectError {
    ConnectError::Permanent(format!(
        "what is there is not what the settings under [nats] ask for, and hookflow does not change it: {}. Change the settings, \
         or delete it and run `hookflow setup`",
        differences.join("; ")
    ))
}

/// What matters to a reader; how long messages are kept, and how often, is the operator's.
fn stream_differences(there: &Config, settings: &Settings) -> Vec<String> {
    let name = &settings.stream;
    let mut differences = Vec::new();
    if there.subject_transform.as_ref() != Some(&transform(settings)) {
        differences.push(format!(
            "the stream {name} does not map its subjects to {}",
            transform(settings).destination
        ));
    }
    if there.subjects != [subjects(settings)] {
        differences.push(format!(
            "the stream {name} does not take {} alone",
            subjects(settings)
        ));
    }
    if there.storage != StorageType::File {
        differences.push(format!("the stream {name} is kept in memory"));
    }
    if there.no_ack {
        differences.push(format!(
            "the stream {name} confirms nothing to those who publish"
        ));
    }
    differences
}

fn consumer_differences(
    there: &consumer::Config,
    settings: &Settings,
    partition: u32,
) -> Vec<String> {
    let wanted = wanted_consumer(settings, partition);
    let name = settings.consumer_of(partition);
    let mut differences = Vec::new();
    let mut expect = |holds: bool, text: String| {
        if !holds {
            differences.push(format!("the consumer {name} {text}"));
        }
    };
    expect(
        there.filter_subject == wanted.filter_subject,
        match wanted.filter_subject.as_str() {
            "" => "does not read the whole stream".to_owned(),
            filter => format!("does not read {filter}"),
        },
    );
    expect(
        there.deliver_subject.is_none(),
        "is no pull consumer".into(),
    );
    expect(
        there.ack_policy == wanted.ack_policy,
        format!(
            "has another policy of acknowledgement than {:?}",
            wanted.ack_policy
        ),
    );
    expect(
        there.ack_wait == wanted.ack_wait,
        format!(
            "waits {:?} for an acknowledgement, not {:?}",
            there.ack_wait, wanted.ack_wait
        ),
    );
    expect(
        there.max_deliver <= 0,
        "gives messages up after some deliveries (max_deliver)".into(),
    );
    expect(
        there.max_ack_pending <= 0 || there.max_ack_pending >= wanted.max_ack_pending,
        format!(
            "may hold {} messages open (max_ack_pending), and the job may hold {}",
            there.max_ack_pending, wanted.max_ack_pending
        ),
    );
    expect(
        there.backoff.is_empty(),
        "has a backoff, which overrides ack_wait".into(),
    );
    differences
}
