//! The interface of a source: what the configuration describes ([`Connector`]), and what runs ([`Source`]).
//!
//! A new broker is a folder here that implements both traits, a line in the registry (`config::sources`) and its section of the
//! configuration. A verb that a connector does not implement answers with [`SourceError::Unsupported`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::connect_error::ConnectError;
use super::context::SourceContext;
use super::outgoing::{OutgoingMessage, Published};
use super::pace::Pace;
use super::replay::ReplayRange;
use crate::error::{Exit, Fatal};
use crate::generator::SenderTables;

/// A source as the configuration describes it. Nothing is connected before a verb is called; every verb blocks.
pub trait Connector: Send + Sync {
    /// Its name in the configuration (`source.live`).
    fn name(&self) -> &'static str;

    /// What is read, as text: jobs that read the same share their progress.
    fn identity(&self) -> String;

    /// What distinguishes this member from others that share the work, as text.
    fn member(&self) -> String {
        String::new()
    }

    /// The source of a job that does not end by itself.
    fn live(&self) -> Result<Box<dyn Source>, SourceError> {
        Err(self.unsupported("be read live", "set source.live"))
    }

    /// The source of a job that ends at what the source holds when it begins.
    fn replay(&self, _range: ReplayRange) -> Result<Box<dyn Source>, SourceError> {
        Err(self.unsupported("be replayed", "set source.live to \"nats\" or \"kafka\""))
    }

    /// Checks whether a job could begin. Makes and changes nothing.
    fn preflight(&self) -> Result<(), SourceError> {
        Ok(())
    }

    /// Makes or checks what a job needs at the broker. Answers what was done, one sentence each.
    fn setup(&self) -> Result<Vec<String>, SourceError> {
        Ok(vec![format!(
            "{} needs no setup: see source.live",
            self.name()
        )])
    }

    /// Publishes every message when it is due; returns when the broker has confirmed all of them.
    fn publish(
        &self,
        _messages: &mut dyn Iterator<Item = OutgoingMessage>,
        _pace: Pace,
    ) -> Result<Published, SourceError> {
        Err(self.unsupported(
            "be published to",
            "set source.live to \"nats\" or \"kafka\"",
        ))
    }

    /// The error of a verb that this connector does not support.
    fn unsupported(&self, verb: &'static str, advice: &'static str) -> SourceError {
        SourceError::Unsupported {
            connector: self.name(),
            verb,
            advice,
        }
    }
}

/// A source that is ready to run. It runs on a thread of its own.
pub trait Source: Send {
    /// Reads and hands out records until the stop flag is raised or the input ends. A source that
    /// [commits](Self::commits_offsets) drops its [`RecordSender`](super::RecordSender) then, and goes on committing until
    /// the commit channel is disconnected and its last commits are confirmed.
    fn run(self: Box<Self>, context: SourceContext) -> Result<(), Fatal>;

    /// Whether the source itself commits settled offsets. Otherwise the job stores them as checkpoints.
    fn commits_offsets(&self) -> bool {
        false
    }

    /// Recipients and batches that the source itself knows; they are loaded before the first record is read.
    fn tables(&self) -> Option<&SenderTables> {
        None
    }

    /// The processor time that making the records uses, which is not the job's.
    fn production_time(&self) -> ProductionTime {
        ProductionTime::default()
    }
}

/// Processor time that making records uses. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct ProductionTime(pub Arc<AtomicU64>);

impl ProductionTime {
    /// So far.
    pub fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Why a verb of a [`Connector`] failed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The connector does not have this verb.
    #[error("{connector} cannot {verb}: {advice}")]
    Unsupported {
        /// The connector's name.
        connector: &'static str,
        /// What was asked for, after "cannot".
        verb: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// This range cannot be replayed.
    #[error("{0}")]
    InvalidRange(String),
    /// The broker.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// An error with an exit code of its own.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

impl From<SourceError> for Fatal {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Unsupported { .. } => Fatal::new(Exit::Config, error.to_string()),
            SourceError::InvalidRange(message) => Fatal::new(Exit::Usage, message),
            SourceError::Connect(error) => error.into(),
            SourceError::Fatal(fatal) => fatal,
        }
    }
}
