//! The calls behind the commands that look at stores: one function each, and nowhere else.
//!
//! Each answers with the store's views as JSON objects; filters that a store does not know are applied by the caller. They
//! are *wired by the job*: until a store stands behind them they say so and end with exit code 78.

use std::path::Path;

use serde_json::Value;

use super::args::{EventsArgs, GenerateArgs, PruneArgs};
use crate::error::{Exit, Fatal};

/// Rows for people or programs.
pub type Rows = Result<Vec<Value>, Fatal>;

/// `generate`: writes the sample, answers what was written where. Wired by the job.
pub fn generate(_what: &GenerateArgs) -> Result<String, Fatal> {
    Err(not_wired("generate"))
}

/// `events`: the exact view of the log, with every filter and the limit applied. Wired by the job.
pub fn events(_store: &Path, _what: &EventsArgs) -> Rows {
    Err(not_wired("events"))
}

/// `recipient`: state rows that the needle names. Wired by the job.
pub fn recipient(_store: &Path, _needle: &str) -> Rows {
    Err(not_wired("recipient"))
}

/// `batches`: all batches with their counters. Wired by the job.
pub fn batches(_store: &Path) -> Rows {
    Err(not_wired("batches"))
}

/// `completions`: all of the outbox. Wired by the job.
pub fn completions(_store: &Path) -> Rows {
    Err(not_wired("completions"))
}

/// `unmatched list`: the parked events, oldest first. Wired by the job.
pub fn unmatched(_store: &Path, _limit: u64) -> Rows {
    Err(not_wired("unmatched list"))
}

/// `dlq list`: dead letters without their raw bytes. Wired by the job.
pub fn dead_letters(_store: &Path, _limit: u64) -> Rows {
    Err(not_wired("dlq list"))
}

/// `dlq show`: one dead letter with `headers`, `raw_text` (if it is UTF-8) and `raw_base64`. Wired by the job.
pub fn dead_letter(_store: &Path, _id: &str) -> Result<Option<Value>, Fatal> {
    Err(not_wired("dlq show"))
}

/// `prune`: how many ledger entries were forgotten. Wired by the job.
pub fn prune(_store: &Path, _what: &PruneArgs) -> Result<u64, Fatal> {
    Err(not_wired("prune"))
}

fn not_wired(command: &str) -> Fatal {
    let message = format!("{command}: not wired to a store in this build");
    Fatal::new(Exit::Config, message)
}
