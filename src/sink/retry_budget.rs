//! How many retries all sinks together may make in a second: a token bucket that they share.
//!
//! Contract: over any time t at most `per_second * (t + 1 s)` retries begin. Time comes in as an argument.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A shared budget; clones share it.
#[derive(Clone, Debug, Default)]
pub struct RetryBudget(Option<Arc<Mutex<TokenBucket>>>);

impl RetryBudget {
    /// A budget of that many retries a second; as many may begin at once.
    pub fn per_second(rate: NonZeroU32) -> Self {
        Self(Some(Arc::new(Mutex::new(TokenBucket::full(rate)))))
    }

    /// Takes a token and returns how long to wait until the retry may begin.
    pub fn reserve(&self, now: Duration) -> Duration {
        let Some(bucket) = &self.0 else {
            return Duration::ZERO;
        };
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.reserve(now)
    }
}

#[derive(Debug)]
struct TokenBucket {
    per_second: f64,
    /// Negative while retries wait for tokens that they have taken.
    tokens: f64,
    refilled: Duration,
}

impl TokenBucket {
    fn full(rate: NonZeroU32) -> Self {
        let per_second = f64::from(rate.get());
        Self {
            per_second,
            tokens: per_second,
            refilled: Duration::ZERO,
        }
    }

    fn reserve(&mut self, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.refilled);
        self.refilled = self.refilled.max(now);
        let refill = passed.as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + refill).min(self.per_second) - 1.0;
        Duration::from_secs_f64((-self.tokens / self.per_second).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget(rate: u32) -> RetryBudget {
        RetryBudget::per_second(NonZeroU32::new(rate).unwrap())
    }

    proptest! {
        #[test]
        fn retries_never_exceed_the_rate_and_its_burst(
            rate in 1u32..50, pauses in proptest::collection::vec(0u64..300, 1..200),
        ) {
            let (budget, mut now, mut begun) = (budget(rate), Duration::ZERO, Vec::new());
            for pause in pauses {
                now += Duration::from_millis(pause);
                begun.push(now + budget.reserve(now));
            }
            begun.sort();
            for (first, from) in begun.iter().enumerate() {
                for (last, to) in begun.iter().enumerate().skip(first) {
                    let most = f64::from(rate) * ((*to - *from).as_secs_f64() + 1.0) + 1e-3;
                    prop_assert!((last - first) as f64 <= most, "{} retries", last - first + 1);
                }
            }
        }
    }

    #[test]
    fn clones_share_one_budget() {
        let (one, now) = (budget(2), Duration::from_secs(9));
        let other = one.clone();
        assert_eq!([one.reserve(now), other.reserve(now)], [Duration::ZERO; 2]);
        assert_eq!(one.reserve(now), Duration::from_millis(500));
        assert_eq!(other.reserve(now), Duration::from_secs(1));
    }

    #[test]
    fn no_budget_is_no_limit() {
        let unlimited = RetryBudget::default();
        assert!((0..1_000).all(|_| unlimited.reserve(Duration::ZERO).is_zero()));
    }
}
