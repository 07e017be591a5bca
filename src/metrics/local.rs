//! One worker's own counts.

use std::sync::Arc;
use std::time::Duration;

use super::names::{Counter, Gauge, REASONS, Step, reason_place};
use super::{Histogram, Metrics};
use crate::event::ReasonCode;

/// Counts of one thread that are not handed over yet. Flushing is the owner's duty; dropping flushes too.
#[derive(Debug)]
pub struct LocalMetrics {
    metrics: Arc<Metrics>,
    counters: [u64; Counter::COUNT],
    reasons: [u64; REASONS.len()],
    providers: Vec<u64>,
    /// What this thread contributes to each gauge, now and as last handed over.
    levels: [(u64, u64); Gauge::COUNT],
    steps: [Histogram; Step::COUNT],
}

impl LocalMetrics {
    /// Counts at zero, to be handed over to `metrics`.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let providers = vec![0; metrics.providers.len()];
        Self {
            metrics,
            counters: [0; Counter::COUNT],
            reasons: [0; REASONS.len()],
            providers,
            levels: [(0, 0); Gauge::COUNT],
            steps: Default::default(),
        }
    }

    /// Adds to a counter.
    pub const fn count(&mut self, what: Counter, by: u64) {
        self.counters[what as usize] += by;
    }

    /// Counts one dead letter.
    pub const fn reject(&mut self, code: ReasonCode) {
        self.reasons[reason_place(code)] += 1;
    }

    /// Counts deliveries of a provider.
    pub fn provider(&mut self, name: &str, by: u64) {
        let place = self.metrics.provider_place(name);
        if let Some(cell) = self.providers.get_mut(place) {
            *cell += by;
        }
    }

    /// Says what this thread contributes to a gauge; the gauge is the sum over all threads.
    pub const fn level(&mut self, what: Gauge, value: u64) {
        self.levels[what as usize].0 = value;
    }

    /// Counts a duration that occurred so many times.
    pub fn took(&mut self, step: Step, time: Duration, times: u64) {
        self.steps[step as usize].add_duration(time, times);
    }

    /// Hands everything over.
    pub fn flush(&mut self) {
        for (cell, local) in self.metrics.counters.iter().zip(&mut self.counters) {
            hand_over(cell, local);
        }
        for (cell, local) in self.metrics.reasons.iter().zip(&mut self.reasons) {
            hand_over(cell, local);
        }
        for ((_, cell), local) in self.metrics.providers.iter().zip(&mut self.providers) {
            hand_over(cell, local);
        }
        for (gauge, (now, before)) in Gauge::ALL.iter().zip(&mut self.levels) {
            if now != before {
                self.metrics.shift(*gauge, *now, *before);
                *before = *now;
            }
        }
        for (step, histogram) in self.steps.iter_mut().enumerate() {
            if histogram.count() > 0 {
                self.metrics.merge(step, histogram);
            }
        }
    }
}

impl Drop for LocalMetrics {
    fn drop(&mut self) {
        self.flush();
    }
}

fn hand_over(cell: &std::sync::atomic::AtomicU64, local: &mut u64) {
    if *local > 0 {
        cell.fetch_add(*local, std::sync::atomic::Ordering::Relaxed);
        *local = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_lose_no_count() {
        let metrics = Metrics::new(["ses"]);
        std::thread::scope(|scope| {
            for worker in 1..=4u64 {
                let mut local = LocalMetrics::new(Arc::clone(&metrics));
                scope.spawn(move || {
                    for n in 0..1_000u64 {
                        local.count(Counter::Decoded, 2);
                        local.provider("ses", 1);
                        local.reject(ReasonCode::BadShape);
                        local.took(Step::Decode, Duration::from_micros(n), 1);
                        local.level(Gauge::DedupKeys, worker * 10);
                        if n % 100 == 0 {
                            local.flush();
                        }
                    }
                });
            }
        });
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot.get(Counter::Decoded), 8_000);
        assert_eq!(snapshot.providers().next(), Some(("ses", 4_000)));
        assert_eq!(snapshot.dead_letters(), 4_000);
        assert_eq!(snapshot.step(Step::Decode).count(), 4_000);
        assert_eq!(snapshot.gauge(Gauge::DedupKeys), 100);
    }
}
