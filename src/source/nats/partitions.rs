//! The partitions of a stream that has some, and which of them this member reads.
//!
//! Written as `all`, as numbers and ranges (`0-15`, `3,5,7-9`), or as `i/n`: member i of n, counted from 1. The members
//! `1/n` to `n/n` cover every partition exactly once, in runs of nearly equal length.

use std::collections::BTreeSet;

/// The most partitions that a stream may have.
pub const PARTITIONS_MAX: u32 = 1_024;

/// The number of partitions of a stream, and at least one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitions {
    /// How many the stream has; fixed when the stream is made.
    pub count: u32,
    assigned: BTreeSet<u32>,
}

impl Partitions {
    /// All of them.
    pub fn all(count: u32) -> Self {
        Self {
            count,
            assigned: (0..count).collect(),
        }
    }

    /// Reads a choice; none if it names a partition that does not exist, none at all, or is not understood.
    pub fn parse(text: &str, count: u32) -> Option<Self> {
        let text = text.trim();
        if text == "all" {
            return Some(Self::all(count));
        }
        let assigned = match text.split_once('/') {
            Some((member, members)) => share(number(member)?, number(members)?, count)?,
            None => ranges(text, count)?,
        };
        (!assigned.is_empty()).then_some(Self { count, assigned })
    }

    /// The partitions that this member reads, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.assigned.iter().copied()
    }
}

fn share(member: u32, members: u32, count: u32) -> Option<BTreeSet<u32>> {
    if !(1..=count).contains(&members) || !(1..=members).contains(&member) {
        return None;
    }
    Some((count * (member - 1) / members..count * member / members).collect())
}

fn ranges(text: &str, count: u32) -> Option<BTreeSet<u32>> {
    let mut all = BTreeSet::new();
    for range in text.split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let range = number(from)?..=number(to)?;
        if range.is_empty() || *range.end() >= count {
            return None;
        }
        all.extend(range);
    }
    Some(all)
}

fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
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
            prop_assert_eq!(shares.concat(), (0..count).collect::<Vec<_>>());
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
        assert_eq!(assigned("1/4"), assigned("0-7"));
        for bad in [
            "", "32", "5-3", "0/4", "5/4", "1/33", "x", "-1", "1/", "+1", "1,,2",
        ] {
            assert_eq!(Partitions::parse(bad, 32), None, "{bad}");
        }
    }
}
