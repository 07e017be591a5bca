//! One look at a running job: for the progress bar, the health page and the watchdog.

use std::sync::Arc;
use std::time::Duration;

use super::running::Running;
use super::sinks::Sinks;
use crate::error::{Exit, Fatal};
use crate::observe::Board;
use crate::observe::health::{Breaker, Component};
use crate::observe::progress::{Progress, Seen};
use crate::observe::watchdog::{Observation, Verdict, Watchdog};
use crate::sink::breaker::BreakerState;
use crate::sink::writer::SinkStatus;
use crate::tally::{Counter, Gauge, Sink, SinkCounter, Tally};

/// Looks at a job.
pub struct Watch {
    /// What the writers are doing.
    pub sinks: Sinks,
    /// The job's counts.
    pub tally: Arc<Tally>,
    /// The health page.
    pub board: Arc<Board>,
    /// The bar.
    pub progress: Progress,
    /// The alarm.
    pub watchdog: Watchdog,
    /// What was counted of the sinks.
    pub counted: Counted,
}

/// Retries and openings of breakers that the tally knows already: the writers count them for themselves.
#[derive(Debug, Default)]
pub struct Counted([[u64; 2]; 2]);

impl Counted {
    const SINKS: [Sink; 2] = [Sink::State, Sink::Log];
    const WHAT: [SinkCounter; 2] = [SinkCounter::Retries, SinkCounter::BreakerOpened];

    /// Tells the tally what is new; `now` holds what each sink has counted so far.
    fn tell(&mut self, now: [[u64; 2]; 2], tally: &Tally) {
        for ((sink, told), now) in Self::SINKS.into_iter().zip(&mut self.0).zip(now) {
            for ((what, told), now) in Self::WHAT.into_iter().zip(told).zip(now) {
                tally.sink(sink, what, now.saturating_sub(*told));
                *told = now;
            }
        }
    }
}

impl Watch {
    /// Looks once; an error is a reason to end the process.
    pub fn look(&mut self, now: Duration, running: &Running) -> Result<(), Fatal> {
        let lanes = running.settlement.look();
        let progress = lanes.progress();
        let unreadable = lanes.failures().first().cloned();
        drop(lanes);
        let trouble = unreadable.or_else(|| running.condition.troubles().into_iter().next());
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
        self.tally.set(Gauge::LogParts, self.sinks.pace().parts());
        self.progress.show(
            now,
            Seen {
                done: progress.settled,
                total: progress.total,
                events: self.tally.get(Counter::Decoded),
                open: self.tally.gauge(Gauge::OpenEvents),
            },
        );
        self.watchdog(now)
    }

    /// Counts what the writers have counted.
    pub fn count(&mut self) {
        let statuses = self.sinks.statuses();
        let now = statuses.map(|status| [status.retries(), status.breaker_opened()]);
        self.counted.tell(now, &self.tally);
    }

    fn watchdog(&mut self, now: Duration) -> Result<(), Fatal> {
        let statuses = self.sinks.statuses();
        let seen = Observation {
            open_work: self.tally.gauge(Gauge::OpenEpochs) > 0,
            breaker_open: statuses
                .iter()
                .any(|status| status.breaker() != BreakerState::Closed),
            attempt_within_deadline: statuses.iter().any(|status| status.is_attempting(now)),
            progress: self.tally.movement(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_writers_count_is_told_once() {
        let (tally, mut counted) = (Tally::new([]), Counted::default());
        for now in [[[3, 1], [0, 0]], [[3, 1], [0, 0]], [[5, 1], [2, 1]]] {
            counted.tell(now, &tally);
        }
        let told = tally.snapshot();
        assert_eq!(told.sink(Sink::State, SinkCounter::Retries), 5);
        assert_eq!(told.sink(Sink::State, SinkCounter::BreakerOpened), 1);
        assert_eq!(told.sink(Sink::Log, SinkCounter::Retries), 2);
        assert_eq!(told.sink(Sink::Log, SinkCounter::BreakerOpened), 1);
    }
}
