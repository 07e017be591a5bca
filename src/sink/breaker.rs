//! The circuit breaker of a sink: whether it is thought to be reachable, for the source, metrics and `/readyz`.
//!
//! Contract: pure; time comes in as an argument. It opens after so many failures in a row, is half-open no later than
//! [`PROBE_WITHIN`] afterwards (one small write of real rows shall find out), and closes with the first success. An
//! open breaker pauses the source; it never sends anything to the dead letters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// An open breaker lets a probe through at the latest after this time.
pub const PROBE_WITHIN: Duration = Duration::from_secs(2);

/// What a breaker thinks of its sink. The numbers are those of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BreakerState {
    /// Reachable.
    Closed = 0,
    /// A probe is allowed.
    HalfOpen = 1,
    /// Not reachable.
    Open = 2,
}

impl BreakerState {
    /// The name used in logs and in `/readyz`.
    pub const fn name(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::HalfOpen => "half_open",
            BreakerState::Open => "open",
        }
    }
}

/// The state of a breaker, readable from other threads.
#[derive(Clone, Debug, Default)]
pub struct BreakerCell(Arc<SharedBreaker>);

#[derive(Debug, Default)]
struct SharedBreaker {
    state: AtomicU8,
    opened: AtomicU64,
}

impl BreakerCell {
    /// The state now.
    pub fn get(&self) -> BreakerState {
        match self.0.state.load(Ordering::Acquire) {
            0 => BreakerState::Closed,
            1 => BreakerState::HalfOpen,
            _ => BreakerState::Open,
        }
    }

    fn set(&self, state: BreakerState) {
        let before = self.0.state.swap(state as u8, Ordering::AcqRel);
        if state == BreakerState::Open && before != state as u8 {
            self.0.opened.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often it opened, after a probe that failed too.
    pub fn opened(&self) -> u64 {
        self.0.opened.load(Ordering::Relaxed)
    }
}

/// A breaker; one thread drives it, and any may read its [`BreakerCell`].
#[derive(Debug)]
pub struct Breaker {
    opens_after: u32,
    failures: u32,
    probe_at: Duration,
    cell: BreakerCell,
}

impl Breaker {
    /// A closed breaker that opens after that many failures in a row (at least one) and publishes its state in `cell`.
    pub fn new(opens_after: u32, cell: BreakerCell) -> Self {
        cell.set(BreakerState::Closed);
        Self {
            opens_after: opens_after.max(1),
            failures: 0,
            probe_at: Duration::ZERO,
            cell,
        }
    }

    /// The state at `now`; an open one turns half-open when its time has come.
    pub fn poll(&mut self, now: Duration) -> BreakerState {
        if self.cell.get() == BreakerState::Open && now >= self.probe_at {
            self.cell.set(BreakerState::HalfOpen);
        }
        self.cell.get()
    }

    /// When an open breaker will let a probe through.
    pub fn probe_at(&self) -> Option<Duration> {
        (self.cell.get() == BreakerState::Open).then_some(self.probe_at)
    }

    /// Takes note of an attempt that reached the sink.
    pub fn success(&mut self) {
        self.failures = 0;
        self.cell.set(BreakerState::Closed);
    }

    /// Takes note of an attempt that did not; if that opens it, a probe is due `wait` later.
    pub fn failure(&mut self, now: Duration, wait: Duration) {
        self.failures = self.failures.saturating_add(1);
        let probing = self.cell.get() != BreakerState::Closed;
        if probing || self.failures >= self.opens_after {
            self.probe_at = now.saturating_add(wait.min(PROBE_WITHIN));
            self.cell.set(BreakerState::Open);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum BreakerAction {
        Pass(u64),
        Succeed,
        Fail(u64),
    }

    fn step() -> impl Strategy<Value = BreakerAction> {
        prop_oneof![
            (0u64..3_000).prop_map(BreakerAction::Pass),
            Just(BreakerAction::Succeed),
            (0u64..5_000).prop_map(BreakerAction::Fail),
        ]
    }

    /// What the breaker should say: failures since the last success, and when the last of them allows a probe.
    struct Model {
        failures: u32,
        probe_at: u64,
    }

    impl Model {
        fn state(&self, opens_after: u32, now: u64) -> BreakerState {
            match (self.failures >= opens_after, now >= self.probe_at) {
                (false, _) => BreakerState::Closed,
                (true, true) => BreakerState::HalfOpen,
                (true, false) => BreakerState::Open,
            }
        }
    }

    proptest! {
        #[test]
        fn it_does_what_the_model_does(
            opens_after in 1u32..6,
            steps in proptest::collection::vec(step(), 0..60),
        ) {
            let cell = BreakerCell::default();
            let mut breaker = Breaker::new(opens_after, cell.clone());
            let mut model = Model { failures: 0, probe_at: 0 };
            let mut now = 0;
            for step in steps {
                match step {
                    BreakerAction::Pass(millis) => now += millis,
                    BreakerAction::Succeed => {
                        breaker.success();
                        model.failures = 0;
                    }
                    BreakerAction::Fail(wait) => {
                        breaker.failure(Duration::from_millis(now), Duration::from_millis(wait));
                        model.failures += 1;
                        model.probe_at = now + wait.min(2_000);
                    }
                }
                let state = breaker.poll(Duration::from_millis(now));
                prop_assert_eq!(state, model.state(opens_after, now));
                prop_assert_eq!(cell.get(), state);
            }
        }
    }

    #[test]
    fn a_probe_that_fails_opens_it_again_at_once() {
        let cell = BreakerCell::default();
        let mut breaker = Breaker::new(3, cell.clone());
        let second = Duration::from_secs(1);
        for _ in 0..3 {
            assert_eq!(breaker.poll(Duration::ZERO), BreakerState::Closed);
            breaker.failure(Duration::ZERO, second);
        }
        assert_eq!(breaker.probe_at(), Some(second));
        assert_eq!(breaker.poll(second), BreakerState::HalfOpen);
        breaker.failure(second, second);
        assert_eq!(breaker.poll(second), BreakerState::Open);
        assert_eq!(breaker.poll(second * 2), BreakerState::HalfOpen);
        breaker.success();
        assert_eq!(breaker.poll(second * 2), BreakerState::Closed);
        assert_eq!(cell.opened(), 2);
    }
}
