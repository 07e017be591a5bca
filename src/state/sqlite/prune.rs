//! Pruning: bounded range deletes, each its own transaction, so that no writer waits long.
//!
//! Before the first ledger row of an hour goes, the hour behind it is stored as `dropped_before`: from then on events below
//! it raise no totals. Only what is really dropped moves it.

use rusqlite::Connection;

use super::super::{Prune, Pruned};
use super::{begin, commit, ledger};
use crate::error::SinkError;
use crate::event::Millis;
use crate::failpoint::Failpoint;
use crate::key::Bucket;

/// Drops what is asked, at most `rows_max` rows a transaction.
pub(super) fn prune(conn: &Connection, what: &Prune, rows_max: u32) -> Result<Pruned, SinkError> {
    let rows_max = rows_max.max(1);
    let mut pruned = Pruned::default();
    if let Some(before) = what.before {
        pruned.ledger = hours(conn, Bucket::of(Some(before)), rows_max)?;
    }
    if let Some(before) = what.no_time_stored_before {
        pruned.no_time = no_time(conn, before, rows_max)?;
    }
    if let Some(before) = what.dead_letters_before {
        pruned.dead_letters = repeat(|| drop_dead_letters(conn, before, rows_max))?;
    }
    Ok(pruned)
}

fn hours(conn: &Connection, before: Bucket, rows_max: u32) -> Result<u64, SinkError> {
    let highest = "SELECT max(bucket) FROM ledger WHERE bucket > 0 AND bucket < ?1";
    let highest: Option<u32> = conn.query_row(highest, [before.0], |row| row.get(0))?;
    let Some(highest) = highest else { return Ok(0) };
    let delete = "DELETE FROM ledger WHERE (bucket, identity) IN
        (SELECT bucket, identity FROM ledger WHERE bucket > 0 AND bucket <= ?1
         ORDER BY bucket, identity LIMIT ?2)";
    repeat(|| {
        let tx = begin(conn)?;
        raise_dropped_before(&tx, Bucket(highest + 1))?;
        let rows = tx.execute(delete, (highest, rows_max))?;
        commit(Failpoint::StorePrune, tx)?;
        Ok(rows as u64)
    })
}

fn raise_dropped_before(conn: &Connection, hour: Bucket) -> Result<(), SinkError> {
    if ledger::dropped_before(conn)? < hour {
        let write = "INSERT OR REPLACE INTO meta (name, value) VALUES ('dropped_before', ?1)";
        conn.execute(write, [hour.0])?;
    }
    Ok(())
}

/// Bucket 0 goes by the date of storing; it is walked in the order of its key, one bounded range after the other.
fn no_time(conn: &Connection, before: Millis, rows_max: u32) -> Result<u64, SinkError> {
    let range_end = "SELECT max(identity) FROM (SELECT identity FROM ledger
        WHERE bucket = 0 AND identity > ?1 ORDER BY identity LIMIT ?2)";
    let delete = "DELETE FROM ledger
        WHERE bucket = 0 AND identity > ?1 AND identity <= ?2 AND stored < ?3";
    let mut after = Vec::new();
    let mut dropped = 0;
    loop {
        let tx = begin(conn)?;
        let end: Option<Vec<u8>> = tx.query_row(range_end, (&after, rows_max), |row| row.get(0))?;
        let Some(end) = end else { return Ok(dropped) };
        dropped += tx.execute(delete, (&after, &end, before.0))? as u64;
        commit(Failpoint::StorePrune, tx)?;
        after = end;
    }
}

/// Drops the oldest dead letters last seen before a time, at most `rows_max`, in one transaction.
pub(super) fn drop_dead_letters(
    conn: &Connection,
    before: Millis,
    rows_max: u32,
) -> Result<u64, SinkError> {
    let delete = "DELETE FROM dead_letters WHERE id IN
        (SELECT id FROM dead_letters WHERE last_seen < ?1 ORDER BY last_seen LIMIT ?2)";
    let tx = begin(conn)?;
    let rows = tx.execute(delete, (before.0, rows_max))?;
    commit(Failpoint::StorePrune, tx)?;
    Ok(rows as u64)
}

/// Repeats a step until it finds nothing to do; returns how many rows went.
fn repeat(mut step: impl FnMut() -> Result<u64, SinkError>) -> Result<u64, SinkError> {
    let mut dropped = 0;
    loop {
        match step()? {
            0 => return Ok(dropped),
            rows => dropped += rows,
        }
    }
}
