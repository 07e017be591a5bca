//! Loads: recipients and messages come in chunks; what they mean for totals is decided at the end, see `seal`.

use std::collections::BTreeMap;

use compact_str::CompactString;
use rusqlite::{Connection, OptionalExtension};

use super::super::{
    BatchRow, LoadId, LoadKind, Loaded, Mapping, MappingCursor, RecipientRow, RowId,
};
use super::{begin, commit, int};
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

/// Closes a load that died: its rows stand (events may be folded into them already), its `batches` rows do not, and it
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
    conn.execute(
        "DELETE FROM load_batches WHERE load_id IN (SELECT id FROM loads WHERE ended_at IS NULL)",
        (),
    )?;
    let now = Millis::now().0;
    conn.execute(
        "UPDATE loads SET ended_at = ?1, died = 1 WHERE ended_at IS NULL",
        [now],
    )?;
    Ok(())
}

/// Begins a load, closing one that died.
pub(super) fn begin_load(conn: &Connection, kind: LoadKind) -> Result<LoadId, SinkError> {
    let kind = match kind {
        LoadKind::Full => "full",
        LoadKind::Increment => "increment",
    };
    let tx = begin(conn)?;
    mark_dead(&tx)?;
    tx.execute(
        "INSERT INTO loads (kind, started_at) VALUES (?1, ?2)",
        (kind, Millis::now().0),
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
) -> Result<Vec<Loaded>, SinkError> {
    let tx = begin(conn)?;
    let mut chunk = Chunk {
        conn: &tx,
        load,
        batches: BTreeMap::new(),
        contradictions: 0,
    };
    let fates: Result<Vec<Loaded>, SinkError> = rows.iter().map(|row| chunk.take(row)).collect();
    let fates = fates?;
    chunk.close()?;
    commit(Failpoint::StoreLoad, tx)?;
    Ok(fates)
}

/// A batch that the chunk touches: its number, and how many state rows it gained.
type Touched = (i64, u64);

struct Chunk<'a> {
    conn: &'a Connection,
    load: LoadId,
    batches: BTreeMap<(User, CompactString), Touched>,
    contradictions: u64,
}

impl Chunk<'_> {
    fn take(&mut self, row: &RecipientRow) -> Result<Loaded, SinkError> {
        match self.mapped(row)? {
            Some((id, key)) if key == row.row => {
                self.batch(row)?;
                Ok(Loaded::Known(mapping(row, id)))
            }
            Some(_) => {
                self.contradictions += 1;
                Ok(Loaded::Contradiction)
            }
            None => {
                let id = self.state_row(row)?;
                self.message(row, id)?;
                Ok(Loaded::Accepted(mapping(row, id)))
            }
        }
    }

    /// The state row to which this message and address map already.
    fn mapped(&self, row: &RecipientRow) -> Result<Option<(RowId, RowKey)>, SinkError> {
        let mut read = self.conn.prepare_cached(
            "SELECT r.id, r.row_key FROM messages AS m JOIN recipients AS r ON r.id = m.row_id
             WHERE m.join_key = ?1 AND m.address_key = ?2",
        )?;
        let found = read.query_row((row.join.to_bytes(), row.address.to_bytes()), |found| {
            Ok((RowId(found.get(0)?), RowKey::from_bytes(found.get(1)?)))
        });
        Ok(found.optional()?)
    }

    /// The row's batch, made if missing; none for transactional mail.
    fn batch(&mut self, row: &RecipientRow) -> Result<Option<&mut Touched>, SinkError> {
        if row.batch_id.is_empty() {
            return Ok(None);
        }
        let key = (row.user.clone(), row.batch_id.clone());
        if !self.batches.contains_key(&key) {
            let id = batch_number(self.conn, row.user.as_str(), &row.batch_id)?;
            self.batches.insert(key.clone(), (id, 0));
        }
        Ok(self.batches.get_mut(&key))
    }

    /// The state row, made if missing.
    fn state_row(&mut self, row: &RecipientRow) -> Result<RowId, SinkError> {
        let batch = self.batch(row)?.map(|touched| touched.0);
        let mut read = self
            .conn
            .prepare_cached("SELECT id FROM recipients WHERE row_key = ?1")?;
        let known = read.query_row([row.row.to_bytes()], |found| found.get(0));
        if let Some(id) = known.optional()? {
            return Ok(RowId(id));
        }
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO recipients (batch, row_key, user, batch_id, recipient_id, load_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let key = row.row.to_bytes();
        let names = (
            row.user.as_str(),
            row.batch_id.as_str(),
            row.recipient_id.as_str(),
        );
        insert.execute((batch, key, names.0, names.1, names.2, self.load.0))?;
        let id = RowId(self.conn.last_insert_rowid());
        if let Some(touched) = self.batch(row)? {
            touched.1 += 1;
        }
        Ok(id)
    }

    fn message(&self, row: &RecipientRow, id: RowId) -> Result<(), SinkError> {
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO messages (join_key, address_key, row_id, provider, message_id, recipient, sent_at, load_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        insert.execute((
            row.join.to_bytes(),
            row.address.to_bytes(),
            id.0,
            row.provider.as_str(),
            &row.message_id,
            &row.recipient,
            row.sent_at.map(|at| at.0),
            self.load.0,
        ))?;
        Ok(())
    }

    /// Notes what the chunk added. The number of state rows grows at once, so that it bounds the counters at all times.
    fn close(self) -> Result<(), SinkError> {
        let mut touch = self.conn.prepare_cached(
            "UPDATE batches SET recipients = recipients + ?2, load_id = ?3 WHERE id = ?1",
        )?;
        for (id, rows) in self.batches.into_values() {
            touch.execute((id, int(rows), self.load.0))?;
        }
        let mut count = self.conn.prepare_cached(
            "UPDATE loads SET contradictions = contradictions + ?2 WHERE id = ?1",
        )?;
        count.execute((self.load.0, int(self.contradictions)))?;
        Ok(())
    }
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

fn mapping(row: &RecipientRow, id: RowId) -> Mapping {
    Mapping {
        user: row.user.clone(),
        provider: row.provider.clone(),
        join: row.join,
        address: row.address,
        row_id: id,
        row: row.row,
        batch_id: row.batch_id.clone(),
        recipient_id: row.recipient_id.clone(),
        sent_at: row.sent_at,
    }
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
