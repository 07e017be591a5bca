//! The threads of a job between its start and its end.

use std::time::Duration;

use super::completions::Completions;
use super::housekeeping::Housekeeping;
use super::input::RunningSource;
use super::polls::{PollStatus, Polls};
use super::settlement::{Settlement, SourceReport};
use super::tables::TableLoader;
use super::workers::Workers;
use crate::error::{Exit, Fatal};
use crate::source::SourceHealth;

/// What works side by side.
pub struct Running {
    /// The dataflow.
    pub workers: Workers,
    /// What is settled.
    pub settlement: Settlement,
    /// What is done now and then.
    pub housekeeping: Housekeeping,
    /// Completes batches and delivers the completions.
    pub completions: Completions,
    /// The thread that polls the user's own tables, if there are any.
    pub polls: Option<Polls>,
    /// The source.
    pub source: RunningSource,
    /// How the source is.
    pub source_health: SourceHealth,
}

/// The user's own tables and their status, while no thread polls them.
pub type PolledTables = Option<(TableLoader, PollStatus)>;

impl Running {
    /// Waits for all of it; to be called once the workers have ended. A source that acknowledges gets `wait` for its last
    /// acknowledgements; what it did not get through is delivered again, so that is an unfinished end and no loss.
    pub fn end(self, wait: Duration) -> Result<(SourceReport, PolledTables), Fatal> {
        drop(self.workers);
        let tables = self.polls.and_then(Polls::end);
        self.completions.end();
        self.housekeeping.end()?;
        let report = self.settlement.end()?;
        if !self.source.has_ended_within(wait) {
            let message = "the broker did not confirm the last acknowledgements in time; start again to go on";
            return Err(Fatal::new(Exit::Unfinished, message));
        }
        self.source_health
            .take_failure()
            .map_or(Ok((report, tables)), Err)
    }
}
