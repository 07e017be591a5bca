//! Which partitions a member reads where nobody but the settings shares them out.
//!
//! Written as `all`, as numbers and ranges (`0-15`, `3,5,7-9`), or as `i/n`: member i of n, counted from 1, which reads every n-th
//! partition. The members `1/n` to `n/n` cover every partition exactly once, however many there are.

use std::ops::RangeInclusive;

/// A choice of partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionSet {
    /// All of them.
    All,
    /// Those in one of these ranges.
    Ranges(Vec<RangeInclusive<u32>>),
    /// Every n-th, from this one on.
    Member {
        /// The first.
        first: u32,
        /// How many members there are.
        members: u32,
    },
}

impl PartitionSet {
    /// Reads a choice; none if it is not understood.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "all" {
            return Some(Self::All);
        }
        if let Some((member, members)) = text.split_once('/') {
            let (first, members) = (number(member)?.checked_sub(1)?, number(members)?);
            return (first < members).then_some(Self::Member { first, members });
        }
        let ranges = text.split(',').map(range).collect::<Option<Vec<_>>>()?;
        Some(Self::Ranges(ranges))
    }

    /// Whether a partition is among them.
    pub fn contains(&self, partition: u32) -> bool {
        match self {
            PartitionSet::All => true,
            PartitionSet::Ranges(ranges) => ranges.iter().any(|range| range.contains(&partition)),
            PartitionSet::Member { first, members } => partition % members == *first,
        }
    }

    /// The highest partition that is named.
    pub fn highest(&self) -> Option<u32> {
        match self {
            PartitionSet::Ranges(ranges) => ranges.iter().map(|range| *range.end()).max(),
            PartitionSet::All | PartitionSet::Member { .. } => None,
        }
    }
}

fn range(text: &str) -> Option<RangeInclusive<u32>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let range = number(from)?..=number(to)?;
    (!range.is_empty()).then_some(range)
}

fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chosen(text: &str) -> Vec<u32> {
        let partitions = PartitionSet::parse(text).unwrap();
        let all = 0..10;
        all.filter(|number| partitions.contains(*number)).collect()
    }

    #[test]
    fn partitions_are_written_as_documented() {
        assert_eq!(chosen("all").len(), 10);
        assert_eq!(chosen("0-3"), [0, 1, 2, 3]);
        assert_eq!(chosen("0, 2,4-7"), [0, 2, 4, 5, 6, 7]);
        assert_eq!(chosen("2/4"), [1, 5, 9]);
        for bad in [
            "", "3-1", "0/2", "3/2", "x", "-1", "1/", "+1", "0,,1", "1,,2",
        ] {
            assert_eq!(PartitionSet::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn members_cover_every_partition_once(members in 1..40u32, partition in 0..500u32) {
            let mine = |member: &u32| {
                let set = PartitionSet::parse(&format!("{member}/{members}"));
                set.is_some_and(|set| set.contains(partition))
            };
            prop_assert_eq!((1..=members).filter(mine).count(), 1);
        }

        #[test]
        fn no_text_panics(text in "[0-9,/ al-]{0,12}") {
            PartitionSet::parse(&text);
        }
    }
}
