//! TableChunks of any size over rows that no server holds.

use proptest::prelude::*;

use super::super::Look;
use super::*;
use crate::enrich::snapshot::RowCells;
use crate::recipient::RecipientRow;

/// Rows in the order in which a server would give them.
struct Rows(VecDeque<RawRow>);

impl Tables for Rows {
    fn begin(&mut self) -> Result<(), Trouble> {
        Ok(())
    }

    fn open(&mut self, _look: &Look<'_>) -> Result<(), Trouble> {
        Ok(())
    }

    fn page(&mut self, rows: usize) -> Result<Vec<RawRow>, Trouble> {
        let rows = rows.min(self.0.len());
        Ok(self.0.drain(..rows).collect())
    }

    fn end(&mut self) {}
}

fn fields(message: usize, recipient: usize, sent_at: Option<&str>) -> RowCells {
    let texts = [
        "ses".to_owned(),
        format!("m{message}"),
        format!("r{recipient}@example.org"),
        "u".to_owned(),
        "b".to_owned(),
        format!("r{message}-{recipient}"),
    ];
    let mut fields: RowCells = texts.into_iter().map(Some).collect();
    fields.push(sent_at.map(str::to_owned));
    fields
}

/// Rows of messages with that many recipients each; the cursor is the message's or the row's.
fn rows(sizes: &[usize], of_message: bool) -> Rows {
    let all = sizes.iter().enumerate();
    let all = all.flat_map(|(message, size)| (0..*size).map(move |recipient| (message, recipient)));
    let raw = all.enumerate().map(|(place, (message, recipient))| RawRow {
        fields: fields(message, recipient, None),
        cursor: Some(Cursor::Number(
            if of_message { message } else { place } as i64
        )),
    });
    Rows(raw.collect())
}

fn limits(chunk_rows: usize) -> TableLimits {
    TableLimits {
        options: SnapshotOptions {
            chunk_rows,
            ..SnapshotOptions::default()
        },
        sent_since: None,
        recent_max: 1_000,
    }
}

fn read(mut rows: Rows, recent: &Recent, limits: &TableLimits) -> (Vec<Vec<RecipientRow>>, Seen) {
    let mut chunks = TableChunks::<RecipientRow>::new(&mut rows, recent, limits, "recipients");
    let mut all = Vec::new();
    while let Some(chunk) = chunks.next_chunk().unwrap() {
        all.push(chunk.rows);
    }
    (all, chunks.into_seen())
}

proptest! {
    #[test]
    fn no_chunk_ends_inside_a_message_and_none_is_lost(
        sizes in prop::collection::vec(1usize..6, 0..60), chunk_rows in 1usize..40, of_message: bool,
    ) {
        let (chunks, seen) = read(rows(&sizes, of_message), &Recent::new(0), &limits(chunk_rows));
        for (one, next) in chunks.iter().zip(chunks.iter().skip(1)) {
            prop_assert_ne!(one.last().unwrap().join, next[0].join);
        }
        let total: usize = sizes.iter().sum();
        prop_assert_eq!(chunks.iter().map(Vec::len).sum::<usize>(), total);
        prop_assert_eq!(seen.rows, total as u64);
        let largest = sizes.iter().max().copied().unwrap_or(0);
        prop_assert!(chunks.iter().all(|chunk| chunk.len() < chunk_rows + largest));
    }
}

#[test]
fn rows_that_were_judged_are_not_shown_again() {
    let mut recent = Recent::new(1_000);
    let (_, seen) = read(rows(&[2, 3], false), &recent, &limits(10));
    assert_eq!(seen.reached, Some(Cursor::Number(4)));
    recent.take(seen.prints, None);
    let (chunks, seen) = read(rows(&[2, 3, 1], false), &recent, &limits(10));
    assert_eq!((chunks.len(), seen.rows), (1, 6));
    assert_eq!(chunks[0][0].message_id, "m2");
}

#[test]
fn old_rows_are_left_out_and_what_is_remembered_is_bounded() {
    let many = (0..50_000).map(|n| RawRow {
        fields: fields(
            n,
            0,
            Some(["2020-01-01T00:00:00Z", "2026-01-01T00:00:00.123456Z"][n % 2]),
        ),
        cursor: Some(Cursor::Number(n as i64)),
    });
    let limits = TableLimits {
        sent_since: Millis::parse_rfc3339("2025-12-31T00:00:00Z"),
        ..limits(100)
    };
    let (chunks, seen) = read(Rows(many.collect()), &Recent::new(0), &limits);
    assert_eq!(chunks.iter().map(Vec::len).sum::<usize>(), 25_000);
    assert_eq!((seen.old, seen.prints.len()), (25_000, 1_000));
}

/// One row at a place, or without any.
fn one(total: usize, place: Option<i64>) -> Rows {
    let row = RawRow {
        fields: fields(total, 0, None),
        cursor: place.map(Cursor::Number),
    };
    Rows(VecDeque::from([row]))
}

#[test]
fn a_row_that_changes_back_is_shown_again() {
    let limits = limits(10);
    let mut recent = Recent::new(1_000);
    for (total, place, shown) in [(10, 1, 1), (12, 2, 1), (10, 3, 1), (10, 3, 0)] {
        let (chunks, seen) = read(one(total, Some(place)), &recent, &limits);
        assert_eq!(
            (chunks.len(), seen.new),
            (shown, shown as u64),
            "place {place}"
        );
        recent.take(seen.prints, None);
    }
    for (total, shown) in [(10, 1), (10, 0), (12, 1), (10, 1), (10, 0)] {
        let (chunks, seen) = read(one(total, None), &recent, &limits);
        assert_eq!(chunks.len(), shown, "{total}");
        recent = Recent::new(1_000);
        recent.take(seen.prints, None);
    }
}
