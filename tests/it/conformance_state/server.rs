//! What only the store in Postgres promises: members side by side, migrations, alarms, readers.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use hookflow::error::Class;
use hookflow::event::Kind;
use hookflow::state::postgres::{PostgresReader, PostgresStore, VERSION, migrate};
use hookflow::state::view::{StateReader, diff};
use hookflow::state::{LoadKind, MappingCursor, Outcome, Prune, RowId, StateStore};

use super::database::{Database, server};
use super::world::*;

#[test]
#[ignore = "needs Postgres"]
fn members_that_apply_the_same_events_at_once_end_where_one_ends() {
    let Some(database) = Database::new("members at once") else {
        return;
    };
    let mut alone = super::reference::ReferenceStore::new();
    let ids = full(&mut alone, "b", 50);
    let mut first = database.open();
    let served = full(&mut first, "b", 50);
    assert_eq!(ids.len(), served.len());
    let members = 4;
    let start = Arc::new(Barrier::new(members));
    let threads: Vec<_> = (0..members)
        .map(|member| {
            let (start, served) = (Arc::clone(&start), served.clone());
            let mut store = database.open();
            std::thread::spawn(move || {
                let events = many(&served, 3_000, 7 + member as u64 % 2);
                start.wait();
                let mut applied = 0;
                for batch in events.chunks(97) {
                    // No deadlock, no retry: every member locks in the same order.
                    let done = store.apply(batch).unwrap();
                    let new = |o: &&Outcome| **o == Outcome::Applied;
                    applied += done.outcomes.iter().filter(new).count();
                }
                applied
            })
        })
        .collect();
    let applied: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    let mut expected = 0;
    for seed in [7, 8] {
        let done = outcomes(&mut alone, &many(&ids, 3_000, seed));
        expected += done.iter().filter(|o| **o == Outcome::Applied).count();
    }
    assert_eq!(applied, expected);
    let same = |store: &mut dyn StateStore| {
        let mut export = store.export().unwrap().comparable();
        for batch in &mut export.batches {
            batch.sealed_at = None;
        }
        export
    };
    assert_eq!(same(&mut first), same(&mut alone));
}

#[test]
#[ignore = "needs Postgres"]
fn a_counter_beyond_its_bound_is_an_alarm_on_the_server_too() {
    let Some(database) = Database::new("a counter beyond its bound") else {
        return;
    };
    let mut store = database.open();
    let ids = full(&mut store, "b", 1);
    database.run("UPDATE batches SET delivered = recipients");
    let event = hit("k", Kind::Delivered, 1, ids[0]);
    let error = store.apply(std::slice::from_ref(&event)).unwrap_err();
    assert_eq!(error.class, Class::Bug);
    assert!(error.message.contains("23514"), "{error}");
    assert!(recipient(&mut store, "b", "r0").flags.is_empty());
    database.run("UPDATE batches SET delivered = 0");
    assert_eq!(outcome(&mut store, event), Outcome::Applied);
}

#[test]
#[ignore = "needs Postgres"]
fn a_value_that_cannot_be_stored_is_a_data_error_that_does_not_quote_it() {
    let Some(database) = Database::new("a value that cannot be stored") else {
        return;
    };
    let mut store = database.open();
    let parked = event("canary\0key", Kind::Opened, "canary\0message", None);
    let error = store.apply(&[park(&parked)]).unwrap_err();
    assert_eq!(error.class, Class::Data);
    assert!(!error.to_string().contains("canary"), "{error}");
    let good = event("k", Kind::Opened, "m", None);
    assert_eq!(outcome(&mut store, park(&good)), Outcome::Unmatched);
}

#[test]
#[ignore = "needs Postgres"]
fn migrations_run_at_once_and_twice_make_one_store() {
    let Some(database) = Database::empty("migrations at once") else {
        return;
    };
    let start = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (start, settings) = (Arc::clone(&start), database.settings.clone());
            std::thread::spawn(move || {
                start.wait();
                migrate(settings).unwrap()
            })
        })
        .collect();
    let done: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    assert!(done.iter().all(|migrated| migrated.to == VERSION));
    assert_eq!(done.iter().filter(|m| m.from == 0).count(), 1);
    assert_eq!(migrate(database.settings.clone()).unwrap().from, VERSION);
    let days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'ledger'::regclass";
    assert!(database.number(days) > 25);
    let mut store = database.open();
    let keys = store.cache_keys().unwrap();
    assert_eq!(database.open().cache_keys().unwrap(), keys);
}

#[test]
#[ignore = "needs Postgres"]
fn loads_of_two_members_run_side_by_side_and_a_cursor_misses_neither() {
    let Some(database) = Database::new("two loads") else {
        return;
    };
    let (mut one, mut two) = (database.open(), database.open());
    let first = one.begin_load(LoadKind::Full).unwrap();
    let second = two.begin_load(LoadKind::Increment).unwrap();
    one.load_recipients(first, &rows("a", 3)).unwrap();
    two.load_recipients(second, &rows("b", 2)).unwrap();
    two.load_recipients(second, &rows("a", 4)).unwrap();
    assert!(
        one.mappings(MappingCursor::default(), 9)
            .unwrap()
            .0
            .is_empty()
    );
    // The load that began last ends first; who has read it still gets the other.
    two.finish_load(second).unwrap();
    let (page, cursor) = one.mappings(MappingCursor::default(), 9).unwrap();
    assert_eq!(page.len(), 3);
    let summary = one.finish_load(first).unwrap();
    assert_eq!(summary.sealed, 1);
    let (rest, cursor) = two.mappings(cursor, 9).unwrap();
    assert_eq!(rest.len(), 3);
    assert!(two.mappings(cursor, 9).unwrap().0.is_empty());
    assert_eq!(batch(&mut one, "a").total, Some(4));
    assert_eq!(batch(&mut one, "b").total, None);
}

#[test]
#[ignore = "needs Postgres"]
fn pages_of_mappings_end_with_a_message() {
    let Some(database) = Database::new("pages of mappings") else {
        return;
    };
    let mut store = database.open();
    let mut all = Vec::new();
    for message in 0..7 {
        for recipient in 0..=(message * 31 % 90) {
            let (id, address) = (
                format!("r{message}-{recipient}"),
                format!("{recipient}@x.org"),
            );
            all.push(row("b", &id, &format!("m{message}"), &address));
        }
    }
    load(&mut store, LoadKind::Full, &all, &[]);
    for limit in [1, 2, 7, 50, 1_000] {
        let (mut cursor, mut seen, mut messages) = (MappingCursor::default(), 0, Vec::new());
        loop {
            let (page, next) = store.mappings(cursor, limit).unwrap();
            let Some(first) = page.first() else { break };
            assert_ne!(messages.last(), Some(&first.join), "limit {limit}");
            messages.extend(page.iter().map(|mapping| mapping.join));
            seen += page.len();
            cursor = next;
        }
        assert_eq!(seen, all.len(), "limit {limit}");
    }
}

#[test]
#[ignore = "needs Postgres"]
fn a_load_whose_process_is_gone_is_closed_and_one_that_lives_is_not() {
    let Some(database) = Database::new("dead loads") else {
        return;
    };
    let mut dead = database.open();
    let load = dead.begin_load(LoadKind::Full).unwrap();
    dead.load_recipients(load, &rows("b", 2)).unwrap();
    let mut other = database.open();
    assert!(
        other
            .mappings(MappingCursor::default(), 9)
            .unwrap()
            .0
            .is_empty()
    );
    drop(dead);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut next = database.open();
        if next.mappings(MappingCursor::default(), 9).unwrap().0.len() == 2 {
            break;
        }
        assert!(Instant::now() < deadline, "the dead load stays open");
    }
    assert_eq!(batch(&mut other, "b").sealed_at, None);
    full(&mut other, "b", 2);
    assert_eq!(batch(&mut other, "b").total, Some(2));
}

#[test]
#[ignore = "needs Postgres"]
fn whole_days_are_dropped_as_partitions_and_the_floor_rises_with_them() {
    let Some(database) = Database::new("partitions") else {
        return;
    };
    let mut store = database.open();
    let ids = full(&mut store, "b", 1);
    let now = hookflow::event::Millis::now();
    let day = |back: i64| hookflow::event::Millis(now.0 - back * 86_400_000);
    for back in 0..4 {
        let mut open = hit(&format!("d{back}"), Kind::Opened, 0, ids[0]);
        open.time = day(back);
        open.bucket = hookflow::key::Bucket::of(Some(open.time));
        assert_eq!(outcome(&mut store, open), Outcome::Applied);
    }
    let rest = "SELECT count(*) FROM ledger_rest";
    assert_eq!(database.number(rest), 0, "current days have partitions");
    let days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'ledger'::regclass";
    let before = database.number(days);
    let what = Prune {
        before: Some(day(1)),
        ..Prune::default()
    };
    assert_eq!(store.prune(&what, 10).unwrap().ledger, 2);
    assert!(database.number(days) < before);
    let floor = i64::from(store.export().unwrap().dropped_before);
    assert_eq!(floor, day(2).0 / 3_600_000 + 1);
    let mut late = hit("late", Kind::Opened, 0, ids[0]);
    late.time = day(3);
    late.bucket = hookflow::key::Bucket::of(Some(late.time));
    assert_eq!(store.apply(&[late]).unwrap().late_total_refused, 1);
    assert_eq!(batch(&mut store, "b").totals.opens, 4);
}

#[test]
#[ignore = "needs Postgres"]
fn a_dry_run_leaves_nothing_in_the_database() {
    let Some(database) = Database::new("a dry run") else {
        return;
    };
    let mut store = database.open();
    let ids = full(&mut store, "b", 2);
    let before = store.export().unwrap();
    let mut dry = PostgresStore::open_dry(database.settings.clone()).unwrap();
    let seen = dry.export().unwrap();
    let delivered = hit("k", Kind::Delivered, 1, ids[0]);
    assert_eq!(outcome(&mut dry, delivered.clone()), Outcome::Applied);
    assert_eq!(outcome(&mut dry, delivered), Outcome::Duplicate);
    let error = dry.apply(&[hit("x", Kind::Sent, 1, RowId(99_999))]);
    assert_eq!(error.unwrap_err().class, Class::Bug);
    full(&mut dry, "b", 3);
    let changes = diff(&seen, &dry.export().unwrap());
    assert_eq!((changes.recipients_changed, changes.batches.len()), (2, 1));
    drop(dry);
    assert_eq!(store.export().unwrap(), before);
}

#[test]
#[ignore = "needs Postgres"]
fn readers_of_the_database_show_what_those_of_the_folder_show() {
    let Some(database) = Database::new("readers") else {
        return;
    };
    let mut store = database.open();
    let mut reader = PostgresReader::open(database.settings.clone()).unwrap();
    let ids = full(&mut store, "b", 2);
    outcome(&mut store, hit("k", Kind::Bounced, 1, ids[1]));
    outcome(
        &mut store,
        park(&event("p", Kind::Opened, "x", Some("Q@x.org"))),
    );
    for needle in ["r1", "R1@Example.org", "b-m1"] {
        let found = reader.recipient(needle).unwrap();
        assert_eq!(
            (found.len(), found[0].status),
            (1, "bounced_hard"),
            "{needle}"
        );
        assert_eq!(found[0].messages[0].message_id, "b-m1");
    }
    assert!(reader.recipient("nobody").unwrap().is_empty());
    let parked = reader.unmatched(9).unwrap();
    assert_eq!(parked[0].recipient.as_deref(), Some("Q@x.org"));
    assert_eq!(reader.batches().unwrap()[0].finished, 1);
    let counts = reader.counts().unwrap();
    assert_eq!(
        (counts.recipients, counts.ledger, counts.unmatched),
        (2, 1, 1)
    );
    assert!(server("readers").is_some());
}
