//! Reading a store from outside, also while a job writes to it.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row};

use super::super::view::{
    BatchView, CompletionView, DeadLetterView, Export, MessageView, RecipientView, StateReader,
    StoreCounts, UnmatchedView,
};
use super::super::{LatePage, Mapping, MappingCursor};
use super::{count, export, int, load, millis, open, parked};
use crate::error::{Fatal, SinkError};
use crate::event::Millis;
use crate::key::{AddressKey, Identity};

/// A read-only view of a store's folder. It takes no lock and holds nobody up.
#[derive(Debug)]
pub struct SqliteReader {
    conn: Connection,
}

const DEAD_LETTER: &str = "lower(hex(id)), provider, user, stage, place, reason_code, reason,
    lower(hex(body_sha256)), attempts, first_seen, last_seen, delivery";

impl SqliteReader {
    /// Opens the store in a folder for reading.
    pub fn open(dir: &Path) -> Result<Self, Fatal> {
        let conn = open::open_read_only(dir)?;
        Ok(Self { conn })
    }

    fn messages(&self, row_id: i64) -> Result<Vec<MessageView>, SinkError> {
        let mut read = self.conn.prepare_cached(
            "SELECT provider, message_id, recipient, sent_at FROM messages WHERE row_id = ?1 ORDER BY id",
        )?;
        let rows = read.query_map([row_id], |row| {
            Ok(MessageView {
                provider: row.get(0)?,
                message_id: row.get(1)?,
                recipient: row.get(2)?,
                sent_at: millis(row, 3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl StateReader for SqliteReader {
    fn mappings(
        &mut self,
        after: MappingCursor,
        limit: usize,
    ) -> Result<(Vec<Mapping>, MappingCursor), SinkError> {
        // One transaction, so that no load begins between looking for an open one and reading.
        let moment = self.conn.transaction()?;
        load::mappings(&moment, after, limit)
    }

    fn late_matches(&mut self, after: Identity, rows: usize) -> Result<LatePage, SinkError> {
        let moment = self.conn.transaction()?;
        parked::late_matches(&moment, after, rows)
    }

    fn parked(&mut self) -> Result<u64, SinkError> {
        parked::size(&self.conn)
    }

    fn recipient(&mut self, needle: &str) -> Result<Vec<RecipientView>, SinkError> {
        let sql = format!(
            "SELECT {} FROM recipients AS r WHERE r.recipient_id = ?1 OR r.id IN
             (SELECT row_id FROM messages WHERE message_id = ?1 OR address_key = ?2)
             ORDER BY r.user, r.batch_id, r.recipient_id",
            export::RECIPIENT
        );
        let mut read = self.conn.prepare(&sql)?;
        let mut rows = read.query((needle, AddressKey::of(needle).to_bytes()))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let mut view = export::recipient(row)?;
            view.messages = self.messages(row.get(export::RECIPIENT_NUMBER)?)?;
            found.push(view);
        }
        Ok(found)
    }

    fn batches(&mut self) -> Result<Vec<BatchView>, SinkError> {
        export::batches(&self.conn)
    }

    fn completions(&mut self) -> Result<Vec<CompletionView>, SinkError> {
        export::completions(&self.conn)
    }

    fn export(&mut self) -> Result<Export, SinkError> {
        export::export(&self.conn)
    }

    fn unmatched(&mut self, limit: u64) -> Result<Vec<UnmatchedView>, SinkError> {
        let mut read = self.conn.prepare_cached(
            "SELECT lower(hex(identity)), provider, user, kind, message_id, recipient, occurred_at, received_at,
             parked_at, attempts, partition || '-' || offset FROM unmatched ORDER BY parked_at, identity LIMIT ?1",
        )?;
        let mut rows = read.query([int(limit)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(unmatched(row)?);
        }
        Ok(found)
    }

    fn dead_letters(&mut self, limit: u64) -> Result<Vec<DeadLetterView>, SinkError> {
        let sql = format!(
            "SELECT {DEAD_LETTER}, NULL, NULL FROM dead_letters ORDER BY last_seen DESC, id LIMIT ?1"
        );
        let mut read = self.conn.prepare_cached(&sql)?;
        let rows = read.query_map([int(limit)], dead_letter)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn dead_letter(&mut self, id: &str) -> Result<Option<DeadLetterView>, SinkError> {
        let sql = format!(
            "SELECT {DEAD_LETTER}, headers, raw FROM dead_letters
             WHERE substr(lower(hex(id)), 1, length(?1)) = lower(?1)
             AND (SELECT count(*) FROM dead_letters WHERE substr(lower(hex(id)), 1, length(?1)) = lower(?1)) = 1"
        );
        let mut read = self.conn.prepare_cached(&sql)?;
        Ok(read.query_row([id], dead_letter).optional()?)
    }

    fn counts(&mut self) -> Result<StoreCounts, SinkError> {
        let sql = "SELECT (SELECT count(*) FROM recipients), (SELECT count(*) FROM messages),
            (SELECT count(*) FROM batches), (SELECT count(*) FROM batches WHERE completed_at IS NOT NULL),
            (SELECT count(*) FROM ledger), (SELECT count(*) FROM unmatched), (SELECT count(*) FROM dead_letters)";
        Ok(self.conn.query_row(sql, (), |row| {
            Ok(StoreCounts {
                recipients: count(row, 0)?,
                messages: count(row, 1)?,
                batches: count(row, 2)?,
                completed: count(row, 3)?,
                ledger: count(row, 4)?,
                unmatched: count(row, 5)?,
                dead_letters: count(row, 6)?,
            })
        })?)
    }
}

fn unmatched(row: &Row<'_>) -> Result<UnmatchedView, SinkError> {
    Ok(UnmatchedView {
        identity: row.get(0)?,
        provider: row.get(1)?,
        user: row.get(2)?,
        kind: parked::kind(row.get(3)?)?.name(),
        message_id: row.get(4)?,
        recipient: row.get(5)?,
        occurred_at: millis(row, 6)?,
        received_at: Millis(row.get(7)?),
        parked_at: Millis(row.get(8)?),
        attempts: count(row, 9)?,
        delivery: row.get(10)?,
    })
}

fn dead_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetterView> {
    Ok(DeadLetterView {
        id: row.get(0)?,
        provider: row.get(1)?,
        user: row.get(2)?,
        stage: row.get(3)?,
        index: row.get(4)?,
        reason_code: row.get(5)?,
        reason: row.get(6)?,
        body_sha256: row.get(7)?,
        attempts: count(row, 8)?,
        first_seen: Millis(row.get(9)?),
        last_seen: Millis(row.get(10)?),
        delivery: row.get(11)?,
        headers: row
            .get::<_, Option<Vec<u8>>>(12)?
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        raw: row.get(13)?,
    })
}
