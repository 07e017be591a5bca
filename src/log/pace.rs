//! What a log asks of its window: to wait at least so long before it writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Set by the log, read by the write operators. Cheap to clone; by default nothing is asked.
#[derive(Clone, Debug, Default)]
pub struct LogPace {
    wait_millis: Arc<AtomicU64>,
    parts: Arc<AtomicU64>,
}

impl LogPace {
    /// Windows shall wait at least so long; the log's table has so many parts.
    pub fn set(&self, wait: Duration, parts: u64) {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.wait_millis.store(millis, Ordering::Relaxed);
        self.parts.store(parts, Ordering::Relaxed);
    }

    /// How long a window waits at least.
    pub fn wait_min(&self) -> Duration {
        Duration::from_millis(self.wait_millis.load(Ordering::Relaxed))
    }

    /// Active parts of the log's table, as last seen.
    pub fn parts(&self) -> u64 {
        self.parts.load(Ordering::Relaxed)
    }
}
