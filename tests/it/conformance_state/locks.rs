//! In which order the store in Postgres locks, and what it checks again once it has a lock.

use std::time::Duration;

use hookflow::error::Class;
use hookflow::event::{Kind, Millis};
use hookflow::state::postgres::PostgresStore;
use hookflow::state::{LoadKind, StateStore as _};
use tokio::runtime::Runtime;
use tokio_postgres::Client;

use super::database::{Database, connect, runtime};
use super::world::*;
use crate::broker::wait::until;

/// A transaction of somebody else that holds what its statement locked, until it is committed.
struct Holder {
    runtime: Runtime,
    client: Client,
}

impl Holder {
    fn new(database: &Database, statement: &str) -> Self {
        let runtime = runtime();
        let client = runtime.block_on(connect(&database.settings.url));
        let schema = &database.settings.schema;
        let sql = format!("SET search_path = {schema}; BEGIN; {statement}");
        runtime.block_on(client.batch_execute(&sql)).unwrap();
        Self { runtime, client }
    }

    fn commit(&self) {
        let committing = self.client.batch_execute("COMMIT");
        self.runtime.block_on(committing).unwrap();
    }
}

/// A store whose connections have a name of their own.
fn named(database: &mut Database) -> PostgresStore {
    database.settings.application_name = database.settings.schema.clone();
    database.open()
}

fn wait_for_lock(database: &Database) {
    let name = &database.settings.application_name;
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND wait_event_type = 'Lock'"
    );
    until("the store waits for a lock", || {
        database.number(&waiting) > 0
    });
}

#[test]
#[ignore = "needs Postgres"]
fn deadline_that_moves_while_its_row_is_awaited_does_not_fire() {
    let Some(mut database) = Database::new("a deadline that moves") else {
        return;
    };
    let mut store = named(&mut database);
    let terms = [batch_row("b", Some(1), true, Some(at(10)))];
    load(&mut store, LoadKind::Full, &rows("b", 1), &terms);
    let later = "UPDATE batches SET deadline = deadline + interval '1 day'";
    let holder = Holder::new(&database, later);
    let judging = std::thread::spawn(move || (store.judge_deadlines(at(20)), store));
    wait_for_lock(&database);
    holder.commit();
    let (fired, mut store) = judging.join().unwrap();
    assert_eq!(fired.unwrap(), 0);
    assert_eq!(batch(&mut store, "b").completed_at, None);
    assert_eq!(
        store
            .judge_deadlines(Millis(at(20).0 + 86_400_000))
            .unwrap(),
        1
    );
}

#[test]
#[ignore = "needs Postgres"]
fn first_batch_of_a_connection_locks_parked_rows_before_recipients() {
    let Some(mut database) = Database::new("the order of locks") else {
        return;
    };
    let mut store = named(&mut database);
    let ids = full(&mut store, "b", 1);
    let parked = event("p", Kind::Opened, "x", None);
    store.apply(&[park(&parked)]).unwrap();
    database.run("CREATE TABLE copy AS SELECT * FROM unmatched; DELETE FROM unmatched");
    drop(store);
    let holder = Holder::new(&database, "INSERT INTO unmatched SELECT * FROM copy");
    let mut store = named(&mut database);
    let hit = hit("k", Kind::Opened, 1, ids[0]);
    let applying = std::thread::spawn(move || store.apply(&[hit, park(&parked)]).map(drop));
    wait_for_lock(&database);
    database.run("BEGIN; SELECT FROM recipients FOR UPDATE NOWAIT; COMMIT");
    holder.commit();
    applying.join().unwrap().unwrap();
}

#[test]
#[ignore = "needs Postgres"]
fn lock_that_times_out_in_the_first_batch_of_a_connection_is_retried() {
    let Some(mut database) = Database::new("a lock that times out") else {
        return;
    };
    let ids = full(&mut database.open(), "b", 1);
    let holder = Holder::new(&database, "SELECT FROM recipients FOR UPDATE");
    database.settings.lock_timeout = Duration::from_millis(200);
    let mut store = database.open();
    let parked = park(&event("p", Kind::Opened, "x", None));
    let events = [hit("k", Kind::Opened, 1, ids[0]), parked];
    let error = store.apply(&events).unwrap_err();
    assert_eq!(error.class, Class::Retry, "{error}");
    assert!(error.message.contains("55P03"), "{error}");
    holder.commit();
    store.apply(&events).unwrap();
}
