//! The event log as Parquet files in a folder: embedded, queryable by `hookflow events`, DuckDB and the like.
//!
//! ```text
//! <folder>/day=<UTC day of writing>/<run>-<seq>.parquet     one file per append
//! ```
//!
//! Contract:
//!
//! * A file is written under a temporary name, synced, renamed, and its folder synced, before an append returns. A crash
//!   leaves a whole file or one that readers ignore and the next start removes.
//! * A repeated append makes a second file; readers take each identity once, at its highest version, over all files.
//!   Of copies of one version they take the one that was received first.
//! * Compaction makes the merged file durable before it removes those it replaces, so that a crash at any moment
//!   leaves at worst copies, which readers fold.
//! * The day is that of writing, so that a file never changes its place; the time of the event is a column.
//!
//! Any reader gets the exact view by picking, for each `identity`, the row with the highest `version`.

mod chunk;
mod compact;
mod encode;
mod error;
mod event;
mod filter;
mod folder;
mod query;
mod schema;
mod top;
mod values;

use std::path::Path;

pub use encode::Encoder;
pub use query::{events, for_each};

use self::folder::Folder;
use super::{EventLog, LogRow};
use crate::error::SinkError;
use crate::event::Millis;

/// Where the log reads the wall clock, for the names of its files and folders.
pub type WallClock = Box<dyn Fn() -> Millis + Send>;

/// A log in a folder.
pub struct ParquetLog {
    folder: Folder,
    encoder: Encoder,
    now: WallClock,
}

impl ParquetLog {
    /// Opens the log in that folder, making it if needed, and removes what a crash left behind.
    pub fn open(folder: &Path) -> Result<Self, SinkError> {
        Self::open_at(folder, Box::new(Millis::now))
    }

    /// Like [`Self::open`], with a wall clock of the caller's.
    pub fn open_at(folder: &Path, now: WallClock) -> Result<Self, SinkError> {
        Ok(Self {
            folder: Folder::open(folder, now()).map_err(|error| error::io(&error))?,
            encoder: Encoder::new()?,
            now,
        })
    }
}

impl EventLog for ParquetLog {
    fn append(&mut self, rows: &[LogRow]) -> Result<(), SinkError> {
        if rows.is_empty() {
            return Ok(());
        }
        let bytes = self.encoder.rows(rows)?;
        let put = self.folder.put((self.now)(), &bytes);
        put.map(drop).map_err(|error| error::io(&error))
    }

    fn compact(&mut self) -> Result<(), SinkError> {
        compact::all(&mut self.folder, &self.encoder)
    }
}
