//! The embedded state store: SQLite in one folder, for one process.
//!
//! Contract: that of [`StateStore`], with `synchronous = FULL` on a write-ahead log, so a commit that returned survives
//! a power cut. The tables are documented in `schema.sql`; the ledger is clustered by hour, which keeps inserts
//! local however large it grows. Every transaction is `IMMEDIATE` (one writer, no upgrades that could deadlock), and every
//! commit passes its named point. Reading needs no lock: see [`SqliteReader`].

mod apply;
mod batches;
mod class;
mod dead_letters;
mod deadline;
mod export;
mod jobs;
mod ledger;
mod load;
mod open;
mod outbox;
mod parked;
mod prune;
mod query;
mod rows;
mod schema;
mod seal;

use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::view::Export;
use super::{
    Applied, BatchRow, Checkpoint, LatePage, LoadId, LoadKind, LoadOutcome, LoadSummary, Mapping,
    MappingCursor, Prune, Pruned, RecipientRow, StateEvent, StateStore,
};
use crate::error::{Fatal, SinkError};
use crate::event::{Millis, Reject};
use crate::failpoint::{self, Failpoint};
use crate::key::{Bucket, Identity};

pub use outbox::SqliteOutbox;
pub use query::SqliteReader;
pub use schema::VERSION;

/// An open embedded store; its folder, if it has one, is locked until this is dropped.
#[derive(Debug)]
pub struct SqliteStore {
    conn: Connection,
    _lock: Option<File>,
}

impl SqliteStore {
    /// Opens the store in a folder, making both where they are missing. A load that died is closed.
    pub fn open(dir: &Path) -> Result<Self, Fatal> {
        open::open(dir)
    }

    /// A store that lives in memory, as long as this value.
    pub fn in_memory() -> Result<Self, Fatal> {
        open::in_memory()
    }

    /// Copies the whole store, as of now, into the store folder `to`, which must not hold one yet: what a dry run works on.
    pub fn snapshot_to(&self, to: &Path) -> Result<(), Fatal> {
        open::copy(&self.conn, to)
    }

    /// The secret under which marks in the shared cache are made, and the incarnation that voids those of other stores.
    pub fn cache_keys(&self) -> Result<([u8; 32], [u8; 16]), SinkError> {
        let secret = "SELECT value FROM meta WHERE name = 'secret'";
        let incarnation = "SELECT value FROM meta WHERE name = 'incarnation'";
        Ok((
            self.conn.query_row(secret, (), |row| row.get(0))?,
            self.conn.query_row(incarnation, (), |row| row.get(0))?,
        ))
    }
}

/// Begins a transaction that holds the write lock from its first moment.
fn begin(conn: &Connection) -> Result<Transaction<'_>, SinkError> {
    Ok(Transaction::new_unchecked(
        conn,
        TransactionBehavior::Immediate,
    )?)
}

/// Commits, passing the named point.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that commits, and it names its point"
)]
fn commit(point: Failpoint, tx: Transaction<'_>) -> Result<(), SinkError> {
    Ok(failpoint::run(point, || tx.commit())?)
}

/// A count as SQLite stores it.
fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count as SQLite stored it.
fn count(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}

fn millis(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Millis>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Millis))
}

impl StateStore for SqliteStore {
    fn apply(&mut self, events: &[StateEvent]) -> Result<Applied, SinkError> {
        apply::apply(&self.conn, events)
    }

    fn write_dead_letters(&mut self, rejects: &[Reject]) -> Result<(), SinkError> {
        dead_letters::insert(&self.conn, rejects)
    }

    fn begin_load(&mut self, kind: LoadKind) -> Result<LoadId, SinkError> {
        load::begin_load(&self.conn, kind)
    }

    fn load_recipients(
        &mut self,
        load: LoadId,
        rows: &[RecipientRow],
    ) -> Result<Vec<LoadOutcome>, SinkError> {
        load::recipients(&self.conn, load, rows)
    }

    fn load_batches(&mut self, load: LoadId, rows: &[BatchRow]) -> Result<(), SinkError> {
        load::batch_rows(&self.conn, load, rows)
    }

    fn finish_load(&mut self, load: LoadId) -> Result<LoadSummary, SinkError> {
        seal::finish_load(&self.conn, load)
    }

    fn mappings(
        &mut self,
        after: MappingCursor,
        limit: usize,
    ) -> Result<(Vec<Mapping>, MappingCursor), SinkError> {
        load::mappings(&self.conn, after, limit)
    }

    fn late_matches(&mut self, after: Identity, rows: usize) -> Result<LatePage, SinkError> {
        parked::late_matches(&self.conn, after, rows)
    }

    fn parked(&mut self) -> Result<u64, SinkError> {
        parked::size(&self.conn)
    }

    fn unpark(&mut self, identities: &[Identity]) -> Result<(), SinkError> {
        parked::unpark(&self.conn, identities)
    }

    fn judge_deadlines(&mut self, now: Millis) -> Result<u64, SinkError> {
        deadline::judge(&self.conn, now)
    }

    fn checkpoint(&mut self, partitions: &[Checkpoint]) -> Result<(), SinkError> {
        jobs::checkpoint(&self.conn, partitions)
    }

    fn checkpoints(&mut self, job: &str) -> Result<Vec<Checkpoint>, SinkError> {
        jobs::checkpoints(&self.conn, job)
    }

    fn known(&mut self, events: &[(Bucket, Identity)]) -> Result<Vec<bool>, SinkError> {
        ledger::known(&self.conn, events)
    }

    fn prune(&mut self, what: &Prune, rows_max: u32) -> Result<Pruned, SinkError> {
        prune::prune(&self.conn, what, rows_max)
    }

    fn drop_dead_letters(&mut self, before: Millis, rows_max: u32) -> Result<u64, SinkError> {
        prune::drop_dead_letters(&self.conn, before, rows_max)
    }

    fn export(&mut self) -> Result<Export, SinkError> {
        export::export(&self.conn)
    }
}
