//! Kafka: topics whose partitions a consumer group shares out, or that are given to a member by its config.
//!
//! * [`config`]: what is set; [`connect`], `consumer`: a client and its callbacks, and why there is none;
//! * [`start_offset`], [`assigned_partition`]: pure decisions and bookkeeping of where a partition starts, what is open and committed;
//! * `reader`: moves messages to the job and commits back;
//! * [`replay`]: the past; `setup`, [`publisher`]: topics, and the other direction.
//!
//! Contract (beside that of every [`Source`]): only offsets are committed up to which everything, without gaps, is durable in
//! every sink, and only while the partition is ours. Partitions that the group revokes are held until what was handed out of them
//! is settled and committed, at most for `revoke_deadline`; past it they go uncommitted. A slow sink never makes a member leave its
//! group. An offset is never reset silently.
//!
//! Memory: the driver fetches at most `queue_bytes_max` ahead of the job (and one fetch more), and at most some 25 MiB wait here
//! for room at the job; both count beside `job.in_flight_bytes_max`.
//!
//! After partitions were *lost* (the session ended, a member was presumed dead), or let go past the deadline, the same messages may be
//! handed out a second time while their first copies are still open. That is safe: the copy settles only when the frontier behind
//! all sinks has passed it, and so the first copy.

pub mod assigned_partition;
pub mod config;
pub mod connect;
mod consumer;
mod headers;
pub mod publisher;
mod reader;
pub mod replay;
mod setup;
pub mod start_offset;

pub use config::KafkaConfig;
pub use setup::setup;

use super::connector::{Connector, Source, SourceError};
use super::context::SourceContext;
use super::outgoing::{OutgoingMessage, Published};
use super::pace::Pace;
use super::replay::{ReplayRange, ReplayStart};
use crate::error::Fatal;

/// The live source: reads its partitions for ever.
#[derive(Debug)]
pub struct KafkaSource {
    config: KafkaConfig,
}

impl KafkaSource {
    /// A source that has not connected yet.
    pub const fn new(config: KafkaConfig) -> Self {
        Self { config }
    }
}

impl Source for KafkaSource {
    fn run(self: Box<Self>, context: SourceContext) -> Result<(), Fatal> {
        reader::run(self.config, context)
    }

    fn commits_offsets(&self) -> bool {
        true
    }
}

/// Kafka as the configuration describes it.
#[derive(Debug)]
pub struct KafkaConnector {
    config: KafkaConfig,
}

impl KafkaConnector {
    /// Connects to nothing yet.
    pub const fn new(config: KafkaConfig) -> Self {
        Self { config }
    }
}

impl Connector for KafkaConnector {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn identity(&self) -> String {
        format!("kafka {}", self.config.group)
    }

    fn member(&self) -> String {
        format!("{:?} {:?}", self.config.member, self.config.partitions)
    }

    fn live(&self) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(KafkaSource::new(self.config.clone())))
    }

    fn replay(&self, range: ReplayRange) -> Result<Box<dyn Source>, SourceError> {
        if let ReplayStart::Offset(_) = range.start {
            let message = "each partition of a Kafka topic counts its offsets by itself: say --since TIME instead of --since-sequence";
            return Err(SourceError::InvalidRange(message.to_owned()));
        }
        let replay = replay::KafkaReplay::new(self.config.clone(), range);
        Ok(Box::new(replay))
    }

    fn preflight(&self) -> Result<(), SourceError> {
        Ok(check(&self.config)?)
    }

    fn setup(&self) -> Result<Vec<String>, SourceError> {
        Ok(setup(&self.config)?)
    }

    fn publish(
        &self,
        messages: &mut dyn Iterator<Item = OutgoingMessage>,
        pace: Pace,
    ) -> Result<Published, SourceError> {
        Ok(publisher::publish(&self.config, messages, pace)?)
    }
}

/// Whether a job could begin: the brokers, our login and the topics.
pub fn check(config: &KafkaConfig) -> Result<(), Fatal> {
    let consumer = connect::consumer(config)?;
    connect::partitions(&consumer, config)?;
    Ok(())
}
