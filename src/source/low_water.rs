//! The contiguous settled prefix of a lane.
//!
//! Parcels settle in any order; what may be remembered (committed, acknowledged, resumed from) is only the prefix below
//! which everything is settled.

use std::collections::BTreeMap;

/// Tracks which positions of one lane are open and where its settled prefix ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LowWater {
    /// start → (end, settled), of every parcel above the floor.
    parcels: BTreeMap<u64, (u64, bool)>,
    floor: u64,
}

impl LowWater {
    /// A lane whose settled prefix ends at `floor`.
    pub const fn starting_at(floor: u64) -> Self {
        Self {
            parcels: BTreeMap::new(),
            floor,
        }
    }

    /// A parcel was handed out.
    pub fn open(&mut self, start: u64, end: u64) {
        self.parcels.insert(start, (end, false));
    }

    /// A parcel is durable in every sink; returns the new floor if it moved.
    pub fn settle(&mut self, start: u64) -> Option<u64> {
        if let Some((_, settled)) = self.parcels.get_mut(&start) {
            *settled = true;
        }
        let before = self.floor;
        while let Some(entry) = self.parcels.first_entry() {
            let (end, settled) = *entry.get();
            if !settled || *entry.key() > self.floor {
                break;
            }
            entry.remove();
            self.floor = self.floor.max(end);
        }
        (self.floor != before).then_some(self.floor)
    }

    /// Everything below it is settled.
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// How many parcels are open or settled above a gap.
    pub fn pending(&self) -> usize {
        self.parcels.len()
    }
}

#[cfg(test)]
mod tests {
    use super::LowWater;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_floor_is_the_first_open_position(order in Just((0..40u64).collect::<Vec<_>>()).prop_shuffle()) {
            let mut lane = LowWater::starting_at(0);
            for n in 0..40 {
                lane.open(n * 10, n * 10 + 10);
            }
            let mut settled = std::collections::BTreeSet::new();
            for n in order {
                lane.settle(n * 10);
                settled.insert(n);
                let first_open = (0..40).find(|n| !settled.contains(n)).unwrap_or(40);
                prop_assert_eq!(lane.floor(), first_open * 10);
            }
            prop_assert_eq!(lane.pending(), 0);
        }
    }

    #[test]
    fn settling_twice_or_out_of_nowhere_moves_nothing() {
        let mut lane = LowWater::starting_at(5);
        lane.open(5, 9);
        assert_eq!(lane.settle(5), Some(9));
        assert_eq!(lane.settle(5), None);
        assert_eq!(lane.settle(77), None);
    }
}
