//! Which partitions a member reads where the group does not share them out.
//!
//! Written as `all`, as numbers and ranges (`0-3`, `0,2,4-7`), or as `i/n`: member i of n, counted from 1, which reads every n-th
//! partition. The members `1/n` to `n/n` cover every partition of every topic exactly once, however many there are.

use std::ops::RangeInclusive;

/// A choice of partitions, the same in every topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// All of them.
    All,
    /// Those in one of these ranges.
    Ranges(Vec<RangeInclusive<i32>>),
    /// Every n-th, from this one on.
    Member {
        /// The first.
        first: i32,
        /// How many members there are.
        members: i32,
    },
}

impl Partitions {
    /// Reads a choice; none if it is not understood.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "all" {
            return Some(Self::All);
        }
        if let Some((member, members)) = text.split_once('/') {
            let (member, members) = (number(member)?, number(members)?);
            return (1..=members).contains(&member).then_some(Self::Member {
                first: member - 1,
                members,
            });
        }
        let ranges = text.split(',').map(range).collect::<Option<Vec<_>>>()?;
        Some(Self::Ranges(ranges))
    }

    /// Whether a partition is among them.
    pub fn holds(&self, partition: i32) -> bool {
        match self {
            Partitions::All => true,
            Partitions::Ranges(ranges) => ranges.iter().any(|range| range.contains(&partition)),
            Partitions::Member { first, members } => partition % members == *first,
        }
    }

    /// The highest partition that is named.
    pub fn highest(&self) -> Option<i32> {
        match self {
            Partitions::Ranges(ranges) => ranges.iter().map(|range| *range.end()).max(),
            Partitions::All | Partitions::Member { .. } => None,
        }
    }
}

fn range(text: &str) -> Option<RangeInclusive<i32>> {
    let (from, to) = match text.split_once('-') {
        Some((from, to)) => (number(from)?, number(to)?),
        None => (number(text)?, number(text)?),
    };
    (from <= to).then_some(from..=to)
}

fn number(text: &str) -> Option<i32> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chosen(text: &str) -> Vec<i32> {
        let partitions = Partitions::parse(text).unwrap();
        (0..10).filter(|number| partitions.holds(*number)).collect()
    }

    #[test]
    fn partitions_are_written_as_documented() {
        assert_eq!(chosen("all").len(), 10);
        assert_eq!(chosen("0-3"), [0, 1, 2, 3]);
        assert_eq!(chosen("0, 2,4-7"), [0, 2, 4, 5, 6, 7]);
        assert_eq!(chosen("2/4"), [1, 5, 9]);
        for bad in ["", "3-1", "0/2", "3/2", "x", "-1", "1/", "+1", "0,,1"] {
            assert_eq!(Partitions::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn members_cover_every_partition_once(members in 1..40, partition in 0..500) {
            let mine = |member: &i32| {
                Partitions::parse(&format!("{member}/{members}")).is_some_and(|all| all.holds(partition))
            };
            prop_assert_eq!((1..=members).filter(mine).count(), 1);
        }

        #[test]
        fn no_text_panics(text in "[0-9,/ al-]{0,12}") {
            Partitions::parse(&text);
        }
    }
}
