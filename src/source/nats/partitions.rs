//! The partitions of a stream that has some, and which of them this member reads.

use crate::source::members::PartitionSet;

/// The most partitions that a stream may have.
pub const PARTITIONS_MAX: u32 = 1_024;

/// The number of partitions of a stream, and at least one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitions {
    /// How many the stream has; fixed when the stream is made.
    pub count: u32,
    assigned: PartitionSet,
}

impl Partitions {
    /// All of them.
    pub const fn all(count: u32) -> Self {
        Self {
            count,
            assigned: PartitionSet::All,
        }
    }

    /// Reads a choice; none if it names a partition that does not exist, none at all, or is not understood.
    pub fn parse(text: &str, count: u32) -> Option<Self> {
        let assigned = PartitionSet::parse(text)?;
        let exists = assigned.highest().is_none_or(|highest| highest < count);
        let partitions = Self { count, assigned };
        (exists && partitions.iter().next().is_some()).then_some(partitions)
    }

    /// The partitions that this member reads, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.count).filter(|partition| self.assigned.contains(*partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn assigned(text: &str) -> Vec<u32> {
        Partitions::parse(text, 32).unwrap().iter().collect()
    }

    proptest! {
        #[test]
        fn members_cover_every_partition_exactly_once(count in 1..=64u32, members in 1..=64u32) {
            prop_assume!(members <= count);
            let shares = (1..=members).map(|member| Partitions::parse(&format!("{member}/{members}"), count).unwrap());
            let shares: Vec<Vec<u32>> = shares.map(|share| share.iter().collect()).collect();
            let mut all = shares.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
            let lengths = shares.iter().map(Vec::len);
            prop_assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
        }

        #[test]
        fn no_text_panics(text in "[0-9,/ al-]{0,12}", count in 1..=PARTITIONS_MAX) {
            Partitions::parse(&text, count);
        }
    }

    #[test]
    fn partitions_are_written_as_documented() {
        assert_eq!(assigned("all").len(), 32);
        assert_eq!(assigned("0-15"), (0..16).collect::<Vec<_>>());
        assert_eq!(assigned("3, 5,7-9,8"), [3, 5, 7, 8, 9]);
        assert_eq!(assigned("2/16"), [1, 17]);
        for bad in [
            "", "32", "5-3", "0/4", "5/4", "33/33", "x", "-1", "1/", "+1", "1,,2",
        ] {
            assert_eq!(Partitions::parse(bad, 32), None, "{bad}");
        }
    }
}
