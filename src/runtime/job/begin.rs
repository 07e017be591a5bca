//! How a job begins: what an earlier run settled, everything that works side by side, and recipients before the first delivery.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::{Job, resume};
use crate::decode;
use crate::enrich::arrangement::{SnapshotSender, SnapshotUpdate};
use crate::enrich::tables::TableError;
use crate::error::Fatal;
use crate::event::Provider;
use crate::metrics::Counter;
use crate::observe::loading::Loading;
use crate::runtime::completions::{Completions, CompletionsContext};
use crate::runtime::housekeeping::{Housekeeping, HousekeepingContext};
use crate::runtime::input::{self, RunningSource, StopHandle};
use crate::runtime::loader::{Fed, Report};
use crate::runtime::polls::{PollStatus, Polls};
use crate::runtime::report;
use crate::runtime::request::{Input, SinkMode};
use crate::runtime::retention::DeadLetterRetention;
use crate::runtime::running::{PolledTables, Running};
use crate::runtime::settlement::{Settlement, SettlementParts};
use crate::runtime::tables::TableLoader;
use crate::runtime::workers::{self, Program, WorkerContext, Workers};
use crate::select::Range;
use crate::sink::breaker::BreakerState;
use crate::source::file::Resume;
use crate::source::file::fingerprint::FileFingerprints;
use crate::source::generator::NewRows;
use crate::source::in_flight::OffsetRange;
use crate::source::state_breaker::StateBreaker;
use crate::source::{
    Commit, PartitionEvent, PartitionIds, RecordSender, Records, Source, SourceContext,
};
use crate::state::{Checkpoint, LoadKind};

impl Job {
    /// What an unfinished run of this job settled; a finished one is read again from its start.
    pub(super) fn resume(&mut self) -> Result<Vec<Checkpoint>, Fatal> {
        if self.request.sinks != SinkMode::Durable {
            return Ok(Vec::new());
        }
        let job = self.name.clone();
        let stored = self
            .interruptible_state()
            .call_until_done(move |store| store.checkpoints(&job))?;
        let (checkpoints, note) = resume::plan(&input::resumable_files(&self.request), stored);
        self.notes.extend(note.map(str::to_owned));
        Ok(checkpoints)
    }

    /// Starts everything that works side by side. Recipients are loaded before the first delivery is read.
    pub(super) fn spawn(
        &mut self,
        source: Box<dyn Source>,
        resume: Vec<Checkpoint>,
        stop: &StopHandle,
    ) -> Result<Running, Fatal> {
        let plan = &self.request.plan;
        let providers: Vec<Provider> = decode::providers().map(Provider::new).collect();
        let (mut snapshot_sender, updates) =
            SnapshotSender::channels(plan.workers.get(), providers.into());
        let (records, receivers) =
            RecordSender::channels(plan.workers.get(), plan.channel_depth.get());
        let (settled, closed) = crossbeam_channel::unbounded();
        let (commit, commits) = crossbeam_channel::unbounded();
        let fingerprints = FileFingerprints::default();
        let commit = source.commits_offsets().then_some(commit);
        let settlement = self.settlement(
            closed,
            receivers.partition_events,
            commit,
            fingerprints.clone(),
        )?;
        let workers = self.workers(
            stop,
            (receivers.workers, receivers.partition_ids),
            updates,
            settled,
        )?;
        let mut fed = Fed::new(self.horizon, self.reads.clone());
        let tables = self.load(source.tables(), &mut snapshot_sender, &mut fed);
        // The workers are waited for when they are dropped, so they must know that nothing will come.
        let tables = tables.inspect_err(|_| stop.stop())?;
        let (wake, woken) = crossbeam_channel::bounded(1);
        let interval = self.request.plan.recipients.poll_interval;
        let polls = tables.map(|(tables, status)| Polls::start(tables, status, interval, wake));
        let (rows, new_rows) = crossbeam_channel::unbounded();
        let housekeeping = self.housekeeping(snapshot_sender, fed, woken, new_rows)?;
        let completions = self.completions()?;
        self.started = (Instant::now(), self.usage());
        let metrics = Arc::clone(&self.metrics);
        let context = SourceContext {
            stop: stop.flag(),
            state_breaker: self.state_breaker(),
            resume: resume_points(resume),
            fingerprints,
            new_rows: Some(rows),
            ..SourceContext::new(records, commits, metrics)
        };
        let source_health = context.health.clone();
        let source = RunningSource::start(source, context)?;
        Ok(Running {
            workers,
            settlement,
            housekeeping,
            completions,
            polls: polls.transpose()?,
            source,
            source_health,
        })
    }

    fn state_breaker(&self) -> StateBreaker {
        let [state, _] = self.sinks().statuses().map(Arc::clone);
        StateBreaker::new(move || state.breaker() != BreakerState::Closed)
    }

    fn settlement(
        &self,
        settled: Receiver<Vec<OffsetRange>>,
        partition_events: Receiver<PartitionEvent>,
        commits: Option<Sender<Vec<Commit>>>,
        fingerprints: FileFingerprints,
    ) -> Result<Settlement, Fatal> {
        let durable = self.request.sinks == SinkMode::Durable;
        Settlement::start(SettlementParts {
            settled,
            partition_events,
            job: self.name.clone(),
            fingerprints,
            commits,
            store: durable.then(|| self.sinks().state()),
            interval: self.request.plan.checkpoint_interval,
            metrics: Arc::clone(&self.metrics),
        })
    }

    fn workers(
        &self,
        stop: &StopHandle,
        (records, partition_ids): (Vec<Receiver<Records>>, PartitionIds),
        updates: Vec<Receiver<SnapshotUpdate>>,
        settled: Sender<Vec<OffsetRange>>,
    ) -> Result<Workers, Fatal> {
        workers::start(WorkerContext {
            program: program(&self.request.input),
            plan: self.request.plan.clone(),
            range: Range {
                from: self.request.range.from,
                to: self.request.range.to,
            },
            defaults: input::envelope_defaults(&self.request),
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
            sinks: self.sinks(),
            records: Mutex::new(records),
            snapshot_updates: Mutex::new(updates),
            draining: stop.flag(),
            settled,
            quarantine: self.quarantine.clone(),
            partition_ids,
        })
    }

    fn housekeeping(
        &self,
        snapshot_sender: SnapshotSender,
        fed: Fed,
        woken: Receiver<()>,
        new_rows: Receiver<NewRows>,
    ) -> Result<Housekeeping, Fatal> {
        Housekeeping::start(HousekeepingContext {
            sweeper: self.sweeper(),
            loader: self.loader(),
            snapshot_sender,
            fed,
            feed_every: self.request.plan.recipients.poll_interval,
            woken,
            new_rows,
            waits: self.request.plan.sweep,
            stop: self.stop.clone(),
            retention: DeadLetterRetention::new(
                self.interruptible_state(),
                self.dead_letters_kept(),
            ),
        })
    }

    /// How long dead letters are kept; those of a dry run are nobody's.
    fn dead_letters_kept(&self) -> Option<Duration> {
        let durable = self.request.sinks == SinkMode::Durable;
        self.request.plan.dead_letters_keep.filter(|_| durable)
    }

    fn completions(&self) -> Result<Completions, Fatal> {
        Completions::start(CompletionsContext {
            state: self.sinks().state(),
            relay: self.relay.clone(),
            is_endless: !self.request.input.is_finite(),
            metrics: Arc::clone(&self.metrics),
        })
    }

    /// Recipients from files, the user's own tables or the source itself; then everything the store knows goes to the
    /// workers.
    fn load(
        &mut self,
        generated: Option<&crate::generator::SenderTables>,
        snapshot_sender: &mut SnapshotSender,
        fed: &mut Fed,
    ) -> Result<PolledTables, Fatal> {
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
        if let Some(tables) = generated {
            let report = loader.generated(LoadKind::Full, tables)?;
            self.notes.extend(report.notes());
        }
        let tables = self.load_tables()?;
        let known = fed.feed(snapshot_sender)?;
        self.metrics.count(Counter::RecipientsFed, known);
        tracing::info!(recipients = known, "recipients are known");
        if known == 0 && self.request.needs_recipients() {
            tracing::warn!("{}", report::NO_RECIPIENTS);
        }
        snapshot_sender.send_loaded();
        Ok(tables)
    }

    /// The first poll of the user's own tables. A live job that has read them before goes on from what the store knows and
    /// polls later. One that cannot reach them goes on too, since its events are parked; a finite job would only park.
    fn load_tables(&mut self) -> Result<PolledTables, Fatal> {
        let plan = &self.request.plan.recipients;
        let Some(plan) = &plan.tables else {
            return Ok(None);
        };
        let durable = self.request.sinks == SinkMode::Durable;
        let mut tables = TableLoader::prepare(plan, self.loader(), self.horizon, durable)?;
        let after = u32::try_from(plan.failed_polls_max.get()).unwrap_or(u32::MAX);
        let status = PollStatus::new(Arc::clone(&self.metrics), Arc::clone(&self.board), after);
        let finite = self.request.input.is_finite();
        let polled = match tables.probe() {
            Ok(()) if finite || tables.is_new() => {
                let mut loading = Loading::new(self.request.quiet);
                status
                    .poll(&mut tables, |rows| loading.show(rows))
                    .map(Some)
            }
            Ok(()) => Ok(None),
            Err(error) => {
                status.record_failure(&error);
                Err(error)
            }
        };
        match polled {
            Ok(report) => self.notes.extend(report.iter().flat_map(Report::notes)),
            Err(TableError::Failed(error)) if !finite && error.class.is_passing() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Some((tables, status)))
    }
}

fn resume_points(checkpoints: Vec<Checkpoint>) -> HashMap<String, Resume> {
    let points = checkpoints.into_iter().map(|checkpoint| {
        let resume = Resume {
            offset: checkpoint.offset,
            fingerprint: checkpoint.proof,
        };
        (checkpoint.partition, resume)
    });
    points.collect()
}

const fn program(input: &Input) -> Program {
    match input {
        Input::Demo | Input::Files { .. } | Input::Replay(_) => Program::Replay,
        Input::Live { .. } => Program::Live,
        Input::Generator(sample) if sample.deliveries.is_some() => Program::Throughput,
        Input::Generator(_) => Program::Live,
    }
}
