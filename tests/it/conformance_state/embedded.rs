//! What only the embedded store promises: its folder, its lock, its version, its readers.

use std::os::unix::fs::PermissionsExt;

use hookflow::error::{Class, Exit};
use hookflow::event::Kind;
use hookflow::state::sqlite::{SqliteReader, SqliteStore};
use hookflow::state::view::{StateReader, diff};
use hookflow::state::{LoadKind, MappingCursor, Outcome, StateStore};

use super::world::*;

#[test]
fn a_store_is_the_same_after_it_was_closed_and_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let ids = full(&mut store, "b", 2);
    outcome(&mut store, hit("k", Kind::Opened, 1, ids[0]));
    outcome(&mut store, park(&event("p", Kind::Opened, "x", None)));
    let before = (store.export().unwrap(), store.cache_keys().unwrap());
    drop(store);
    let mut store = SqliteStore::open(dir.path()).unwrap();
    assert_eq!(
        (store.export().unwrap(), store.cache_keys().unwrap()),
        before
    );
    assert_eq!(
        outcome(&mut store, hit("k", Kind::Opened, 1, ids[0])),
        Outcome::Duplicate
    );
    assert_eq!(store.parked().unwrap(), 1);
}

#[test]
fn a_load_that_died_with_its_process_is_closed_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let load = store.begin_load(LoadKind::Full).unwrap();
    store.load_recipients(load, &rows("b", 1)).unwrap();
    drop(store);
    let mut store = SqliteStore::open(dir.path()).unwrap();
    assert_eq!(
        store.mappings(MappingCursor::default(), 9).unwrap().0.len(),
        1
    );
    assert_eq!(batch(&mut store, "b").sealed_at, None);
    assert_eq!(store.finish_load(load).unwrap().sealed, 0);
}

#[test]
fn one_process_writes_and_its_files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    let refused = SqliteStore::open(dir.path()).unwrap_err();
    assert_eq!(refused.exit, Exit::Input);
    assert!(refused.message.contains("in use by another process"));
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
    drop(store);
    SqliteStore::open(dir.path()).unwrap();
}

#[test]
fn another_schema_version_and_another_kind_of_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(dir.path()).unwrap());
    let file = dir.path().join("state.db");
    let raw = rusqlite::Connection::open(&file).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let refused = SqliteStore::open(dir.path()).unwrap_err();
    assert_eq!(refused.exit, Exit::Config);
    assert!(refused.message.contains("99"));
    assert_eq!(
        SqliteReader::open(dir.path()).unwrap_err().exit,
        Exit::Config
    );
    std::fs::write(
        &file,
        "no database at all, but long enough to look at".repeat(40),
    )
    .unwrap();
    assert_eq!(
        SqliteStore::open(dir.path()).unwrap_err().exit,
        Exit::Config
    );
}

#[test]
fn readers_see_what_is_committed_while_the_store_is_open() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        SqliteReader::open(dir.path()).unwrap_err().exit,
        Exit::Input
    );
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let mut reader = SqliteReader::open(dir.path()).unwrap();
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
        let json = serde_json::to_string(&found[0]).unwrap();
        assert!(
            json.contains(r#""first":"2026-03-02T10:00:01.000Z""#),
            "{json}"
        );
    }
    assert!(reader.recipient("nobody").unwrap().is_empty());
    assert_eq!(
        reader.unmatched(9).unwrap()[0].recipient.as_deref(),
        Some("Q@x.org")
    );
    assert_eq!(reader.batches().unwrap()[0].finished, 1);
    let counts = reader.counts().unwrap();
    assert_eq!(
        (counts.recipients, counts.ledger, counts.unmatched),
        (2, 1, 1)
    );
}

#[test]
fn a_dry_run_works_on_a_copy() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let ids = full(&mut store, "b", 2);
    store.snapshot_to(copy.path()).unwrap();
    let mut dry = SqliteStore::open(copy.path()).unwrap();
    let before = dry.export().unwrap();
    outcome(&mut dry, hit("k", Kind::Delivered, 1, ids[0]));
    let changes = diff(&before, &dry.export().unwrap());
    assert_eq!((changes.recipients_changed, changes.batches.len()), (1, 1));
    assert_eq!(changes.batches[0].1.finished, 1);
    assert_eq!(store.export().unwrap(), before);
    assert_ne!(store.cache_keys().unwrap().1, dry.cache_keys().unwrap().1);
    assert!(store.snapshot_to(copy.path()).is_err());
}

#[test]
fn a_counter_beyond_its_bound_is_an_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let ids = full(&mut store, "b", 1);
    let raw = rusqlite::Connection::open(dir.path().join("state.db")).unwrap();
    raw.execute("UPDATE batches SET delivered = recipients", ())
        .unwrap();
    let error = store
        .apply(&[hit("k", Kind::Delivered, 1, ids[0])])
        .unwrap_err();
    assert_eq!(error.class, Class::Bug);
    assert!(recipient(&mut store, "b", "r0").flags.is_empty());
}

#[test]
fn a_writer_in_the_way_means_try_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let ids = full(&mut store, "b", 1);
    let raw = rusqlite::Connection::open(dir.path().join("state.db")).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let event = hit("k", Kind::Delivered, 1, ids[0]);
    assert_eq!(
        store.apply(std::slice::from_ref(&event)).unwrap_err().class,
        Class::Retry
    );
    raw.execute_batch("ROLLBACK").unwrap();
    assert_eq!(outcome(&mut store, event), Outcome::Applied);
}
