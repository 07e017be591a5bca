//! The relay: completions leave the store here, each at least once, under the id (batch, generation).

use rusqlite::{Connection, Row};

use super::super::Completion;
use super::{begin, commit};
use crate::error::SinkError;
use crate::event::{Millis, User};
use crate::failpoint::Failpoint;

/// Hands undelivered completions over and marks those that were taken.
pub(super) fn relay(
    conn: &Connection,
    deliver: &mut dyn FnMut(&Completion) -> bool,
) -> Result<u64, SinkError> {
    let mut waiting = undelivered(conn)?;
    waiting.retain(|(_, completion)| deliver(completion));
    if waiting.is_empty() {
        return Ok(0);
    }
    let tx = begin(conn)?;
    let mut mark = tx.prepare_cached(
        "UPDATE outbox SET delivered_at = ?3 WHERE batch = ?1 AND generation = ?2",
    )?;
    let now = Millis::now().0;
    for (batch, completion) in &waiting {
        mark.execute((batch, super::int(completion.generation), now))?;
    }
    drop(mark);
    commit(Failpoint::StoreRelay, tx)?;
    Ok(waiting.len() as u64)
}

fn undelivered(conn: &Connection) -> Result<Vec<(i64, Completion)>, SinkError> {
    let mut read = conn.prepare_cached(
        "SELECT b.id, b.user, b.batch_id, o.generation, o.cause, o.completed_at
         FROM outbox AS o JOIN batches AS b ON b.id = o.batch
         WHERE o.delivered_at IS NULL ORDER BY o.completed_at, b.id, o.generation",
    )?;
    let rows = read.query_map((), |row| Ok((row.get(0)?, completion(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn completion(row: &Row<'_>) -> rusqlite::Result<Completion> {
    Ok(Completion {
        user: User::new(row.get::<_, String>(1)?),
        batch_id: row.get(2)?,
        generation: super::count(row, 3)?,
        cause: row.get(4)?,
        completed_at: Millis(row.get(5)?),
    })
}
