//! What a job did: for people as aligned lines, for programs as JSON with the same names.
//!
//! Contract: the outcomes, each event's when it came, add up: events = applied + duplicates + unmatched + logged only +
//! dead letters of the later stages; deliveries without events are control messages or dead letters of the first stages.
//! What was parked and applied later, be it of this job or an earlier one, is reported separately. Nothing here names an address.

mod render;
mod throughput;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::numbers::rate;
use super::usage::Usage;
use crate::metrics::{Counter, Gauge, Histogram, MetricsSnapshot, Step};

/// What a job did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The job's name or fingerprint.
    pub job: String,
    /// Nothing was written.
    pub dry_run: bool,
    /// What a reader must know first: resumed, finished before, a file that changed, no snapshot.
    pub notes: Vec<String>,
    /// Inputs that could not be read, or not to their end; the exit code is then 1.
    pub unreadable: Vec<String>,
    /// Deliveries taken from the source.
    pub received: u64,
    /// Bytes of them.
    pub received_bytes: u64,
    /// Events decoded.
    pub events: u64,
    /// Deliveries that held no event.
    pub control: u64,
    /// Events folded into a recipient's state.
    pub applied: u64,
    /// Events known already, by the layer that saw it.
    pub duplicates: Duplicates,
    /// Events parked because their recipient was not known when they came.
    pub unmatched: u64,
    /// Parked events that were applied later, when their recipient became known; not among `applied`.
    pub late_matched: u64,
    /// Events that are parked at the end, from all jobs.
    pub parked: u64,
    /// Events of kinds that count for nothing.
    pub logged_only: u64,
    /// Events older than what was pruned; they raised no totals.
    pub late_total_refused: u64,
    /// All dead letters.
    pub dead_letters: u64,
    /// Dead letters by reason, without zeros.
    pub dead_letters_by_reason: BTreeMap<String, u64>,
    /// State rows that changed.
    pub recipients_changed: u64,
    /// Batches whose completion fired.
    pub completions: u64,
    /// Seconds from start to end.
    pub elapsed_seconds: f64,
    /// Events a second.
    pub events_per_second: f64,
    /// User and system time of the whole process while it read.
    pub cpu_seconds: f64,
    /// The same for a million events.
    pub cpu_seconds_per_million_events: f64,
    /// The most memory that was resident, loading included.
    pub peak_memory_bytes: u64,
    /// What was resident when the first delivery was read: the recipients, and deliveries that were made beforehand.
    pub memory_before_bytes: u64,
    /// From reading a delivery to its being durable in every sink; from when it was due, where the source keeps a schedule.
    pub latency: Latency,
    /// How long each step took.
    pub steps: Vec<StepTimes>,
    /// What was measured, if that was what the job was for.
    pub load: Option<LoadProfile>,
    /// The largest batches, largest first.
    pub batches: Vec<BatchLine>,
    /// Batches that changed, with the counters that did; what a dry run would change.
    pub changes: Vec<BatchChange>,
    /// Where the results lie.
    pub results: Vec<SummaryEntry>,
    /// Commands that show more.
    pub look: Vec<SummaryEntry>,
}

/// Duplicates by the layer that saw them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// Seen a short while ago.
    pub memory: u64,
    /// Known to the ledger.
    pub store: u64,
}

/// How long one step takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepTimes {
    /// The step, as the metrics call it.
    pub step: &'static str,
    /// How often it was taken.
    pub times: u64,
    /// How long it took.
    #[serde(flatten)]
    pub latency: Latency,
}

/// What a measured job was given to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoadProfile {
    /// Deliveries a second; none: as fast as they were taken.
    pub deliveries_per_second: Option<u64>,
    /// Worker threads.
    pub workers: usize,
    /// Where outcomes went.
    pub sinks: String,
}

/// How long something takes, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half of them take at most this.
    pub p50_micros: u64,
    /// 95 of 100.
    pub p95_micros: u64,
    /// 99 of 100.
    pub p99_micros: u64,
    /// 999 of 1,000.
    pub p999_micros: u64,
    /// The longest.
    pub max_micros: u64,
}

/// One batch with its counters of distinct recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchLine {
    /// The tenant.
    pub user: String,
    /// The batch.
    pub batch_id: String,
    /// Its size, once sealed.
    pub total: Option<u64>,
    /// Recipients that finished.
    pub finished: u64,
    /// Delivered.
    pub delivered: u64,
    /// Opened.
    pub opened: u64,
    /// Clicked.
    pub clicked: u64,
    /// Bounced, hard or soft.
    pub bounced: u64,
    /// Complained.
    pub complained: u64,
    /// Unsubscribed.
    pub unsubscribed: u64,
    /// When it was completed and why (`all`, `deadline`); absent while it is not.
    pub completed: Option<String>,
}

/// What changed in one batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchChange {
    /// The tenant.
    pub user: String,
    /// The batch.
    pub batch_id: String,
    /// Counters that changed: name, before, after.
    pub counters: Vec<(String, u64, u64)>,
}

/// A place or a command, and what is found by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SummaryEntry {
    /// The path or the command line.
    pub name: String,
    /// What it holds or shows.
    pub what: String,
}

impl SummaryEntry {
    /// A place that holds something.
    pub fn new(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            what: what.into(),
        }
    }
}

impl Latency {
    fn of(histogram: &Histogram) -> Self {
        Self {
            p50_micros: histogram.quantile(0.5),
            p95_micros: histogram.quantile(0.95),
            p99_micros: histogram.quantile(0.99),
            p999_micros: histogram.quantile(0.999),
            max_micros: histogram.max(),
        }
    }
}

impl Summary {
    /// What the metrics knows; notes, batches and places are added by the job.
    pub fn of(job: impl Into<String>, counts: &MetricsSnapshot, took: Duration) -> Self {
        let nonzero = counts.reasons().filter(|(_, count)| *count > 0);
        let events = counts.get(Counter::Decoded);
        Self {
            job: job.into(),
            received: counts.get(Counter::Received),
            received_bytes: counts.get(Counter::ReceivedBytes),
            events,
            control: counts.get(Counter::Control),
            applied: counts.get(Counter::Applied),
            duplicates: Duplicates {
                memory: counts.get(Counter::DuplicateMemory),
                store: counts.get(Counter::DuplicateStore),
            },
            unmatched: counts.get(Counter::Unmatched),
            late_matched: counts.get(Counter::LateMatched),
            parked: counts.gauge(Gauge::Parked),
            logged_only: counts.get(Counter::LoggedOnly),
            late_total_refused: counts.get(Counter::LateTotalRefused),
            dead_letters: counts.dead_letters(),
            dead_letters_by_reason: nonzero.map(|(name, n)| (name.to_owned(), n)).collect(),
            recipients_changed: counts.get(Counter::RecipientsChanged),
            completions: counts.get(Counter::Completions),
            elapsed_seconds: took.as_secs_f64(),
            events_per_second: rate(events, took),
            latency: Latency::of(counts.step(Step::Settle)),
            steps: steps(counts),
            ..Self::default()
        }
    }

    /// Adds what the process used between two readings.
    pub fn used(&mut self, before: Usage, after: Usage) {
        self.cpu_seconds = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        self.cpu_seconds_per_million_events = match self.events {
            0 => 0.0,
            events => self.cpu_seconds * 1e6 / events as f64,
        };
        self.peak_memory_bytes = after.peak_memory;
        self.memory_before_bytes = before.memory;
    }

    /// For programs.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

fn steps(counts: &MetricsSnapshot) -> Vec<StepTimes> {
    let times = |step: &Step| StepTimes {
        step: step.name(),
        times: counts.step(*step).count(),
        latency: Latency::of(counts.step(*step)),
    };
    Step::ALL.iter().map(times).collect()
}
