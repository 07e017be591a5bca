//! Places in a table: values of the monotone column by which it is read.

use std::time::Duration;

/// The least value of a time that is used as a start, and the greatest, in microseconds: what both databases can hold.
const TIMES: std::ops::RangeInclusive<i64> = -2_208_988_800_000_000..=9_000_000_000_000_000;

/// What kind of column it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CursorKind {
    /// A whole number of at most 64 bits, such as a sequence.
    Number,
    /// A time; read in microseconds.
    Time,
}

/// A value of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cursor {
    /// A whole number.
    Number(i64),
    /// Microseconds since 1970.
    Time(i64),
}

/// How far back the next look begins: rows may become visible after rows with a greater cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Where the cursor is a time.
    pub time: Duration,
    /// Where it is a number.
    pub number: u64,
}

impl Cursor {
    /// A value of that kind.
    pub const fn new(kind: CursorKind, value: i64) -> Self {
        match kind {
            CursorKind::Number => Cursor::Number(value),
            CursorKind::Time => Cursor::Time(value),
        }
    }

    /// Its kind.
    pub const fn kind(self) -> CursorKind {
        match self {
            Cursor::Number(_) => CursorKind::Number,
            Cursor::Time(_) => CursorKind::Time,
        }
    }

    /// The number, or the microseconds.
    pub const fn value(self) -> i64 {
        match self {
            Cursor::Number(value) | Cursor::Time(value) => value,
        }
    }

    /// The place from which to read again, so that nothing within the overlap is missed.
    #[must_use]
    pub fn less(self, overlap: Overlap) -> Self {
        match self {
            Cursor::Number(value) => {
                let back = i64::try_from(overlap.number).unwrap_or(i64::MAX);
                Cursor::Number(value.saturating_sub(back))
            }
            Cursor::Time(value) => {
                let back = i64::try_from(overlap.time.as_micros()).unwrap_or(i64::MAX);
                let value = value.saturating_sub(back);
                Cursor::Time(value.clamp(*TIMES.start(), *TIMES.end()))
            }
        }
    }

    /// Reads what [`Display`](std::fmt::Display) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(' ')?;
        let value = value.parse().ok()?;
        match kind {
            "number" => Some(Cursor::Number(value)),
            "time" => Some(Cursor::Time(value)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cursor::Number(value) => write!(f, "number {value}"),
            Cursor::Time(value) => write!(f, "time {value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_stored_reads_back_and_an_overlap_never_goes_forward(value: i64, number: u64, millis: u64, time: bool) {
            let kind = if time { CursorKind::Time } else { CursorKind::Number };
            let cursor = Cursor::new(kind, value);
            prop_assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
            let overlap = Overlap { time: Duration::from_millis(millis), number };
            let before = cursor.less(overlap);
            prop_assert_eq!(before.kind(), kind);
            prop_assert!(before.value() <= value.max(*TIMES.start()));
        }
    }
}
