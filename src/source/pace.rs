//! When each of many messages is due: an open loop, in which one that is late does not delay those behind it.

use std::time::Duration;

/// So many a second, or as fast as they are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Messages a second; none: no limit.
    pub per_second: Option<u64>,
}

impl Pace {
    /// How long after the start a message (counted from 0) is due; none without a rate.
    pub fn due_at(self, message: u64) -> Option<Duration> {
        let rate = self.per_second?;
        let due = Duration::try_from_secs_f64(message as f64 / rate as f64);
        Some(due.unwrap_or(Duration::MAX))
    }

    /// How many messages are due at `now`.
    pub fn due(self, now: Duration) -> u64 {
        let due = |rate: u64| (now.as_secs_f64() * rate as f64) as u64 + 1;
        self.per_second.map_or(u64::MAX, due)
    }

    /// How long to wait, at `now`, until a message is due; none if it is due already.
    pub fn wait(self, message: u64, now: Duration) -> Option<Duration> {
        let wait = self.due_at(message)?.saturating_sub(now);
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
        assert_eq!((pace.due(at(0)), pace.due(at(10))), (1, 11));
    }

    #[test]
    fn without_a_rate_everything_is_due() {
        assert_eq!(Pace::default().wait(u64::MAX, Duration::ZERO), None);
        assert_eq!(Pace::default().due(Duration::ZERO), u64::MAX);
    }
}
