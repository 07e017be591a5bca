//! The edges of the program: every call that touches a disk or a database names the [`Failpoint`] it passes.
//!
//! Contract: all I/O of a job goes through this module (a lint, see `.clippy.toml`, forbids the bare calls elsewhere). In an
//! ordinary build naming a point costs nothing. With the test-only feature `faults` the process can be made to die at a
//! point, just before or just after the call, and records which points it passed; the crash suite runs over
//! [`Failpoint::ALL`], so a point that no test reaches turns it red.

#[cfg(feature = "faults")]
pub mod faults;
mod files;

pub use files::*;

macro_rules! points {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A named I/O edge.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Failpoint {
            $($(#[$doc])* $name,)*
        }

        impl Failpoint {
            /// Every point there is.
            pub const ALL: &'static [Failpoint] = &[$(Failpoint::$name,)*];

            /// The name by which tests select it.
            pub const fn name(self) -> &'static str {
                match self { $(Failpoint::$name => $text,)* }
            }
        }
    };
}

points! {
    /// A source opens a file.
    SourceOpen = "source.open",
    /// A source reads from a file.
    SourceRead = "source.read",
    /// The loader opens a snapshot file, or a table of recipients.
    SnapshotOpen = "snapshot.open",
    /// The loader reads from a snapshot file, or a table of recipients.
    SnapshotRead = "snapshot.read",
    /// The state store is opened (or made).
    StoreOpen = "store.open",
    /// The schema of the state store is made.
    StoreMigrate = "store.migrate",
    /// A batch of events commits.
    StoreApply = "store.apply",
    /// Dead letters commit.
    StoreDeadLetters = "store.dead_letters",
    /// The beginning of a load commits.
    StoreLoadBegin = "store.load.begin",
    /// A chunk of recipients or batches commits.
    StoreLoad = "store.load.chunk",
    /// The end of a load commits.
    StoreLoadEnd = "store.load.end",
    /// Positions commit.
    StoreCheckpoint = "store.checkpoint",
    /// The breadcrumb file and the suspects of the poison quarantine are opened.
    QuarantineOpen = "quarantine.open",
    /// A slot of the breadcrumb file is written.
    QuarantineSlot = "quarantine.slot",
    /// The suspects of the poison quarantine are written.
    QuarantineStore = "quarantine.store",
    /// Deadlines are judged.
    StoreDeadline = "store.deadline",
    /// The completion outbox is marked.
    StoreRelay = "store.relay",
    /// One step of pruning commits.
    StorePrune = "store.prune",
    /// Late matches are durable in the log and about to be applied.
    LateMatch = "sweep.apply",
    /// A log file is created under its temporary name.
    LogCreate = "log.create",
    /// Rows are written to a log file.
    LogWrite = "log.write",
    /// A log file is synced.
    LogSync = "log.sync",
    /// A log file takes its final name.
    LogRename = "log.rename",
    /// The log's folder is synced.
    LogSyncDir = "log.sync_dir",
    /// A log file is opened for reading, by compaction or a query.
    LogOpen = "log.open",
    /// A log file that compaction replaced is removed.
    LogRemove = "log.remove",
    /// The log's server is asked for its table.
    LogConnect = "log.connect",
    /// The log's table is made.
    LogMigrate = "log.migrate",
    /// Rows are inserted into the log's table.
    LogInsert = "log.insert",
    /// The file that completions are delivered to is opened.
    OutboxOpen = "outbox.open",
    /// A completion is written.
    OutboxWrite = "outbox.write",
    /// A completion is synced.
    OutboxSync = "outbox.sync",
    /// A broker is asked for its streams or topics.
    SourceConnect = "source.connect",
    /// A broker is asked for messages, or for those that came.
    SourceFetch = "source.fetch",
    /// Messages are acknowledged to a broker, or their offsets committed.
    SourceAcknowledge = "source.acknowledge",
    /// Positions are handed back to the source as settled.
    SourceSettle = "source.settle",
}

/// A moment around a call at which a test can end the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailpointTiming {
    /// Just before the call.
    Before,
    /// Just after it succeeded.
    After,
}

/// Passes `point`: runs `call` between its two moments.
pub fn run<T, E>(point: Failpoint, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    reach(point, FailpointTiming::Before);
    let done = call()?;
    reach(point, FailpointTiming::After);
    Ok(done)
}

/// The same for a call that is awaited.
pub async fn run_async<T, E>(
    point: Failpoint,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    reach(point, FailpointTiming::Before);
    let done = call.await?;
    reach(point, FailpointTiming::After);
    Ok(done)
}

#[cfg(feature = "faults")]
fn reach(point: Failpoint, moment: FailpointTiming) {
    faults::reach(point, moment);
}

#[cfg(not(feature = "faults"))]
#[inline(always)]
const fn reach(_point: Failpoint, _moment: FailpointTiming) {}
