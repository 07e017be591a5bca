//! The ledger: which identities were stored before.

use rusqlite::{Connection, OptionalExtension};

use super::super::kernel::{LedgerKey, LedgerKeys, LedgerVerdict, is_late};
use crate::error::SinkError;
use crate::event::Millis;
use crate::key::{Bucket, Identity};

/// Inserts the keys of a write; the verdict on each of its events.
pub(super) fn judge(conn: &Connection, keys: &LedgerKeys) -> Result<Vec<LedgerVerdict>, SinkError> {
    let dropped_before = dropped_before(conn)?;
    let now = Millis::now().0;
    let mut insert = conn.prepare_cached(
        "INSERT INTO ledger (bucket, identity, stored) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    let mut inserted = Vec::new();
    for (bucket, identity) in keys.distinct() {
        let stored = (bucket == Bucket::NONE).then_some(now);
        if !is_late(bucket, dropped_before)
            && insert.execute((bucket.0, identity.to_bytes(), stored))? == 1
        {
            inserted.push((bucket, identity));
        }
    }
    Ok(keys.verdicts(dropped_before, &inserted))
}

/// The hour below which something was dropped; 0 if nothing ever was.
pub(super) fn dropped_before(conn: &Connection) -> Result<Bucket, SinkError> {
    let mut read = conn.prepare_cached("SELECT value FROM meta WHERE name = 'dropped_before'")?;
    let hour: Option<u32> = read.query_row((), |row| row.get(0)).optional()?;
    Ok(Bucket(hour.unwrap_or(0)))
}

/// Whether the ledger holds an event.
pub(super) fn holds(
    conn: &Connection,
    bucket: Bucket,
    identity: Identity,
) -> Result<bool, SinkError> {
    let mut read =
        conn.prepare_cached("SELECT 1 FROM ledger WHERE bucket = ?1 AND identity = ?2")?;
    Ok(read.exists((bucket.0, identity.to_bytes()))?)
}

/// For each event, whether the ledger or the parked table hold it.
pub(super) fn known(conn: &Connection, events: &[LedgerKey]) -> Result<Vec<bool>, SinkError> {
    let mut parked = conn.prepare_cached("SELECT 1 FROM unmatched WHERE identity = ?1")?;
    events
        .iter()
        .map(|(bucket, identity)| {
            Ok(holds(conn, *bucket, *identity)? || parked.exists([identity.to_bytes()])?)
        })
        .collect()
}
