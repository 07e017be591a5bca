//! Recipients: from snapshot files into the store, and from the store into the arrangements.
//!
//! The store judges each row; the arrangements are fed only from what it committed.

use std::path::PathBuf;

use crate::enrich::arrangement::Feeder;
use crate::enrich::snapshot::{self, BadRow, Chunk, GivenRow, Options};
use crate::error::{Fatal, SinkError};
use crate::event::{Millis, User};
use crate::sink::state::{LoadId, LoadKind, LoadSummary, Loaded, MappingCursor, RecipientRow};
use crate::sink::writer::StateHandle;
use crate::source::generator::{SnapshotRow, Tables};

/// Rows of one transaction.
const CHUNK_ROWS: usize = 5_000;

/// Mappings handed to the arrangements at once.
const FEED_ROWS: usize = 10_000;

/// Bad rows of a load that are told one by one; the rest is only counted.
const BAD_ROWS_TOLD: u64 = 20;

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
    /// What the end of the load changed.
    pub summary: LoadSummary,
}

impl Report {
    /// Sentences for the summary; none if all went well.
    pub fn notes(&self) -> Vec<String> {
        let said = [
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

/// Loads recipients and batches into a store.
pub struct Loader {
    /// The store.
    pub state: StateHandle,
    /// The tenant of rows that name none.
    pub default_user: User,
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
        let options = Options {
            default_user: self.default_user.clone(),
            ..Options::default()
        };
        let load = self.begin(kind)?;
        let mut report = Report::default();
        for path in recipients {
            for chunk in snapshot::recipients(path, &options)? {
                let Chunk { rows, bad } = chunk?;
                tell(&bad, &mut report);
                self.chunk(load, rows, &mut report)?;
                progress(report.accepted + report.known);
            }
        }
        if let Some(path) = batches {
            for chunk in snapshot::batches(path, &options)? {
                let Chunk { rows, bad } = chunk?;
                tell(&bad, &mut report);
                self.state
                    .call_until_done(move |store| store.load_batches(load, &rows))?;
            }
        }
        report.summary = self.end(load)?;
        Ok(report)
    }

    /// Loads what a generator knows.
    pub fn generated(&self, kind: LoadKind, tables: &Tables) -> Result<Report, Fatal> {
        let load = self.begin(kind)?;
        let mut report = Report::default();
        for chunk in tables.recipients.chunks(CHUNK_ROWS) {
            let rows = chunk.iter().map(|row| self.row(row)).collect();
            self.chunk(load, rows, &mut report)?;
        }
        let batches = tables.batches.clone();
        self.state
            .call_until_done(move |store| store.load_batches(load, &batches))?;
        report.summary = self.end(load)?;
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

    /// Feeds everything that finished loads left in the store; how many mappings.
    pub fn feed(&self, feeder: &mut Feeder) -> Result<u64, SinkError> {
        let (mut after, mut fed) = (MappingCursor::default(), 0);
        loop {
            let (mappings, last) = self
                .state
                .call_until_done(move |store| store.mappings(after, FEED_ROWS))?;
            if mappings.is_empty() {
                return Ok(fed);
            }
            fed += mappings.len() as u64;
            feeder.feed(&mappings);
            after = last;
        }
    }

    fn begin(&self, kind: LoadKind) -> Result<LoadId, SinkError> {
        self.state
            .call_until_done(move |store| store.begin_load(kind))
    }

    fn end(&self, load: LoadId) -> Result<LoadSummary, SinkError> {
        self.state
            .call_until_done(move |store| store.finish_load(load))
    }

    fn chunk(
        &self,
        load: LoadId,
        rows: Vec<RecipientRow>,
        report: &mut Report,
    ) -> Result<(), SinkError> {
        let loaded = self
            .state
            .call_until_done(move |store| store.load_recipients(load, &rows))?;
        for one in &loaded {
            match one {
                Loaded::Accepted(_) => report.accepted += 1,
                Loaded::Known(_) => report.known += 1,
                Loaded::Contradiction => report.contradictions += 1,
            }
        }
        Ok(())
    }
}

fn tell(bad: &[BadRow], report: &mut Report) {
    for row in bad {
        report.bad += 1;
        if report.bad <= BAD_ROWS_TOLD {
            tracing::warn!("{row}");
        }
    }
}
