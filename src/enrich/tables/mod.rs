//! Recipients and batches from the user's own tables, in Postgres or ClickHouse.
//!
//! | table or query | columns (those after the semicolon may be missing) |
//! |---|---|
//! | recipients | `provider`, `message_id`, `recipient`, `user_id`, `batch_id`, `recipient_id`; `sent_at` |
//! | batches | `id`, `user`, `total`, `sealed_at`; `deadline` |
//!
//! Columns may have other names. Values mean what they mean in [files](super::snapshot). A *poll* reads what lies at or
//! behind a place in a monotone column, in its order, page by page:
//!
//! * **One poll, one snapshot.** In Postgres a poll is one read-only transaction (repeatable read), in ClickHouse one
//!   query that streams. Pages that are queries of their own would let a commit fall between two of them, and half a
//!   message be seen; here every message that was committed as a whole is read as a whole. There is no OFFSET.
//! * **Bounded memory**: a page, and what one message has.
//! * **No chunk ends inside a message**, where the rows of one message follow each other in the order of the cursor
//!   (rows of equal cursor are ordered by message). Where they do not, the poll as a whole holds them all.
//! * **Late rows**: a row may become visible after rows with a greater cursor. The next poll begins so much earlier
//!   ([`Overlap`]); what comes later than that is never seen. Rows whose cursor is NULL are never read.
//! * **Old rows**: what was sent before a given time is left out, in the server where its column is a time. The limit acts when rows
//!   are read and when mappings are handed to the workers: what grows old while a process runs leaves its memory at the next start.
//!
//! Measured on two shared cores (release build, one run, 2026-11-25): 1 M rows into SQLite out of 3 M, of which 2 M were too
//! old: from Postgres 35 s (29,000 rows/s; 363 MiB at most), from ClickHouse 35 s (29,000 rows/s; 375 MiB); the store is
//! what takes the time. A job that starts over these million mappings holds 725 to 751 MiB at most. Over all 3 M it
//! holds 2.0 GiB, with the limit of age 1.3 GiB (the store's own pages count too).
//!
//! What is wrong with names, rights or types is a sentence for a person ([`TableError::Config`]); everything else has the
//! class that its driver's one function gives it.

mod chunks;
mod clickhouse;
mod clickhouse_sql;
mod cursor;
mod given;
mod postgres;
mod postgres_sql;
mod recent;
mod select;

pub use chunks::{ReadLimits, ReadSummary, TableChunks};
pub use cursor::{Overlap, TableCursor, TableCursorKind};
pub use given::{DatabaseKind, DatabaseLocation, Relation, UserTable};
pub use recent::{RecentRows, RowFingerprint};

use super::snapshot::{ColumnNames, RowCells};
use crate::error::{Exit, Fatal, SinkError};
use crate::event::Millis;
use crate::postgres::PostgresError;

/// Why a poll failed.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Something a person has to change.
    #[error("{0}")]
    Config(String),
    /// The server, the network, the driver.
    #[error(transparent)]
    Failed(#[from] SinkError),
}

impl From<PostgresError> for TableError {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Config(advice) => TableError::Config(advice),
            PostgresError::Failed(error) => TableError::Failed(error),
        }
    }
}

impl From<TableError> for Fatal {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Config(advice) => Fatal::new(Exit::Config, advice),
            TableError::Failed(error) => error.into(),
        }
    }
}

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub struct TableQuery<'a> {
    /// Of what.
    pub given: &'a UserTable,
    /// Our names of its columns.
    pub columns: ColumnNames,
    /// From this place on; from the beginning if there is none.
    pub from: Option<TableCursor>,
    /// Only rows sent at or after this time, or at no known time.
    pub sent_since: Option<Millis>,
}

/// One row as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRow {
    /// The text of each column.
    pub fields: RowCells,
    /// Its place; none where the table has no cursor.
    pub cursor: Option<TableCursor>,
}

/// A database that holds such tables. Calls block, each for a bounded time.
pub trait TableReader: Send {
    /// Begins a poll: what is opened from here to the end is seen at one moment, where the database can do that.
    fn begin(&mut self) -> Result<(), TableError>;

    /// The database's clock, in microseconds since 1970.
    fn clock(&mut self) -> Result<TableCursor, TableError>;

    /// Opens one table of the poll, in place of the one before.
    fn open(&mut self, query: &TableQuery<'_>) -> Result<(), TableError>;

    /// The next rows of it, at most so many; none means that there are no more.
    fn page(&mut self, rows: usize) -> Result<Vec<RawRow>, TableError>;

    /// Ends the poll, or gives it up.
    fn end(&mut self);
}

/// A database, not yet reached.
pub fn open(place: &DatabaseLocation) -> Result<Box<dyn TableReader>, Fatal> {
    Ok(match place.server {
        DatabaseKind::Postgres => Box::new(postgres::PostgresTables::new(place.clone())?),
        DatabaseKind::ClickHouse => Box::new(clickhouse::ClickHouseTables::new(place.clone())?),
    })
}

/// Looks whether tables are there and have their columns, and reads nothing.
pub fn probe<'a>(
    tables: &mut dyn TableReader,
    queries: impl IntoIterator<Item = TableQuery<'a>>,
) -> Result<(), TableError> {
    let mut queries = queries.into_iter();
    let probed = tables
        .begin()
        .and_then(|()| queries.try_for_each(|query| tables.open(&query)));
    tables.end();
    probed
}

/// A runtime for one thread that waits for one database.
fn runtime() -> Result<tokio::runtime::Runtime, Fatal> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Fatal::new(
                Exit::Internal,
                format!("no runtime for recipients: {error}"),
            )
        })
}
