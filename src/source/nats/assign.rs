//! Which partitions a member reads.
//!
//! Written as `all`, as numbers and ranges (`0-15`, `3,5,7-9`), or as `i/n`: member i of n, counted from 1. The members
//! `1/n` to `n/n` cover every partition exactly once, in runs of nearly equal length.
//!
//! `whole` is for a job of one member: one consumer reads the stream as it is, all partitions at once. The server then looks at each
//! message once; for 32 consumers that pick their partition out of one stream it looks at each message 32 times.

use std::collections::BTreeSet;

/// How many partitions a stream has. Part of its subjects, so it is the same for ever.
pub const LANES: u32 = 32;

/// The number of the consumer that reads the whole stream, behind those of all partitions.
pub const WHOLE: u32 = LANES;

/// A choice of partitions, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitions(BTreeSet<u32>);

impl Partitions {
    /// All of them.
    pub fn all() -> Self {
        Self((0..LANES).collect())
    }

    /// The stream as a whole, by a consumer of its own.
    pub fn whole() -> Self {
        Self(BTreeSet::from([WHOLE]))
    }

    /// Whether they are the stream as a whole.
    pub fn is_whole(&self) -> bool {
        self.0.contains(&WHOLE)
    }

    /// What must be read for every message to be read, of which these are a part.
    pub fn everything(&self) -> Self {
        match self.is_whole() {
            true => Self::whole(),
            false => Self::all(),
        }
    }

    /// The other way to read every message.
    pub fn instead(&self) -> Self {
        match self.is_whole() {
            true => Self::all(),
            false => Self::whole(),
        }
    }

    /// Reads a choice; none if it names a partition that does not exist, none at all, or is not understood.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "all" {
            return Some(Self::all());
        }
        if text == "whole" {
            return Some(Self::whole());
        }
        if let Some((member, members)) = text.split_once('/') {
            return Self::member(number(member)?, number(members)?);
        }
        let ranges = text.split(',').map(range).collect::<Option<Vec<_>>>()?;
        Some(Self(ranges.into_iter().flatten().collect()))
    }

    fn member(member: u32, members: u32) -> Option<Self> {
        if !(1..=LANES).contains(&members) || !(1..=members).contains(&member) {
            return None;
        }
        let from = LANES * (member - 1) / members;
        Some(Self((from..LANES * member / members).collect()))
    }

    /// The partitions, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

fn range(text: &str) -> Option<std::ops::RangeInclusive<u32>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let range = number(from)?..=number(to)?;
    (!range.is_empty() && *range.end() < LANES).then_some(range)
}

fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn partitions(text: &str) -> Vec<u32> {
        Partitions::parse(text).unwrap().iter().collect()
    }

    proptest! {
        #[test]
        fn the_members_cover_every_lane_exactly_once(members in 1..=LANES) {
            let shares = (1..=members).map(|member| partitions(&format!("{member}/{members}")));
            let shares: Vec<Vec<u32>> = shares.collect();
            prop_assert_eq!(shares.concat(), (0..LANES).collect::<Vec<_>>());
            let lengths = shares.iter().map(Vec::len);
            prop_assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
        }

        #[test]
        fn no_text_panics(text in "[0-9,/ al-]{0,12}") {
            Partitions::parse(&text);
        }
    }

    #[test]
    fn lanes_are_written_as_documented() {
        assert_eq!(partitions("all").len(), 32);
        assert_eq!(partitions("0-15"), (0..16).collect::<Vec<_>>());
        assert_eq!(partitions("3, 5,7-9,8"), [3, 5, 7, 8, 9]);
        assert_eq!(partitions("1/4"), partitions("0-7"));
        for bad in [
            "", "32", "5-3", "0/4", "5/4", "1/33", "x", "-1", "1/", "+1", "1,,2",
        ] {
            assert_eq!(Partitions::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_whole_stream_is_no_lane() {
        assert_eq!(partitions("whole"), [WHOLE]);
        assert_eq!(Partitions::parse("32"), None);
        let (whole, some) = (Partitions::whole(), Partitions::parse("3,5").unwrap());
        assert_eq!(
            (whole.everything(), whole.instead()),
            (Partitions::whole(), Partitions::all())
        );
        assert_eq!(
            (some.everything(), some.instead()),
            (Partitions::all(), Partitions::whole())
        );
    }
}
