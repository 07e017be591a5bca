//! Loads: recipients and messages come in chunks; what they mean for totals is decided at the end, see `seal`.

use std::collections::{BTreeMap, HashMap};

use compact_str::CompactString;
use rusqlite::{Connection, OptionalExtension};

use super::super::kernel::{JudgedChunk, LoadEnding, MessageKey};
use super::super::{
    BatchRow, LoadId, LoadKind, LoadOutcome, Mapping, MappingCursor, RecipientRow, RowId,
};
use super::{begin, commit, int, seal};
use crate::error::SinkError;
use crate::event::{Millis, Provider, User};
use crate::failpoint::Failpoint;
use crate::key::{AddressKey, JoinKey, RowKey};

/// The load that has not ended, or 0.
pub(super) fn open_load(conn: &Connection) -> Result<i64, SinkError> {
    let mut read = conn.prepare_cached("SELECT id FROM loads WHERE ended_at IS NULL")?;
    Ok(read
        .query_row((), |row| row.get(0))
        .optional()?
        .unwrap_or(0))
}

/// Closes a load that died: its rows stay (events may be folded into them already), its `batches` rows do not, and it
/// seals nothing.
pub(super) fn close_dead(conn: &Connection, point: Failpoint) -> Result<(), SinkError> {
    if open_load(conn)? == 0 {
        return Ok(());
    }
    let tx = begin(conn)?;
    mark_dead(&tx)?;
    commit(point, tx)
}

fn mark_dead(conn: &Connection) -> Result<(), SinkError> {
    let load = open_load(conn)?;
    if load != 0 {
        seal::end(conn, LoadId(load), LoadEnding::Died)?;
    }
    Ok(())
}

/// Begins a load, closing one that died.
pub(super) fn begin_load(conn: &Connection, kind: LoadKind) -> Result<LoadId, SinkError> {
    let tx = begin(conn)?;
    mark_dead(&tx)?;
    tx.execute(
        "INSERT INTO loads (kind, started_at) VALUES (?1, ?2)",
        (kind.name(), Millis::now().0),
    )?;
    let load = LoadId(tx.last_insert_rowid());
    commit(Failpoint::StoreLoadBegin, tx)?;
    Ok(load)
}

/// Stores one chunk; the first accepted mapping of a (message, address) stands.
pub(super) fn recipients(
    conn: &Connection,
    load: LoadId,
    rows: &[RecipientRow],
) -> Result<Vec<LoadOutcome>, SinkError> {
    let tx = begin(conn)?;
    let mapped = mapped(&tx, rows)?;
    let judged = JudgedChunk::of(rows, &mapped);
    let mut batches = BTreeMap::new();
    for (user, batch_id) in judged.batches() {
        batches.insert((user, batch_id), batch_number(&tx, user, batch_id)?);
    }
    let (ids, gained) = state_rows(&tx, load, &judged, &batches)?;
    messages(&tx, load, &judged, &ids)?;
    touch(&tx, load, &batches, &gained)?;
    tx.prepare_cached("UPDATE loads SET contradictions = contradictions + ?2 WHERE id = ?1")?
        .execute((load.0, int(judged.contradictions)))?;
    let outcomes = judged.outcomes(&ids)?;
    commit(Failpoint::StoreLoad, tx)?;
    Ok(outcomes)
}

/// The numbers of batches by user and id.
type BatchNumbers<'a> = BTreeMap<(&'a str, &'a str), i64>;

/// The numbers of state rows by their keys, and how many rows each batch gained.
type StateRows = (HashMap<RowKey, RowId>, BTreeMap<i64, u64>);

/// The state rows to which messages and addresses map already.
fn mapped(
    conn: &Connection,
    rows: &[RecipientRow],
) -> Result<HashMap<MessageKey, (RowId, RowKey)>, SinkError> {
    let mut read = conn.prepare_cached(
        "SELECT r.id, r.row_key FROM messages AS m JOIN recipients AS r ON r.id = m.row_id
         WHERE m.join_key = ?1 AND m.address_key = ?2",
    )?;
    let mut mapped = HashMap::new();
    for row in rows {
        let found = read.query_row((row.join.to_bytes(), row.address.to_bytes()), |found| {
            Ok((RowId(found.get(0)?), RowKey::from_bytes(found.get(1)?)))
        });
        if let Some(found) = found.optional()? {
            mapped.insert((row.join, row.address), found);
        }
    }
    Ok(mapped)
}

/// Makes the state rows that are missing; the numbers of all, and how many each batch gained.
fn state_rows(
    conn: &Connection,
    load: LoadId,
    judged: &JudgedChunk<'_>,
    batches: &BatchNumbers<'_>,
) -> Result<StateRows, SinkError> {
    let mut read = conn.prepare_cached("SELECT id FROM recipients WHERE row_key = ?1")?;
    let mut insert = conn.prepare_cached(
        "INSERT INTO recipients (batch, row_key, user, batch_id, recipient_id, load_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let (mut ids, mut gained) = (HashMap::new(), BTreeMap::new());
    for row in judged.state_rows() {
        let key = row.row.to_bytes();
        let stored = read.query_row([key], |found| found.get(0)).optional()?;
        let id = match stored {
            Some(id) => id,
            None => {
                let (user, batch_id) = (row.user.as_str(), row.batch_id.as_str());
                let batch = batches.get(&(user, batch_id)).copied();
                let recipient = row.recipient_id.as_str();
                insert.execute((batch, key, user, batch_id, recipient, load.0))?;
                if let Some(batch) = batch {
                    *gained.entry(batch).or_default() += 1;
                }
                conn.last_insert_rowid()
            }
        };
        ids.insert(row.row, RowId(id));
    }
    Ok((ids, gained))
}

fn messages(
    conn: &Connection,
    load: LoadId,
    judged: &JudgedChunk<'_>,
    ids: &HashMap<RowKey, RowId>,
) -> Result<(), SinkError> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO messages (join_key, address_key, row_id, provider, message_id, recipient, sent_at, load_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for row in &judged.accepted {
        insert.execute((
            row.join.to_bytes(),
            row.address.to_bytes(),
            ids.get(&row.row).map(|id| id.0),
            row.provider.as_str(),
            &row.message_id,
            &row.recipient,
            row.sent_at.map(|at| at.0),
            load.0,
        ))?;
    }
    Ok(())
}

/// Notes which batches the chunk brought rows of. The number of state rows grows at once, so that it bounds the counters at all
/// times.
fn touch(
    conn: &Connection,
    load: LoadId,
    batches: &BatchNumbers<'_>,
    gained: &BTreeMap<i64, u64>,
) -> Result<(), SinkError> {
    let mut touch = conn.prepare_cached(
        "UPDATE batches SET recipients = recipients + ?2, load_id = ?3 WHERE id = ?1",
    )?;
    for id in batches.values() {
        let rows = gained.get(id).copied().unwrap_or_default();
        touch.execute((id, int(rows), load.0))?;
    }
    Ok(())
}

/// The number of a batch, made if missing.
pub(super) fn batch_number(
    conn: &Connection,
    user: &str,
    batch_id: &str,
) -> Result<i64, SinkError> {
    let mut read =
        conn.prepare_cached("SELECT id FROM batches WHERE user = ?1 AND batch_id = ?2")?;
    let known = read.query_row((user, batch_id), |row| row.get(0));
    if let Some(id) = known.optional()? {
        return Ok(id);
    }
    let mut insert = conn.prepare_cached("INSERT INTO batches (user, batch_id) VALUES (?1, ?2)")?;
    insert.execute((user, batch_id))?;
    Ok(conn.last_insert_rowid())
}

/// Keeps one chunk of batch rows for the end of the load; the last row of a batch wins.
pub(super) fn batch_rows(
    conn: &Connection,
    load: LoadId,
    rows: &[BatchRow],
) -> Result<(), SinkError> {
    let tx = begin(conn)?;
    let mut insert = tx.prepare_cached(
        "INSERT OR REPLACE INTO load_batches (load_id, user, batch_id, total, sealed_at, deadline)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for row in rows {
        let times = (row.sealed_at.map(|at| at.0), row.deadline.map(|at| at.0));
        let total = row.total.map(int);
        insert.execute((load.0, row.user.as_str(), &row.id, total, times.0, times.1))?;
    }
    drop(insert);
    commit(Failpoint::StoreLoad, tx)
}

/// A page of the mappings of ended loads, which ends with a message, and the place of its last one.
pub(super) fn mappings(
    conn: &Connection,
    mut after: MappingCursor,
    limit: usize,
) -> Result<(Vec<Mapping>, MappingCursor), SinkError> {
    let open = open_load(conn)?;
    let mut read = conn.prepare_cached(
        "SELECT m.id, r.user, m.provider, m.join_key, m.address_key, r.id, r.row_key, r.batch_id, r.recipient_id,
         m.sent_at FROM messages AS m JOIN recipients AS r ON r.id = m.row_id
         WHERE m.id > ?1 AND m.load_id <> ?2 ORDER BY m.id",
    )?;
    let mut rows = read.query((after.message, open))?;
    let mut page: Vec<Mapping> = Vec::new();
    while let Some(row) = rows.next()? {
        let mapping = read_mapping(row)?;
        let inside = page.last().is_some_and(|last| last.join == mapping.join);
        if page.len() >= limit && !inside {
            break;
        }
        after.message = row.get(0)?;
        page.push(mapping);
    }
    Ok((page, after))
}

fn read_mapping(row: &rusqlite::Row<'_>) -> rusqlite::Result<Mapping> {
    let text = |at: usize| row.get_ref(at)?.as_str().map_err(rusqlite::Error::from);
    Ok(Mapping {
        user: User::new(text(1)?),
        provider: Provider::new(text(2)?),
        join: JoinKey::from_bytes(row.get(3)?),
        address: AddressKey::from_bytes(row.get(4)?),
        row_id: RowId(row.get(5)?),
        row: RowKey::from_bytes(row.get(6)?),
        batch_id: CompactString::new(text(7)?),
        recipient_id: CompactString::new(text(8)?),
        sent_at: row.get::<_, Option<i64>>(9)?.map(Millis),
    })
}
