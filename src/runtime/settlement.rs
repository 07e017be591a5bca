//! The settlement thread: what the workers settled becomes what is committed.
//!
//! It owns the [`CommitTracker`]. A source that commits by itself gets its commits at once; those of other sources are stored as
//! checkpoints, at most once an interval and once more at the end. A store that is out of order delays checkpoints, which
//! costs a later run work and nothing else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, select};

use crate::error::{Exit, Fatal, SinkError};
use crate::failpoint::{self, Failpoint};
use crate::metrics::{Counter, Metrics};
use crate::sink::writer::StateHandle;
use crate::source::commit_tracker::{CommitTracker, PartitionCommit, SourceProgress};
use crate::source::file::fingerprint::FileFingerprints;
use crate::source::in_flight::OffsetRange;
use crate::source::{Commit, PartitionEvent};
use crate::state::Checkpoint;

/// What the settlement thread needs.
pub struct SettlementParts {
    /// What the workers settled; closed when the last worker has ended.
    pub settled: Receiver<Vec<OffsetRange>>,
    /// What happens to the source's partitions; closed when it has ended.
    pub partition_events: Receiver<PartitionEvent>,
    /// The job's name.
    pub job: String,
    /// Tell whether a partition is still the same.
    pub fingerprints: FileFingerprints,
    /// Where a source that commits by itself gets its commits; its offsets are kept by the broker, not in the store.
    pub commits: Option<Sender<Vec<Commit>>>,
    /// Where checkpoints are stored; none if nothing is.
    pub store: Option<StateHandle>,
    /// How often.
    pub interval: Duration,
    /// The job's metrics.
    pub metrics: Arc<Metrics>,
}

/// What is to be said of a source at the end of a job, a sentence each.
#[derive(Clone, Debug, Default)]
pub struct SourceReport {
    /// Partitions that were read from their start although part of them was settled.
    pub restarts: Vec<String>,
    /// Partitions that could not be read.
    pub failures: Vec<String>,
}

#[derive(Debug, Default)]
struct Tracked {
    tracker: CommitTracker,
    report: SourceReport,
}

impl Tracked {
    fn partition_event(&mut self, event: PartitionEvent) {
        match event {
            PartitionEvent::Begins {
                partition,
                name,
                offset,
                length,
            } => self.tracker.begin(partition, name, offset, length),
            PartitionEvent::Ended { partition, offset } => self.tracker.end(partition, offset),
            PartitionEvent::Revoked { partition } => self.tracker.revoke(partition),
            PartitionEvent::Restarted { reason, .. } => self.report.restarts.push(reason),
            PartitionEvent::Failed { reason, .. } => self.report.failures.push(reason),
        }
    }
}

/// The settlement of a running job.
pub struct Settlement {
    tracked: Arc<Mutex<Tracked>>,
    thread: JoinHandle<Result<(), SinkError>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Settlement {
    /// Starts the thread.
    pub fn start(parts: SettlementParts) -> Result<Self, Fatal> {
        let tracked: Arc<Mutex<Tracked>> = Arc::default();
        let shared = Arc::clone(&tracked);
        let (running, ended) = crossbeam_channel::bounded(0);
        let run = move || {
            let result = run(&parts, &shared);
            drop(running);
            result
        };
        let thread = std::thread::Builder::new()
            .name("settle".into())
            .spawn(run)
            .map_err(|error| {
                Fatal::new(Exit::Internal, format!("no thread for settlement: {error}"))
            })?;
        Ok(Self {
            tracked,
            thread,
            ended,
        })
    }

    /// Whether everything is settled and the workers have ended; waits for it for a while.
    pub fn ended_within(&self, wait: Duration) -> bool {
        matches!(
            self.ended.recv_timeout(wait),
            Err(RecvTimeoutError::Disconnected)
        )
    }

    /// How far the source is settled.
    pub fn progress(&self) -> SourceProgress {
        lock(&self.tracked).tracker.progress()
    }

    /// The first partition that could not be read, if any, as a sentence.
    pub fn first_failure(&self) -> Option<String> {
        lock(&self.tracked).report.failures.first().cloned()
    }

    /// Waits for the end. To be called when the workers have ended.
    pub fn end(self) -> Result<SourceReport, SinkError> {
        let ended = self.thread.join();
        let report = lock(&self.tracked).report.clone();
        ended.unwrap_or(Ok(()))?;
        Ok(report)
    }
}

fn run(parts: &SettlementParts, tracked: &Mutex<Tracked>) -> Result<(), SinkError> {
    let mut stored = Instant::now();
    loop {
        let open = receive(parts, tracked);
        if let Some(source) = &parts.commits {
            send_commits(source, tracked);
        } else if !open || stored.elapsed() >= parts.interval {
            store_checkpoints(parts, tracked)?;
            stored = Instant::now();
        }
        if !open {
            return Ok(());
        }
    }
}

/// Takes what there is; whether more may come. Events are taken first: a partition begins before anything of it settles.
fn receive(parts: &SettlementParts, tracked: &Mutex<Tracked>) -> bool {
    let ranges = select! {
        recv(parts.settled) -> ranges => ranges,
        recv(parts.partition_events) -> event => {
            if let Ok(event) = event {
                lock(tracked).partition_event(event);
                return true;
            }
            match parts.settled.recv_timeout(parts.interval) {
                Err(RecvTimeoutError::Timeout) => return true,
                other => other.map_err(|_| crossbeam_channel::RecvError),
            }
        },
        default(parts.interval) => return true,
    };
    let mut tracked = lock(tracked);
    for event in parts.partition_events.try_iter() {
        tracked.partition_event(event);
    }
    let Ok(ranges) = ranges else { return false };
    tracked.tracker.settle(&ranges);
    true
}

fn lock(tracked: &Mutex<Tracked>) -> MutexGuard<'_, Tracked> {
    tracked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends a source that commits by itself what may be committed.
fn send_commits(source: &Sender<Vec<Commit>>, tracked: &Mutex<Tracked>) {
    let commits = lock(tracked).tracker.take_commits();
    if commits.is_empty() {
        return;
    }
    let commits = commits.iter().map(|one| one.commit);
    let sent = failpoint::run(Failpoint::SourceSettle, || source.send(commits.collect()));
    if sent.is_err() {
        tracing::debug!("records settled after the source had ended");
    }
}

fn store_checkpoints(parts: &SettlementParts, tracked: &Mutex<Tracked>) -> Result<(), SinkError> {
    let commits = lock(tracked).tracker.take_commits();
    let Some(store) = parts.store.as_ref().filter(|_| !commits.is_empty()) else {
        return Ok(());
    };
    let commits = commits.into_iter();
    let checkpoints: Vec<Checkpoint> = commits
        .filter_map(|commit| checkpoint(parts, commit))
        .collect();
    if checkpoints.is_empty() {
        return Ok(());
    }
    let count = checkpoints.len() as u64;
    parts.metrics.count(Counter::Checkpoints, count);
    failpoint::run(Failpoint::SourceSettle, || {
        store.call_until_done(move |store| store.checkpoint(&checkpoints))
    })
}

/// What is stored of a partition; nothing of one that cannot be proven to be the same later.
fn checkpoint(parts: &SettlementParts, commit: PartitionCommit) -> Option<Checkpoint> {
    let Commit { partition, offset } = commit.commit;
    Some(Checkpoint {
        proof: parts.fingerprints.at_offset(partition, offset)?,
        job: parts.job.clone(),
        partition: commit.name,
        offset,
        finished: commit.is_finished,
    })
}
