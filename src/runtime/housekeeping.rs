//! What is done now and then while a job runs: new recipients, parked events.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select};

use super::loader::{Fed, Loader};
use super::signals::Stop;
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
    /// The way of accepted rows to the workers.
    pub feeder: SnapshotSender,
    /// How far the store's mappings went that way.
    pub fed: Fed,
    /// How often mappings are looked for that somebody else loaded.
    pub feed_every: Duration,
    /// Says that this process loaded recipients elsewhere.
    pub woken: Receiver<()>,
    /// Rows that become known while the job runs.
    pub new_rows: Receiver<NewRows>,
    /// How long to wait between passes.
    pub waits: Sweep,
    /// Whether the job was asked to stop: then calls to the stores are given up, which is no error.
    pub stop: Stop,
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
    sweep: Instant,
    /// How long the sweeper waits after a pass that matched nothing.
    backoff: Duration,
    parked: Instant,
}

impl Times {
    fn new(parts: &HousekeepingContext) -> Self {
        let now = Instant::now();
        Self {
            feed: now + parts.feed_every,
            sweep: now + parts.waits.first,
            backoff: parts.waits.first,
            parked: now + PARKED_EVERY,
        }
    }

    fn wait(&self) -> Duration {
        let next = self.feed.min(self.sweep);
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
                Ok(rows) => take(&mut parts, &rows)?,
                Err(_) => new_rows = crossbeam_channel::never(),
            },
            recv(woken) -> loaded => match loaded {
                Ok(()) => feed(&mut parts, &mut times),
                Err(_) => woken = crossbeam_channel::never(),
            },
            recv(stopped) -> _ => {
                for rows in new_rows.try_iter() {
                    take(&mut parts, &rows)?;
                }
                return Ok(());
            }
            default(times.wait()) => due(&mut parts, &mut times),
        }
    }
}

/// Does what is due.
fn due(parts: &mut HousekeepingContext, times: &mut Times) {
    let now = Instant::now();
    if now >= times.feed {
        feed(parts, times);
    }
    if now >= times.sweep {
        times.backoff = pass(parts, times.backoff);
        times.sweep = Instant::now() + times.backoff;
    }
    if now >= times.parked {
        times.parked = now + PARKED_EVERY;
        if let Err(error) = parts.sweeper.look() {
            tracing::debug!(%error, "parked events could not be counted");
        }
    }
}

/// Hands on what was loaded, by whomever, and sweeps soon if there was anything.
fn feed(parts: &mut HousekeepingContext, times: &mut Times) {
    match parts.loader.feed(&mut parts.feeder, &mut parts.fed) {
        Ok(0) => {}
        Ok(fed) => {
            parts.sweeper.metrics.count(Counter::RecipientsFed, fed);
            times.sweep = Instant::now();
        }
        Err(error) => tracing::warn!(%error, "new recipients could not be handed on yet"),
    }
    times.feed = Instant::now() + parts.feed_every;
}

fn take(parts: &mut HousekeepingContext, rows: &NewRows) -> Result<(), Fatal> {
    let kind = match rows.tables.is_whole {
        true => LoadKind::Full,
        false => LoadKind::Increment,
    };
    let report = parts.loader.generated(kind, &rows.tables)?;
    tracing::info!(rows = report.accepted, "more recipients are known");
    let fed = parts.loader.feed(&mut parts.feeder, &mut parts.fed)?;
    parts.sweeper.metrics.count(Counter::RecipientsFed, fed);
    parts.sweeper.sweep()?;
    Ok(())
}

/// One pass; how long to wait for the next. A store that is out of order is the writer's business: this tries again.
fn pass(parts: &HousekeepingContext, wait: Duration) -> Duration {
    match parts.sweeper.sweep() {
        Ok(found) if found > 0 => parts.waits.first,
        Ok(_) => (wait * 2).min(parts.waits.backoff_cap),
        Err(error) => {
            tracing::warn!(%error, "housekeeping was put off");
            wait
        }
    }
}
