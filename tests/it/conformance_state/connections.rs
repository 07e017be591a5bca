//! Connections that are lost, held up or given up.

use std::time::{Duration, Instant};

use hookflow::error::Class;
use hookflow::event::Kind;
use hookflow::state::postgres::PostgresConfig;
use hookflow::state::{Outcome, StateStore as _};
use tokio_postgres::Client;

use super::database::{Database, connect, run, runtime};
use super::world::*;

/// SourceContext every other connection of the schema's store.
fn terminate(database: &Database, application: &str) {
    let words = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{application}'"
    );
    run(&database.settings.url, &words).unwrap();
}

#[test]
#[ignore = "needs Postgres"]
fn a_connection_that_the_server_ended_is_replaced_and_the_batch_repeated() {
    let Some(mut database) = Database::new("a terminated backend") else {
        return;
    };
    database.settings.application_name = database.settings.schema.clone();
    let name = database.settings.application_name.clone();
    let mut store = database.open();
    let ids = full(&mut store, "b", 20);
    let events = many(&ids, 2_000, 3);
    let mut lost = 0;
    for (n, batch) in events.chunks(50).enumerate() {
        if n % 7 == 3 {
            terminate(&database, &name);
        }
        while let Err(error) = store.apply(batch) {
            assert_eq!(error.class, Class::Outage, "{error}");
            lost += 1;
        }
    }
    assert!(lost > 0, "no connection was lost");
    let mut alone = super::reference::ReferenceStore::new();
    let rows = full(&mut alone, "b", 20);
    alone.apply(&many(&rows, 2_000, 3)).unwrap();
    let (one, two) = (batch(&mut store, "b"), batch(&mut alone, "b"));
    assert_eq!((one.unique, one.totals), (two.unique, two.totals));
}

/// Somebody who holds all rows, until it lets its transaction go.
async fn hold_rows(settings: &PostgresConfig) -> Client {
    let client = connect(&settings.url).await;
    let words = format!(
        "BEGIN; SELECT FROM {}.recipients FOR UPDATE",
        settings.schema
    );
    client.batch_execute(&words).await.unwrap();
    client
}

#[test]
#[ignore = "needs Postgres"]
fn a_backend_that_ends_in_the_middle_of_a_batch_leaves_nothing_behind() {
    let Some(mut database) = Database::new("a backend in the middle") else {
        return;
    };
    database.settings.application_name = database.settings.schema.clone();
    let name = database.settings.application_name.clone();
    let mut store = database.open();
    let ids = full(&mut store, "b", 1);
    let runtime = runtime();
    // Somebody holds the row, so the batch stands still after its ledger keys; then its backend is ended.
    let holder = runtime.block_on(hold_rows(&database.settings));
    let event = hit("k", Kind::Opened, 1, ids[0]);
    let again = event.clone();
    let waiting = std::thread::spawn(move || {
        let error = store.apply(&[event]).unwrap_err();
        (store, error)
    });
    wait_for_lock(&database, &name);
    terminate(&database, &name);
    let (mut store, error) = waiting.join().unwrap();
    assert_eq!(error.class, Class::Outage, "{error}");
    runtime.block_on(async { holder.batch_execute("ROLLBACK").await.unwrap() });
    assert_eq!(outcome(&mut store, again), Outcome::Applied);
    assert_eq!(batch(&mut store, "b").totals.opens, 1);
}

/// Waits until the connection of that name waits for a lock.
fn wait_for_lock(database: &Database, application: &str) {
    let query = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{application}' AND wait_event_type = 'Lock'"
    );
    let deadline = Instant::now() + Duration::from_secs(10);
    while database.number(&query) == 0 {
        assert!(Instant::now() < deadline, "nobody waits for a lock");
    }
}

#[test]
#[ignore = "needs Postgres"]
fn a_lock_that_somebody_holds_is_waited_for_no_longer_than_told() {
    let Some(mut database) = Database::new("a held lock") else {
        return;
    };
    database.settings.lock_timeout = Duration::from_millis(300);
    let mut store = database.open();
    let ids = full(&mut store, "b", 1);
    let runtime = runtime();
    let holder = runtime.block_on(hold_rows(&database.settings));
    let event = hit("k", Kind::Opened, 1, ids[0]);
    let begun = Instant::now();
    let error = store.apply(std::slice::from_ref(&event)).unwrap_err();
    assert_eq!(error.class, Class::Retry, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3));
    runtime.block_on(async { holder.batch_execute("ROLLBACK").await.unwrap() });
    assert_eq!(outcome(&mut store, event), Outcome::Applied);
}

#[test]
#[ignore = "needs Postgres"]
fn a_call_past_its_deadline_gives_the_connection_up() {
    let Some(mut database) = Database::new("a call past its deadline") else {
        return;
    };
    database.settings.call_timeout = Duration::from_secs(3);
    database.settings.application_name = database.settings.schema.clone();
    let name = database.settings.application_name.clone();
    let mut store = database.open();
    let ids = full(&mut store, "b", 1);
    let runtime = runtime();
    let holder = runtime.block_on(hold_rows(&database.settings));
    let event = hit("k", Kind::Opened, 1, ids[0]);
    let error = store.apply(std::slice::from_ref(&event)).unwrap_err();
    assert_eq!(error.class, Class::Outage, "{error}");
    runtime.block_on(async { holder.batch_execute("ROLLBACK").await.unwrap() });
    let connections = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND state <> 'idle'"
    );
    let deadline = Instant::now() + Duration::from_secs(10);
    while database.number(&connections) > 0 {
        assert!(
            Instant::now() < deadline,
            "the doubtful connection is still there"
        );
    }
    let outcome = outcome(&mut store, event);
    assert_eq!(outcome, Outcome::Applied);
    assert_eq!(batch(&mut store, "b").totals.opens, 1);
}
