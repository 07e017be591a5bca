//! The threads of a job between its start and its end.

use std::time::Duration;

use super::housekeeping::Housekeeping;
use super::input::Reading;
use super::settlement::Settlement;
use super::workers::Workers;
use crate::error::{Exit, Fatal};
use crate::settle::Lanes;
use crate::source::broker::Condition;

/// What works side by side.
pub struct Running {
    /// The dataflow.
    pub workers: Workers,
    /// What is settled.
    pub settlement: Settlement,
    /// What is done now and then.
    pub housekeeping: Housekeeping,
    /// The source.
    pub reading: Reading,
    /// How the source is.
    pub condition: Condition,
}

impl Running {
    /// Waits for all of it; to be called once the workers have ended. A source that acknowledges gets `wait` for its last
    /// acknowledgements; what it did not get through is delivered again, so that is an unfinished end and no loss.
    pub fn end(self, wait: Duration) -> Result<Lanes, Fatal> {
        drop(self.workers);
        self.housekeeping.end()?;
        let lanes = self.settlement.end()?;
        if !self.reading.ended_within(wait) {
            let message = "the broker did not confirm the last acknowledgements in time; start again to go on";
            return Err(Fatal::new(Exit::Unfinished, message));
        }
        self.condition.take_failure().map_or(Ok(lanes), Err)
    }
}
