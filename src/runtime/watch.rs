//! One check of a running job: for the progress bar, the health page and the watchdog.

use std::sync::Arc;
use std::time::Duration;

use super::running::Running;
use super::sinks::Sinks;
use crate::error::{Exit, Fatal};
use crate::metrics::{Counter, Gauge, Metrics, Sink, SinkCounter};
use crate::observe::Board;
use crate::observe::health::{BreakerStatus, Component};
use crate::observe::progress::{Progress, ProgressReading};
use crate::observe::watchdog::{JobObservation, Watchdog, WatchdogVerdict};
use crate::sink::breaker::BreakerState;
use crate::sink::writer::SinkStatus;

/// Looks at a job.
pub struct Watch {
    /// What the writers are doing.
    pub sinks: Sinks,
    /// The job's counts.
    pub metrics: Arc<Metrics>,
    /// The health page.
    pub board: Arc<Board>,
    /// The bar.
    pub progress: Progress,
    /// The alarm.
    pub watchdog: Watchdog,
}

impl Watch {
    /// Checks once; an error is a reason to end the process.
    pub fn check(&mut self, now: Duration, running: &Running) -> Result<(), Fatal> {
        let progress = running.settlement.progress();
        let unreadable = running.settlement.first_failure();
        let problem = unreadable.or_else(|| running.source_health.problems().into_iter().next());
        self.board.post(match problem {
            Some(why) => Component::degraded("source", why),
            None => Component::ready("source"),
        });
        if let Some(polls) = &running.polls {
            polls.status().show();
        }
        self.count();
        for status in self.sinks.statuses() {
            self.board.post(component(status));
        }
        self.metrics.set(Gauge::LogParts, self.sinks.pace().parts());
        self.progress.show(
            now,
            ProgressReading {
                done: progress.settled,
                total: progress.total,
                events: self.metrics.get(Counter::Decoded),
                open: self.metrics.gauge(Gauge::OpenEvents),
            },
        );
        self.watchdog(now)
    }

    /// Retries and openings of breakers, which the writers count.
    pub fn count(&self) {
        for (sink, status) in [Sink::State, Sink::Log]
            .into_iter()
            .zip(self.sinks.statuses())
        {
            let metrics = &self.metrics;
            metrics.sink_total(sink, SinkCounter::Retries, status.retries());
            metrics.sink_total(sink, SinkCounter::BreakerOpened, status.breaker_opened());
        }
    }

    fn watchdog(&mut self, now: Duration) -> Result<(), Fatal> {
        let seen = observe(&self.metrics, &self.sinks.statuses(), now);
        match self.watchdog.check(now, seen) {
            WatchdogVerdict::Fine => Ok(()),
            WatchdogVerdict::Stuck { still } => {
                let message = format!(
                    "no delivery was settled for {} s although some are open (job.watchdog_limit); nothing is lost, start the job again",
                    still.as_secs()
                );
                Err(Fatal::new(Exit::Internal, message))
            }
        }
    }
}

/// What the watchdog judges. Of all counters only settled deliveries are progress: a job that polls, retries or relays
/// completions may still be stuck.
fn observe(metrics: &Metrics, statuses: &[&Arc<SinkStatus>], now: Duration) -> JobObservation {
    JobObservation {
        open_work: metrics.gauge(Gauge::OpenEpochs) > 0,
        breaker_open: is_any_open(statuses),
        write_within_deadline: statuses.iter().any(|status| status.is_writing_records(now)),
        settled: metrics.get(Counter::Settled),
    }
}

fn is_any_open(statuses: &[&Arc<SinkStatus>]) -> bool {
    let mut breakers = statuses.iter().map(|status| status.breaker());
    breakers.any(|breaker| breaker != BreakerState::Closed)
}

fn component(status: &SinkStatus) -> Component {
    let breaker = match status.breaker() {
        BreakerState::Closed => BreakerStatus::Closed,
        BreakerState::Open => BreakerStatus::Open,
        BreakerState::HalfOpen => BreakerStatus::HalfOpen,
    };
    let component = match breaker {
        BreakerStatus::Closed => Component::ready(status.name()),
        _ => Component::degraded(status.name(), status.last_error()),
    };
    component.with_breaker(breaker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    const LIMIT: Duration = Duration::from_secs(60);

    /// How a job is judged that has one open epoch for two limits, while `happens` goes on ten times a second.
    fn judged(mut happens: impl FnMut(&Metrics)) -> WatchdogVerdict {
        let metrics = Metrics::new(decode::providers());
        metrics.set(Gauge::OpenEpochs, 1);
        let mut watchdog = Watchdog::new(LIMIT, Duration::ZERO);
        let times = (0..1_200).map(|tenth| Duration::from_millis(tenth * 100));
        let mut verdicts = times.map(|now| {
            happens(&metrics);
            watchdog.check(now, observe(&metrics, &[], now))
        });
        verdicts
            .find(|verdict| *verdict != WatchdogVerdict::Fine)
            .unwrap_or(WatchdogVerdict::Fine)
    }

    #[test]
    fn no_counter_but_settled_deliveries_satisfies_the_watchdog() {
        for counter in Counter::ALL {
            let verdict = judged(|metrics| metrics.count(*counter, 1));
            let fine = verdict == WatchdogVerdict::Fine;
            assert_eq!(fine, *counter == Counter::Settled, "{}", counter.name());
        }
    }

    #[test]
    fn writes_of_a_sink_without_settled_deliveries_do_not_satisfy_the_watchdog() {
        let verdict = judged(|metrics| metrics.wrote(Sink::State, 10, Duration::from_millis(1)));
        assert_ne!(verdict, WatchdogVerdict::Fine);
    }
}
