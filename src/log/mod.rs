//! The event log: every event that reaches the sinks, duplicates of the state store included.
//!
//! Contract: an append is durable when it returns, can be repeated, and readers see each identity once, at its
//! highest version ([`Version`]).

pub mod clickhouse;
pub mod null;
mod pace;
pub mod parquet;
mod view;

use compact_str::CompactString;

pub use pace::LogPace;
pub use view::{EventFilter, LoggedEvent};

use crate::error::SinkError;
use crate::event::Event;

/// Which of two log rows of one event readers take: the higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    /// Logged while its recipient was unknown.
    Unmatched = 0,
    /// Logged with its recipient.
    Matched = 1,
}

/// One row of the log.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// The event.
    pub event: Event,
    /// Whether its recipient was known.
    pub version: Version,
    /// The batch; empty if unknown or none.
    pub batch_id: CompactString,
    /// The recipient within the batch; empty if unknown.
    pub recipient_id: CompactString,
}

impl LogRow {
    /// About how many bytes a writer holds for it: values that it shares with other rows count in full.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.event.weight() + self.batch_id.len() + self.recipient_id.len()
    }
}

/// Where the log becomes durable. Calls come from one writer thread; they block until the rows are durable.
pub trait EventLog: Send {
    /// Appends rows, durably.
    fn append(&mut self, rows: &[LogRow]) -> Result<(), SinkError>;

    /// What it asks of its window, if that can change while it runs.
    fn pace(&self) -> Option<LogPace> {
        None
    }

    /// Called once at drain: merges what many small appends left behind. Optional work; a failure loses nothing.
    fn compact(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
