//! Recipients and batches from files.
//!
//! | file | columns (those after the semicolon may be missing) |
//! |---|---|
//! | recipients | `provider`, `message_id`, `recipient`, `user_id`, `batch_id`, `recipient_id`; `sent_at` |
//! | batches | `id`, `user`, `total`, `sealed_at`; `deadline` |
//!
//! CSV with a header, or JSON Lines whose first object has the columns; plain, `.gz` or `.zst`. An empty user is the default
//! tenant, an empty batch transactional mail, times are RFC 3339. Rows of one message that follow each other come in one chunk,
//! because an event without a recipient matches only if its message has exactly one.

use std::fmt;
use std::path::{Path, PathBuf};

use super::table::{Columns, Fields, Line, Table};
use crate::decode::join_id;
use crate::error::Fatal;
use crate::event::{Millis, Provider, User};
use crate::key::{AddressKey, JoinKey, RowKey};
use crate::recipient::{BATCH_KEY_BYTES_MAX, BatchRow, RecipientRow};

/// How files are read.
#[derive(Clone, Debug)]
pub struct Options {
    /// The tenant of rows that name none.
    pub default_user: User,
    /// How many rows a chunk has; more only where a message would be cut.
    pub chunk_rows: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            default_user: User::new("default"),
            chunk_rows: 5_000,
        }
    }
}

/// A row that could not be taken. The reason names columns, never what they hold.
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

/// Some rows of a file, good and bad.
#[derive(Clone, Debug)]
pub struct Chunk<T> {
    /// The good ones, in the order of the file.
    pub rows: Vec<T>,
    /// The bad ones.
    pub bad: Vec<BadRow>,
}

/// Opens a file of recipients.
pub fn recipients(path: &Path, options: &Options) -> Result<Chunks<RecipientRow>, Fatal> {
    Chunks::open(path, options)
}

/// Opens a file of batches.
pub fn batches(path: &Path, options: &Options) -> Result<Chunks<BatchRow>, Fatal> {
    Chunks::open(path, options)
}

/// The chunks of one file. After an error there are no more.
pub struct Chunks<T> {
    table: Table,
    options: Options,
    /// The row that begins the next chunk.
    held: Option<T>,
    ended: bool,
}

impl<T> fmt::Debug for Chunks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunks({})", self.table.path().display())
    }
}

impl<T: Row> Chunks<T> {
    fn open(path: &Path, options: &Options) -> Result<Self, Fatal> {
        Ok(Self {
            table: Table::open(path, T::COLUMNS)?,
            options: options.clone(),
            held: None,
            ended: false,
        })
    }

    fn next_chunk(&mut self) -> Result<Chunk<T>, Fatal> {
        let mut chunk = Chunk {
            rows: Vec::from_iter(self.held.take()),
            bad: Vec::new(),
        };
        let full = self.options.chunk_rows.max(1);
        while chunk.bad.len() < full {
            let Some(line) = self.table.next_line()? else {
                self.ended = true;
                break;
            };
            match self.read(line) {
                Err(bad) => chunk.bad.push(bad),
                Ok(row) if chunk.rows.len() >= full && !continues(&chunk.rows, &row) => {
                    self.held = Some(row);
                    break;
                }
                Ok(row) => chunk.rows.push(row),
            }
        }
        Ok(chunk)
    }

    fn read(&self, line: Line) -> Result<T, BadRow> {
        let row = line
            .fields
            .and_then(|fields| T::read(fields, &self.options));
        row.map_err(|reason| BadRow {
            file: self.table.path().to_owned(),
            line: line.number,
            reason,
        })
    }
}

fn continues<T: Row>(rows: &[T], row: &T) -> bool {
    rows.last().is_some_and(|last| last.same_message(row))
}

impl<T: Row> Iterator for Chunks<T> {
    type Item = Result<Chunk<T>, Fatal>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended && self.held.is_none() {
            return None;
        }
        match self.next_chunk() {
            Ok(chunk) if chunk.rows.is_empty() && chunk.bad.is_empty() => None,
            Ok(chunk) => Some(Ok(chunk)),
            Err(fatal) => {
                self.ended = true;
                Some(Err(fatal))
            }
        }
    }
}

/// A recipient as the sender gives it.
#[derive(Clone, Copy, Debug)]
pub struct GivenRow<'a> {
    /// The provider, in any case.
    pub provider: &'a str,
    /// The message id as the sender knows it, with or without angle brackets.
    pub message_id: &'a str,
    /// The address, in any case.
    pub recipient: &'a str,
    /// The tenant.
    pub user: &'a str,
    /// The batch; empty for transactional mail.
    pub batch_id: &'a str,
    /// The recipient within the batch.
    pub recipient_id: &'a str,
    /// When it was sent.
    pub sent_at: Option<Millis>,
}

impl RecipientRow {
    /// Normalises what was given, and makes its keys.
    pub fn new(given: GivenRow<'_>) -> Self {
        let provider = Provider::new(given.provider.to_ascii_lowercase());
        let (user, message_id) = (User::new(given.user), bare(given.message_id));
        let recipient = given.recipient.to_ascii_lowercase();
        Self {
            join: JoinKey::of(&user, &provider, join_id(provider.as_str(), message_id)),
            address: AddressKey::of(&recipient),
            row: RowKey::of(&user, given.batch_id, given.recipient_id),
            message_id: message_id.to_owned(),
            batch_id: given.batch_id.into(),
            recipient_id: given.recipient_id.into(),
            sent_at: given.sent_at,
            user,
            provider,
            recipient,
        }
    }
}

/// A kind of row that files hold.
pub trait Row: Sized {
    /// The columns of such files.
    const COLUMNS: Columns;

    /// Reads a row, or says why it is none.
    fn read(fields: Fields, options: &Options) -> Result<Self, String>;

    /// Whether a chunk must not end between the two.
    fn same_message(&self, next: &Self) -> bool;

    /// When it was sent, if that is known.
    fn sent_at(&self) -> Option<Millis> {
        None
    }
}

impl Row for RecipientRow {
    const COLUMNS: Columns = Columns {
        names: &[
            "provider",
            "message_id",
            "recipient",
            "user_id",
            "batch_id",
            "recipient_id",
            "sent_at",
        ],
        required: 6,
    };

    fn read(fields: Fields, options: &Options) -> Result<Self, String> {
        let mut fields = Cells::new(Self::COLUMNS, fields);
        Ok(Self::new(GivenRow {
            provider: &fields.needed()?,
            message_id: &fields.needed()?,
            recipient: &fields.needed()?,
            user: user(fields.key()?, options).as_str(),
            batch_id: &fields.key()?.unwrap_or_default(),
            recipient_id: &fields.needed()?,
            sent_at: fields.time()?,
        }))
    }

    fn same_message(&self, next: &Self) -> bool {
        self.join == next.join
    }

    fn sent_at(&self) -> Option<Millis> {
        self.sent_at
    }
}

impl Row for BatchRow {
    const COLUMNS: Columns = Columns {
        names: &["id", "user", "total", "sealed_at", "deadline"],
        required: 4,
    };

    fn read(fields: Fields, options: &Options) -> Result<Self, String> {
        let mut fields = Cells::new(Self::COLUMNS, fields);
        Ok(Self {
            id: fields.key()?.ok_or("id is empty")?,
            user: user(fields.key()?, options),
            total: fields.count()?,
            sealed_at: fields.time()?,
            deadline: fields.time()?,
        })
    }

    fn same_message(&self, _next: &Self) -> bool {
        false
    }
}

fn user(name: Option<String>, options: &Options) -> User {
    name.map_or_else(|| options.default_user.clone(), User::new)
}

/// A message id without the angle brackets of mail headers, as events have it.
fn bare(message_id: &str) -> &str {
    let inner = message_id.strip_prefix('<');
    inner
        .and_then(|id| id.strip_suffix('>'))
        .unwrap_or(message_id)
}

/// The cells of a row, taken one after the other in the order of the columns.
struct Cells {
    names: std::slice::Iter<'static, &'static str>,
    cells: std::vec::IntoIter<Option<String>>,
}

impl Cells {
    fn new(columns: Columns, fields: Fields) -> Self {
        Self {
            names: columns.names.iter(),
            cells: fields.into_iter(),
        }
    }

    fn next(&mut self) -> (&'static str, Option<String>) {
        let name = self.names.next().copied().unwrap_or_default();
        (name, self.cells.next().flatten())
    }

    fn named(&mut self) -> Result<(&'static str, Option<String>), String> {
        let (name, cell) = self.next();
        match cell {
            Some(text) if text.contains('\0') => Err(format!("{name} contains a NUL")),
            cell => Ok((name, cell)),
        }
    }

    /// A part of a batch's key.
    fn key(&mut self) -> Result<Option<String>, String> {
        let (name, cell) = self.named()?;
        match cell {
            Some(text) if text.len() > BATCH_KEY_BYTES_MAX => {
                Err(format!("{name} is longer than {BATCH_KEY_BYTES_MAX} bytes"))
            }
            cell => Ok(cell),
        }
    }

    fn needed(&mut self) -> Result<String, String> {
        let (name, cell) = self.named()?;
        cell.ok_or_else(|| format!("{name} is empty"))
    }

    fn time(&mut self) -> Result<Option<Millis>, String> {
        let (name, cell) = self.named()?;
        let Some(text) = cell else { return Ok(None) };
        match Millis::parse_rfc3339(&text) {
            Some(at) => Ok(Some(at)),
            None => Err(format!("{name} is no RFC 3339 time")),
        }
    }

    fn count(&mut self) -> Result<Option<u64>, String> {
        let (name, cell) = self.named()?;
        let Some(text) = cell else { return Ok(None) };
        match text.parse::<u64>() {
            Ok(count) if i64::try_from(count).is_ok() => Ok(Some(count)),
            _ => Err(format!("{name} is no count")),
        }
    }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
