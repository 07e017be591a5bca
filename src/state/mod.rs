//! The state store: recipients, batches, ledger, parked events, dead letters, jobs.
//!
//! Every implementation (SQLite, Postgres) promises the same, and one conformance suite holds both to it. What they decide alike is in
//! [`kernel`]:
//!
//! * **One transaction a batch.** Ledger, parked rows, recipients, batches and outbox change together or not at all, and
//!   are locked in that order, each sorted by key.
//! * **The ledger is the judge.** An event counts if, and only if, its (bucket, identity) was not stored before.
//! * **The fold is order-free**: see [`kernel::RowState`].
//! * **Counters grow only by transitions** of state rows, totals only by identities that were new to the ledger.
//! * **Completion** fires at most once per generation, in the transaction that sees the edge, through an outbox row.

pub mod kernel;
pub mod null;
pub mod postgres;
pub mod sqlite;
pub mod view;

use compact_str::CompactString;

use crate::error::SinkError;
use crate::event::{BounceClass, Event, Kind, Millis, Reject, User};
use crate::key::{Bucket, Identity};
pub use crate::recipient::{BatchRow, Mapping, RecipientRow, RowId};

/// One event as the state store sees it.
#[derive(Clone, Debug)]
pub struct StateEvent {
    /// What makes copies one.
    pub identity: Identity,
    /// The first part of the ledger's key.
    pub bucket: Bucket,
    /// What happened.
    pub kind: Kind,
    /// How final a bounce is.
    pub bounce_class: Option<BounceClass>,
    /// Opened by a machine, as the provider says.
    pub machine: bool,
    /// The time that the fold uses.
    pub time: Millis,
    /// What is to be done with it.
    pub effect: Effect,
}

impl StateEvent {
    /// About how many bytes a writer holds for it: values that it shares with other rows count in full.
    pub fn weight(&self) -> usize {
        let parked = match &self.effect {
            Effect::Apply(_) | Effect::LogOnly => 0,
            Effect::Park(event) => event.weight(),
        };
        size_of::<Self>() + parked
    }
}

/// What an event asks of the state store.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Its recipient is known: fold it into that row, and delete a parked copy if there is one.
    Apply(RowId),
    /// A kind that counts for nothing: into the ledger, nowhere else.
    LogOnly,
    /// No recipient is known yet: park it durably, unless the ledger or the parked table already hold it.
    Park(Box<Event>),
}

/// Where an event ended, at the state store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// New, and folded in.
    Applied,
    /// The ledger (or the parked table) already held it.
    Duplicate,
    /// Parked until its recipient is known.
    Unmatched,
    /// New, and of a kind that counts for nothing.
    LoggedOnly,
}

/// What one [`StateStore::apply`] did.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The outcome of each event, in the order given.
    pub outcomes: Vec<Outcome>,
    /// Events older than what was pruned: they raised no totals.
    pub late_total_refused: u64,
    /// Batches whose completion fired in this transaction.
    pub completed: u64,
    /// State rows that changed.
    pub recipients_changed: u64,
}

/// What became of one row of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadOutcome {
    /// New; the mapping is committed.
    Accepted(Mapping),
    /// Exactly this mapping was there already.
    Known(Mapping),
    /// It contradicts a mapping that was accepted before; it is part of no total.
    Contradiction,
}

/// Whether the end of a load fixes the totals of its batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadKind {
    /// A whole snapshot: a batch that has no `batches` row is sealed at its distinct state rows.
    Full,
    /// A part: only a `batches` row seals.
    Increment,
}

impl LoadKind {
    /// The kind as stores write it.
    const fn name(self) -> &'static str {
        match self {
            LoadKind::Full => "full",
            LoadKind::Increment => "increment",
        }
    }

    const fn of_full(full: bool) -> Self {
        if full { Self::Full } else { Self::Increment }
    }
}

/// The number of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadId(pub i64);

/// How far somebody has read the mappings of ended loads; the default is before all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MappingCursor {
    /// The place of the load among those that ended; 0 in stores of one process, whose numbers are in order by themselves.
    pub finish: i64,
    /// The store's number of the last mapping read.
    pub message: i64,
}

/// What a finished load changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadSummary {
    /// Batches that it sealed (or sealed anew, raising the generation).
    pub sealed: u64,
    /// Rows of it that contradicted a mapping accepted before.
    pub contradictions: u64,
    /// Batches whose given total is below their distinct state rows.
    pub total_too_small: u64,
    /// Batches that were complete the moment they were sealed.
    pub completed: u64,
}

/// A parked event for which the store now knows the recipient.
#[derive(Clone, Debug)]
pub struct LateMatch {
    /// The event, as it was parked.
    pub event: Event,
    /// Where it belongs.
    pub row_id: RowId,
    /// The batch of that row.
    pub batch_id: CompactString,
    /// The recipient id of that row.
    pub recipient_id: CompactString,
}

/// A read of some parked events.
#[derive(Clone, Debug, Default)]
pub struct LatePage {
    /// Those that match a mapping or a state row now, in the order of their identities.
    pub matches: Vec<LateMatch>,
    /// The last one that was read; none where there is nothing behind it (and perhaps not if there is nothing).
    pub next: Option<Identity>,
}

/// How far a partition of a job is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The job: its name or fingerprint.
    pub job: String,
    /// The partition: for a file its path.
    pub partition: String,
    /// Everything before it is settled.
    pub offset: u64,
    /// What proves that the partition is still the same (for a file: the hash of its first and last-read 64 KiB).
    pub proof: String,
    /// The partition was read to its end.
    pub finished: bool,
}

/// Where state becomes durable. Calls come from one writer thread; they block until the change is durable.
pub trait StateStore: Send {
    /// Applies one batch in one transaction.
    fn apply(&mut self, events: &[StateEvent]) -> Result<Applied, SinkError>;

    /// Stores dead letters; a repeat of one raises its attempts and adds no row.
    fn write_dead_letters(&mut self, rejects: &[Reject]) -> Result<(), SinkError>;

    /// Begins a load; one that died before is closed first, without sealing anything.
    fn begin_load(&mut self, kind: LoadKind) -> Result<LoadId, SinkError>;

    /// Stores one chunk of recipients; each row's fate in the order given.
    fn load_recipients(
        &mut self,
        load: LoadId,
        rows: &[RecipientRow],
    ) -> Result<Vec<LoadOutcome>, SinkError>;

    /// Stores one chunk of batch rows; totals change at the end of the load.
    fn load_batches(&mut self, load: LoadId, rows: &[BatchRow]) -> Result<(), SinkError>;

    /// Ends a load: totals, sealing and generations change here, in one transaction.
    fn finish_load(&mut self, load: LoadId) -> Result<LoadSummary, SinkError>;

    /// A page of about `limit` mappings of ended loads behind `after`, and where the next one begins; an empty page means
    /// there are no more yet. No page ends inside a message of a load, and what commits later comes later, so whoever
    /// keeps the cursor misses nothing.
    fn mappings(
        &mut self,
        after: MappingCursor,
        limit: usize,
    ) -> Result<(Vec<Mapping>, MappingCursor), SinkError>;

    /// Looks at the first `rows` parked events after `after`, by identity, for those that match a mapping or a state row now. What
    /// it costs depends on `rows`, and not on how much is parked or matches.
    fn late_matches(&mut self, after: Identity, rows: usize) -> Result<LatePage, SinkError>;

    /// How many events are parked.
    fn parked(&mut self) -> Result<u64, SinkError>;

    /// Deletes parked events whose dead letters are durable.
    fn unpark(&mut self, identities: &[Identity]) -> Result<(), SinkError>;

    /// Completes sealed batches whose deadline has passed; returns how many fired.
    fn judge_deadlines(&mut self, now: Millis) -> Result<u64, SinkError>;

    /// Stores how far a job's partitions are settled.
    fn checkpoint(&mut self, partitions: &[Checkpoint]) -> Result<(), SinkError>;

    /// The checkpoints of a job.
    fn checkpoints(&mut self, job: &str) -> Result<Vec<Checkpoint>, SinkError>;

    /// For each event, whether the ledger or the parked table hold it.
    fn known(&mut self, events: &[(Bucket, Identity)]) -> Result<Vec<bool>, SinkError>;

    /// Drops what is older than asked, in bounded steps of at most `rows_max` rows a transaction.
    fn prune(&mut self, what: &Prune, rows_max: u32) -> Result<Pruned, SinkError>;

    /// Drops at most `rows_max` dead letters that were last seen before a time, in one transaction; returns how many.
    fn drop_dead_letters(&mut self, before: Millis, rows_max: u32) -> Result<u64, SinkError>;

    /// The whole comparable state: for oracles, replays against live, and dry runs.
    fn export(&mut self) -> Result<view::Export, SinkError>;
}

/// The completions that are not delivered yet. It has a connection of its own, so no commit of events waits for a delivery.
pub trait CompletionOutbox: Send {
    /// Hands the first undelivered completions, at most `limit`, to `deliver` as one page, ordered by batch and generation; marks
    /// them in one transaction if it answers `true`. Returns how many were marked. A page whose transaction fails is handed out
    /// again, so each completion is delivered at least once.
    fn relay_page(
        &mut self,
        limit: usize,
        deliver: &mut dyn FnMut(&[Completion]) -> bool,
    ) -> Result<usize, SinkError>;
}

/// What [`StateStore::prune`] is to drop; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prune {
    /// Ledger rows of hours before that of this time. Events that old raise no totals from then on.
    pub before: Option<Millis>,
    /// Ledger rows of events *without* a fixed time that were stored before this time.
    pub no_time_stored_before: Option<Millis>,
    /// Dead letters last seen before this time.
    pub dead_letters_before: Option<Millis>,
}

/// What [`StateStore::prune`] dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ledger rows with a time.
    pub ledger: u64,
    /// Ledger rows without one.
    pub no_time: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// One row of the completion outbox: batch and generation are its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The tenant.
    pub user: User,
    /// The batch.
    pub batch_id: String,
    /// Which sealing of it.
    pub generation: u64,
    /// `all` or `deadline`.
    pub cause: String,
    /// When it fired.
    pub completed_at: Millis,
}
