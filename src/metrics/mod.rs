//! The metrics: what every module counts into and every report reads from.
//!
//! * [`Metrics`] is shared by all threads of a job: atomic counters and gauges, and distributions behind locks.
//! * [`LocalMetrics`] belongs to one worker thread. It counts without any sharing and hands its counts over when it is flushed
//!   (every few thousand events or each tick), so an event costs an addition and no lock, no shared cache line.
//! * [`MetricsSnapshot`] is a copy of it all at one moment: what metrics, progress, health and summary are made of.
//!
//! Contract: counting never fails and never blocks for long; counts are never negative and counters never shrink; what can be
//! counted is a closed set ([`Counter`], [`Gauge`], …), so no input can grow it.

mod histogram;
mod local;
mod names;

pub use histogram::Histogram;
pub use local::LocalMetrics;
pub use names::{Counter, Gauge, Sink, SinkCounter, Step};

/// One worker's counts as its operators share them.
pub type WorkerMetrics = std::rc::Rc<std::cell::RefCell<LocalMetrics>>;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use names::{REASONS, reason_place};

use crate::event::ReasonCode;

/// The label of deliveries whose provider is none of ours.
pub const UNKNOWN_PROVIDER: &str = "unknown";

/// What all threads of a job count into.
#[derive(Debug)]
pub struct Metrics {
    counters: [AtomicU64; Counter::COUNT],
    gauges: [AtomicU64; Gauge::COUNT],
    reasons: [AtomicU64; REASONS.len()],
    sinks: [[AtomicU64; SinkCounter::COUNT]; Sink::COUNT],
    /// The known providers, and one place more for the others.
    providers: Vec<(&'static str, AtomicU64)>,
    steps: [Mutex<Histogram>; Step::COUNT],
    batch_sizes: [Mutex<Histogram>; Sink::COUNT],
}

impl Metrics {
    /// Metrics at zero, separate for each of these providers.
    pub fn new(providers: impl IntoIterator<Item = &'static str>) -> Arc<Self> {
        let providers = providers.into_iter().chain([UNKNOWN_PROVIDER]);
        Arc::new(Self {
            counters: Default::default(),
            gauges: Default::default(),
            reasons: Default::default(),
            sinks: Default::default(),
            providers: providers.map(|name| (name, AtomicU64::new(0))).collect(),
            steps: Default::default(),
            batch_sizes: Default::default(),
        })
    }

    /// Adds to a counter.
    pub fn count(&self, what: Counter, by: u64) {
        self.counters[what as usize].fetch_add(by, Relaxed);
    }

    /// What a counter holds.
    pub fn get(&self, what: Counter) -> u64 {
        self.counters[what as usize].load(Relaxed)
    }

    /// Sets a gauge that only one thread sets.
    pub fn set(&self, what: Gauge, value: u64) {
        self.gauges[what as usize].store(value, Relaxed);
    }

    /// Moves a gauge that several threads share.
    pub fn shift(&self, what: Gauge, up: u64, down: u64) {
        self.gauges[what as usize].fetch_add(up.wrapping_sub(down), Relaxed);
    }

    /// What a gauge shows; never negative, even while threads shift it in turn.
    pub fn gauge(&self, what: Gauge) -> u64 {
        let value = self.gauges[what as usize].load(Relaxed);
        if value > i64::MAX as u64 { 0 } else { value }
    }

    /// Counts dead letters of that reason.
    pub fn reject(&self, code: ReasonCode, by: u64) {
        self.reasons[reason_place(code)].fetch_add(by, Relaxed);
    }

    /// Counts deliveries of a provider; one that is none of ours counts as unknown.
    pub fn provider(&self, name: &str, by: u64) {
        self.provider_at(self.provider_place(name), by);
    }

    /// Counts for a sink.
    pub fn sink(&self, sink: Sink, what: SinkCounter, by: u64) {
        self.sinks[sink as usize][what as usize].fetch_add(by, Relaxed);
    }

    /// Takes over what somebody else counts for a sink.
    pub fn sink_total(&self, sink: Sink, what: SinkCounter, total: u64) {
        self.sinks[sink as usize][what as usize].store(total, Relaxed);
    }

    /// Counts one durable write of a sink: its rows and how long it took. Takes a lock, so: once a write.
    pub fn wrote(&self, sink: Sink, rows: u64, took: Duration) {
        self.sink(sink, SinkCounter::Batches, 1);
        self.sink(sink, SinkCounter::Rows, rows);
        lock(&self.batch_sizes[sink as usize]).add(rows);
        let step = match sink {
            Sink::State => Step::StateWrite,
            Sink::Log => Step::LogWrite,
            Sink::Reject => Step::RejectWrite,
        };
        self.took(step, took, 1);
    }

    /// Counts a duration that occurred so many times. Takes a lock, so: not per event; see [`LocalMetrics::took`].
    pub fn took(&self, step: Step, time: Duration, times: u64) {
        lock(&self.steps[step as usize]).add_duration(time, times);
    }

    /// A copy of it all.
    pub fn snapshot(&self) -> MetricsSnapshot {
        let load = |cell: &AtomicU64| cell.load(Relaxed);
        MetricsSnapshot {
            counters: self.counters.each_ref().map(load),
            gauges: std::array::from_fn(|at| self.gauge(Gauge::ALL[at])),
            reasons: self.reasons.each_ref().map(load),
            sinks: self.sinks.each_ref().map(|sink| sink.each_ref().map(load)),
            providers: self
                .providers
                .iter()
                .map(|(name, cell)| (*name, load(cell)))
                .collect(),
            steps: self
                .steps
                .each_ref()
                .map(|histogram| lock(histogram).clone()),
            batch_sizes: self.batch_sizes.each_ref().map(|one| lock(one).clone()),
        }
    }

    fn provider_place(&self, name: &str) -> usize {
        let known = self.providers.iter().position(|(known, _)| *known == name);
        known.unwrap_or(self.providers.len() - 1)
    }

    fn provider_at(&self, place: usize, by: u64) {
        if let Some((_, cell)) = self.providers.get(place) {
            cell.fetch_add(by, Relaxed);
        }
    }

    fn merge(&self, step: usize, local: &mut Histogram) {
        lock(&self.steps[step]).take_from(local);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The metrics at one moment.
#[derive(Clone, Debug)]
pub struct MetricsSnapshot {
    counters: [u64; Counter::COUNT],
    gauges: [u64; Gauge::COUNT],
    reasons: [u64; REASONS.len()],
    sinks: [[u64; SinkCounter::COUNT]; Sink::COUNT],
    providers: Vec<(&'static str, u64)>,
    steps: [Histogram; Step::COUNT],
    batch_sizes: [Histogram; Sink::COUNT],
}

impl MetricsSnapshot {
    /// A counter.
    pub const fn get(&self, what: Counter) -> u64 {
        self.counters[what as usize]
    }

    /// A gauge.
    pub const fn gauge(&self, what: Gauge) -> u64 {
        self.gauges[what as usize]
    }

    /// A counter of a sink.
    pub const fn sink(&self, sink: Sink, what: SinkCounter) -> u64 {
        self.sinks[sink as usize][what as usize]
    }

    /// Dead letters by reason, zeros included.
    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.iter().map(|code| code.name()).zip(self.reasons)
    }

    /// All dead letters.
    pub fn dead_letters(&self) -> u64 {
        self.reasons.iter().sum()
    }

    /// Deliveries by provider, zeros included.
    pub fn providers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.providers.iter().copied()
    }

    /// How long a step takes, in microseconds.
    pub const fn step(&self, step: Step) -> &Histogram {
        &self.steps[step as usize]
    }

    /// How many rows a write of that sink holds.
    pub const fn batch_sizes(&self, sink: Sink) -> &Histogram {
        &self.batch_sizes[sink as usize]
    }

    /// What ended where: the outcomes by which every event, dead letter and control message is counted once.
    pub fn outcomes(&self) -> [(&'static str, u64); 6] {
        let duplicates = self.get(Counter::DuplicateMemory) + self.get(Counter::DuplicateStore);
        [
            ("applied", self.get(Counter::Applied)),
            ("duplicate", duplicates),
            ("unmatched", self.get(Counter::Unmatched)),
            ("logged_only", self.get(Counter::LoggedOnly)),
            ("dead_letter", self.dead_letters()),
            ("control", self.get(Counter::Control)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_providers_share_one_label() {
        let metrics = Metrics::new(["ses", "resend"]);
        for name in ["ses", "hostile-1", "hostile-2", "", "unknown"] {
            metrics.provider(name, 1);
        }
        let counted: Vec<_> = metrics.snapshot().providers().collect();
        assert_eq!(counted, [("ses", 1), ("resend", 0), ("unknown", 4)]);
    }

    #[test]
    fn totals_of_a_sink_replace_what_was_counted_before() {
        let metrics = Metrics::new([]);
        metrics.sink_total(Sink::State, SinkCounter::Retries, 3);
        metrics.sink_total(Sink::State, SinkCounter::Retries, 5);
        metrics.sink_total(Sink::Log, SinkCounter::BreakerOpened, 1);
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot.sink(Sink::State, SinkCounter::Retries), 5);
        assert_eq!(snapshot.sink(Sink::Log, SinkCounter::BreakerOpened), 1);
    }

    #[test]
    fn a_gauge_is_never_negative() {
        let metrics = Metrics::new([]);
        metrics.shift(Gauge::OpenEvents, 0, 5);
        assert_eq!(metrics.gauge(Gauge::OpenEvents), 0);
        metrics.shift(Gauge::OpenEvents, 7, 0);
        assert_eq!(metrics.gauge(Gauge::OpenEvents), 2);
    }

    #[test]
    fn each_thing_is_counted_in_its_own_place() {
        let metrics = Metrics::new([]);
        metrics.reject(ReasonCode::Limit, 2);
        metrics.count(Counter::DuplicateMemory, 3);
        metrics.count(Counter::DuplicateStore, 4);
        metrics.wrote(Sink::Log, 10, Duration::from_millis(5));
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot.dead_letters(), 2);
        assert_eq!(snapshot.outcomes()[1], ("duplicate", 7));
        assert_eq!(snapshot.sink(Sink::Log, SinkCounter::Rows), 10);
        assert_eq!(snapshot.sink(Sink::State, SinkCounter::Rows), 0);
        assert_eq!(snapshot.step(Step::LogWrite).count(), 1);
    }
}
