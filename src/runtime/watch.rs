//! One look at a running job: for the progress bar, the health page and the watchdog.

use std::sync::Arc;
use std::time::Duration;

use super::running::Running;
use super::sinks::Sinks;
use crate::error::{Exit, Fatal};
use crate::metrics::{Counter, Gauge, Metrics, Sink, SinkCounter};
use crate::observe::Board;
use crate::observe::health::{Breaker, Component};
use crate::observe::progress::{Progress, Seen};
use crate::observe::watchdog::{Observation, Verdict, Watchdog};
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
    /// Looks once; an error is a reason to end the process.
    pub fn look(&mut self, now: Duration, running: &Running) -> Result<(), Fatal> {
        let progress = running.settlement.progress();
        let unreadable = running.settlement.first_failure();
        let trouble = unreadable.or_else(|| running.source_health.problems().into_iter().next());
        self.board.post(match trouble {
            Some(why) => Component::troubled("source", why),
            None => Component::ready("source"),
        });
        if let Some(polls) = &running.polls {
            polls.looks().show();
        }
        self.count();
        for status in self.sinks.statuses() {
            self.board.post(component(status));
        }
        self.metrics.set(Gauge::LogParts, self.sinks.pace().parts());
        self.progress.show(
            now,
            Seen {
                done: progress.settled,
                total: progress.total,
                events: self.metrics.get(Counter::Decoded),
                open: self.metrics.gauge(Gauge::OpenEvents),
            },
        );
        self.watchdog(now)
    }

    /// Whether a sink is out of order.
    pub fn is_outage(&self) -> bool {
        let mut statuses = self.sinks.statuses().into_iter();
        statuses.any(|status| status.breaker() != BreakerState::Closed)
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
        let statuses = self.sinks.statuses();
        let seen = Observation {
            open_work: self.metrics.gauge(Gauge::OpenEpochs) > 0,
            breaker_open: self.is_outage(),
            attempt_within_deadline: statuses.iter().any(|status| status.is_attempting(now)),
            progress: self.metrics.movement(),
        };
        match self.watchdog.check(now, seen) {
            Verdict::Fine => Ok(()),
            Verdict::Stuck { still } => {
                let message = format!(
                    "nothing has moved for {} s although work is open; nothing is lost, start the job again",
                    still.as_secs()
                );
                Err(Fatal::new(Exit::Watchdog, message))
            }
        }
    }
}

fn component(status: &SinkStatus) -> Component {
    let breaker = match status.breaker() {
        BreakerState::Closed => Breaker::Closed,
        BreakerState::Open => Breaker::Open,
        BreakerState::HalfOpen => Breaker::HalfOpen,
    };
    let component = match breaker {
        Breaker::Closed => Component::ready(status.name()),
        _ => Component::troubled(status.name(), status.last_error()),
    };
    component.with_breaker(breaker)
}
