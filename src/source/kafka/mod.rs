//! Kafka: topics whose partitions a consumer group shares out, or that are given to a member by its settings.
//!
//! * [`settings`], [`partitions`]: what is set, and which partitions a member reads;
//! * [`connect`], `context`: a client, what it tells, and why there is none;
//! * [`begin`], [`assigned`]: pure decisions and bookkeeping of where a partition begins, what is open, settled and committed;
//! * `reader`: moves messages to the job and commits back;
//! * [`replay`]: the past; `setup`, [`publisher`]: topics, and the other direction.
//!
//! Contract (beside that of [`broker`](super::broker)): only offsets are committed up to which everything, without gaps, is durable in
//! every sink, and only while the partition is ours. Partitions that the group takes away are held until what was handed out of them
//! is settled and committed, at most for `revoke_deadline`; past it they go uncommitted. A slow sink never makes a member leave its
//! group. An offset is never reset silently.
//!
//! Memory: the driver fetches at most `queue_bytes_max` ahead of the job (and one fetch more), and at most some 25 MiB wait here
//! for room at the job; both count beside `job.in_flight_bytes_max`.
//!
//! After partitions were *lost* (the session ended, a member was presumed dead), or let go past the deadline, the same messages may be
//! handed out a second time while their first copies are still open. That is safe: the copy's position settles only when the frontier
//! behind all sinks has passed it, and so the first copy.

pub mod assigned;
pub mod begin;
pub mod connect;
mod context;
mod headers;
pub mod partitions;
pub mod publisher;
mod reader;
pub mod replay;
pub mod settings;
mod setup;

pub use settings::Settings;
pub use setup::setup;

use super::broker::{BrokerSource, SourceContext};
use crate::error::Fatal;

/// The live source: reads its partitions for ever.
#[derive(Debug)]
pub struct KafkaSource {
    settings: Settings,
}

impl KafkaSource {
    /// A source that has not connected yet.
    pub const fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl BrokerSource for KafkaSource {
    fn run(self: Box<Self>, ends: SourceContext) {
        let condition = ends.condition.clone();
        if let Err(fatal) = reader::run(self.settings, ends) {
            condition.fail(fatal);
        }
    }
}

/// Whether a job could begin: the brokers, our login and the topics.
pub fn check(settings: &Settings) -> Result<(), Fatal> {
    let consumer = connect::consumer(settings)?;
    connect::partitions(&consumer, settings)?;
    Ok(())
}
