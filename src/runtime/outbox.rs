//! The relay of completions: each row of the outbox becomes a line of `completions.jsonl`, at least once, in pages.
//!
//! (user, batch, generation) is the identity of a completion; whoever reads the file takes a repeated one once.

use std::path::PathBuf;

use super::completion_file;
use crate::error::{Class, SinkError};
use crate::state::CompletionOutbox;

/// The name of the file in the store's folder.
pub const FILE: &str = "completions.jsonl";

/// Completions of one page: they are synced once and marked in one transaction.
const PAGE: usize = 1_000;

/// Delivers completions to a file, on the thread that calls it and over the outbox's own connection.
pub struct CompletionRelay {
    outbox: Box<dyn CompletionOutbox>,
    file: PathBuf,
}

impl CompletionRelay {
    /// A relay from an outbox to a file, which is made at the first completion.
    pub fn new(outbox: Box<dyn CompletionOutbox>, file: PathBuf) -> Self {
        Self { outbox, file }
    }

    /// Delivers what is undelivered, page by page; returns how many. What cannot be written stays in the outbox, is an
    /// outage, and is offered again by the next call.
    pub fn relay(&mut self) -> Result<u64, SinkError> {
        let mut delivered = 0;
        loop {
            let mut failed = None;
            let page = self.outbox.relay_page(PAGE, &mut |page| {
                failed = completion_file::append(&self.file, page).err();
                failed.is_none()
            })?;
            if let Some(error) = failed {
                let message = format!("completions cannot be written to their file: {error}");
                return Err(SinkError::new("completions", Class::Outage, message));
            }
            delivered += page as u64;
            if page < PAGE {
                return Ok(delivered);
            }
        }
    }
}
