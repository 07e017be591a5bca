//! A job from its request to its summary.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::attempts::Attempts;
use super::housekeeping::{self, Housekeeping};
use super::input::{self, Brake, Source, Start};
use super::loader::{Fed, Horizon, Loader, Report};
use super::polls::{Looks, Polls};
use super::request::{Input, JobRequest, Sinks as SinkChoice};
use super::running::{Running, Tables};
use super::settlement::{self, Settlement};
use super::signals::Stop;
use super::sinks::{Sinks, Writers};
use super::store::{Scratch, Store};
use super::sweeper::Sweeper;
use super::tables::TableLoader;
use super::watch::Watch;
use super::word::Excuse;
use super::workers::{self, Program, Shared};
use super::{outbox, report, sample};
use crate::decode;
use crate::enrich::arrangement::Feeder;
use crate::enrich::tables::Trouble;
use crate::epoch::{Clock, MonotonicClock};
use crate::error::Fatal;
use crate::event::{Millis, Provider};
use crate::observe::{
    Board, http,
    loading::Loading,
    progress::{Progress, Unit},
    summary::Summary,
    usage::Usage,
    watchdog::Watchdog,
};
use crate::select::Range;
use crate::settle::Lanes;
use crate::sink::state::view::Export;
use crate::sink::state::{Checkpoint, LoadKind};
use crate::source::Feed;
use crate::source::broker::Condition;
use crate::source::generator::Spent;
use crate::source::guard::{AttemptStore, Unkept};
use crate::tally::{Counter, Tally};

/// Runs a job to its end.
pub fn run(request: JobRequest) -> Result<Summary, Fatal> {
    let stop = Stop::on_signals()?;
    let request = sample::resolve(request)?;
    let tally = Tally::new(decode::providers());
    let board = Board::new(
        Arc::clone(&tally),
        request.plan.in_flight.events_max.get() as u64,
    );
    let pages = request
        .metrics
        .map(|address| http::Server::start(address, Arc::clone(&board), http::Limits::default()));
    let pages = pages.transpose()?;
    let summary = Job::start(request, tally, board)?.finish(&stop);
    drop(pages);
    summary
}

/// A job whose writers run.
struct Job {
    request: JobRequest,
    name: String,
    clock: Arc<dyn Clock>,
    tally: Arc<Tally>,
    board: Arc<Board>,
    writers: Writers,
    notes: Vec<String>,
    /// When reading began, and what the process had used by then.
    started: (Instant, Usage),
    /// What the source's own generator uses beside the job.
    spent: Spent,
    /// What the store held before; only for dry runs.
    before: Option<Export>,
    scratch: Scratch,
    /// Whose turn it is to load.
    turn: Arc<Mutex<()>>,
    /// Which rows are recent.
    horizon: Horizon,
    /// What is kept of messages in work; only of a broker's.
    attempts: Option<Attempts>,
}

impl Job {
    fn start(request: JobRequest, tally: Arc<Tally>, board: Arc<Board>) -> Result<Self, Fatal> {
        let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::start(request.plan.tick));
        let mut store = Store::open(&request)?;
        let scratch = std::mem::take(&mut store.scratch);
        let writers = Writers::start(&request.plan, store, &clock, &tally)?;
        let dry = request.sinks == SinkChoice::DryRun;
        let before = dry.then(|| writers.sinks().state().call(|store| store.export()));
        let name = report::name(&request);
        Ok(Self {
            attempts: Attempts::of(&request, &name, writers.sinks().state()),
            name,
            before: before.transpose()?,
            started: (Instant::now(), Usage::now()),
            spent: Spent::default(),
            notes: Vec::new(),
            scratch,
            turn: Arc::default(),
            horizon: Horizon::new(request.plan.recipients.age_max),
            request,
            clock,
            tally,
            board,
            writers,
        })
    }

    fn finish(mut self, stop: &Stop) -> Result<Summary, Fatal> {
        let (brake, stopped) = input::brake();
        let resume = self.resume()?;
        let source = Source::prepare(&self.request, resume, &brake)?;
        self.spent = source.spent();
        let running = self.spread(source, &brake, stopped)?;
        match self.supervise(&running, stop, brake) {
            Ok(()) => {
                let ended = running.end(self.request.plan.drain_deadline);
                let (lanes, tables) = ended.inspect_err(|_| self.ends_by_itself())?;
                self.conclude(&lanes, tables, stop.is_raised())
            }
            Err(fatal) => {
                self.ends_by_itself();
                // Threads may hang, which may be why this ends: they must not be waited for.
                std::mem::forget((running, self));
                Err(fatal)
            }
        }
    }

    /// Whatever the reason, it is not that a message ended the process.
    fn ends_by_itself(&self) {
        if let Some(attempts) = &self.attempts {
            attempts.end(LAST_NOTE);
        }
    }

    fn excuse(&self, excuse: Excuse, holds: bool) {
        if let Some(attempts) = &self.attempts {
            attempts.excuse(excuse, holds);
        }
    }

    /// What the job has used so far, without what made its deliveries.
    fn usage(&self) -> Usage {
        Usage::now().without(self.spent.get())
    }

    fn sinks(&self) -> Sinks {
        self.writers.sinks()
    }

    fn loader(&self) -> Loader {
        Loader {
            state: self.sinks().state(),
            default_user: self.request.plan.default_user.clone(),
            turn: Arc::clone(&self.turn),
        }
    }

    fn sweeper(&self) -> Sweeper {
        Sweeper {
            state: self.sinks().state(),
            log: self.sinks().log(),
            tally: Arc::clone(&self.tally),
        }
    }

    fn attempts(&self) -> Box<dyn AttemptStore> {
        match &self.attempts {
            Some(attempts) => attempts.store(),
            None => Box::new(Unkept::default()),
        }
    }

    fn outbox(&self) -> Option<PathBuf> {
        let durable = self.request.sinks == SinkChoice::Durable;
        durable.then(|| self.request.plan.store_dir.join(outbox::FILE))
    }

    /// What an unfinished run of this job settled; a finished one is read again from its start.
    fn resume(&mut self) -> Result<Vec<Checkpoint>, Fatal> {
        let job = self.name.clone();
        let lanes = self
            .sinks()
            .state()
            .call_until_done(move |store| store.checkpoints(&job))?;
        if lanes.is_empty() || self.request.sinks != SinkChoice::Durable {
            return Ok(Vec::new());
        }
        if lanes.iter().all(|lane| lane.finished) {
            self.notes.push(report::FINISHED_BEFORE.into());
            return Ok(Vec::new());
        }
        self.notes.push(report::RESUMED.into());
        Ok(lanes)
    }

    /// Starts everything that works side by side. Recipients are loaded before the first delivery is read.
    fn spread(
        &mut self,
        source: Source,
        brake: &Brake,
        stopped: crossbeam_channel::Receiver<()>,
    ) -> Result<Running, Fatal> {
        let plan = &self.request.plan;
        let providers: Vec<Provider> = decode::providers().map(Provider::new).collect();
        let (mut feeder, told) = Feeder::channels(plan.workers.get(), providers.into());
        let (feed, taps) = Feed::channels(plan.workers.get(), plan.channel_depth.get());
        let (settled, closed) = crossbeam_channel::unbounded();
        let (acknowledge, acknowledged) = crossbeam_channel::unbounded();
        let settlement = Settlement::start(settlement::Parts {
            settled: closed,
            notices: taps.notices,
            job: self.name.clone(),
            proofs: source.proofs(),
            acknowledge: source.acknowledges().then_some(acknowledge),
            store: (self.request.sinks == SinkChoice::Durable).then(|| self.sinks().state()),
            interval: plan.checkpoint_interval,
            tally: Arc::clone(&self.tally),
        })?;
        let workers = workers::start(Shared {
            program: program(&self.request.input),
            plan: plan.clone(),
            range: Range {
                from: self.request.range.from,
                to: self.request.range.to,
            },
            defaults: input::defaults(&self.request),
            clock: Arc::clone(&self.clock),
            tally: Arc::clone(&self.tally),
            sinks: self.sinks(),
            parcels: Mutex::new(taps.workers),
            told: Mutex::new(told),
            draining: brake.flag(),
            settled,
        })?;
        let mut fed = Fed::new(self.horizon);
        let tables = self.load(&source, &mut feeder, &mut fed);
        // The workers are waited for when they are dropped, so they must know that nothing will come.
        let tables = tables.inspect_err(|_| brake.flag().store(true, Ordering::Relaxed))?;
        let (wake, woken) = crossbeam_channel::bounded(1);
        let interval = self.request.plan.recipients.poll_interval;
        let polls = tables.map(|(tables, looks)| Polls::start(tables, looks, interval, wake));
        let (rows, new_rows) = crossbeam_channel::unbounded();
        let housekeeping = Housekeeping::start(housekeeping::Parts {
            sweeper: self.sweeper(),
            loader: self.loader(),
            feeder,
            fed,
            feed_every: interval,
            woken,
            new_rows,
            outbox: self.outbox(),
            waits: self.request.plan.sweep,
        })?;
        self.started = (Instant::now(), self.usage());
        let condition = Condition::default();
        let reading = source.start(Start {
            feed,
            stop: stopped,
            stopping: brake.flag(),
            rows,
            settled: acknowledged,
            condition: condition.clone(),
            tally: Arc::clone(&self.tally),
            attempts: self.attempts(),
        })?;
        Ok(Running {
            workers,
            settlement,
            housekeeping,
            polls: polls.transpose()?,
            reading,
            condition,
        })
    }

    /// Recipients from files, the user's own tables or the source itself; then everything the store knows goes to the
    /// workers.
    fn load(
        &mut self,
        source: &Source,
        feeder: &mut Feeder,
        fed: &mut Fed,
    ) -> Result<Tables, Fatal> {
        let loader = self.loader();
        let snapshot = &self.request.snapshot;
        if !snapshot.recipients.is_empty() || snapshot.batches.is_some() {
            let mut loading = Loading::new(self.request.quiet);
            let report = loader.files(
                LoadKind::Full,
                &snapshot.recipients,
                snapshot.batches.as_ref(),
                |rows| loading.show(rows),
            )?;
            self.notes.extend(report.notes());
        }
        if let Some(tables) = source.tables() {
            let report = loader.generated(LoadKind::Full, tables)?;
            self.notes.extend(report.notes());
        }
        let tables = self.load_tables()?;
        let known = loader.feed(feeder, fed)?;
        self.tally.count(Counter::RecipientsFed, known);
        tracing::info!(recipients = known, "recipients are known");
        feeder.loaded();
        Ok(tables)
    }

    /// The first look at the user's own tables. A live job that has read them before goes on from what the store knows and
    /// looks later. One that cannot reach them goes on too, since its events are parked; a finite job would only park.
    fn load_tables(&mut self) -> Result<Tables, Fatal> {
        let plan = &self.request.plan.recipients;
        let Some(plan) = &plan.tables else {
            return Ok(None);
        };
        let durable = self.request.sinks == SinkChoice::Durable;
        let mut tables = TableLoader::prepare(plan, self.loader(), self.horizon, durable)?;
        let after = u32::try_from(plan.trouble_after.get()).unwrap_or(u32::MAX);
        let looks = Looks::new(Arc::clone(&self.tally), Arc::clone(&self.board), after);
        let finite = self.request.input.is_finite();
        let looked = match tables.probe() {
            Ok(()) if finite || tables.is_new() => {
                let mut loading = Loading::new(self.request.quiet);
                looks.make(&mut tables, |rows| loading.show(rows)).map(Some)
            }
            Ok(()) => Ok(None),
            Err(trouble) => {
                looks.failed(&trouble);
                Err(trouble)
            }
        };
        match looked {
            Ok(report) => self.notes.extend(report.iter().flat_map(Report::notes)),
            Err(Trouble::Failed(error)) if !finite && error.class.is_passing() => {}
            Err(trouble) => return Err(trouble.into()),
        }
        Ok(Some((tables, looks)))
    }

    fn supervise(&self, running: &Running, stop: &Stop, mut brake: Brake) -> Result<(), Fatal> {
        let mut watch = Watch {
            sinks: self.sinks(),
            tally: Arc::clone(&self.tally),
            board: Arc::clone(&self.board),
            progress: Progress::new(self.request.quiet, unit(&self.request.input)),
            watchdog: Watchdog::new(self.request.plan.watchdog_limit, self.clock.elapsed()),
        };
        let mut draining: Option<Instant> = None;
        while !running.settlement.ended_within(LOOK) {
            let fatal = self.writers.trouble.take();
            if let Some(fatal) = fatal.or_else(|| running.condition.take_failure()) {
                return Err(fatal);
            }
            if stop.is_raised() {
                brake.pull();
                self.excuse(Excuse::Ending, true);
                let since = *draining.get_or_insert_with(Instant::now);
                if since.elapsed() > self.request.plan.drain_deadline {
                    return Err(report::not_drained(self.request.plan.drain_deadline));
                }
            }
            self.excuse(Excuse::Outage, watch.is_outage());
            watch.look(self.clock.elapsed(), running)?;
        }
        watch.count();
        self.writers.trouble.take().map_or(Ok(()), Err)
    }

    /// Everything that was read is settled: late recipients, parked events, deadlines, completions, the last files.
    fn conclude(mut self, lanes: &Lanes, tables: Tables, stopped: bool) -> Result<Summary, Fatal> {
        let (ran, used) = (self.started.0.elapsed(), self.usage());
        if !stopped {
            self.late_snapshot()?;
            if let Some((mut tables, looks)) = tables {
                let report = looks.make(&mut tables, |_| {})?;
                self.notes.extend(report.notes());
            }
            self.sweeper().sweep()?;
            self.deadlines()?;
        }
        outbox::relay(&self.sinks().state(), self.outbox())?;
        let after = match self.before {
            Some(_) => Some(self.sinks().state().call(|store| store.export())?),
            None => None,
        };
        let trouble = self.writers.trouble.clone();
        self.writers.drain();
        if let Some(fatal) = trouble.take() {
            return Err(fatal);
        }
        let mut summary = Summary::of(self.name, &self.tally.snapshot(), ran);
        summary.used(self.started.1, used);
        summary.notes = self.notes;
        report::lanes(&mut summary, lanes, stopped);
        match self.before.zip(after) {
            Some((before, after)) => report::dry_run(&mut summary, &before, &after),
            None => report::results(&mut summary, &self.request)?,
        }
        drop(self.scratch);
        Ok(summary)
    }

    fn late_snapshot(&mut self) -> Result<(), Fatal> {
        let Some(late) = self.request.snapshot.late.clone() else {
            return Ok(());
        };
        let report = self
            .loader()
            .files(LoadKind::Increment, &[late], None, |_| {})?;
        self.notes.extend(report.notes());
        Ok(())
    }

    fn deadlines(&self) -> Result<(), Fatal> {
        let now = Millis::now();
        let fired = self
            .sinks()
            .state()
            .call_until_done(move |store| store.judge_deadlines(now))?;
        self.tally.count(Counter::Completions, fired);
        Ok(())
    }
}

/// How often the job looks at itself.
const LOOK: Duration = Duration::from_millis(100);
/// How long the state store may take to be told that the process ends by itself.
const LAST_NOTE: Duration = Duration::from_secs(2);

const fn unit(input: &Input) -> Unit {
    match input {
        Input::Generator(_) => Unit::Deliveries,
        _ => Unit::Bytes,
    }
}

const fn program(input: &Input) -> Program {
    match input {
        Input::Demo | Input::Files { .. } | Input::NatsPast { .. } | Input::KafkaPast { .. } => {
            Program::Replay
        }
        Input::StandardInput { .. } | Input::Nats | Input::Kafka => Program::Live,
        Input::Generator(sample) if sample.deliveries.is_some() => Program::Throughput,
        Input::Generator(_) => Program::Live,
    }
}
