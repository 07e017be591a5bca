//! What is done now and then while a job runs: new recipients, parked events, old dead letters.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select};

use super::loader::{Fed, Loader};
use super::retention::DeadLetterRetention;
use super::signals::Stop;
use super::sweep_schedule::SweepSchedule;
use super::sweeper::Sweeper;
use crate::config::Sweep;
use crate::enrich::arrangement::SnapshotSender;
use crate::error::{Exit, Fatal};
use crate::metrics::Counter;
use crate::source::generator::NewRows;
use crate::state::LoadKind;

/// What housekeeping needs.
pub struct HousekeepingContext {
    /// Matches parked events.
    pub sweeper: Sweeper,
    /// Loads new rows.
    pub loader: Loader,
    /// Sends accepted rows to the workers.
    pub snapshot_sender: SnapshotSender,
    /// How far the store's mappings were sent.
    pub fed: Fed,
    /// How often the store is polled for mappings that another process loaded.
    pub feed_every: Duration,
    /// Says that this process loaded recipients elsewhere.
    pub woken: Receiver<()>,
    /// Rows that become known while the job runs.
    pub new_rows: Receiver<NewRows>,
    /// How long to wait between sweeps.
    pub waits: Sweep,
    /// Whether the job was asked to stop: then calls to the stores are given up, which is no error.
    pub stop: Stop,
    /// Drops old dead letters.
    pub retention: DeadLetterRetention,
}

/// How often parked events are counted, whether or not there was a sweep.
const PARKED_EVERY: Duration = Duration::from_secs(10);

/// The thread.
pub struct Housekeeping {
    stop: Sender<()>,
    thread: JoinHandle<Result<(), Fatal>>,
}

impl Housekeeping {
    /// Starts it.
    pub fn start(parts: HousekeepingContext) -> Result<Self, Fatal> {
        let (stop, stopped) = crossbeam_channel::bounded(1);
        let thread = std::thread::Builder::new()
            .name("housekeeping".into())
            .spawn(move || {
                let stop = parts.stop.clone();
                let result = run(parts, &stopped);
                result.or_else(|fatal| {
                    let interrupted = stop.is_raised() && fatal.exit == Exit::Unfinished;
                    if interrupted { Ok(()) } else { Err(fatal) }
                })
            })
            .map_err(|error| {
                Fatal::new(
                    Exit::Internal,
                    format!("no thread for housekeeping: {error}"),
                )
            })?;
        Ok(Self { stop, thread })
    }

    /// Lets it finish what it is doing; rows that came are loaded first.
    pub fn end(self) -> Result<(), Fatal> {
        drop(self.stop);
        self.thread.join().unwrap_or(Ok(()))
    }
}

/// When what is due next.
struct Times {
    feed: Instant,
    sweep: SweepSchedule,
    count_parked: Instant,
}

impl Times {
    fn new(parts: &HousekeepingContext) -> Self {
        let now = Instant::now();
        Self {
            feed: now + parts.feed_every,
            sweep: SweepSchedule::new(parts.waits, now),
            count_parked: now + PARKED_EVERY,
        }
    }

    fn wait(&self, retention: &DeadLetterRetention) -> Duration {
        let next = self.feed.min(self.sweep.due()).min(self.count_parked);
        let next = retention.due().map_or(next, |due| due.min(next));
        next.saturating_duration_since(Instant::now())
    }
}

fn run(mut parts: HousekeepingContext, stopped: &Receiver<()>) -> Result<(), Fatal> {
    let mut times = Times::new(&parts);
    let mut new_rows = std::mem::replace(&mut parts.new_rows, crossbeam_channel::never());
    let mut woken = std::mem::replace(&mut parts.woken, crossbeam_channel::never());
    loop {
        select! {
            recv(new_rows) -> rows => match rows {
                Ok(rows) => {
                    load(&mut parts, &rows)?;
                    times.sweep.request(Instant::now());
                }
                Err(_) => new_rows = crossbeam_channel::never(),
            },
            recv(woken) -> loaded => match loaded {
                Ok(()) => feed(&mut parts, &mut times),
                Err(_) => woken = crossbeam_channel::never(),
            },
            recv(stopped) -> _ => {
                for rows in new_rows.try_iter() {
                    load(&mut parts, &rows)?;
                }
                return Ok(());
            }
            default(times.wait(&parts.retention)) => due(&mut parts, &mut times),
        }
    }
}

/// Does what is due.
fn due(parts: &mut HousekeepingContext, times: &mut Times) {
    let now = Instant::now();
    if now >= times.feed {
        feed(parts, times);
    }
    if now >= times.sweep.due() {
        sweep(parts, times);
    }
    if now >= times.count_parked {
        times.count_parked = now + PARKED_EVERY;
        if let Err(error) = parts.sweeper.count_parked() {
            tracing::debug!(%error, "parked events could not be counted");
        }
    }
    if parts.retention.due().is_some_and(|due| now >= due) {
        parts.retention.enforce();
    }
}

/// Hands on what was loaded, by whomever, and has parked events matched soon if there was anything.
fn feed(parts: &mut HousekeepingContext, times: &mut Times) {
    match parts.fed.feed(&mut parts.snapshot_sender) {
        Ok(0) => {}
        Ok(fed) => {
            parts.sweeper.metrics.count(Counter::RecipientsFed, fed);
            times.sweep.request(Instant::now());
        }
        Err(error) => tracing::warn!(%error, "new recipients could not be handed on yet"),
    }
    times.feed = Instant::now() + parts.feed_every;
}

fn load(parts: &mut HousekeepingContext, rows: &NewRows) -> Result<(), Fatal> {
    let kind = if rows.tables.is_whole {
        LoadKind::Full
    } else {
        LoadKind::Increment
    };
    let report = parts.loader.generated(kind, &rows.tables)?;
    tracing::info!(rows = report.accepted, "more recipients are known");
    let fed = parts.fed.feed(&mut parts.snapshot_sender)?;
    parts.sweeper.metrics.count(Counter::RecipientsFed, fed);
    Ok(())
}

/// One sweep. A store that is out is the writer's business: this tries again.
fn sweep(parts: &HousekeepingContext, times: &mut Times) {
    let began = Instant::now();
    let matched = parts.sweeper.sweep();
    if let Err(error) = &matched {
        tracing::warn!(%error, "parked events could not be matched yet");
    }
    times.sweep.record(began, Instant::now(), &matched);
}
