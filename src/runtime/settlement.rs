//! The settlement thread: what the workers settled becomes what a later run resumes from.
//!
//! It owns the [`Lanes`]; others look at them through [`Settlement::look`]. Positions are stored at most once an interval,
//! and once more at the end. A store that is out of order delays them, which costs a later run work and nothing else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, select};

use crate::edge::{self, Point};
use crate::error::{Exit, Fatal, SinkError};
use crate::settle::{Floor, Lanes};
use crate::sink::state::Checkpoint;
use crate::sink::writer::StateHandle;
use crate::source::Notice;
use crate::source::broker::Settled;
use crate::source::file::witness::Proofs;
use crate::source::ledger::Position;
use crate::tally::{Counter, Tally};

/// What the settlement thread needs.
pub struct Parts {
    /// Positions that the workers settled; closed when the last worker has ended.
    pub settled: Receiver<Vec<Position>>,
    /// What the source tells of its lanes; closed when it has ended.
    pub notices: Receiver<Notice>,
    /// The job's name.
    pub job: String,
    /// What proves that a lane is still the same; none for sources that do not resume.
    pub proofs: Option<Proofs>,
    /// Where a source that acknowledges is told of floors; its positions are remembered by the broker, not in the store.
    pub acknowledge: Option<Sender<Vec<Settled>>>,
    /// Where positions are stored; none if nothing is.
    pub store: Option<StateHandle>,
    /// How often.
    pub interval: Duration,
    /// The job's counts.
    pub tally: Arc<Tally>,
}

/// The settlement of a running job.
pub struct Settlement {
    lanes: Arc<Mutex<Lanes>>,
    thread: JoinHandle<Result<(), SinkError>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Settlement {
    /// Starts the thread.
    pub fn start(parts: Parts) -> Result<Self, Fatal> {
        let lanes: Arc<Mutex<Lanes>> = Arc::default();
        let shared = Arc::clone(&lanes);
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
                Fatal::new(Exit::Watchdog, format!("no thread for settlement: {error}"))
            })?;
        Ok(Self {
            lanes,
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

    /// The lanes as they are now.
    pub fn look(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end and hands the lanes over. To be called when the workers have ended.
    pub fn end(self) -> Result<Lanes, SinkError> {
        let ended = self.thread.join();
        let lanes = std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        ended.unwrap_or(Ok(()))?;
        Ok(lanes)
    }
}

fn run(parts: &Parts, lanes: &Mutex<Lanes>) -> Result<(), SinkError> {
    let mut stored = Instant::now();
    loop {
        let open = step(parts, lanes);
        acknowledge(parts, lanes);
        if !open || stored.elapsed() >= parts.interval {
            store(parts, lanes)?;
            stored = Instant::now();
        }
        if !open {
            return Ok(());
        }
    }
}

/// Takes what there is; whether more may come. Notices are taken first: a lane begins before anything of it settles.
fn step(parts: &Parts, lanes: &Mutex<Lanes>) -> bool {
    let positions = select! {
        recv(parts.settled) -> positions => positions,
        recv(parts.notices) -> notice => {
            if let Ok(notice) = notice {
                lock(lanes).told(notice);
                return true;
            }
            match parts.settled.recv_timeout(parts.interval) {
                Err(RecvTimeoutError::Timeout) => return true,
                other => other.map_err(|_| crossbeam_channel::RecvError),
            }
        },
        default(parts.interval) => return true,
    };
    let mut lanes = lock(lanes);
    for notice in parts.notices.try_iter() {
        lanes.told(notice);
    }
    match positions {
        Ok(positions) => lanes.settle(&positions),
        Err(_) => return false,
    }
    true
}

fn lock(lanes: &Mutex<Lanes>) -> MutexGuard<'_, Lanes> {
    lanes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells a source that acknowledges how far its lanes are durable, as soon as that is known.
fn acknowledge(parts: &Parts, lanes: &Mutex<Lanes>) {
    let Some(source) = &parts.acknowledge else {
        return;
    };
    let floors = lock(lanes).floor_changes();
    if floors.is_empty() {
        return;
    }
    let settled = floors.iter().map(|floor| Settled {
        lane: floor.lane,
        upto: floor.offset,
    });
    let told = edge::pass(Point::SourceSettle, || source.send(settled.collect()));
    if told.is_err() {
        tracing::debug!("positions settled after the source had ended");
    }
}

fn store(parts: &Parts, lanes: &Mutex<Lanes>) -> Result<(), SinkError> {
    if parts.acknowledge.is_some() {
        return Ok(());
    }
    let floors = lock(lanes).floor_changes();
    let Some(store) = parts.store.as_ref().filter(|_| !floors.is_empty()) else {
        return Ok(());
    };
    let lanes: Vec<Checkpoint> = floors
        .iter()
        .filter_map(|floor| checkpoint(parts, floor))
        .collect();
    parts.tally.count(Counter::Checkpoints, lanes.len() as u64);
    edge::pass(Point::SourceSettle, || {
        store.call_until_done(move |store| store.checkpoint(&lanes))
    })
}

/// What is stored of a lane; nothing of one that cannot be proven to be the same later.
fn checkpoint(parts: &Parts, floor: &Floor) -> Option<Checkpoint> {
    let proof = parts.proofs.as_ref()?.at_floor(floor.lane, floor.offset)?;
    Some(Checkpoint {
        job: parts.job.clone(),
        lane: floor.name.clone(),
        offset: floor.offset,
        proof,
        finished: floor.finished,
    })
}
