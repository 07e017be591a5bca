//! What a writer reports to the rest of the job: for metrics, `/readyz` and the watchdog.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::sink::breaker::{BreakerCell, BreakerState};

/// The state of a writer, readable from any thread. Times are those of the job's clock.
#[derive(Debug, Default)]
pub struct SinkStatus {
    name: &'static str,
    queue_rows: AtomicU64,
    in_flight_rows: AtomicU64,
    batches: AtomicU64,
    rows_written: AtomicU64,
    dead_letters: AtomicU64,
    retries: AtomicU64,
    breaker: BreakerCell,
    /// Milliseconds plus one; zero between attempts.
    attempt_since: AtomicU64,
    attempt_until: AtomicU64,
    last_error: Mutex<String>,
}

impl SinkStatus {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// The name of the sink.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Rows that wait in the queue.
    pub fn queue_rows(&self) -> u64 {
        self.queue_rows.load(Ordering::Relaxed)
    }

    /// Rows that the writer holds: taken from the queue, not answered yet.
    pub fn in_flight_rows(&self) -> u64 {
        self.in_flight_rows.load(Ordering::Relaxed)
    }

    /// Writes that succeeded.
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// Rows in them.
    pub fn rows_written(&self) -> u64 {
        self.rows_written.load(Ordering::Relaxed)
    }

    /// Rows that the sink refused, each with a durable dead letter.
    pub fn dead_letters(&self) -> u64 {
        self.dead_letters.load(Ordering::Relaxed)
    }

    /// Attempts that failed and were, or will be, repeated.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// What the breaker thinks.
    pub fn breaker(&self) -> BreakerState {
        self.breaker.get()
    }

    /// How often the breaker opened.
    pub fn breaker_opened(&self) -> u64 {
        self.breaker.opened()
    }

    /// Since when an attempt runs; none between attempts.
    pub fn attempting_since(&self) -> Option<Duration> {
        let since = self.attempt_since.load(Ordering::Acquire);
        since.checked_sub(1).map(Duration::from_millis)
    }

    /// Whether records wait for an attempt that has not passed its deadline: then a standstill has its reason. An attempt for
    /// which no records wait (a poll, a relay of completions) says nothing about them.
    pub fn is_writing_records(&self, now: Duration) -> bool {
        self.queue_rows() + self.in_flight_rows() > 0 && self.is_attempting(now)
    }

    /// Whether an attempt runs that has not passed its deadline.
    pub fn is_attempting(&self, now: Duration) -> bool {
        let until = Duration::from_millis(self.attempt_until.load(Ordering::Acquire));
        self.attempting_since().is_some() && now < until
    }

    /// The text of the last failure; empty if there was none.
    pub fn last_error(&self) -> String {
        self.error().clone()
    }

    fn error(&self) -> std::sync::MutexGuard<'_, String> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn breaker_cell(&self) -> BreakerCell {
        self.breaker.clone()
    }

    pub(super) fn queued(&self, rows: usize) {
        self.queue_rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn unqueued(&self, rows: usize) {
        self.queue_rows.fetch_sub(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn holds(&self, rows: usize) {
        self.in_flight_rows.store(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn wrote(&self, batches: usize, rows: usize) {
        self.batches.fetch_add(batches as u64, Ordering::Relaxed);
        self.rows_written.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn dead_lettered(&self, rows: usize) {
        self.dead_letters.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, text: String) {
        *self.error() = text;
    }

    pub(super) fn attempt_begins(&self, now: Duration, limit: Duration) {
        let until = millis(now.saturating_add(limit));
        self.attempt_until.store(until, Ordering::Release);
        let since = millis(now).saturating_add(1);
        self.attempt_since.store(since, Ordering::Release);
    }

    pub(super) fn attempt_ends(&self) {
        self.attempt_since.store(0, Ordering::Release);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
