//! How long to wait before the next attempt: capped exponential backoff with full jitter, and a budget of time.
//!
//! Contract: pure. Time comes in as an argument, randomness from the generator it was made with. Full jitter (anything
//! from nothing to the ceiling) keeps many writers that failed together from coming back together.

use std::time::Duration;

use rand::Rng;

/// The limits of the waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The ceiling of the first wait; it doubles with each failure.
    pub base: Duration,
    /// The ceiling of all waits.
    pub cap: Duration,
    /// How long failures may follow each other before it gives up; none = for ever.
    pub budget: Option<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(20),
            cap: Duration::from_secs(2),
            budget: None,
        }
    }
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again after this time.
    Wait(Duration),
    /// The budget is used up.
    GiveUp,
}

/// The state of one row of failures.
#[derive(Debug)]
pub struct Retry<R> {
    policy: RetryPolicy,
    random: R,
    failures: u32,
    since: Option<Duration>,
}

impl<R: Rng> Retry<R> {
    /// No failure yet.
    pub const fn new(policy: RetryPolicy, random: R) -> Self {
        Self {
            policy,
            random,
            failures: 0,
            since: None,
        }
    }

    /// Takes note of a failure at `now` (time since any fixed point) and says what to do.
    pub fn next(&mut self, now: Duration) -> Decision {
        let since = *self.since.get_or_insert(now);
        let spent = now.saturating_sub(since);
        if self.policy.budget.is_some_and(|budget| spent >= budget) {
            return Decision::GiveUp;
        }
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        Decision::Wait(ceiling.mul_f64(self.random.random_range(0.0..=1.0)))
    }

    /// Takes note of a success: the next failure is a first one.
    pub const fn reset(&mut self) {
        self.failures = 0;
        self.since = None;
    }

    /// How many failures followed each other so far.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    fn ceiling(&self) -> Duration {
        let doubled = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.policy
            .base
            .saturating_mul(doubled)
            .min(self.policy.cap)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn policy(budget: Option<Duration>) -> RetryPolicy {
        RetryPolicy {
            base: Duration::from_millis(10),
            cap: Duration::from_millis(500),
            budget,
        }
    }

    fn retry(seed: u64, budget: Option<Duration>) -> Retry<ChaCha8Rng> {
        Retry::new(policy(budget), ChaCha8Rng::seed_from_u64(seed))
    }

    proptest! {
        #[test]
        fn waits_stay_below_a_ceiling_that_doubles_up_to_the_cap(seed: u64, failures in 1u32..80) {
            let mut retry = retry(seed, None);
            for failure in 0..failures {
                let ceiling = 10u64.saturating_mul(1 << failure.min(30)).min(500);
                match retry.next(Duration::ZERO) {
                    Decision::Wait(wait) => prop_assert!(wait <= Duration::from_millis(ceiling)),
                    Decision::GiveUp => prop_assert!(false, "there is no budget"),
                }
            }
        }
    }

    #[test]
    fn waits_are_spread_over_the_whole_range() {
        let mut waits: Vec<Duration> = (0..200)
            .map(|seed| match retry(seed, None).next(Duration::ZERO) {
                Decision::Wait(wait) => wait,
                Decision::GiveUp => Duration::ZERO,
            })
            .collect();
        waits.sort();
        assert!(waits[20] < Duration::from_millis(3) && waits[180] > Duration::from_millis(7));
    }

    #[test]
    fn the_budget_runs_from_the_first_failure_and_a_success_renews_it() {
        let mut retry = retry(1, Some(Duration::from_secs(60)));
        let at = Duration::from_secs;
        assert!(matches!(retry.next(at(100)), Decision::Wait(_)));
        assert!(matches!(retry.next(at(159)), Decision::Wait(_)));
        assert_eq!(retry.next(at(160)), Decision::GiveUp);
        retry.reset();
        assert_eq!(retry.failures(), 0);
        assert!(matches!(retry.next(at(161)), Decision::Wait(_)));
    }
}
