//! What a look reads: exactly the rows that are there, in chunks of any size, none of which ends inside a message.

use std::collections::{BTreeMap, BTreeSet};

use hookflow::enrich::snapshot::{GivenRow, LoadableRow, SnapshotOptions};
use hookflow::enrich::tables::{
    self, Overlap, ReadLimits, ReadSummary, RecentRows, Relation, TableChunks, TableCursor,
    TableQuery, UserTable,
};
use hookflow::event::Millis;
use hookflow::key::JoinKey;
use hookflow::recipient::RecipientRow;
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::place::{self, User, sent};

const ROWS: usize = 50_000;

/// Rows of messages with one to six recipients each. Several messages share a time, and those of one message always do.
struct Sample {
    rows: Vec<RecipientRow>,
    /// Microseconds of 2026-03-01, of each row.
    times: Vec<u64>,
    values: Vec<String>,
}

impl Sample {
    fn new() -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut sample = Self {
            rows: Vec::new(),
            times: Vec::new(),
            values: Vec::new(),
        };
        let mut message = 0_u64;
        while sample.rows.len() < ROWS {
            message += 1;
            let provider = ["ses", "mailgun"][random.random_range(0..2)];
            for _ in 0..random.random_range(1..=6) {
                sample.add(provider, message);
            }
        }
        sample.values.shuffle(&mut random);
        sample
    }

    fn add(&mut self, provider: &str, message: u64) {
        let id = self.rows.len();
        // Two messages may have one id, from two providers or of two users.
        let of_other = provider == "mailgun" && message % 2 == 1;
        let user = if of_other { "ü" } else { "u'1" };
        let message_id = format!("m{}", message / 2);
        let (recipient, name) = (format!("r{id}@example.org"), format!("r{id}"));
        let batch = format!("b{}", message % 7);
        let fields = [provider, &message_id, &recipient, user, &batch, &name];
        // The number of a row runs with its message; the time is shared by about twenty of them.
        self.times.push(message / 20);
        self.values.push(sent(id, message / 20, fields, None));
        self.rows.push(RecipientRow::new(GivenRow {
            provider,
            message_id: &message_id,
            recipient: &recipient,
            user,
            batch_id: &batch,
            recipient_id: &name,
            sent_at: None,
        }));
    }

    fn tables(&self) -> Vec<User> {
        let users = place::all("recipients are read exactly");
        for user in &users {
            user.create_tables("time");
            for part in self.values.chunks(10_000) {
                user.insert("sent", part);
            }
        }
        users
    }
}

pub fn given(user: &User, cursor: &str) -> UserTable {
    UserTable {
        setting: "recipients.table",
        relation: Relation::Table(user.table("sent")),
        renamed: BTreeMap::new(),
        cursor: Some(cursor.into()),
    }
}

pub fn limits(chunk_rows: usize, sent_since: Option<Millis>) -> ReadLimits {
    ReadLimits {
        options: SnapshotOptions {
            chunk_rows,
            ..SnapshotOptions::default()
        },
        sent_since,
        recent_max: 100_000,
        clock: None,
    }
}

/// One look, from that place on.
pub fn look(
    user: &User,
    given: &UserTable,
    from: Option<TableCursor>,
    limits: &ReadLimits,
    recent: &RecentRows,
) -> (Vec<Vec<RecipientRow>>, ReadSummary) {
    let mut tables = tables::open(&user.place()).unwrap();
    tables.begin().unwrap();
    let opened = tables.open(&TableQuery {
        given,
        columns: RecipientRow::COLUMNS,
        from,
        sent_since: limits.sent_since,
    });
    opened.unwrap();
    let mut chunks = TableChunks::<RecipientRow>::new(&mut *tables, recent, limits, "recipients");
    let mut all = Vec::new();
    while let Some(chunk) = chunks.next_chunk().unwrap() {
        assert!(chunk.bad.is_empty());
        all.push(chunk.rows);
    }
    let seen = chunks.into_seen();
    tables.end();
    (all, seen)
}

/// The rows, in an order of their own.
fn sorted(rows: impl IntoIterator<Item = RecipientRow>) -> Vec<RecipientRow> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by(|a, b| a.recipient_id.cmp(&b.recipient_id));
    rows
}

/// Messages whose rows are not all in one chunk.
fn split(chunks: &[Vec<RecipientRow>]) -> usize {
    let keys = chunks
        .iter()
        .map(|rows| rows.iter().map(|row| row.join).collect::<BTreeSet<_>>());
    let mut seen: BTreeSet<JoinKey> = BTreeSet::new();
    keys.flat_map(BTreeSet::into_iter)
        .filter(|key| !seen.insert(*key))
        .count()
}

#[test]
#[ignore = "needs Postgres and ClickHouse"]
fn a_table_is_read_exactly_and_no_chunk_ends_inside_a_message() {
    let sample = Sample::new();
    let whole = sorted(sample.rows.clone());
    let messages: BTreeSet<JoinKey> = sample.rows.iter().map(|row| row.join).collect();
    assert!(messages.len() * 2 < ROWS, "few messages have several rows");
    for user in sample.tables() {
        for chunk_rows in [97, 5_000, 49_999, 1_000_000] {
            let given = given(&user, "at");
            let (chunks, seen) = look(
                &user,
                &given,
                None,
                &limits(chunk_rows, None),
                &RecentRows::new(0),
            );
            assert_eq!(split(&chunks), 0, "{:?}, {chunk_rows}", user.server);
            assert_eq!(seen.rows, sample.rows.len() as u64);
            let read = sorted(chunks.into_iter().flatten());
            assert!(read == whole, "{:?}, {chunk_rows}", user.server);
        }
        ends_of_any_length(&sample, &user);
    }
}

fn time_of(sample: &Sample, row: usize) -> TableCursor {
    let midnight = Millis::parse_rfc3339("2026-03-01T00:00:00Z").unwrap();
    TableCursor::Time(midnight.0 * 1_000 + sample.times[row] as i64)
}

/// From any place on, in chunks of any size, by either cursor.
fn ends_of_any_length(sample: &Sample, user: &User) {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let ways = (1usize..60, 0usize..1_500, any::<bool>());
    let ran = runner.run(&ways, |(chunk_rows, rows, by_time)| {
        let first = sample.rows.len() - 1 - rows;
        let (cursor, from) = if by_time {
            ("at", time_of(sample, first))
        } else {
            ("id", TableCursor::Number(first as i64))
        };
        let limits = limits(chunk_rows, None);
        let (chunks, seen) = look(
            user,
            &given(user, cursor),
            Some(from),
            &limits,
            &RecentRows::new(0),
        );
        prop_assert_eq!(split(&chunks), 0);
        let read = sorted(chunks.into_iter().flatten());
        if by_time {
            prop_assert!(read.len() >= rows && seen.rows == read.len() as u64);
            let names: BTreeSet<_> = read.iter().map(|row| row.recipient_id.as_str()).collect();
            let ends = &sample.rows[first..];
            prop_assert!(
                ends.iter()
                    .all(|row| names.contains(row.recipient_id.as_str()))
            );
        } else {
            prop_assert!(read == sorted(sample.rows[first..].iter().cloned()));
        }
        Ok(())
    });
    ran.unwrap();
}

#[test]
#[ignore = "needs Postgres and ClickHouse"]
fn what_was_sent_long_ago_is_left_out_by_the_server_where_its_column_is_a_time() {
    let old = "2020-01-01 00:00:00.000";
    let new = "2026-03-01 00:00:00.000";
    let rfc = |time: &str| time.replace(' ', "T") + "Z";
    for kind in ["time", "text"] {
        for user in place::all("old rows") {
            user.create_tables(kind);
            let rows: Vec<String> = (0..9_000)
                .map(|id| {
                    let sent_at = if id % 3 == 0 { new } else { old };
                    let sent_at = if kind == "text" {
                        rfc(sent_at)
                    } else {
                        sent_at.to_owned()
                    };
                    let (message, name) = (format!("m{id}"), format!("r{id}"));
                    let fields = ["ses", &message, "a@example.org", "u", "b", &name];
                    sent(id, 0, fields, Some(&sent_at))
                })
                .collect();
            user.insert("sent", &rows);
            let since = Millis::parse_rfc3339("2026-02-28T23:59:59.999Z");
            let (chunks, seen) = look(
                &user,
                &given(&user, "id"),
                None,
                &limits(1_000, since),
                &RecentRows::new(0),
            );
            let read: Vec<RecipientRow> = chunks.into_iter().flatten().collect();
            assert_eq!(read.len(), 3_000);
            assert!(
                read.iter()
                    .all(|row| row.sent_at == Millis::parse_rfc3339(&rfc(new)))
            );
            let (rows, old) = if kind == "time" {
                (3_000, 0)
            } else {
                (9_000, 6_000)
            };
            assert_eq!(
                (seen.rows, seen.old),
                (rows, old),
                "{:?} {kind}",
                user.server
            );
        }
    }
}

/// How far back looks begin.
pub const OVERLAP: Overlap = Overlap {
    time: std::time::Duration::from_secs(60),
    number: 50,
};
