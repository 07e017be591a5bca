//! How long the log's window waits as the table's parts grow.
//!
//! Each insert makes a part, and the server merges them in the background. While there are few, a window goes as soon as the
//! log is free; as they come near the limit it waits longer, so that inserts become fewer and larger and merging keeps up.

use std::time::Duration;

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(1);

/// Parts that a partition may keep however long it is left alone: the server does not merge large ones any further, and
/// waiting for it to do so would cost latency for ever.
pub(super) const SETTLED: u64 = 10;

/// How long a window waits at least, at that many parts beyond the settled ones of each partition: nothing up to a third of the limit, then in proportion.
pub(super) fn wait_min(parts: u64, parts_max: u64) -> Duration {
    let free = parts_max / 3;
    let over = parts.saturating_sub(free);
    let room = parts_max.saturating_sub(free).max(1);
    let share = over.min(room) as f64 / room as f64;
    LONGEST.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_parts_cost_nothing_and_the_limit_costs_all() {
        assert_eq!(wait_min(0, 300), Duration::ZERO);
        assert_eq!(wait_min(100, 300), Duration::ZERO);
        assert_eq!(wait_min(200, 300), LONGEST / 2);
        assert_eq!(wait_min(300, 300), LONGEST);
        assert_eq!(wait_min(3_000, 300), LONGEST);
    }

    proptest! {
        #[test]
        fn more_parts_never_wait_less(parts in 0u64..2_000, limit in 1u64..1_000) {
            prop_assert!(wait_min(parts, limit) <= wait_min(parts + 1, limit));
        }
    }
}
