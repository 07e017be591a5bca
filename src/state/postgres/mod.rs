//! The state store of a fleet: Postgres, for any number of processes at once.
//!
//! Contract: that of [`StateStore`], with `synchronous_commit = on`, so a commit that returned survives a crash of the
//! server. The tables are documented in `schema.sql`. No process keeps flags or counters between transactions, and every
//! transaction locks in one order, so members may write to the same rows. A commit whose reply is lost is an error of
//! unknown outcome: the writer repeats the batch, and the ledger judges what of it is new.
//!
//! A batch of events takes three round trips and at most six statements, whatever its size: the ledger; the parked copies
//! and the locked state rows; the changed rows, the counters and the commit.
//!
//! Rows are found by their keys, whatever the planner believes of a table (`enable_seqscan = off` for all calls but those that read
//! whole tables: what opens, prunes, counts or exports): what it knows is as old as the table's last analysis, and a prepared plan of an empty table would read all of what
//! is in it by now, in every batch.
//!
//! Batches need one of the poolers' session modes, if there is a pooler: settings and advisory locks belong to the session.
//!
//! # Ledger size
//!
//! A key takes about 106 bytes: 52 in its table, 53 in the index (measured over 2 M keys, 100,000 an hour, in batches of 10,000).
//! Every event that is neither parked nor a dead letter has one, a repeated
//! event has none of its own. It is kept until `hookflow prune` drops whole days.
//!
//! | events a second, on average | keys a day | a day | kept for 30 days | for 90 |
//! |---|---|---|---|---|
//! | 10 | 0.86 M | 92 MB | 2.7 GB | 8.2 GB |
//! | 100 | 8.6 M | 0.92 GB | 27 GB | 82 GB |
//! | 1,000 | 86 M | 9.2 GB | 275 GB | 824 GB |
//! | 10,000 | 864 M | 92 GB | 2.7 TB | 8.2 TB |
//!
//! Its hour stands before its hash, so what is inserted together lies together: of a large ledger only the pages of the hours in work
//! need memory. On top of 20 M keys (105.0 bytes each, measured) an event cost the server 11.3 µs of CPU and 474 bytes of WAL, in an empty
//! ledger 10.7 µs and 465 bytes (`cargo bench --bench state_postgres`, random recipients, 5,000 events a batch).

mod apply;
mod batches;
mod chunk;
mod connect;
mod dead_letters;
mod deadline;
mod export;
mod jobs;
mod late;
mod ledger;
mod load;
mod locks;
mod mappings;
mod migrate;
mod outbox;
mod parked;
mod partitions;
mod prune;
mod query;
mod rows;
mod schema;
mod seal;
mod session;
mod settings;
mod values;

use super::view::Export;
use super::{
    Applied, BatchRow, Checkpoint, LatePage, LoadId, LoadKind, LoadOutcome, LoadSummary, Mapping,
    MappingCursor, Prune, Pruned, RecipientRow, StateEvent, StateStore,
};
use crate::error::{Class, Fatal, SinkError};
use crate::event::{Millis, Reject};
use crate::key::{Bucket, Identity};
use crate::postgres::{PostgresError, class};
use connect::Mode;
use session::Session;

pub use migrate::{Migrated, drop_schema, migrate};
pub use outbox::PostgresOutbox;
pub use query::PostgresReader;
pub use schema::VERSION;
pub use settings::{PostgresConfig, is_schema_name};

/// A state store in Postgres.
pub struct PostgresStore {
    session: Session,
    /// The load that this store has open, and the connection that holds its lock.
    load: Option<(LoadId, u64)>,
    partitions: partitions::PartitionSchedule,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresStore")
    }
}

impl PostgresStore {
    /// Opens the store. What a person has to change (password, schema, rights) is refused here; a server that cannot be
    /// reached is not: every call tries again, and says that there is an outage until it succeeds.
    pub fn open(settings: PostgresConfig) -> Result<Self, Fatal> {
        Self::open_as(settings, Mode::Durable)
    }

    /// Opens the store for a dry run: everything happens in one transaction, which is undone at the end. The rows it
    /// changes stay locked until then, so a live job beside it would wait.
    pub fn open_dry(settings: PostgresConfig) -> Result<Self, Fatal> {
        Self::open_as(settings, Mode::Dry)
    }

    fn open_as(settings: PostgresConfig, mode: Mode) -> Result<Self, Fatal> {
        let session = Session::new(settings, mode)?;
        let mut store = Self {
            session,
            load: None,
            partitions: partitions::PartitionSchedule::default(),
        };
        match store.start() {
            Ok(()) => Ok(store),
            Err(PostgresError::Failed(error))
                if matches!(error.class, Class::Outage | Class::Retry) =>
            {
                tracing::warn!(%error, "the state store cannot be reached yet");
                Ok(store)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Closes loads that died and drops parked rows that are known: what a start owes to whatever went before it.
    fn start(&mut self) -> Result<(), PostgresError> {
        self.session.connect()?;
        self.session.long(load::close_dead)?;
        self.session.maintain(parked::drop_known)?;
        self.make_partitions();
        Ok(())
    }

    /// Makes the partitions of the coming days, where that is due. Without them rows go to the rest partition, so a failure
    /// is only logged.
    fn make_partitions(&mut self) {
        let now = Millis::now();
        if !self.partitions.due(now) {
            return;
        }
        let made = self.session.call(async |c| partitions::make(c, now).await);
        if let Err(error) = made {
            tracing::warn!(%error, "partitions of the ledger could not be made ahead; `hookflow migrate` makes them too");
        }
    }

    /// Makes sure that this session holds the lock of a load that it has begun.
    fn hold(&mut self, load: LoadId) -> Result<(), SinkError> {
        self.session.connect()?;
        let connection = self.session.connections();
        if self.load == Some((load, connection)) {
            return Ok(());
        }
        self.session.call(async |c| load::hold(c, load).await)?;
        self.load = Some((load, connection));
        Ok(())
    }

    /// The secret under which marks in the shared cache are made, and the incarnation that voids those of other stores.
    pub fn cache_keys(&mut self) -> Result<([u8; 32], [u8; 16]), SinkError> {
        self.session.call(schema::cache_keys)
    }
}

impl StateStore for PostgresStore {
    fn apply(&mut self, events: &[StateEvent]) -> Result<Applied, SinkError> {
        self.session.call(async |c| apply::apply(c, events).await)
    }

    fn write_dead_letters(&mut self, rejects: &[Reject]) -> Result<(), SinkError> {
        self.session
            .call(async |c| dead_letters::insert(c, rejects).await)
    }

    fn begin_load(&mut self, kind: LoadKind) -> Result<LoadId, SinkError> {
        self.session.connect()?;
        let before = self.load.take();
        let before = before.filter(|(_, connection)| *connection == self.session.connections());
        let before = before.map(|(load, _)| load);
        let load = self
            .session
            .long(async |c| load::begin_load(c, before, kind).await)?;
        self.load = Some((load, self.session.connections()));
        Ok(load)
    }

    fn load_recipients(
        &mut self,
        load: LoadId,
        rows: &[RecipientRow],
    ) -> Result<Vec<LoadOutcome>, SinkError> {
        self.hold(load)?;
        self.session
            .call(async |c| chunk::recipients(c, load, rows).await)
    }

    fn load_batches(&mut self, load: LoadId, rows: &[BatchRow]) -> Result<(), SinkError> {
        self.hold(load)?;
        self.session
            .call(async |c| chunk::batch_rows(c, load, rows).await)
    }

    fn finish_load(&mut self, load: LoadId) -> Result<LoadSummary, SinkError> {
        self.hold(load)?;
        let summary = self
            .session
            .long(async |c| seal::finish_load(c, load).await)?;
        self.load = None;
        Ok(summary)
    }

    fn mappings(
        &mut self,
        after: MappingCursor,
        limit: usize,
    ) -> Result<(Vec<Mapping>, MappingCursor), SinkError> {
        self.session
            .call(async |c| mappings::page(c, after, limit).await)
    }

    fn late_matches(&mut self, after: Identity, rows: usize) -> Result<LatePage, SinkError> {
        self.session
            .call(async |c| late::late_matches(c, after, rows).await)
    }

    fn parked(&mut self) -> Result<u64, SinkError> {
        self.session.maintain(parked::size)
    }

    fn unpark(&mut self, identities: &[Identity]) -> Result<(), SinkError> {
        self.session
            .call(async |c| parked::unpark(c, identities).await)
    }

    fn judge_deadlines(&mut self, now: Millis) -> Result<u64, SinkError> {
        self.make_partitions();
        self.session.call(async |c| deadline::judge(c, now).await)
    }

    fn checkpoint(&mut self, partitions: &[Checkpoint]) -> Result<(), SinkError> {
        // A job whose input ends fires no deadlines before its end: its days get their partitions here.
        self.make_partitions();
        self.session
            .call(async |c| jobs::checkpoint(c, partitions).await)
    }

    fn checkpoints(&mut self, job: &str) -> Result<Vec<Checkpoint>, SinkError> {
        self.session.call(async |c| jobs::checkpoints(c, job).await)
    }

    fn known(&mut self, events: &[(Bucket, Identity)]) -> Result<Vec<bool>, SinkError> {
        self.session.call(async |c| ledger::known(c, events).await)
    }

    fn prune(&mut self, what: &Prune, rows_max: u32) -> Result<Pruned, SinkError> {
        self.session
            .maintain(async |c| prune::prune(c, what, rows_max).await)
    }

    fn drop_dead_letters(&mut self, before: Millis, rows_max: u32) -> Result<u64, SinkError> {
        self.session
            .call(async |c| prune::drop_dead_letters(c, before, rows_max).await)
    }

    fn export(&mut self) -> Result<Export, SinkError> {
        self.session.maintain(export::export)
    }
}
