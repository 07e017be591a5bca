//! The settlement thread: what the workers settled becomes what a later run resumes from.
//!
//! It owns the [`Partitions`]; others look at them through [`Settlement::look`]. Positions are stored at most once an interval,
//! and once more at the end. A store that is out of order delays them, which costs a later run work and nothing else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, select};

use crate::error::{Exit, Fatal, SinkError};
use crate::failpoint::{self, Failpoint};
use crate::metrics::{Counter, Metrics};
use crate::settle::{Floor, Partitions};
use crate::sink::writer::StateHandle;
use crate::source::PartitionEvent;
use crate::source::broker::Commit;
use crate::source::file::witness::Proofs;
use crate::source::in_flight::Position;
use crate::state::Checkpoint;

/// What the settlement thread needs.
pub struct Parts {
    /// Positions that the workers settled; closed when the last worker has ended.
    pub settled: Receiver<Vec<Position>>,
    /// What the source tells of its partitions; closed when it has ended.
    pub partition_events: Receiver<PartitionEvent>,
    /// The job's name.
    pub job: String,
    /// What proves that a partition is still the same; none for sources that do not resume.
    pub proofs: Option<Proofs>,
    /// Where a source that acknowledges is told of floors; its positions are remembered by the broker, not in the store.
    pub acknowledge: Option<Sender<Vec<Commit>>>,
    /// Where positions are stored; none if nothing is.
    pub store: Option<StateHandle>,
    /// How often.
    pub interval: Duration,
    /// The job's counts.
    pub metrics: Arc<Metrics>,
}

/// The settlement of a running job.
pub struct Settlement {
    partitions: Arc<Mutex<Partitions>>,
    thread: JoinHandle<Result<(), SinkError>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Settlement {
    /// Starts the thread.
    pub fn start(parts: Parts) -> Result<Self, Fatal> {
        let partitions: Arc<Mutex<Partitions>> = Arc::default();
        let shared = Arc::clone(&partitions);
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
            partitions,
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

    /// The partitions as they are now.
    pub fn look(&self) -> MutexGuard<'_, Partitions> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end and hands the partitions over. To be called when the workers have ended.
    pub fn end(self) -> Result<Partitions, SinkError> {
        let ended = self.thread.join();
        let partitions = std::mem::take(
            &mut *self
                .partitions
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        ended.unwrap_or(Ok(()))?;
        Ok(partitions)
    }
}

fn run(parts: &Parts, partitions: &Mutex<Partitions>) -> Result<(), SinkError> {
    let mut stored = Instant::now();
    loop {
        let open = step(parts, partitions);
        acknowledge(parts, partitions);
        if !open || stored.elapsed() >= parts.interval {
            store(parts, partitions)?;
            stored = Instant::now();
        }
        if !open {
            return Ok(());
        }
    }
}

/// Takes what there is; whether more may come. Notices are taken first: a partition begins before anything of it settles.
fn step(parts: &Parts, partitions: &Mutex<Partitions>) -> bool {
    let positions = select! {
        recv(parts.settled) -> positions => positions,
        recv(parts.partition_events) -> notice => {
            if let Ok(notice) = notice {
                lock(partitions).told(notice);
                return true;
            }
            match parts.settled.recv_timeout(parts.interval) {
                Err(RecvTimeoutError::Timeout) => return true,
                other => other.map_err(|_| crossbeam_channel::RecvError),
            }
        },
        default(parts.interval) => return true,
    };
    let mut partitions = lock(partitions);
    for notice in parts.partition_events.try_iter() {
        partitions.told(notice);
    }
    match positions {
        Ok(positions) => partitions.settle(&positions),
        Err(_) => return false,
    }
    true
}

fn lock(partitions: &Mutex<Partitions>) -> MutexGuard<'_, Partitions> {
    partitions.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells a source that acknowledges how far its partitions are durable, as soon as that is known.
fn acknowledge(parts: &Parts, partitions: &Mutex<Partitions>) {
    let Some(source) = &parts.acknowledge else {
        return;
    };
    let floors = lock(partitions).floor_changes();
    if floors.is_empty() {
        return;
    }
    let settled = floors.iter().map(|floor| Commit {
        partition: floor.partition,
        upto: floor.offset,
    });
    let told = failpoint::run(Failpoint::SourceSettle, || source.send(settled.collect()));
    if told.is_err() {
        tracing::debug!("positions settled after the source had ended");
    }
}

fn store(parts: &Parts, partitions: &Mutex<Partitions>) -> Result<(), SinkError> {
    if parts.acknowledge.is_some() {
        return Ok(());
    }
    let floors = lock(partitions).floor_changes();
    let Some(store) = parts.store.as_ref().filter(|_| !floors.is_empty()) else {
        return Ok(());
    };
    let partitions: Vec<Checkpoint> = floors
        .iter()
        .filter_map(|floor| checkpoint(parts, floor))
        .collect();
    parts
        .metrics
        .count(Counter::Checkpoints, partitions.len() as u64);
    failpoint::run(Failpoint::SourceSettle, || {
        store.call_until_done(move |store| store.checkpoint(&partitions))
    })
}

/// What is stored of a partition; nothing of one that cannot be proven to be the same later.
fn checkpoint(parts: &Parts, floor: &Floor) -> Option<Checkpoint> {
    let proof = parts
        .proofs
        .as_ref()?
        .at_floor(floor.partition, floor.offset)?;
    Some(Checkpoint {
        job: parts.job.clone(),
        partition: floor.name.clone(),
        offset: floor.offset,
        proof,
        finished: floor.finished,
    })
}
