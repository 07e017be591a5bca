//! The ledger: which identities were stored before.

use rusqlite::{Connection, OptionalExtension};

use super::super::hits::Verdict;
use super::super::{Effect, StateEvent};
use crate::error::SinkError;
use crate::event::Millis;
use crate::key::{Bucket, Identity};

/// Stores the identities of all events but those to be parked, in the order of the key.
pub(super) fn judge(conn: &Connection, events: &[StateEvent]) -> Result<Vec<Verdict>, SinkError> {
    let dropped_before = dropped_before(conn)?;
    let mut verdicts = vec![Verdict::Parking; events.len()];
    let now = Millis::now().0;
    let mut insert = conn.prepare_cached(
        "INSERT INTO ledger (bucket, identity, stored) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for (bucket, identity, index) in in_key_order(events) {
        let stored = (bucket == Bucket::NONE).then_some(now);
        let late = bucket != Bucket::NONE && bucket < dropped_before;
        verdicts[index as usize] = if late {
            Verdict::Late
        } else if insert.execute((bucket.0, identity.to_bytes(), stored))? == 1 {
            Verdict::New
        } else {
            Verdict::Known
        };
    }
    Ok(verdicts)
}

fn in_key_order(events: &[StateEvent]) -> Vec<(Bucket, Identity, u32)> {
    let mut keys: Vec<_> = (0u32..)
        .zip(events)
        .filter(|(_, event)| !matches!(event.effect, Effect::Park(_)))
        .map(|(index, event)| (event.bucket, event.identity, index))
        .collect();
    keys.sort_unstable();
    keys
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
pub(super) fn known(
    conn: &Connection,
    events: &[(Bucket, Identity)],
) -> Result<Vec<bool>, SinkError> {
    let mut parked = conn.prepare_cached("SELECT 1 FROM unmatched WHERE identity = ?1")?;
    events
        .iter()
        .map(|(bucket, identity)| {
            Ok(holds(conn, *bucket, *identity)? || parked.exists([identity.to_bytes()])?)
        })
        .collect()
}
