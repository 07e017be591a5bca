//! A job from its request to its summary: it begins (`begin`), is watched while it runs, and is concluded (`conclude`).

mod begin;
mod conclude;
mod resume;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::completions::SharedRelay;
use super::input::{self, StopHandle};
use super::loader::{Horizon, Loader};
use super::reads::StateReads;
use super::request::{Input, JobRequest, SinkMode};
use super::running::Running;
use super::signals::{DrainDeadline, Stop, not_drained};
use super::sinks::{Sinks, Writers};
use super::store::{OpenStores, Scratch};
use super::sweeper::Sweeper;
use super::watch::Watch;
use super::{report, sample};
use crate::decode;
use crate::epoch::{Clock, MonotonicClock};
use crate::error::{Exit, Fatal};
use crate::metrics::Metrics;
use crate::observe::{
    Board, http,
    progress::{Progress, Unit},
    summary::Summary,
    usage::Usage,
    watchdog::Watchdog,
};
use crate::quarantine::Quarantine;
use crate::sink::writer::StateHandle;
use crate::source::connector::ProductionTime;
use crate::state::view::Export;

/// Runs a job to its end.
pub fn run(request: JobRequest) -> Result<Summary, Fatal> {
    let stop = Stop::on_signals()?;
    let deadline = DrainDeadline::start(&stop, request.plan.drain_deadline)?;
    let request = sample::resolve(request)?;
    let metrics = Metrics::new(decode::providers());
    let board = Board::new(
        Arc::clone(&metrics),
        request.plan.in_flight.events_max.get() as u64,
    );
    let pages = request.metrics.map(|address| {
        http::MetricsServer::start(address, Arc::clone(&board), http::HttpLimits::default())
    });
    let pages = pages.transpose()?;
    let summary = Job::start(request, metrics, board, stop)?.finish();
    drop(pages);
    drop(deadline);
    summary
}

/// A job whose writers run.
struct Job {
    request: JobRequest,
    name: String,
    /// Whether the job was asked to stop.
    stop: Stop,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    writers: Writers,
    notes: Vec<String>,
    /// When reading began, and what the process had used by then.
    started: (Instant, Usage),
    /// What the source's own generator uses beside the job.
    spent: ProductionTime,
    /// What the store held before; only for dry runs.
    before: Option<Export>,
    scratch: Scratch,
    /// Reads the state store beside the writer.
    reads: StateReads,
    /// Delivers completions.
    relay: SharedRelay,
    /// Whose turn it is to load.
    turn: Arc<Mutex<()>>,
    /// Which rows are recent.
    horizon: Horizon,
    /// Finds records that kill the process.
    quarantine: Quarantine,
}

impl Job {
    fn start(
        request: JobRequest,
        metrics: Arc<Metrics>,
        board: Arc<Board>,
        stop: Stop,
    ) -> Result<Self, Fatal> {
        let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::start(request.plan.tick));
        let mut store = OpenStores::open(&request)?;
        let scratch = std::mem::take(&mut store.scratch);
        let (reader, relay) = (store.reader.take(), store.relay.take());
        let writers = Writers::start(&request.plan, store, &clock, &metrics)?;
        let dry = request.sinks == SinkMode::DryRun;
        let before = dry.then(|| writers.sinks().state().call(|store| store.export()));
        let name = report::name(&request);
        let stop_flag = stop.flag();
        Ok(Self {
            quarantine: quarantine(&request, &name),
            name,
            stop,
            before: before.transpose()?,
            started: (Instant::now(), Usage::now()),
            spent: ProductionTime::default(),
            notes: Vec::new(),
            scratch,
            reads: StateReads::new(reader, writers.sinks().state().cancelled_by(stop_flag)),
            relay: relay.map(|relay| Arc::new(Mutex::new(relay))),
            turn: Arc::default(),
            horizon: Horizon::new(request.plan.recipients.age_max),
            request,
            clock,
            metrics,
            board,
            writers,
        })
    }

    fn finish(mut self) -> Result<Summary, Fatal> {
        let stop_source = StopHandle::default();
        let running = match self.begin(&stop_source) {
            Err(fatal) if self.is_interrupted(&fatal) => return Ok(self.stopped_before_reading()),
            begun => begun?,
        };
        match self.supervise(&running, &stop_source) {
            Ok(()) => {
                let ended = running.end(self.request.plan.drain_deadline);
                let (source, tables) = ended.inspect_err(|_| self.quarantine.close())?;
                self.conclude(source, tables)
            }
            Err(fatal) => {
                // Whatever the reason, it is not that a record ended the process.
                self.quarantine.close();
                // Threads may hang, which may be why this ends: they must not be waited for.
                std::mem::forget((running, self));
                Err(fatal)
            }
        }
    }

    fn begin(&mut self, stop_source: &StopHandle) -> Result<Running, Fatal> {
        let resume = self.resume()?;
        let source = input::source(&self.request)?;
        self.spent = source.production_time();
        self.spawn(source, resume, stop_source)
    }

    /// Whether that error only says that a call was given up because the job was asked to stop.
    fn is_interrupted(&self, fatal: &Fatal) -> bool {
        self.stop.is_raised() && fatal.exit == Exit::Unfinished
    }

    /// What the job has used so far, without what made its deliveries.
    fn usage(&self) -> Usage {
        Usage::now().without(self.spent.get())
    }

    fn sinks(&self) -> Sinks {
        self.writers.sinks()
    }

    /// The state store for calls that are given up when the job is asked to stop: nothing that was read depends on them.
    fn interruptible_state(&self) -> StateHandle {
        self.sinks().state().cancelled_by(self.stop.flag())
    }

    fn loader(&self) -> Loader {
        Loader {
            state: self.interruptible_state(),
            default_user: self.request.plan.default_user.clone(),
            turn: Arc::clone(&self.turn),
        }
    }

    fn sweeper(&self) -> Sweeper {
        Sweeper {
            reads: self.reads.clone(),
            state: self.interruptible_state(),
            log: self.sinks().log().cancelled_by(self.stop.flag()),
            metrics: Arc::clone(&self.metrics),
        }
    }

    fn supervise(&self, running: &Running, source: &StopHandle) -> Result<(), Fatal> {
        let mut watch = Watch {
            sinks: self.sinks(),
            metrics: Arc::clone(&self.metrics),
            board: Arc::clone(&self.board),
            progress: Progress::new(self.request.quiet, unit(&self.request.input)),
            watchdog: Watchdog::new(self.request.plan.watchdog_limit, self.clock.elapsed()),
        };
        let mut draining: Option<Instant> = None;
        while !running.settlement.ended_within(LOOK) {
            let fatal = self.writers.fatal_error.take();
            if let Some(fatal) = fatal.or_else(|| running.source_health.take_failure()) {
                return Err(fatal);
            }
            if self.stop.is_raised() {
                source.stop();
                if draining.is_none() {
                    self.quarantine.close();
                }
                let since = *draining.get_or_insert_with(Instant::now);
                if since.elapsed() > self.request.plan.drain_deadline {
                    return Err(not_drained(self.request.plan.drain_deadline));
                }
            }
            watch.check(self.clock.elapsed(), running)?;
        }
        watch.count();
        self.writers.fatal_error.take().map_or(Ok(()), Err)
    }
}

/// How often the job checks itself.
const LOOK: Duration = Duration::from_millis(100);

/// The quarantine of a job whose outcomes are kept.
fn quarantine(request: &JobRequest, job: &str) -> Quarantine {
    let plan = &request.plan;
    if request.sinks != SinkMode::Durable {
        return Quarantine::off();
    }
    if !plan.dir_kept && !request.input.is_finite() {
        tracing::info!(
            "a message that kills the process again and again is found only where the folder store.dir survives restarts: \
             if it does, set store.dir_kept = true"
        );
    }
    let name = report::part(request, job);
    let quarantine = Quarantine::open(&plan.store_dir, &name, plan.workers.get());
    quarantine.watch_panics();
    quarantine
}

/// The unit of a source's offsets: bytes in files, messages at a broker. Of a live input no total is known, so none is shown.
const fn unit(input: &Input) -> Unit {
    match input {
        Input::Demo | Input::Files { .. } => Unit::Bytes,
        Input::Generator(_) | Input::Replay(_) | Input::Live { .. } => Unit::Deliveries,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::replay::ReplayRange;

    #[test]
    fn progress_is_in_the_unit_of_the_source() {
        let replay = Input::Replay(ReplayRange::default());
        assert_eq!(unit(&replay), Unit::Deliveries);
        assert_eq!(unit(&Input::Demo), Unit::Bytes);
    }
}
