//! When parked events are matched again: soon after new recipients, ever more rarely where nothing matches, and never most of the time.

use std::time::{Duration, Instant};

use crate::config::Sweep;

/// A sweep is followed by a rest of so many times its duration, whatever asks for the next one: with many parked events and
/// frequent loads, sweeps would follow each other without end.
const REST: u32 = 4;

/// When the next sweep is due.
#[derive(Debug)]
pub struct SweepSchedule {
    waits: Sweep,
    backoff: Duration,
    due: Instant,
    rests_until: Instant,
}

impl SweepSchedule {
    /// The first one is due after the first wait.
    pub fn new(waits: Sweep, now: Instant) -> Self {
        Self {
            waits,
            backoff: waits.first,
            due: now + waits.first,
            rests_until: now,
        }
    }

    /// When the next one is due.
    pub fn due(&self) -> Instant {
        self.due.max(self.rests_until)
    }

    /// There are new recipients: the next one is due after the rest.
    pub const fn request(&mut self, now: Instant) {
        self.due = now;
    }

    /// One has ended: it matched so many events, or failed.
    pub fn record<E>(&mut self, began: Instant, ended: Instant, matched: &Result<u64, E>) {
        self.backoff = match matched {
            Ok(0) => (self.backoff * 2).min(self.waits.backoff_cap),
            Ok(_) => self.waits.first,
            Err(_) => self.backoff,
        };
        self.due = ended + self.backoff;
        self.rests_until = ended + (ended - began) * REST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const WAITS: Sweep = Sweep {
        first: SECOND,
        backoff_cap: Duration::from_secs(3),
    };

    fn record(schedule: &mut SweepSchedule, at: Instant, matched: u64) -> Duration {
        schedule.record::<()>(at, at, &Ok(matched));
        schedule.due() - at
    }

    #[test]
    fn wait_doubles_up_to_its_cap_while_nothing_matches() {
        let start = Instant::now();
        let mut schedule = SweepSchedule::new(WAITS, start);
        assert_eq!(schedule.due(), start + SECOND);
        assert_eq!(record(&mut schedule, start, 0), 2 * SECOND);
        assert_eq!(record(&mut schedule, start, 0), 3 * SECOND);
        assert_eq!(record(&mut schedule, start, 7), SECOND);
        let failed: Result<u64, ()> = Err(());
        schedule.record(start, start, &failed);
        assert_eq!(schedule.due(), start + SECOND);
    }

    #[test]
    fn new_recipients_wait_for_the_rest_after_a_long_sweep() {
        let start = Instant::now();
        let mut schedule = SweepSchedule::new(WAITS, start);
        schedule.request(start);
        assert_eq!(schedule.due(), start);
        let ended = start + 10 * SECOND;
        schedule.record::<()>(start, ended, &Ok(5));
        schedule.request(ended);
        assert_eq!(schedule.due(), ended + 40 * SECOND);
    }
}
