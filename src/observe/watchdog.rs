//! The watchdog: distinguishes a job that is stuck from one that waits.
//!
//! It fires when deliveries are open and for the limit none was settled, no breaker was open, and no write of records was inside
//! its deadline. An outage is no reason to fire: its breaker is open, or its attempt has time left. Polls, redeliveries, loads
//! and completions are no progress: they go on in a job whose dataflow is stuck.

use std::time::Duration;

/// What is seen of a job at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobObservation {
    /// Deliveries were taken from the source and are not settled.
    pub open_work: bool,
    /// A sink is paused by its breaker.
    pub breaker_open: bool,
    /// A sink attempts something, within its deadline, while records wait for it.
    pub write_within_deadline: bool,
    /// How many deliveries were settled so far.
    pub settled: u64,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchdogVerdict {
    /// Nothing.
    Fine,
    /// The process must end with exit code 70: nothing was settled for so long.
    Stuck {
        /// Since something was settled, or since waiting was right.
        still: Duration,
    },
}

/// Remembers when something was last settled.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    limit: Duration,
    settled: u64,
    /// The last moment at which something was settled or waiting was right.
    fine_at: Duration,
}

impl Watchdog {
    /// A watchdog with that limit; times are those of a monotonic clock.
    pub const fn new(limit: Duration, now: Duration) -> Self {
        Self {
            limit,
            settled: 0,
            fine_at: now,
        }
    }

    /// Judges one observation; call it a few times per limit.
    pub fn check(&mut self, now: Duration, seen: JobObservation) -> WatchdogVerdict {
        let progressed = seen.settled != self.settled;
        let waiting = !seen.open_work || seen.breaker_open || seen.write_within_deadline;
        self.settled = seen.settled;
        if progressed || waiting {
            self.fine_at = now;
        }
        let still = now.saturating_sub(self.fine_at);
        if still >= self.limit {
            WatchdogVerdict::Stuck { still }
        } else {
            WatchdogVerdict::Fine
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);
    const STILL: JobObservation = JobObservation {
        open_work: true,
        breaker_open: false,
        write_within_deadline: false,
        settled: 0,
    };

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn it_fires_at_the_limit_and_not_before() {
        let mut watchdog = Watchdog::new(LIMIT, seconds(0));
        assert_eq!(watchdog.check(seconds(59), STILL), WatchdogVerdict::Fine);
        let stuck = WatchdogVerdict::Stuck { still: LIMIT };
        assert_eq!(watchdog.check(seconds(60), STILL), stuck);
    }

    #[test]
    fn each_good_reason_to_wait_keeps_it_quiet_and_starts_the_limit_anew() {
        let reasons = [
            JobObservation {
                open_work: false,
                ..STILL
            },
            JobObservation {
                breaker_open: true,
                ..STILL
            },
            JobObservation {
                write_within_deadline: true,
                ..STILL
            },
            JobObservation {
                settled: 7,
                ..STILL
            },
        ];
        for reason in reasons {
            let mut watchdog = Watchdog::new(LIMIT, seconds(0));
            assert_eq!(watchdog.check(seconds(100), reason), WatchdogVerdict::Fine);
            let after = JobObservation {
                settled: reason.settled,
                ..STILL
            };
            assert_eq!(
                watchdog.check(seconds(159), after),
                WatchdogVerdict::Fine,
                "{reason:?}"
            );
            assert_ne!(
                watchdog.check(seconds(160), after),
                WatchdogVerdict::Fine,
                "{reason:?}"
            );
        }
    }

    #[test]
    fn a_clock_that_goes_back_is_no_alarm() {
        let mut watchdog = Watchdog::new(LIMIT, seconds(100));
        assert_eq!(watchdog.check(seconds(1), STILL), WatchdogVerdict::Fine);
    }
}
