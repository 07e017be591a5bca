//! The worker threads: each builds the same dataflow, steps it, and sends what its frontier settled.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use timely::dataflow::ProbeHandle;
use timely::dataflow::Scope;
use timely::worker::Worker;
use timely::{CommunicationConfig, Config, WorkerConfig};

use super::sinks::Sinks;
use crate::config::Plan;
use crate::dataflows::{self, Parts};
use crate::decode::operator::DecodeContext;
use crate::enrich::arrangement::{Recipients, SnapshotUpdate};
use crate::epoch::{Clock, Epoch};
use crate::error::{Exit, Fatal};
use crate::event::Millis;
use crate::metrics::{Counter, Gauge, LocalMetrics, Metrics, Step, WorkerMetrics};
use crate::quarantine::{Quarantine, WorkerQuarantine};
use crate::select::Range;
use crate::source::bridge::Bridge;
use crate::source::in_flight::{InFlight, InFlightLimit, OffsetRange};
use crate::source::{EnvelopeDefaults, PartitionIds, Records};
use crate::{dedup, window};

/// How long a worker sleeps when it has nothing to do; also how late it may notice what an I/O thread left for it.
const PARK: Duration = Duration::from_millis(2);

/// Which program the workers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A stream that does not end.
    Live,
    /// A history.
    Replay,
    /// A measured load.
    Throughput,
}

impl Program {
    fn build(self, scope: Scope<'_, Epoch>, parts: Parts) -> ProbeHandle<Epoch> {
        match self {
            Program::Live => dataflows::live::build(scope, parts),
            Program::Replay => dataflows::replay::build(scope, parts),
            Program::Throughput => dataflows::throughput::build(scope, parts),
        }
    }
}

/// What all workers share.
pub struct WorkerContext {
    /// The program.
    pub program: Program,
    /// The settings.
    pub plan: Plan,
    /// Which events a replay is about.
    pub range: Range,
    /// What envelopes leave out.
    pub defaults: EnvelopeDefaults,
    /// The job's clock.
    pub clock: Arc<dyn Clock>,
    /// The job's counts.
    pub metrics: Arc<Metrics>,
    /// The writers.
    pub sinks: Sinks,
    /// One channel of records a worker; each worker takes one.
    pub records: Mutex<Vec<Receiver<Records>>>,
    /// One channel of recipients a worker; each worker takes one.
    pub snapshot_updates: Mutex<Vec<Receiver<SnapshotUpdate>>>,
    /// Raised when nothing more is to be taken from the source.
    pub draining: Arc<AtomicBool>,
    /// Where settled offsets go. Closed when the last worker has ended.
    pub settled: Sender<Vec<OffsetRange>>,
    /// Finds records that kill the process.
    pub quarantine: Quarantine,
    /// The partitions that have begun.
    pub partition_ids: PartitionIds,
}

/// Threads that run until their inputs have ended and everything is settled.
pub type Workers = timely::communication::WorkerGuards<()>;

/// Starts the workers.
pub fn start(shared: WorkerContext) -> Result<Workers, Fatal> {
    let threads = shared.plan.workers.get();
    let config = Config {
        communication: match threads {
            1 => CommunicationConfig::Thread,
            more => CommunicationConfig::Process(more),
        },
        worker: WorkerConfig::default(),
    };
    let refused =
        |why: String| Fatal::new(Exit::Internal, format!("the workers do not start: {why}"));
    timely::execute(config, move |worker| run(worker, &shared)).map_err(refused)
}

fn run(worker: &mut Worker, shared: &WorkerContext) {
    let (Some(records), Some(updates)) = (take(&shared.records), take(&shared.snapshot_updates))
    else {
        tracing::error!("a worker has no channel of its own");
        return;
    };
    let in_flight = Rc::new(RefCell::new(InFlight::default()));
    let counts: WorkerMetrics =
        Rc::new(RefCell::new(LocalMetrics::new(Arc::clone(&shared.metrics))));
    let ended = Rc::new(Cell::new(false));
    let recipients = Recipients {
        updates,
        ended: Rc::clone(&ended),
    };
    let quarantine = WorkerQuarantine::new(
        &shared.quarantine,
        worker.index(),
        shared.partition_ids.clone(),
    );
    let quarantine = Rc::new(RefCell::new(quarantine));
    let parts = parts(
        shared,
        records,
        recipients,
        &in_flight,
        &counts,
        &quarantine,
    );
    let name = format!("{:?}", shared.program);
    let probe =
        worker.dataflow_named::<Epoch, _, _>(&name, |scope| shared.program.build(scope, parts));
    let settler = Settler {
        shared,
        in_flight,
        counts,
        probe,
    };
    while worker.step_or_park(Some(PARK)) {
        settler.settle();
        ended.set(settler.probe.done());
    }
    settler.settle();
}

fn take<T>(channels: &Mutex<Vec<T>>) -> Option<T> {
    channels
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop()
}

/// Tells what a worker's frontier settled.
struct Settler<'a> {
    shared: &'a WorkerContext,
    in_flight: Rc<RefCell<InFlight>>,
    counts: WorkerMetrics,
    probe: ProbeHandle<Epoch>,
}

impl Settler<'_> {
    fn settle(&self) {
        let mut in_flight = self.in_flight.borrow_mut();
        let mut counts = self.counts.borrow_mut();
        let frontier = self
            .probe
            .with_frontier(|frontier| frontier.first().copied());
        let closed = in_flight.close_before(frontier, self.shared.clock.elapsed());
        if !closed.ranges.is_empty() {
            for (open, deliveries) in &closed.ages {
                counts.took(Step::Settle, *open, *deliveries);
                counts.count(Counter::Settled, *deliveries);
            }
            count_end_to_end(&closed.taken, &mut counts);
            if self.shared.settled.send(closed.ranges).is_err() {
                tracing::debug!("records settled after the job had ended");
            }
        }
        counts.level(Gauge::OpenEvents, in_flight.events() as u64);
        counts.level(Gauge::OpenBytes, in_flight.bytes() as u64);
        counts.level(Gauge::OpenEpochs, in_flight.epochs() as u64);
        counts.flush();
    }
}

/// A broker whose clock is ahead of ours shows no time at all.
fn count_end_to_end(taken: &[(Millis, u64)], counts: &mut LocalMetrics) {
    if taken.is_empty() {
        return;
    }
    let now = Millis::now();
    for (at, messages) in taken {
        let took = u64::try_from(now.0.saturating_sub(at.0)).unwrap_or(0);
        counts.took(Step::EndToEnd, Duration::from_millis(took), *messages);
    }
}

fn parts(
    shared: &WorkerContext,
    records: Receiver<Records>,
    recipients: Recipients,
    in_flight: &Rc<RefCell<InFlight>>,
    counts: &WorkerMetrics,
    quarantine: &Rc<RefCell<WorkerQuarantine>>,
) -> Parts {
    let plan = &shared.plan;
    let pressed = Arc::new(AtomicBool::new(false));
    let forgotten = dedup::Forgotten::default();
    let shares = plan.workers.get();
    let handles = shared
        .sinks
        .worker_handles(&shared.clock, &pressed, &forgotten, counts);
    let limit = InFlightLimit {
        events_max: plan.in_flight.events_max.get().div_ceil(shares),
        bytes_max: plan.in_flight.bytes_max.div_ceil(shares),
    };
    Parts {
        bridge: Bridge {
            records,
            in_flight: Rc::clone(in_flight),
            limit,
            clock: Arc::clone(&shared.clock),
            tick: plan.tick,
            draining: Arc::clone(&shared.draining),
            pressed,
            quarantine: Rc::clone(quarantine),
            before_writers: ProbeHandle::new(),
        },
        decode: DecodeContext {
            config: Arc::new(plan.decode_options()),
            defaults: Arc::new(shared.defaults.clone()),
            counts: Rc::clone(counts),
            in_flight: Rc::clone(in_flight),
            limit,
            quarantine: Rc::clone(quarantine),
        },
        dedup: dedup::DedupSettings {
            ttl: plan.dedup.ttl,
            keys_max: plan.dedup.keys_max.get().div_ceil(shares),
            clock: Arc::clone(&shared.clock),
            counts: Rc::clone(counts),
        },
        forgotten,
        range: shared.range,
        recipients,
        clock: Arc::clone(&shared.clock),
        counts: Rc::clone(counts),
        state: handles.state(limits(&plan.state_window)),
        log: handles.log(limits(&plan.log_window)),
        rejects: handles.rejects(limits(&plan.dead_letter_window)),
    }
}

const fn limits(window: &crate::config::WindowConfig) -> window::WindowLimits {
    window::WindowLimits {
        rows_max: window.rows_max.get(),
        bytes_max: window.bytes_max,
        age_max: window.age_max,
        eager: window.eager,
    }
}
