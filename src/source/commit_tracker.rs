//! The contiguous settled prefix of a partition.
//!
//! Records settle in any order; what may be remembered (committed, acknowledged, resumed from) is only the prefix below
//! which everything is settled. Because the parcels of a partition have no gaps between them, each begins where the one
//! before it ended, and the prefix can be followed from settled parcels alone.

use std::collections::BTreeMap;

/// Where the settled prefix of one partition ends, and what is settled above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitTracker {
    floor: u64,
    /// start → end, of settled parcels above the floor.
    above: BTreeMap<u64, u64>,
}

impl CommitTracker {
    /// A partition whose settled prefix ends at `floor`.
    pub const fn starting_at(floor: u64) -> Self {
        Self {
            floor,
            above: BTreeMap::new(),
        }
    }

    /// A parcel is durable in every sink; whether the floor moved. An empty or repeated parcel moves nothing.
    pub fn settle(&mut self, start: u64, end: u64) -> bool {
        if start < self.floor || end <= start {
            return false;
        }
        self.above.insert(start, end);
        let before = self.floor;
        while let Some(end) = self.above.remove(&self.floor) {
            self.floor = end;
        }
        self.floor != before
    }

    /// Everything below it is settled.
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// The highest settled position, gaps or not. Never to be remembered; the wrong design that a test runs with.
    pub fn maximum(&self) -> u64 {
        self.above.values().copied().max().unwrap_or(self.floor)
    }

    /// How many parcels are settled above a gap.
    pub fn above(&self) -> usize {
        self.above.len()
    }
}

#[cfg(test)]
mod tests {
    use super::CommitTracker;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_floor_is_the_first_open_position(order in Just((0..40u64).collect::<Vec<_>>()).prop_shuffle()) {
            let mut partition = CommitTracker::starting_at(0);
            let mut settled = std::collections::BTreeSet::new();
            for n in order {
                partition.settle(n * 10, n * 10 + 10);
                settled.insert(n);
                let first_open = (0..40).find(|n| !settled.contains(n)).unwrap_or(40);
                prop_assert_eq!(partition.floor(), first_open * 10);
                prop_assert_eq!(partition.maximum(), settled.last().unwrap() * 10 + 10);
            }
            prop_assert_eq!(partition.above(), 0);
        }
    }

    #[test]
    fn settling_twice_or_nothing_moves_nothing() {
        let mut partition = CommitTracker::starting_at(5);
        assert!(partition.settle(5, 9));
        assert!(!partition.settle(5, 9));
        assert!(!partition.settle(9, 9));
        assert!(!partition.settle(77, 80));
        assert_eq!((partition.floor(), partition.above()), (9, 1));
    }
}
