//! The threads of a job between its start and its end.

use std::time::Duration;

use super::completions::Completions;
use super::housekeeping::Housekeeping;
use super::input::RunningSource;
use super::polls::{Looks, Polls};
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
    /// What completes batches and tells it.
    pub completions: Completions,
    /// Who looks at the user's own tables, if there are any.
    pub polls: Option<Polls>,
    /// The source.
    pub source: RunningSource,
    /// How the source is.
    pub source_health: SourceHealth,
}

/// What looks at the user's own tables, once nobody else does.
pub type Tables = Option<(TableLoader, Looks)>;

impl Running {
    /// Waits for all of it; to be called once the workers have ended. A source that acknowledges gets `wait` for its last
    /// acknowledgements; what it did not get through is delivered again, so that is an unfinished end and no loss.
    pub fn end(self, wait: Duration) -> Result<(SourceReport, Tables), Fatal> {
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
