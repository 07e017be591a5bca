//! Recipients and batches from files.
//!
//! | file | columns (those after the semicolon are optional) |
//! |---|---|
//! | recipients | `provider`, `message_id`, `recipient`, `user_id`, `batch_id`, `recipient_id`; `sent_at` |
//! | batches | `id`, `user`, `total`, `sealed_at`; `deadline` |
//!
//! CSV with a header, or JSON Lines whose first object has the columns; plain, `.gz` or `.zst`. An empty user is the default
//! tenant, an empty batch is transactional mail, times are RFC 3339. Consecutive rows of one message come in one chunk,
//! because an event without a recipient matches only if its message has exactly one.
//!
//! A bad row is reported with its line and the rest is read. A CSV file with broken quotes is refused, as is one with a row
//! over 1 MiB.

mod columns;
mod csv_rows;
mod file;
mod json_rows;
mod rows;

use std::fmt;
use std::path::{Path, PathBuf};

pub use columns::{ColumnNames, RowCells};
pub use rows::{GivenRow, LoadableRow};

use self::file::{RowAt, SnapshotFile};
use crate::error::Fatal;
use crate::event::User;
use crate::recipient::{BatchRow, RecipientRow};

/// How files are read.
#[derive(Clone, Debug)]
pub struct SnapshotOptions {
    /// The tenant of rows that name none.
    pub default_user: User,
    /// Number of rows of a chunk; more only where a message would be cut.
    pub chunk_rows: usize,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self {
            default_user: User::new("default"),
            chunk_rows: 5_000,
        }
    }
}

/// A row that could not be read. The reason names columns, never their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// The file.
    pub file: PathBuf,
    /// The line at which the row starts, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.reason)
    }
}

/// Some consecutive rows, good and bad.
#[derive(Clone, Debug)]
pub struct RowChunk<T> {
    /// The good rows, in the order of the source.
    pub rows: Vec<T>,
    /// The bad rows.
    pub bad: Vec<BadRow>,
}

/// Opens a file of recipients.
pub fn recipients(
    path: &Path,
    options: &SnapshotOptions,
) -> Result<SnapshotChunks<RecipientRow>, Fatal> {
    SnapshotChunks::open(path, options)
}

/// Opens a file of batches.
pub fn batches(path: &Path, options: &SnapshotOptions) -> Result<SnapshotChunks<BatchRow>, Fatal> {
    SnapshotChunks::open(path, options)
}

/// The chunks of one file. After an error there are no more.
pub struct SnapshotChunks<T> {
    file: SnapshotFile,
    options: SnapshotOptions,
    /// The row that begins the next chunk.
    next: Option<T>,
    has_ended: bool,
}

impl<T> fmt::Debug for SnapshotChunks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotChunks({})", self.file.path().display())
    }
}

impl<T: LoadableRow> SnapshotChunks<T> {
    fn open(path: &Path, options: &SnapshotOptions) -> Result<Self, Fatal> {
        Ok(Self {
            file: SnapshotFile::open(path, T::COLUMNS)?,
            options: options.clone(),
            next: None,
            has_ended: false,
        })
    }

    fn next_chunk(&mut self) -> Result<RowChunk<T>, Fatal> {
        let mut chunk = RowChunk {
            rows: Vec::from_iter(self.next.take()),
            bad: Vec::new(),
        };
        let full = self.options.chunk_rows.max(1);
        while chunk.bad.len() < full {
            let Some(row) = self.file.next_row()? else {
                self.has_ended = true;
                break;
            };
            match self.read(row) {
                Err(bad) => chunk.bad.push(bad),
                Ok(row) if chunk.rows.len() >= full && !continues(&chunk.rows, &row) => {
                    self.next = Some(row);
                    break;
                }
                Ok(row) => chunk.rows.push(row),
            }
        }
        Ok(chunk)
    }

    fn read(&self, row: RowAt) -> Result<T, BadRow> {
        let read = row.cells.and_then(|cells| T::read(cells, &self.options));
        read.map_err(|reason| BadRow {
            file: self.file.path().to_owned(),
            line: row.line,
            reason,
        })
    }
}

fn continues<T: LoadableRow>(rows: &[T], row: &T) -> bool {
    rows.last().is_some_and(|last| last.is_same_message(row))
}

impl<T: LoadableRow> Iterator for SnapshotChunks<T> {
    type Item = Result<RowChunk<T>, Fatal>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended && self.next.is_none() {
            return None;
        }
        match self.next_chunk() {
            Ok(chunk) if chunk.rows.is_empty() && chunk.bad.is_empty() => None,
            Ok(chunk) => Some(Ok(chunk)),
            Err(fatal) => {
                self.has_ended = true;
                Some(Err(fatal))
            }
        }
    }
}

#[cfg(test)]
mod tests;
