//! The watchdog: tells a job that stands still from one that waits.
//!
//! It fires when work is open, no breaker is open, no sink attempt is inside its deadline, and nothing moved for the
//! limit. An outage is not a standstill: its breaker is open, or its attempt has time left.

use std::time::Duration;

/// What is seen of a job at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Something was taken from the source and is not settled, or a load or sweep is under way.
    pub open_work: bool,
    /// A sink is paused by its breaker.
    pub breaker_open: bool,
    /// A write is under way and has time left.
    pub attempt_within_deadline: bool,
    /// A number that changes with every step forward: deliveries taken plus rows written plus positions settled, say.
    pub progress: u64,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// The process must end with exit code 70: nothing moved for so long.
    Stuck {
        /// Since the last movement, or the last moment at which waiting was right.
        still: Duration,
    },
}

/// Remembers when something last moved.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    limit: Duration,
    progress: u64,
    /// The last moment at which something moved or waiting was right.
    fine_at: Duration,
}

impl Watchdog {
    /// A watchdog with that limit; times are those of a monotonic clock.
    pub const fn new(limit: Duration, now: Duration) -> Self {
        Self {
            limit,
            progress: 0,
            fine_at: now,
        }
    }

    /// Looks once; call it a few times per limit.
    pub fn check(&mut self, now: Duration, seen: Observation) -> Verdict {
        let moved = seen.progress != self.progress;
        let waiting = !seen.open_work || seen.breaker_open || seen.attempt_within_deadline;
        self.progress = seen.progress;
        if moved || waiting {
            self.fine_at = now;
        }
        let still = now.saturating_sub(self.fine_at);
        if still >= self.limit {
            Verdict::Stuck { still }
        } else {
            Verdict::Fine
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);
    const STILL: Observation = Observation {
        open_work: true,
        breaker_open: false,
        attempt_within_deadline: false,
        progress: 0,
    };

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn it_fires_at_the_limit_and_not_before() {
        let mut dog = Watchdog::new(LIMIT, seconds(0));
        assert_eq!(dog.check(seconds(59), STILL), Verdict::Fine);
        let stuck = Verdict::Stuck { still: LIMIT };
        assert_eq!(dog.check(seconds(60), STILL), stuck);
    }

    #[test]
    fn each_good_reason_to_wait_keeps_it_quiet_and_starts_the_limit_anew() {
        let reasons = [
            Observation {
                open_work: false,
                ..STILL
            },
            Observation {
                breaker_open: true,
                ..STILL
            },
            Observation {
                attempt_within_deadline: true,
                ..STILL
            },
            Observation {
                progress: 7,
                ..STILL
            },
        ];
        for reason in reasons {
            let mut dog = Watchdog::new(LIMIT, seconds(0));
            assert_eq!(dog.check(seconds(100), reason), Verdict::Fine);
            let after = Observation {
                progress: reason.progress,
                ..STILL
            };
            assert_eq!(dog.check(seconds(159), after), Verdict::Fine, "{reason:?}");
            assert_ne!(dog.check(seconds(160), after), Verdict::Fine, "{reason:?}");
        }
    }

    #[test]
    fn a_clock_that_goes_back_is_no_alarm() {
        let mut dog = Watchdog::new(LIMIT, seconds(100));
        assert_eq!(dog.check(seconds(1), STILL), Verdict::Fine);
    }
}
