//! Places in a table: values of the monotone column by which it is read.

use std::time::Duration;

/// The least value of a time that is used as a start, and the greatest, in microseconds: what both databases can hold.
const TIMES: std::ops::RangeInclusive<i64> = -2_208_988_800_000_000..=9_000_000_000_000_000;

/// What kind of column it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableCursorKind {
    /// A whole number of at most 64 bits, such as a sequence.
    Number,
    /// A time; read in microseconds.
    Time,
}

/// A value of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableCursor {
    /// A whole number.
    Number(i64),
    /// Microseconds since 1970.
    Time(i64),
}

/// How far back the next poll begins: rows may become visible after rows with a greater cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Where the cursor is a time.
    pub time: Duration,
    /// Where it is a number.
    pub number: u64,
}

impl TableCursor {
    /// A value of that kind.
    pub const fn new(kind: TableCursorKind, value: i64) -> Self {
        match kind {
            TableCursorKind::Number => TableCursor::Number(value),
            TableCursorKind::Time => TableCursor::Time(value),
        }
    }

    /// Its kind.
    pub const fn kind(self) -> TableCursorKind {
        match self {
            TableCursor::Number(_) => TableCursorKind::Number,
            TableCursor::Time(_) => TableCursorKind::Time,
        }
    }

    /// The number, or the microseconds.
    pub const fn value(self) -> i64 {
        match self {
            TableCursor::Number(value) | TableCursor::Time(value) => value,
        }
    }

    /// The place from which to read again, so that nothing within the overlap is missed.
    #[must_use]
    pub fn less(self, overlap: Overlap) -> Self {
        match self {
            TableCursor::Number(value) => {
                let back = i64::try_from(overlap.number).unwrap_or(i64::MAX);
                TableCursor::Number(value.saturating_sub(back))
            }
            TableCursor::Time(value) => {
                let back = i64::try_from(overlap.time.as_micros()).unwrap_or(i64::MAX);
                let value = value.saturating_sub(back);
                TableCursor::Time(value.clamp(*TIMES.start(), *TIMES.end()))
            }
        }
    }

    /// Reads what [`Display`](std::fmt::Display) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(' ')?;
        let value = value.parse().ok()?;
        match kind {
            "number" => Some(TableCursor::Number(value)),
            "time" => Some(TableCursor::Time(value)),
            _ => None,
        }
    }
}

impl std::fmt::Display for TableCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TableCursor::Number(value) => write!(f, "number {value}"),
            TableCursor::Time(value) => write!(f, "time {value}"),
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
            let kind = if time { TableCursorKind::Time } else { TableCursorKind::Number };
            let cursor = TableCursor::new(kind, value);
            prop_assert_eq!(TableCursor::parse(&cursor.to_string()), Some(cursor));
            let overlap = Overlap { time: Duration::from_millis(millis), number };
            let before = cursor.less(overlap);
            prop_assert_eq!(before.kind(), kind);
            prop_assert!(before.value() <= value.max(*TIMES.start()));
        }
    }
}
