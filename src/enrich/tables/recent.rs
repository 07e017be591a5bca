//! Which rows were judged already, among those that the overlap shows again and again.
//!
//! The store would know them too, but asking it costs a transaction for every poll. Bounded: what does not fit is asked again.

use std::collections::{HashSet, VecDeque};

use super::cursor::TableCursor;
use crate::enrich::snapshot::RowCells;

/// A row's fingerprint: 128 bits of a collision-resistant hash over its place and its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowFingerprint(u128);

impl RowFingerprint {
    /// Of a row. Its place is a part of it: a row that changed and changed back is not the row that it was.
    pub fn of(cursor: Option<TableCursor>, fields: &RowCells) -> Self {
        let mut hasher = blake3::Hasher::new();
        let place = cursor.map(TableCursor::value);
        hasher.update(&[u8::from(place.is_some())]);
        hasher.update(&place.unwrap_or_default().to_le_bytes());
        for field in fields {
            let text = field.as_deref();
            let length = text.map_or(u64::MAX, |text| text.len() as u64);
            hasher.update(&length.to_le_bytes());
            hasher.update(text.unwrap_or_default().as_bytes());
        }
        let mut first = [0; 16];
        hasher.finalize_xof().fill(&mut first);
        Self(u128::from_le_bytes(first))
    }
}

/// The rows near the end of what was read, in the order of their cursors.
#[derive(Debug)]
pub struct RecentRows {
    prints: HashSet<RowFingerprint>,
    order: VecDeque<(TableCursor, RowFingerprint)>,
    rows_max: usize,
}

impl RecentRows {
    /// Remembers at most so many rows.
    pub fn new(rows_max: usize) -> Self {
        Self {
            prints: HashSet::new(),
            order: VecDeque::new(),
            rows_max,
        }
    }

    /// Whether that row was judged.
    pub fn holds(&self, print: RowFingerprint) -> bool {
        self.prints.contains(&print)
    }

    /// Takes rows that were judged, and forgets what no poll returns again because it lies before `from`.
    pub fn take(
        &mut self,
        rows: impl IntoIterator<Item = (TableCursor, RowFingerprint)>,
        from: Option<TableCursor>,
    ) {
        for (cursor, print) in rows {
            if self.prints.insert(print) {
                self.order.push_back((cursor, print));
            }
            self.shrink(|_| false);
        }
        // A row that came late stands behind greater ones, so only the front is checked; it is then removed a little later.
        self.shrink(|cursor| from.is_some_and(|from| cursor < from));
    }

    fn shrink(&mut self, old: impl Fn(TableCursor) -> bool) {
        while let Some((cursor, print)) = self.order.front().copied() {
            if self.order.len() <= self.rows_max && !old(cursor) {
                return;
            }
            self.order.pop_front();
            self.prints.remove(&print);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(n: u32) -> RowFingerprint {
        RowFingerprint::of(None, &vec![Some(n.to_string()), None])
    }

    #[test]
    fn memory_is_bounded_and_what_lies_before_the_overlap_is_forgotten() {
        let mut recent = RecentRows::new(10);
        let rows = (0..100).map(|n| (TableCursor::Number(n.into()), print(n)));
        recent.take(rows, Some(TableCursor::Number(95)));
        assert_eq!((recent.prints.len(), recent.order.len()), (5, 5));
        assert!(recent.holds(print(95)) && !recent.holds(print(94)));
        recent.take(
            (100..130).map(|n| (TableCursor::Number(100), print(n))),
            None,
        );
        assert_eq!((recent.prints.len(), recent.order.len()), (10, 10));
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let of = |fields: [Option<&str>; 2]| {
            RowFingerprint::of(None, &fields.map(|f| f.map(str::to_owned)).to_vec())
        };
        assert_ne!(of([Some("ab"), Some("c")]), of([Some("a"), Some("bc")]));
        assert_ne!(of([Some(""), None]), of([None, Some("")]));
    }
}
