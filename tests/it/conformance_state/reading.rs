//! What a job reads over a connection of its own while its writer is busy.

use hookflow::event::Kind;
use hookflow::key::Identity;
use hookflow::state::postgres::PostgresReader;
use hookflow::state::sqlite::{SqliteReader, SqliteStore};
use hookflow::state::view::StateReader;
use hookflow::state::{LoadKind, MappingCursor, StateStore};

use super::database::{Database, connect, runtime};
use super::world::*;

/// Runs a test on a store of each kind that can be read beside its writer.
fn on_every_reader(test: impl Fn(&mut dyn StateStore, &mut dyn StateReader)) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    test(&mut store, &mut SqliteReader::open(dir.path()).unwrap());
    if let Some(database) = Database::if_available() {
        let mut reader = PostgresReader::beside_job(database.settings.clone()).unwrap();
        test(&mut database.open(), &mut reader);
    }
}

#[test]
fn readers_see_what_the_writer_sees_and_nothing_of_an_open_load() {
    on_every_reader(|store, reader| {
        let lost = event("k", Kind::Opened, "b-m0", Some("r0@example.org"));
        outcome(store, park(&lost));
        assert_eq!(reader.parked().unwrap(), 1);
        let start = MappingCursor::default();
        let load = store.begin_load(LoadKind::Full).unwrap();
        store.load_recipients(load, &rows("b", 2)).unwrap();
        let late = |reader: &mut dyn StateReader| {
            reader.late_matches(Identity(0), 9).unwrap().matches.len()
        };
        assert_eq!(
            (late(reader), reader.mappings(start, 9).unwrap().0.len()),
            (0, 0)
        );
        store.finish_load(load).unwrap();
        assert_eq!(
            (late(reader), reader.mappings(start, 9).unwrap().0.len()),
            (1, 2)
        );
        sweep(store);
        assert_eq!((late(reader), reader.parked().unwrap()), (0, 0));
    });
}

/// Somebody holds the rows that a batch wants, so the writer's connection stands still.
#[test]
#[ignore = "needs Postgres"]
fn reading_goes_on_while_a_commit_waits_for_a_lock() {
    let Some(database) = Database::new("reading beside a waiting commit") else {
        return;
    };
    let mut store = database.open();
    let ids = full(&mut store, "b", 1);
    outcome(&mut store, park(&event("p", Kind::Opened, "b-m0", None)));
    let runtime = runtime();
    let holder = runtime.block_on(connect(&database.settings.url));
    let hold = format!(
        "BEGIN; SELECT FROM {}.recipients FOR UPDATE",
        database.settings.schema
    );
    runtime.block_on(holder.batch_execute(&hold)).unwrap();
    let writer = std::thread::spawn(move || store.apply(&[hit("k", Kind::Opened, 1, ids[0])]));
    let mut reader = PostgresReader::beside_job(database.settings.clone()).unwrap();
    assert_eq!(reader.parked().unwrap(), 1);
    assert_eq!(
        reader.late_matches(Identity(0), 9).unwrap().matches.len(),
        1
    );
    assert!(!writer.is_finished(), "the commit has not waited");
    runtime.block_on(holder.batch_execute("ROLLBACK")).unwrap();
    assert_eq!(writer.join().unwrap().unwrap().outcomes.len(), 1);
}
