//! When each of many messages is due: an open loop, in which one that is late does not delay those behind it.

use std::time::Duration;

/// So many a second, or as fast as they are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Messages a second; none: no limit.
    pub per_second: Option<u64>,
}

impl Pace {
    /// How long after the start message `place` (from 0) is due, seen at `now`; none if it is due already.
    pub fn wait(self, place: u64, now: Duration) -> Option<Duration> {
        let rate = self.per_second?;
        let due = Duration::try_from_secs_f64(place as f64 / rate as f64).unwrap_or(Duration::MAX);
        let wait = due.saturating_sub(now);
        (wait > Duration::ZERO).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_late_delays_none_behind_it() {
        let pace = Pace {
            per_second: Some(1_000),
        };
        let at = Duration::from_millis;
        assert_eq!(pace.wait(0, at(0)), None);
        assert_eq!(pace.wait(10, at(4)), Some(at(6)));
        assert_eq!(pace.wait(10, at(500)), None);
        assert_eq!(pace.wait(500, at(500)), None);
        assert_eq!(pace.wait(501, at(500)), Some(at(1)));
    }

    #[test]
    fn without_a_rate_everything_is_due() {
        assert_eq!(Pace::default().wait(u64::MAX, Duration::ZERO), None);
    }
}
