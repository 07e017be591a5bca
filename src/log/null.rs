//! A log that keeps nothing: for measuring the dataflow alone, and for dry runs.

use super::{EventLog, LogRow};
use crate::error::SinkError;

/// Answers at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullLog;

impl EventLog for NullLog {
    fn append(&mut self, _rows: &[LogRow]) -> Result<(), SinkError> {
        Ok(())
    }
}
