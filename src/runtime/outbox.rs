//! The relay of completions: each row of the outbox becomes a line of `completions.jsonl`, at least once.
//!
//! (user, batch, generation) is the identity of a completion; whoever reads the file takes a repeated one once.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::SinkError;
use crate::failpoint;
use crate::sink::writer::StateHandle;
use crate::state::{Completion, StateStore};

/// The name of the file in the store's folder.
pub const FILE: &str = "completions.jsonl";

/// Delivers what is undelivered; returns how many. Without a file nothing is delivered: the rows stay in the outbox. After one that
/// could not be written no other is tried.
pub fn relay(state: &StateHandle, file: Option<PathBuf>) -> Result<u64, SinkError> {
    let Some(path) = file else { return Ok(0) };
    state.call_until_done(move |store| deliver(store, &path))
}

/// The same, for who comes back soon: a store that is out of order is not waited for.
pub fn relay_if_possible(state: &StateHandle, file: Option<PathBuf>) -> Result<u64, SinkError> {
    let Some(path) = file else { return Ok(0) };
    state.call(move |store| deliver(store, &path))
}

fn deliver(store: &mut dyn StateStore, path: &Path) -> Result<u64, SinkError> {
    let (mut file, mut is_stuck) = (None, false);
    store.relay(&mut |completion| {
        if is_stuck {
            return false;
        }
        let appended = append(&mut file, path, completion);
        if let Err(error) = &appended {
            is_stuck = true;
            tracing::warn!(%error, "completions could not be delivered and stay in the outbox");
        }
        appended.is_ok()
    })
}

fn append(file: &mut Option<File>, path: &Path, completion: &Completion) -> io::Result<()> {
    let file = match file {
        Some(file) => file,
        None => {
            // With state in a database nothing else may have made the folder.
            path.parent().map_or(Ok(()), failpoint::create_dir_all)?;
            file.insert(failpoint::append(failpoint::Failpoint::OutboxOpen, path)?)
        }
    };
    let mut line = json!({
        "user": completion.user.as_str(),
        "batch_id": completion.batch_id,
        "generation": completion.generation,
        "cause": completion.cause,
        "completed_at": completion.completed_at.to_string(),
    })
    .to_string();
    line.push('\n');
    failpoint::write_all(failpoint::Failpoint::OutboxWrite, file, line.as_bytes())?;
    file.flush()?;
    failpoint::sync(failpoint::Failpoint::OutboxSync, file)
}
