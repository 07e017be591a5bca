//! The completion outbox: completions leave the store here, each at least once, under the id (batch, generation).

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Row};

use super::super::{Completion, CompletionOutbox};
use super::{begin, commit, count, int, open};
use crate::error::{Fatal, SinkError};
use crate::event::{Millis, User};
use crate::failpoint::Failpoint;

/// How often the write lock is tried while the job's writer holds it: the writer leaves it for moments only, so SQLite's own
/// growing waits would miss them.
const LOCK_RETRY: Duration = Duration::from_millis(1);

/// How often it is tried before the page is left for later.
const LOCK_TRIES: i32 = 10_000;

/// The outbox of a store, on a connection of its own. Reading takes no lock; marking is one short transaction.
#[derive(Debug)]
pub struct SqliteOutbox {
    conn: Connection,
}

impl SqliteOutbox {
    /// Opens the outbox of the store in a folder, also while a job writes to it.
    pub fn open(dir: &Path) -> Result<Self, Fatal> {
        let conn = open::open_beside(dir)?;
        conn.busy_handler(Some(wait_for_lock))
            .and_then(|()| conn.pragma_update(None, "synchronous", "full"))
            .map_err(SinkError::from)?;
        Ok(Self { conn })
    }
}

fn wait_for_lock(tries: i32) -> bool {
    std::thread::park_timeout(LOCK_RETRY);
    tries < LOCK_TRIES
}

impl CompletionOutbox for SqliteOutbox {
    fn relay_page(
        &mut self,
        limit: usize,
        deliver: &mut dyn FnMut(&[Completion]) -> bool,
    ) -> Result<usize, SinkError> {
        let (batches, page) = undelivered(&self.conn, limit)?;
        if page.is_empty() || !deliver(&page) {
            return Ok(0);
        }
        let tx = begin(&self.conn)?;
        let mut mark = tx.prepare_cached(
            "UPDATE outbox SET delivered_at = ?3 WHERE batch = ?1 AND generation = ?2",
        )?;
        let now = Millis::now().0;
        for (batch, completion) in batches.iter().zip(&page) {
            mark.execute((batch, int(completion.generation), now))?;
        }
        drop(mark);
        commit(Failpoint::StoreRelay, tx)?;
        Ok(page.len())
    }
}

/// The first undelivered completions, and the number of the batch of each.
fn undelivered(conn: &Connection, limit: usize) -> Result<(Vec<i64>, Vec<Completion>), SinkError> {
    let mut read = conn.prepare_cached(
        "SELECT b.id, b.user, b.batch_id, o.generation, o.cause, o.completed_at
         FROM outbox AS o JOIN batches AS b ON b.id = o.batch
         WHERE o.delivered_at IS NULL ORDER BY o.batch, o.generation LIMIT ?1",
    )?;
    let rows = read.query_map([int(limit as u64)], |row| {
        Ok((row.get::<_, i64>(0)?, completion(row)?))
    })?;
    Ok(rows.collect::<Result<_, rusqlite::Error>>()?)
}

fn completion(row: &Row<'_>) -> rusqlite::Result<Completion> {
    Ok(Completion {
        user: User::new(row.get::<_, String>(1)?),
        batch_id: row.get(2)?,
        generation: count(row, 3)?,
        cause: row.get(4)?,
        completed_at: Millis(row.get(5)?),
    })
}
