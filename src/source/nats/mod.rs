//! NATS JetStream: a stream spread over partitions, one durable pull consumer a partition.
//!
//! * [`settings`], [`assign`]: what is set, and which partitions a member reads;
//! * [`connect`], [`stream`]: reaching a server, making and checking the stream and its consumers;
//! * [`partition`], [`pull`], [`missing`], [`token`], [`losses`]: pure bookkeeping of what was asked for, delivered, settled and acknowledged;
//! * `wire`: the connection over which messages come, apart from the driver's;
//! * `reader`: moves messages to the job and acknowledgements back; `watch` looks at the server beside it;
//! * [`replay`]: the stream's past; [`publisher`]: the other direction.
//!
//! Contract (beside that of [`Source`]): a message is handed out once while it is open, however often the server delivers
//! it; a redelivery only replaces the subject by which it is acknowledged. Nothing is acknowledged that is not durable in
//! every sink. What is held longer than a third of `ack_wait` is reported as worked on. A consumer or stream that
//! disappears is never made anew here.

pub mod assign;
pub mod connect;
mod link;
pub mod losses;
pub mod missing;
pub mod partition;
pub mod publisher;
pub mod pull;
mod reader;
pub mod replay;
pub mod settings;
mod start;
pub mod stream;
pub mod token;
mod watch;
mod wire;

pub use settings::Settings;

use super::connector::{Connector, Source, SourceError};
use super::context::SourceContext;
use super::outgoing::{OutgoingContent, OutgoingMessage, Published};
use super::pace::Pace;
use super::replay::ReplayRange;
use crate::error::{Exit, Fatal};

/// The live source: reads its partitions for ever.
#[derive(Debug)]
pub struct NatsSource {
    settings: Settings,
}

impl NatsSource {
    /// A source that has not connected yet.
    pub const fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl Source for NatsSource {
    fn run(self: Box<Self>, context: SourceContext) -> Result<(), Fatal> {
        runtime()?.block_on(start::run(self.settings, context))
    }

    fn commits_offsets(&self) -> bool {
        true
    }
}

/// NATS as the configuration describes it.
#[derive(Debug)]
pub struct NatsConnector {
    settings: Settings,
}

impl NatsConnector {
    /// Connects to nothing yet.
    pub const fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl Connector for NatsConnector {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn identity(&self) -> String {
        format!("nats {}", self.settings.stream)
    }

    fn member(&self) -> String {
        format!("{} {:?}", self.settings.stream, self.settings.partitions)
    }

    fn live(&self) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(NatsSource::new(self.settings.clone())))
    }

    fn replay(&self, range: ReplayRange) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(replay::NatsReplay::new(
            self.settings.clone(),
            range,
        )))
    }

    fn preflight(&self) -> Result<(), SourceError> {
        Ok(check(&self.settings)?)
    }

    fn setup(&self) -> Result<Vec<String>, SourceError> {
        Ok(setup(&self.settings)?)
    }

    fn publish(
        &self,
        messages: &mut dyn Iterator<Item = OutgoingMessage>,
        pace: Pace,
    ) -> Result<Published, SourceError> {
        let subject = &self.settings.subject;
        let messages = messages.map(|message| match message.content {
            OutgoingContent::Delivery(delivery) => {
                publisher::Outgoing::delivery(subject, &message.id, &delivery)
            }
            OutgoingContent::Malformed(body) => {
                publisher::Outgoing::junk(subject, &message.id, body)
            }
        });
        let published = publisher::publish(&self.settings.connection, messages, pace)?;
        Ok(Published {
            messages: published.messages,
            duplicates: Some(published.duplicates),
        })
    }
}

/// The driver and the source share one thread: a message passes no other on its way.
pub fn runtime() -> Result<tokio::runtime::Runtime, Fatal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| Fatal::new(Exit::Watchdog, format!("no runtime for NATS: {error}")))
}

/// Whether a job could begin: the server, our login, the stream and the consumers of our partitions.
pub fn check(settings: &Settings) -> Result<(), Fatal> {
    runtime()?.block_on(async {
        let client = connect::connect(&settings.connection, |_| {}).await?;
        let found = stream::find(&async_nats::jetstream::new(client), settings).await?;
        Ok(stream::check(&found, settings)?)
    })
}

/// Creates the stream and its consumers, or checks those that are there. Answers what it did, a sentence each.
pub fn setup(settings: &Settings) -> Result<Vec<String>, Fatal> {
    runtime()?.block_on(async {
        let client = connect::connect(&settings.connection, |_| {}).await?;
        let context = async_nats::jetstream::new(client);
        let mut done = stream::setup(&context, settings).await?;
        let ready = match settings.partitions.is_whole() {
            true => "ready to be read as a whole, by one member".to_owned(),
            false => format!("{} partitions ready", assign::LANES),
        };
        done.push(format!(
            "stream {}: {ready}; publish to {}.<provider>.<user>",
            settings.stream, settings.subject
        ));
        Ok(done)
    })
}
