//! Looks at the user's own tables: what is new in them goes into the store, and how far they were read is stored with it.
//!
//! A poll is one load of the store. It begins a load only when there is something to load, so that a quiet table costs the
//! store nothing. A poll that fails is given up as a whole and made again from where it began: rows that it committed
//! stand and are known then, and the next load closes its load, without sealing anything. The place up to which a table
//! was read belongs to the store, not to a job: whoever loads into that store, goes on from there.

use super::loader::{Horizon, Loader, OpenLoad, Report};
use crate::config::RecipientTables;
use crate::enrich::snapshot::{LoadableRow, SnapshotOptions};
use crate::enrich::tables::{
    self, DatabaseLocation, Overlap, ReadLimits, ReadSummary, RecentRows, TableChunks, TableCursor,
    TableError, TableQuery, TableReader, UserTable,
};
use crate::error::{Fatal, SinkError};
use crate::event::Millis;
use crate::recipient::{BatchRow, RecipientRow};
use crate::state::{Checkpoint, LoadKind};

/// The job under whose name the places are stored.
const JOB: &str = "recipients of tables";

/// Rows of the overlap that are remembered as judged; of what does not fit, the store is asked again. About 100 bytes each.
const RECENT_MAX: usize = 200_000;

/// Reads the user's own tables into a store.
pub struct TableLoader {
    tables: Box<dyn TableReader>,
    loader: Loader,
    limits: ReadLimits,
    horizon: Horizon,
    overlap: Overlap,
    /// The first poll seals.
    complete: bool,
    recipients: WatchedTable,
    batches: Option<WatchedTable>,
    /// Whether places are stored.
    durable: bool,
}

/// A table, and how far it was read.
struct WatchedTable {
    given: UserTable,
    partition: String,
    reached: Option<TableCursor>,
    /// Whether it was ever read to its end.
    read: bool,
    recent: RecentRows,
    /// Rows read so far, over all runs.
    rows: u64,
}

impl TableLoader {
    /// Prepares it and finds out how far an earlier run came; reaches the store, but not yet the tables.
    pub fn prepare(
        plan: &RecipientTables,
        loader: Loader,
        horizon: Horizon,
        durable: bool,
    ) -> Result<Self, Fatal> {
        let limits = ReadLimits {
            options: SnapshotOptions {
                default_user: loader.default_user.clone(),
                chunk_rows: plan.chunk_rows.get(),
            },
            sent_since: None,
            recent_max: RECENT_MAX,
            clock: None,
        };
        let watched = |given: &UserTable| WatchedTable::new(given.clone(), &plan.place, &horizon);
        let mut all = Self {
            tables: tables::open(&plan.place)?,
            limits,
            overlap: plan.overlap,
            complete: plan.complete,
            recipients: watched(&plan.recipients),
            batches: plan.batches.as_ref().map(watched),
            loader,
            horizon,
            durable,
        };
        if durable {
            all.restore()?;
        }
        Ok(all)
    }

    fn restore(&mut self) -> Result<(), SinkError> {
        let state = &self.loader.state;
        let stored = state.call_until_done(|store| store.checkpoints(JOB))?;
        for watched in self.batches.iter_mut().chain([&mut self.recipients]) {
            if let Some(found) = stored.iter().find(|one| one.partition == watched.partition) {
                watched.reached = TableCursor::parse(&found.proof);
                (watched.read, watched.rows) = (found.finished, found.offset);
            }
        }
        Ok(())
    }

    /// Whether the recipients were never read to their end.
    pub const fn is_new(&self) -> bool {
        !self.recipients.read
    }

    /// Checks that the tables exist and have their columns; reads nothing.
    pub fn probe(&mut self) -> Result<(), TableError> {
        let recipients = self.recipients.query::<RecipientRow>(None, None);
        let batches = self.batches.as_ref();
        let batches = batches.map(|batches| batches.query::<BatchRow>(None, None));
        let queries = batches.into_iter().chain([recipients]);
        tables::probe(&mut *self.tables, queries)
    }

    /// Polls once, to the end of both tables; `on_rows` gets the number of rows read so far.
    pub fn poll(&mut self, mut on_rows: impl FnMut(u64)) -> Result<Report, TableError> {
        let report = self.try_poll(&mut on_rows);
        self.tables.end();
        report
    }

    fn try_poll(&mut self, on_rows: &mut dyn FnMut(u64)) -> Result<Report, TableError> {
        self.tables.begin()?;
        let clock = Some(self.tables.clock()?);
        for watched in self.batches.iter_mut().chain([&mut self.recipients]) {
            watched.limit_to(clock);
        }
        let kind = if self.complete && self.is_new() {
            LoadKind::Full
        } else {
            LoadKind::Increment
        };
        let mut into = LoadTarget {
            loader: &self.loader,
            kind,
            load: None,
            report: Report::default(),
        };
        let tables = &mut *self.tables;
        let batch_limits = ReadLimits {
            clock,
            ..self.limits.clone()
        };
        // Batches first: what they seal was sent before, so its recipients are in what is read after.
        let batches = match &self.batches {
            None => None,
            Some(batches) => Some(batches.read(
                tables,
                self.overlap,
                &batch_limits,
                |rows, into: &mut LoadTarget<'_>| into.load()?.batches(rows),
                &mut into,
                on_rows,
            )?),
        };
        let limits = ReadLimits {
            sent_since: self.horizon.since(),
            ..batch_limits.clone()
        };
        let seen = self.recipients.read(
            tables,
            self.overlap,
            &limits,
            |rows, into: &mut LoadTarget<'_>| into.recipients(rows),
            &mut into,
            on_rows,
        )?;
        let report = into.end()?;
        self.recipients.judged(seen, self.overlap);
        if let Some((watched, seen)) = self.batches.as_mut().zip(batches) {
            watched.judged(seen, self.overlap);
        }
        self.store()?;
        Ok(report)
    }

    /// Stores how far the tables were read.
    fn store(&self) -> Result<(), SinkError> {
        if !self.durable {
            return Ok(());
        }
        let all = self.batches.iter().chain([&self.recipients]);
        let partitions: Vec<Checkpoint> = all.map(WatchedTable::checkpoint).collect();
        let state = &self.loader.state;
        state.call_until_done(move |store| store.checkpoint(&partitions))
    }
}

/// What a poll loads into; the load begins with the first rows.
struct LoadTarget<'a> {
    loader: &'a Loader,
    kind: LoadKind,
    load: Option<OpenLoad<'a>>,
    report: Report,
}

impl<'a> LoadTarget<'a> {
    fn load(&mut self) -> Result<&OpenLoad<'a>, SinkError> {
        let load = match self.load.take() {
            Some(load) => load,
            None => self.loader.begin(self.kind)?,
        };
        Ok(self.load.insert(load))
    }

    fn recipients(&mut self, rows: Vec<RecipientRow>) -> Result<(), SinkError> {
        let mut report = self.report;
        self.load()?.recipients(rows, &mut report)?;
        self.report = report;
        Ok(())
    }

    fn end(mut self) -> Result<Report, SinkError> {
        if let Some(load) = self.load {
            self.report.summary = load.end()?;
        }
        Ok(self.report)
    }
}

impl WatchedTable {
    fn new(given: UserTable, place: &DatabaseLocation, horizon: &Horizon) -> Self {
        // With another limit of age other rows are left out, so what was read with the old one does not count.
        let partition = format!("{} {:?}", given.fingerprint(place), horizon.age_max());
        Self {
            given,
            partition,
            reached: None,
            read: false,
            recent: RecentRows::new(RECENT_MAX),
            rows: 0,
        }
    }

    /// A cursor that was stored after the database's clock, by an earlier version, would end polling.
    fn limit_to(&mut self, clock: Option<TableCursor>) {
        self.reached = self
            .reached
            .map(|at| clock.map_or(at, |clock| at.min(clock)));
    }

    fn from(&self, overlap: Overlap) -> Option<TableCursor> {
        self.reached.map(|reached| reached.less(overlap))
    }

    const fn query<T: LoadableRow>(
        &self,
        from: Option<TableCursor>,
        sent_since: Option<Millis>,
    ) -> TableQuery<'_> {
        TableQuery {
            given: &self.given,
            columns: T::COLUMNS,
            from,
            sent_since,
        }
    }

    /// Reads it to its end and hands over what nobody judged yet.
    fn read<T: LoadableRow>(
        &self,
        tables: &mut dyn TableReader,
        overlap: Overlap,
        limits: &ReadLimits,
        mut take: impl FnMut(Vec<T>, &mut LoadTarget<'_>) -> Result<(), SinkError>,
        into: &mut LoadTarget<'_>,
        on_rows: &mut dyn FnMut(u64),
    ) -> Result<ReadSummary, TableError> {
        tables.open(&self.query::<T>(self.from(overlap), limits.sent_since))?;
        let mut chunks = TableChunks::<T>::new(tables, &self.recent, limits, self.given.setting);
        while let Some(chunk) = chunks.next_chunk()? {
            into.report.record_bad(&chunk.bad);
            if !chunk.rows.is_empty() {
                take(chunk.rows, into)?;
            }
            on_rows(chunks.seen().rows);
        }
        let seen = chunks.into_seen();
        into.report.read += seen.rows;
        into.report.old += seen.old;
        into.report.ahead += seen.ahead;
        Ok(seen)
    }

    /// What was read is in the store.
    fn judged(&mut self, seen: ReadSummary, overlap: Overlap) {
        self.rows += seen.new;
        self.reached = self.reached.max(seen.reached);
        self.read = true;
        if self.reached.is_none() {
            self.recent = RecentRows::new(RECENT_MAX);
        }
        let from = self.from(overlap);
        self.recent.take(seen.prints, from);
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            job: JOB.to_owned(),
            partition: self.partition.clone(),
            offset: self.rows,
            proof: self.reached.map(|at| at.to_string()).unwrap_or_default(),
            finished: true,
        }
    }
}
