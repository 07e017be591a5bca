//! The rows of one table of a poll, checked and cut into chunks.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::cursor::TableCursor;
use super::recent::{RecentRows, RowFingerprint};
use super::{RawRow, TableError, TableReader};
use crate::enrich::snapshot::{BadRow, LoadableRow, RowChunk, SnapshotOptions};
use crate::event::Millis;

/// What bounds a poll.
#[derive(Clone, Debug)]
pub struct ReadLimits {
    /// How rows are read, and how many make a chunk.
    pub options: SnapshotOptions,
    /// Rows sent before this time are left out.
    pub sent_since: Option<Millis>,
    /// How many rows are remembered as judged.
    pub recent_max: usize,
    /// The database's clock at the start of the poll, as a time cursor: polling never goes on from a later one. A cursor that
    /// is a number is not limited by it.
    pub clock: Option<TableCursor>,
}

/// A time cursor this far ahead of the database's clock is reported; less is skew between writers.
const AHEAD_MIN_MICROS: i64 = 60_000_000;

/// The chunks of the table that is open.
pub struct TableChunks<'a, T> {
    tables: &'a mut dyn TableReader,
    recent: &'a RecentRows,
    limits: &'a ReadLimits,
    /// What bad rows are said to be rows of.
    name: &'static str,
    page: std::vec::IntoIter<RawRow>,
    /// The row that begins the next chunk.
    held: Option<T>,
    ended: bool,
    seen: ReadSummary,
}

/// What was seen on the way.
#[derive(Debug, Default)]
pub struct ReadSummary {
    /// How many rows were read.
    pub rows: u64,
    /// How many of them nobody had judged yet.
    pub new: u64,
    /// How many of these were too old.
    pub old: u64,
    /// How many new rows have a cursor well after the database's clock.
    pub ahead: u64,
    /// The greatest cursor, but never after the database's clock.
    pub reached: Option<TableCursor>,
    /// The last rows that are to be judged.
    pub prints: VecDeque<(TableCursor, RowFingerprint)>,
}

impl ReadLimits {
    /// Up to where a row with that cursor moves the poll. The order of cursors puts all numbers before all times.
    pub fn reached(&self, cursor: Option<TableCursor>) -> Option<TableCursor> {
        match (cursor, self.clock) {
            (Some(cursor), Some(clock)) => Some(cursor.min(clock)),
            (cursor, _) => cursor,
        }
    }

    fn is_ahead(&self, cursor: Option<TableCursor>) -> bool {
        let (Some(TableCursor::Time(at)), Some(TableCursor::Time(clock))) = (cursor, self.clock)
        else {
            return false;
        };
        at.saturating_sub(clock) > AHEAD_MIN_MICROS
    }
}

impl<'a, T: LoadableRow> TableChunks<'a, T> {
    /// Of the table that was opened last.
    pub fn new(
        tables: &'a mut dyn TableReader,
        recent: &'a RecentRows,
        limits: &'a ReadLimits,
        name: &'static str,
    ) -> Self {
        Self {
            tables,
            recent,
            limits,
            name,
            page: Vec::new().into_iter(),
            held: None,
            ended: false,
            seen: ReadSummary::default(),
        }
    }

    /// The next chunk of rows that nobody judged yet; none at the end.
    pub fn next_chunk(&mut self) -> Result<Option<RowChunk<T>>, TableError> {
        let mut chunk = RowChunk {
            rows: Vec::from_iter(self.held.take()),
            bad: Vec::new(),
        };
        let full = self.limits.options.chunk_rows.max(1);
        while chunk.bad.len() < full {
            let Some(raw) = self.next_row()? else { break };
            match self.read(raw) {
                None => {}
                Some(Err(bad)) => chunk.bad.push(bad),
                Some(Ok(row)) if chunk.rows.len() >= full && !continues(&chunk.rows, &row) => {
                    self.held = Some(row);
                    break;
                }
                Some(Ok(row)) => chunk.rows.push(row),
            }
        }
        Ok((!chunk.rows.is_empty() || !chunk.bad.is_empty()).then_some(chunk))
    }

    /// What was seen so far.
    pub const fn seen(&self) -> &ReadSummary {
        &self.seen
    }

    /// What was seen, all in all.
    pub fn into_seen(self) -> ReadSummary {
        self.seen
    }

    fn next_row(&mut self) -> Result<Option<RawRow>, TableError> {
        if self.page.len() == 0 && !self.ended {
            let page = self.tables.page(self.limits.options.chunk_rows.max(1))?;
            self.ended = page.is_empty();
            self.page = page.into_iter();
        }
        Ok(self.page.next())
    }

    /// A row that is new and not too old.
    fn read(&mut self, raw: RawRow) -> Option<Result<T, BadRow>> {
        self.seen.rows += 1;
        self.seen.reached = self.seen.reached.max(self.limits.reached(raw.cursor));
        let print = RowFingerprint::of(raw.cursor, &raw.fields);
        let judged = self.recent.holds(print);
        // Without a cursor all rows come each time, and those of one poll replace those of the one before.
        if !judged || raw.cursor.is_none() {
            self.remember(raw.cursor, print);
        }
        if judged {
            return None;
        }
        self.seen.new += 1;
        self.seen.ahead += u64::from(self.limits.is_ahead(raw.cursor));
        let row = T::read(raw.fields, &self.limits.options);
        let old = |row: &T| {
            let since = self.limits.sent_since;
            since
                .zip(row.sent_at())
                .is_some_and(|(since, sent)| sent < since)
        };
        if row.as_ref().is_ok_and(old) {
            self.seen.old += 1;
            return None;
        }
        Some(row.map_err(|reason| BadRow {
            file: PathBuf::from(self.name),
            line: self.seen.rows,
            reason,
        }))
    }

    fn remember(&mut self, cursor: Option<TableCursor>, print: RowFingerprint) {
        // Where there is no place, any will do.
        let place = cursor.unwrap_or(TableCursor::Number(0));
        self.seen.prints.push_back((place, print));
        if self.seen.prints.len() > self.limits.recent_max {
            self.seen.prints.pop_front();
        }
    }
}

fn continues<T: LoadableRow>(rows: &[T], row: &T) -> bool {
    rows.last().is_some_and(|last| last.is_same_message(row))
}

#[cfg(test)]
#[path = "chunks_tests.rs"]
mod tests;
