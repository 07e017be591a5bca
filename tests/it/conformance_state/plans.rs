//! How Postgres finds the rows of batches and loads, whatever it believes of their tables.

use std::time::Duration;

use hookflow::error::Class;
use hookflow::event::Kind;
use hookflow::state::{LoadKind, Prune, RowId, StateEvent, StateStore};

use super::database::{Database, connect, runtime};
use super::world::*;
use crate::broker::wait::until;

/// How much of the schema was read, once the server has counted what the test wrote: its counts are some moments late.
struct Read<'a>(&'a Database);

impl Read<'_> {
    fn number(&self, what: &str, of: &str) -> i64 {
        let schema = &self.0.settings.schema;
        let query = format!(
            "SELECT coalesce(sum({what}), 0)::bigint FROM {of} AND schemaname = '{schema}'"
        );
        self.0.number(&query)
    }

    fn table(&self, what: &str, table: &str) -> i64 {
        let of = format!("pg_stat_user_tables WHERE relname LIKE '{table}'");
        self.number(what, &of)
    }

    /// Rows that were read by looking at all of a table that holds `rows`.
    fn whole(&self, table: &str, rows: i64) -> i64 {
        until(&format!("{table} is counted"), || {
            self.table("n_tup_ins", table) >= rows
        });
        self.table("seq_tup_read", table)
    }

    /// Entries that were read of a table's indexes.
    fn index(&self, table: &str) -> i64 {
        let of = format!("pg_stat_user_indexes WHERE relname LIKE '{table}'");
        self.number("idx_tup_read", &of)
    }
}

const ROUNDS: i64 = 40;

/// Events of a round: half of them about rows, the others to be parked.
fn events(round: i64, ids: &[RowId]) -> Vec<StateEvent> {
    let hits = ids.iter().zip(0..).take(100);
    let hits = hits.map(|(id, n)| hit(&format!("{round}-{n}"), Kind::Opened, n, *id));
    let parked = (0..100).map(|n| {
        let key = format!("parked-{round}-{n}");
        park(&event(&key, Kind::Opened, &key, None))
    });
    hits.chain(parked).collect()
}

/// The planner knows tables of `before` rows, and they grow while its plans are kept.
fn grows_from(before: usize) {
    let Some(database) = Database::new("plans of small tables") else {
        return;
    };
    let mut store = database.open();
    let ids = full(&mut store, "a", before);
    store.apply(&events(-1, &ids)[..before * 2]).unwrap();
    drop(store);
    database.run(
        "ANALYZE ledger; ANALYZE unmatched; ANALYZE recipients; ANALYZE messages; ANALYZE batches",
    );
    let mut store = database.open();
    // Loads and batches in turns: every statement is planned while there is hardly anything.
    for (round, chunk) in (0..ROUNDS).zip(rows("b", 4_000).chunks(100)) {
        let (fates, _) = load(&mut store, LoadKind::Increment, chunk, &[]);
        let ids: Vec<RowId> = fates.into_iter().map(|fate| mapping(fate).row_id).collect();
        store.apply(&events(round, &ids)).unwrap();
    }
    drop(store);
    let read = Read(&database);
    let of_a_kind = ROUNDS * 100;
    for (table, rows) in [
        ("unmatched", of_a_kind),
        ("ledger%", of_a_kind),
        ("messages", of_a_kind),
        ("recipients", of_a_kind),
        ("batches", 1),
    ] {
        let (whole, entries) = (read.whole(table, rows), read.index(table));
        // Opening the store looks at all that is parked.
        assert!(
            whole <= before as i64,
            "{table}: {whole} rows by looking at all"
        );
        assert!(
            entries < 4 * of_a_kind,
            "{table}: {entries} entries of indexes"
        );
    }
}

#[test]
#[ignore = "needs Postgres"]
fn no_table_is_read_from_end_to_end_although_the_plans_were_made_while_it_was_empty() {
    grows_from(0);
}

#[test]
#[ignore = "needs Postgres"]
fn no_table_is_read_from_end_to_end_although_the_plans_were_made_while_it_was_small() {
    grows_from(100);
}

/// A call that looks at whole tables lets the planner read them; the next one on its connection may not.
#[test]
#[ignore = "needs Postgres"]
fn a_call_over_whole_tables_that_failed_leaves_its_connection_finding_rows_by_their_keys() {
    let Some(mut database) = Database::new("plans after a failed call") else {
        return;
    };
    let mut store = database.open();
    let ids = full(&mut store, "a", 100);
    store.apply(&events(0, &ids)).unwrap();
    drop(store);
    database.run("ANALYZE ledger; ANALYZE recipients");
    let before = Read(&database).whole("recipients", 100);
    database.settings.lock_timeout = Duration::from_millis(300);
    let mut store = database.open();
    let runtime = runtime();
    let holder = runtime.block_on(connect(&database.settings.url));
    let words = format!(
        "BEGIN; SELECT FROM {}.meta FOR UPDATE",
        database.settings.schema
    );
    runtime.block_on(holder.batch_execute(&words)).unwrap();
    let what = Prune {
        before: Some(at(7 * 3_600)),
        ..Prune::default()
    };
    let error = store.prune(&what, 1_000).unwrap_err();
    assert_eq!(error.class, Class::Retry, "{error}");
    runtime.block_on(holder.batch_execute("ROLLBACK")).unwrap();
    store.apply(&events(1, &ids)).unwrap();
    drop(store);
    let read = Read(&database);
    read.whole("unmatched", 200);
    assert_eq!(read.whole("recipients", 100), before);
}
