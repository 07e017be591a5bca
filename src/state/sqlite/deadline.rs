//! Deadlines: a sealed batch completes when its time is up, finished or not.

use rusqlite::Connection;

use super::{batches, begin, commit};
use crate::error::SinkError;
use crate::event::Millis;
use crate::failpoint::Failpoint;

/// Completes what is due; where all recipients finished as well, that is the cause.
pub(super) fn judge(conn: &Connection, now: Millis) -> Result<u64, SinkError> {
    let tx = begin(conn)?;
    let mut fired = 0;
    for (batch, all) in due(&tx, now)? {
        let cause = if all { "all" } else { "deadline" };
        fired += u64::from(batches::fire(&tx, batch, cause, now)?);
    }
    if fired > 0 {
        commit(Failpoint::StoreDeadline, tx)?;
    }
    Ok(fired)
}

fn due(conn: &Connection, now: Millis) -> Result<Vec<(i64, bool)>, SinkError> {
    let mut read = conn.prepare_cached(
        "SELECT id, ifnull(finished >= total, 0) FROM batches
         WHERE deadline IS NOT NULL AND deadline <= ?1 AND completed_at IS NULL AND sealed_at IS NOT NULL
         ORDER BY id",
    )?;
    let rows = read.query_map([now.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
