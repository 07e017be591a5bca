//! Recipients: from snapshot files into the store, and from the store into the arrangements.
//!
//! The store judges each row; the arrangements are fed only from what it committed. A store has one load at a time from each
//! process, so loads of one process take turns.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::reads::StateReads;
use crate::enrich::arrangement::SnapshotSender;
use crate::enrich::snapshot::{self, BadRow, GivenRow, RowChunk, SnapshotOptions};
use crate::error::{Fatal, SinkError};
use crate::event::{Millis, User};
use crate::generator::{SenderTables, SnapshotRow};
use crate::sink::writer::StateHandle;
use crate::state::{
    BatchRow, LoadId, LoadKind, LoadOutcome, LoadSummary, Mapping, MappingCursor, RecipientRow,
};

/// Rows of one transaction.
const CHUNK_ROWS: usize = 5_000;

/// Mappings sent to the arrangements at once.
const FEED_ROWS: usize = 10_000;

/// Bad rows of a load that are logged one by one; the rest is only counted.
const BAD_ROWS_LOGGED: u64 = 20;

/// What loading did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows that the store accepted as new.
    pub accepted: u64,
    /// Rows that it had already.
    pub known: u64,
    /// Rows that contradict an accepted one.
    pub contradictions: u64,
    /// Rows that could not be read.
    pub bad: u64,
    /// Rows that were read, those of the overlap included; only counted where there is an overlap.
    pub read: u64,
    /// Rows that were left out because they were sent too long ago.
    pub old: u64,
    /// New rows whose time cursor is well after the database's clock.
    pub ahead: u64,
    /// What the end of the load changed.
    pub summary: LoadSummary,
}

impl Report {
    /// Counts bad rows; the first of them are logged one by one.
    pub fn record_bad(&mut self, bad: &[BadRow]) {
        for row in bad {
            self.bad += 1;
            if self.bad <= BAD_ROWS_LOGGED {
                tracing::warn!("{row}");
            }
        }
    }

    /// Sentences for the summary; none if all went well.
    pub fn notes(&self) -> Vec<String> {
        let said = [
            (
                self.ahead,
                "rows have a cursor after the clock of their database; they are loaded, and polling goes on from that clock",
            ),
            (
                self.bad,
                "snapshot rows could not be read and were left out",
            ),
            (
                self.contradictions,
                "snapshot rows contradict one that was accepted before and were refused",
            ),
            (
                self.summary.total_too_small,
                "batches have a given total below their number of recipients",
            ),
        ];
        said.iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{n} {what}"))
            .collect()
    }
}

/// From which time on rows count as recent: it moves with a monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Horizon {
    age_max: Option<Duration>,
    started: (Millis, Instant),
}

impl Horizon {
    /// What was sent longer ago than `age_max` is too old; nothing is if there is none.
    pub fn new(age_max: Option<Duration>) -> Self {
        Self {
            age_max,
            started: (Millis::now(), Instant::now()),
        }
    }

    /// The least time that is recent now.
    pub fn since(&self) -> Option<Millis> {
        let (at, start) = self.started;
        let age = self.age_max?;
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let now = at.0.saturating_add(millis(start.elapsed()));
        Some(Millis(now.saturating_sub(millis(age))))
    }

    /// How old rows may be.
    pub const fn age_max(&self) -> Option<Duration> {
        self.age_max
    }
}

/// How far the store's mappings were handed to the workers, whoever loaded them.
pub struct Fed {
    after: MappingCursor,
    horizon: Horizon,
    reads: StateReads,
}

impl Fed {
    /// Nothing was; what is too old never will be.
    pub fn new(horizon: Horizon, reads: StateReads) -> Self {
        Self {
            after: MappingCursor::default(),
            horizon,
            reads,
        }
    }

    /// Sends the mappings that finished loads left in the store since the last call; returns how many.
    pub fn feed(&mut self, sender: &mut SnapshotSender) -> Result<u64, SinkError> {
        let since = self.horizon.since();
        let old = |mapping: &Mapping| since.zip(mapping.sent_at).is_some_and(|(s, at)| at < s);
        let mut count = 0;
        loop {
            let (mut mappings, last) = self.reads.mappings(self.after, FEED_ROWS)?;
            if mappings.is_empty() && last == self.after {
                return Ok(count);
            }
            self.after = last;
            mappings.retain(|mapping| !old(mapping));
            count += mappings.len() as u64;
            sender.send_mappings(&mappings);
        }
    }
}

/// Loads recipients and batches into a store.
#[derive(Clone)]
pub struct Loader {
    /// The store.
    pub state: StateHandle,
    /// The tenant of rows that name none.
    pub default_user: User,
    /// Whose turn it is to load.
    pub turn: Arc<Mutex<()>>,
}

/// A load that has begun. Dropped before its end it has died, and the next one closes it.
pub struct OpenLoad<'a> {
    loader: &'a Loader,
    id: LoadId,
    _turn: MutexGuard<'a, ()>,
}

impl Loader {
    /// Loads files; called with the number of rows so far.
    pub fn files(
        &self,
        kind: LoadKind,
        recipients: &[PathBuf],
        batches: Option<&PathBuf>,
        mut progress: impl FnMut(u64),
    ) -> Result<Report, Fatal> {
        let options = SnapshotOptions {
            default_user: self.default_user.clone(),
            ..SnapshotOptions::default()
        };
        let load = self.begin(kind)?;
        let mut report = Report::default();
        for path in recipients {
            for chunk in snapshot::recipients(path, &options)? {
                let RowChunk { rows, bad } = chunk?;
                report.record_bad(&bad);
                load.recipients(rows, &mut report)?;
                progress(report.accepted + report.known);
            }
        }
        if let Some(path) = batches {
            for chunk in snapshot::batches(path, &options)? {
                let RowChunk { rows, bad } = chunk?;
                report.record_bad(&bad);
                load.batches(rows)?;
            }
        }
        report.summary = load.end()?;
        Ok(report)
    }

    /// Loads what a generator knows.
    pub fn generated(&self, kind: LoadKind, tables: &SenderTables) -> Result<Report, Fatal> {
        let load = self.begin(kind)?;
        let mut report = Report::default();
        for chunk in tables.recipients.chunks(CHUNK_ROWS) {
            let rows = chunk.iter().map(|row| self.row(row)).collect();
            load.recipients(rows, &mut report)?;
        }
        load.batches(tables.batches.clone())?;
        report.summary = load.end()?;
        Ok(report)
    }

    fn row(&self, row: &SnapshotRow) -> RecipientRow {
        RecipientRow::new(GivenRow {
            provider: &row.provider,
            message_id: &row.message_id,
            recipient: &row.recipient,
            user: if row.user_id.is_empty() {
                self.default_user.as_str()
            } else {
                &row.user_id
            },
            batch_id: &row.batch_id,
            recipient_id: &row.recipient_id,
            sent_at: Millis::parse_rfc3339(&row.sent_at),
        })
    }

    /// Begins a load when it is this one's turn.
    pub fn begin(&self, kind: LoadKind) -> Result<OpenLoad<'_>, SinkError> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self
            .state
            .call_until_done(move |store| store.begin_load(kind))?;
        Ok(OpenLoad {
            loader: self,
            id,
            _turn: turn,
        })
    }
}

impl OpenLoad<'_> {
    /// Loads one chunk of recipients.
    pub fn recipients(
        &self,
        rows: Vec<RecipientRow>,
        report: &mut Report,
    ) -> Result<(), SinkError> {
        let load = self.id;
        let loaded = self
            .loader
            .state
            .call_until_done(move |store| store.load_recipients(load, &rows))?;
        for one in &loaded {
            match one {
                LoadOutcome::Accepted(_) => report.accepted += 1,
                LoadOutcome::Known(_) => report.known += 1,
                LoadOutcome::Contradiction => report.contradictions += 1,
            }
        }
        Ok(())
    }

    /// Loads one chunk of batches; they count at the end.
    pub fn batches(&self, rows: Vec<BatchRow>) -> Result<(), SinkError> {
        let load = self.id;
        let state = &self.loader.state;
        state.call_until_done(move |store| store.load_batches(load, &rows))
    }

    /// Ends the load: totals, sealing and generations change.
    pub fn end(self) -> Result<LoadSummary, SinkError> {
        let load = self.id;
        let state = &self.loader.state;
        state.call_until_done(move |store| store.finish_load(load))
    }
}
