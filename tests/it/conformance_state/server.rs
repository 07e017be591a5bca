//! What only the store in Postgres promises: members side by side, lost connections, refusals with a sentence.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use hookflow::error::{Class, Exit};
use hookflow::event::Kind;
use hookflow::sink::state::postgres::{PostgresStore, Reader, Settings, Tls, VERSION, migrate};
use hookflow::sink::state::view::{StateReader, diff};
use hookflow::sink::state::{
    LoadKind, MappingCursor, Outcome, Prune, RowId, StateEvent, StateStore,
};

use super::database::{Database, connect, run, runtime, server};
use super::world::*;
use crate::skip::{skipped, skipped_server};

/// Events of a few kinds over a few rows, some of them twice.
fn many(rows: &[RowId], count: u64, seed: u64) -> Vec<StateEvent> {
    let kinds = [
        Kind::Sent,
        Kind::Delivered,
        Kind::Opened,
        Kind::Clicked,
        Kind::Bounced,
    ];
    let mut state = seed;
    let mut next = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    (0..count)
        .map(|_| {
            let key = next(count);
            let (row, kind) = (key % rows.len() as u64, key % kinds.len() as u64);
            hit(
                &format!("k{key}"),
                kinds[kind as usize],
                key as i64,
                rows[row as usize],
            )
        })
        .collect()
}

#[test]
fn members_that_apply_the_same_events_at_once_end_where_one_ends() {
    let Some(database) = Database::new("members at once") else {
        return;
    };
    let mut alone = hookflow::sink::state::memory::MemoryStore::new();
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

/// Ends every other connection of the schema's store.
fn terminate(database: &Database, application: &str) {
    let words = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{application}'"
    );
    run(&database.settings.url, &words).unwrap();
}

#[test]
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
    let mut alone = hookflow::sink::state::memory::MemoryStore::new();
    let rows = full(&mut alone, "b", 20);
    alone.apply(&many(&rows, 2_000, 3)).unwrap();
    let (one, two) = (batch(&mut store, "b"), batch(&mut alone, "b"));
    assert_eq!((one.unique, one.totals), (two.unique, two.totals));
}

#[test]
fn a_backend_that_ends_in_the_middle_of_a_batch_leaves_nothing_behind() {
    let Some(mut database) = Database::new("a backend in the middle") else {
        return;
    };
    database.settings.application_name = database.settings.schema.clone();
    let name = database.settings.application_name.clone();
    let mut store = database.open();
    let ids = full(&mut store, "b", 1);
    let (url, schema) = (
        database.settings.url.clone(),
        database.settings.schema.clone(),
    );
    let runtime = runtime();
    // Somebody holds the row, so the batch stands still after its ledger keys; then its backend is ended.
    let holder = runtime.block_on(async {
        let client = connect(&url).await;
        let words = format!("BEGIN; SELECT FROM {schema}.recipients FOR UPDATE");
        client.batch_execute(&words).await.unwrap();
        client
    });
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
fn a_lock_that_somebody_holds_is_waited_for_no_longer_than_told() {
    let Some(mut database) = Database::new("a held lock") else {
        return;
    };
    database.settings.lock_timeout = Duration::from_millis(300);
    let mut store = database.open();
    let ids = full(&mut store, "b", 1);
    let (url, schema) = (
        database.settings.url.clone(),
        database.settings.schema.clone(),
    );
    let runtime = runtime();
    let holder = runtime.block_on(async {
        let client = connect(&url).await;
        let words = format!("BEGIN; SELECT FROM {schema}.recipients FOR UPDATE");
        client.batch_execute(&words).await.unwrap();
        client
    });
    let event = hit("k", Kind::Opened, 1, ids[0]);
    let begun = Instant::now();
    let error = store.apply(std::slice::from_ref(&event)).unwrap_err();
    assert_eq!(error.class, Class::Retry, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3));
    runtime.block_on(async { holder.batch_execute("ROLLBACK").await.unwrap() });
    assert_eq!(outcome(&mut store, event), Outcome::Applied);
}

#[test]
fn a_call_past_its_deadline_gives_the_connection_up() {
    let Some(mut database) = Database::new("a call past its deadline") else {
        return;
    };
    database.settings.call_timeout = Duration::from_millis(400);
    database.settings.application_name = database.settings.schema.clone();
    let name = database.settings.application_name.clone();
    let mut store = database.open();
    let ids = full(&mut store, "b", 1);
    let (url, schema) = (
        database.settings.url.clone(),
        database.settings.schema.clone(),
    );
    let runtime = runtime();
    let holder = runtime.block_on(async {
        let client = connect(&url).await;
        let words = format!("BEGIN; SELECT FROM {schema}.recipients FOR UPDATE");
        client.batch_execute(&words).await.unwrap();
        client
    });
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

#[test]
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

fn refusal(settings: Settings) -> String {
    let refused = PostgresStore::open(settings.clone()).unwrap_err();
    assert_eq!(refused.exit, Exit::Config, "{refused}");
    let read = Reader::open(settings).unwrap_err();
    assert_eq!(read.exit, Exit::Config);
    refused.message
}

#[test]
fn what_a_person_has_to_change_is_refused_with_a_sentence() {
    let Some(database) = Database::empty("refusals") else {
        return;
    };
    let settings = database.settings.clone();
    let missing = refusal(settings.clone());
    assert!(missing.contains("hookflow migrate"), "{missing}");
    migrate(settings.clone()).unwrap();
    database.run("UPDATE meta SET schema_version = 99");
    let newer = refusal(settings.clone());
    assert!(newer.contains("99") && newer.contains("newer"), "{newer}");
    assert_eq!(migrate(settings.clone()).unwrap_err().exit, Exit::Config);
    database.run(&format!(
        "UPDATE meta SET schema_version = {VERSION}; DROP TABLE outbox"
    ));
    let table = refusal(settings.clone());
    assert!(table.contains("outbox"), "{table}");
    let elsewhere = settings.url.rsplit_once('/').unwrap().0.to_owned() + "/nowhere";
    let lost = refusal(Settings {
        url: elsewhere,
        ..settings.clone()
    });
    assert!(lost.contains("no such database"), "{lost}");
    let plain = refusal(Settings {
        tls: Tls::Require { ca_file: None },
        ..settings.clone()
    });
    assert!(plain.contains("postgres.tls"), "{plain}");
    let nonsense = refusal(Settings {
        url: "hunter2 @ nowhere".into(),
        ..settings
    });
    assert!(!nonsense.contains("hunter2"), "{nonsense}");
}

#[test]
fn a_wrong_password_and_missing_rights_are_refused_and_nothing_secret_is_said() {
    let Some(database) = Database::new("passwords and rights") else {
        return;
    };
    let Ok(url) = std::env::var("HOOKFLOW_POSTGRES_PASSWORD_URL") else {
        skipped_server(
            "passwords and rights: no Postgres with a password (start one with scripts/stack)",
        );
        return;
    };
    let with_user = Settings {
        url: url.clone(),
        ..database.settings.clone()
    };
    let rights = refusal(with_user.clone());
    assert!(rights.contains("grant"), "{rights}");
    let password = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'))
        .and_then(|(user, _)| user.split_once(':'))
        .map(|(_, password)| password.to_owned())
        .unwrap();
    let wrong = refusal(Settings {
        url: url.replace(&password, "hunter2"),
        ..with_user
    });
    assert!(wrong.contains("password"), "{wrong}");
    assert!(
        !wrong.contains("hunter2") && !wrong.contains("127.0.0.1"),
        "{wrong}"
    );
}

#[test]
fn a_server_that_cannot_be_reached_is_an_outage_and_not_a_refusal() {
    let mut settings = Settings::plain("postgres://nobody@127.0.0.1:1/nothing", "hookflow");
    settings.connect_timeout = Duration::from_secs(1);
    let mut store = PostgresStore::open(settings.clone()).unwrap();
    let error = store.parked().unwrap_err();
    assert_eq!(error.class, Class::Outage, "{error}");
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    assert_eq!(Reader::open(settings).unwrap_err().exit, Exit::Unfinished);
}

#[test]
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
fn readers_of_the_database_show_what_those_of_the_folder_show() {
    let Some(database) = Database::new("readers") else {
        return;
    };
    let mut store = database.open();
    let mut reader = Reader::open(database.settings.clone()).unwrap();
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

#[test]
fn over_tls_the_certificate_and_the_name_in_it_are_verified() {
    let variable = |name: &str| std::env::var(name).ok();
    let (Some(url), Some(ca), Some(other)) = (
        variable("HOOKFLOW_POSTGRES_TLS_URL"),
        variable("HOOKFLOW_TEST_CA_FILE"),
        variable("HOOKFLOW_TEST_OTHER_CA_FILE"),
    ) else {
        skipped(
            "TLS to Postgres: no Postgres with TLS (STACK_TLS=1 scripts/stack run postgres -- …)",
        );
        return;
    };
    let settings = |url: &str, tls| Settings {
        tls,
        ..Settings::plain(url, format!("test_tls_{}", std::process::id()))
    };
    let verified = |file: &str| Tls::Require {
        ca_file: Some(file.into()),
    };
    migrate(settings(&url, verified(&ca))).unwrap();
    let mut store = PostgresStore::open(settings(&url, verified(&ca))).unwrap();
    assert_eq!(store.parked().unwrap(), 0);
    let unknown = refusal(settings(&url, verified(&other)));
    assert!(unknown.contains("tls_ca_file"), "{unknown}");
    let wrong_name = refusal(settings(
        &url.replace("localhost", "127.0.0.1"),
        verified(&ca),
    ));
    assert!(wrong_name.contains("certificate"), "{wrong_name}");
    let plain = refusal(settings(&url, Tls::Off));
    assert!(!plain.contains("correct-horse"), "{plain}");
    let no_file = refusal(settings(&url, verified("/nowhere/ca.pem")));
    assert!(no_file.contains("tls_ca_file"), "{no_file}");
}
