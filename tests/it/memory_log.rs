//! The log in memory: the reference that the durable logs are compared with.
//!
//! Contract: rows live in a store that is shared by every log opened on it, so that "reopened after a crash" can be
//! said of it too.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hookflow::error::SinkError;
use hookflow::event::Millis;
use hookflow::key::Identity;
use hookflow::log::{EventLog, LogRow, Version};

/// The rows that logs opened on it share.
pub type LoggedRows = Arc<Mutex<Vec<LogRow>>>;

/// A log that keeps its rows in memory.
#[derive(Default)]
pub struct MemoryLog {
    rows: LoggedRows,
}

impl MemoryLog {
    /// A log over rows that may hold some already.
    pub fn open(rows: LoggedRows) -> Self {
        Self { rows }
    }
}

impl EventLog for MemoryLog {
    fn append(&mut self, rows: &[LogRow]) -> Result<(), SinkError> {
        self.rows.lock().unwrap().extend_from_slice(rows);
        Ok(())
    }

    fn compact(&mut self) -> Result<(), SinkError> {
        let exact = exact_view(&self.rows);
        *self.rows.lock().unwrap() = exact;
        Ok(())
    }
}

/// What readers see: each identity once, at its highest version, in the order of identities.
///
/// Of two rows of one version it takes the one that was received first.
pub fn exact_view(rows: &LoggedRows) -> Vec<LogRow> {
    let rows = rows.lock().unwrap();
    let mut best: BTreeMap<Identity, &LogRow> = BTreeMap::new();
    for row in rows.iter() {
        let held = best.entry(row.event.identity).or_insert(row);
        if rank(row) > rank(held) {
            *held = row;
        }
    }
    best.into_values().cloned().collect()
}

fn rank(row: &LogRow) -> (Version, Reverse<Millis>) {
    (row.version, Reverse(row.event.delivery.received_at))
}
