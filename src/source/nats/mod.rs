//! NATS JetStream: a stream, and one durable pull consumer with explicit acknowledgement that all members share.
//!
//! * [`config`], [`partitions`]: what is configured, and which partitions a member reads where a stream has some;
//! * [`connect`], [`stream`]: reaching a server, making and checking the stream and its consumers;
//! * [`held`], [`acks`], [`pull`], [`ack_subject`]: pure: what is held, what is acknowledged, what was asked for;
//! * `wire`: the connection on which messages arrive;
//! * `reader`: moves messages to the job and acknowledgements back;
//! * [`replay`]: the stream's past; [`publisher`]: the other direction.
//!
//! Contract (beside that of [`Source`]): a message is acknowledged when everything in it is durable in every sink.
//! A message that is held is handed out once, however often the server delivers it; a redelivery only replaces its ack subject.
//! Records are of partition 0, and their offsets count receipts: a member sees gaps in the stream's sequence, which is the origin of
//! a record. A message that is held for a third of `ack_wait` has its lease extended, until `lease_max` after its delivery, and not
//! while the state store's breaker is open. A stream or consumer that disappears is never made anew here.

pub mod ack_subject;
pub mod acks;
pub mod config;
pub mod connect;
mod connection_status;
pub mod held;
pub mod partitions;
pub mod publisher;
pub mod pull;
mod reader;
pub mod replay;
mod start;
pub mod stream;
mod wire;

pub use config::NatsConfig;

use super::connector::{Connector, Source, SourceError};
use super::context::SourceContext;
use super::outgoing::{OutgoingContent, OutgoingMessage, Published};
use super::pace::Pace;
use super::replay::ReplayRange;
use crate::error::{Exit, Fatal};

/// The live source: reads for ever.
#[derive(Debug)]
pub struct NatsSource {
    config: NatsConfig,
}

impl NatsSource {
    /// A source that has not connected yet.
    pub const fn new(config: NatsConfig) -> Self {
        Self { config }
    }
}

impl Source for NatsSource {
    fn run(self: Box<Self>, context: SourceContext) -> Result<(), Fatal> {
        runtime()?.block_on(start::run(self.config, context))
    }

    fn commits_offsets(&self) -> bool {
        true
    }
}

/// NATS as the configuration describes it.
#[derive(Debug)]
pub struct NatsConnector {
    config: NatsConfig,
}

impl NatsConnector {
    /// A connector that has not connected yet.
    pub const fn new(config: NatsConfig) -> Self {
        Self { config }
    }
}

impl Connector for NatsConnector {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn identity(&self) -> String {
        format!("nats {}", self.config.stream)
    }

    fn member(&self) -> String {
        format!("{} {:?}", self.config.stream, self.config.partitions)
    }

    fn live(&self) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(NatsSource::new(self.config.clone())))
    }

    fn replay(&self, range: ReplayRange) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(replay::NatsReplay::new(
            self.config.clone(),
            range,
        )))
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
        let subject = &self.config.subject;
        let messages = messages.map(|message| match message.content {
            OutgoingContent::Delivery(delivery) => {
                publisher::NatsMessage::delivery(subject, &message.id, &delivery)
            }
            OutgoingContent::Malformed(body) => {
                publisher::NatsMessage::junk(subject, &message.id, body)
            }
        });
        let published = publisher::publish(&self.config.connection, messages, pace)?;
        Ok(Published {
            messages: published.messages,
            duplicates: Some(published.duplicates),
        })
    }
}

/// The client library and the source share one thread: a message crosses no other on its way.
pub fn runtime() -> Result<tokio::runtime::Runtime, Fatal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| Fatal::new(Exit::Internal, format!("no runtime for NATS: {error}")))
}

/// Checks whether a job could begin: the server, the login, the stream and the consumers of this member.
pub fn check(config: &NatsConfig) -> Result<(), Fatal> {
    runtime()?.block_on(async {
        let client = connect::connect(&config.connection, |_| {}).await?;
        let found = stream::find(&async_nats::jetstream::new(client), config).await?;
        Ok(stream::check(&found, config)?)
    })
}

/// Creates the stream and its consumers, or checks those that exist. Answers what it did, one sentence each.
pub fn setup(config: &NatsConfig) -> Result<Vec<String>, Fatal> {
    runtime()?.block_on(async {
        let client = connect::connect(&config.connection, |_| {}).await?;
        let mut done = stream::setup(&async_nats::jetstream::new(client), config).await?;
        let consumers = match &config.partitions {
            None => format!("the consumer {} is shared by all members", config.consumer),
            Some(partitions) => format!("{} partitions, a consumer each", partitions.count),
        };
        done.push(format!(
            "stream {}: {consumers}; publish to {}.<provider>.<user>",
            config.stream, config.subject
        ));
        Ok(done)
    })
}
