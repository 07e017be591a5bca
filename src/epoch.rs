//! Time as progress: coarse epochs from a monotonic clock.
//!
//! An epoch is the wall time at start plus the monotonic time since, in milliseconds, rounded down to a tick of about
//! ten milliseconds. The wall clock is read once; whatever it does later, epochs only grow. They are coarse because
//! progress tracking costs microseconds per distinct epoch: an epoch may cost that, an event must not.

use std::time::{Duration, Instant};

use differential_dataflow::lattice::Lattice;
use serde::{Deserialize, Serialize};
use timely::order::{PartialOrder, TotalOrder};
use timely::progress::timestamp::{PathSummary, Refines, Timestamp};

/// A tick of the job's clock: the timestamp of the dataflow.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

impl PartialOrder for Epoch {
    fn less_equal(&self, other: &Self) -> bool {
        self.0 <= other.0
    }
}

impl TotalOrder for Epoch {}

impl Timestamp for Epoch {
    type Summary = ();
    fn minimum() -> Self {
        Epoch(0)
    }
}

impl PathSummary<Epoch> for () {
    fn results_in(&self, src: &Epoch) -> Option<Epoch> {
        Some(*src)
    }
    fn followed_by(&self, _other: &()) -> Option<()> {
        Some(())
    }
}

impl Refines<()> for Epoch {
    fn to_inner(_: ()) -> Self {
        Epoch(0)
    }
    fn to_outer(self) {}
    fn summarize(_: ()) {}
}

impl Lattice for Epoch {
    fn join(&self, other: &Self) -> Self {
        (*self).max(*other)
    }
    fn meet(&self, other: &Self) -> Self {
        (*self).min(*other)
    }
}

/// Where the job's time comes from; tests inject their own.
pub trait Clock: Send + Sync {
    /// The current epoch; never smaller than one returned before.
    fn epoch(&self) -> Epoch;
    /// Monotonic time since the job started.
    fn elapsed(&self) -> Duration;
}

/// The clock of a running job.
#[derive(Debug)]
pub struct MonotonicClock {
    wall_at_start: u64,
    started: Instant,
    tick: u64,
}

impl MonotonicClock {
    /// Starts the clock: the wall clock is read here and never again. A tick of zero counts as one millisecond.
    pub fn start(tick: Duration) -> Self {
        let wall = crate::event::Millis::now().0;
        Self {
            wall_at_start: u64::try_from(wall).unwrap_or(0),
            started: Instant::now(),
            tick: u64::try_from(tick.as_millis()).unwrap_or(u64::MAX).max(1),
        }
    }
}

impl Clock for MonotonicClock {
    fn epoch(&self) -> Epoch {
        let now = self.wall_at_start + self.started.elapsed().as_millis() as u64;
        Epoch(now - now % self.tick)
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until it is set.
#[derive(Debug, Default)]
pub struct ManualClock(std::sync::atomic::AtomicU64);

impl ManualClock {
    /// Sets the milliseconds since the start, which are also the epoch.
    pub fn set(&self, millis: u64) {
        self.0.store(millis, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn epoch(&self) -> Epoch {
        Epoch(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.epoch().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_ticks_and_never_go_back() {
        let clock = MonotonicClock::start(Duration::from_millis(10));
        let mut last = clock.epoch();
        for _ in 0..1_000 {
            let now = clock.epoch();
            assert!(now >= last && now.0.is_multiple_of(10));
            last = now;
        }
    }
}
