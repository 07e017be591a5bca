//! The threads of a job between its start and its end.

use super::housekeeping::Housekeeping;
use super::settlement::Settlement;
use super::workers::Workers;
use crate::error::Fatal;
use crate::settle::Lanes;

/// What works side by side.
pub struct Running {
    /// The dataflow.
    pub workers: Workers,
    /// What is settled.
    pub settlement: Settlement,
    /// What is done now and then.
    pub housekeeping: Housekeeping,
}

impl Running {
    /// Waits for all of it; to be called once the workers have ended.
    pub fn end(self) -> Result<Lanes, Fatal> {
        drop(self.workers);
        self.housekeeping.end()?;
        Ok(self.settlement.end()?)
    }
}
