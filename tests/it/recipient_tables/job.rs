//! Events first, rows later: the real program ends where it would have ended had it known all rows from the start.

use hookflow::enrich::tables::DatabaseKind;
use hookflow::state::StateStore;
use hookflow::state::sqlite::{SqliteReader, SqliteStore};
use hookflow::state::view::StateReader;

use super::age::delivered;
use super::member::{Member, Settings};
use super::place::{self, User, batch_of, row_of};
use super::world::World;

/// Numbers that each look begins before the last row seen.
const OVERLAP: usize = 150;

const LOADED: &str = "webhook_recipients_loaded_total";

fn settings(user: &User) -> Settings {
    let mut settings = user.settings();
    settings.extend([
        ("HOOKFLOW_RECIPIENTS_BATCHES_TABLE", user.table("batches")),
        (
            "HOOKFLOW_RECIPIENTS_BATCHES_COLUMNS",
            "user = user_name".into(),
        ),
        ("HOOKFLOW_RECIPIENTS_OVERLAP_NUMBER", OVERLAP.to_string()),
        ("HOOKFLOW_RECIPIENTS_CHUNK_ROWS", "100".into()),
        ("HOOKFLOW_RECIPIENTS_FAILED_POLLS_MAX", "2".into()),
    ]);
    settings
}

/// Rows numbered in the order of their messages: those that come in time, those that commit late with small numbers, and those
/// that come after a restart.
fn parts(world: &World) -> [Vec<String>; 3] {
    let mut parts = [const { Vec::new() }; 3];
    let rows: usize = world.messages.iter().map(Vec::len).sum();
    let (first, mut id) = (rows * 2 / 3, 0);
    for (number, message) in world.messages.iter().enumerate() {
        let late = id + OVERLAP * 2 / 3 > first && number % 3 == 0;
        let part = if id < first { usize::from(late) } else { 2 };
        for row in message {
            parts[part].push(row_of(id, row));
            id += 1;
        }
    }
    parts
}

#[test]
#[ignore = "needs Postgres and ClickHouse"]
fn events_that_come_before_their_rows_end_where_they_would_have_ended_after_them() {
    let users = place::all("events before rows");
    if users.is_empty() {
        return;
    }
    let world = World::new(17);
    for user in users {
        user.create_tables("time");
        let store = tempfile::tempdir().unwrap();
        let settings = settings(&user);
        let mut member = Member::start(store.path(), &settings);
        events_without_rows(&mut member, &world);
        table_that_goes_away(&mut member, &world, &user);
        let [early, late, rest] = parts(&world);
        user.insert(
            "batches",
            &world.batches.iter().map(batch_of).collect::<Vec<_>>(),
        );
        user.insert("sent", &early);
        member.wait_for(LOADED, early.len() as u64);
        user.insert("sent", &late);
        member.wait_for(LOADED, (early.len() + late.len()) as u64);
        member.kill();
        let mut member = Member::start(store.path(), &settings);
        goes_on_where_it_was(&mut member, early.len() + late.len(), world.batches.len());
        user.insert("sent", &rest);
        member.wait_for(LOADED, rest.len() as u64);
        let mut reader = SqliteReader::open(store.path()).unwrap();
        member.wait("all events but the unknown are matched", |_| {
            reader.counts().unwrap().unmatched == world.parked
        });
        member.wait("what is due is complete", |_| {
            world.is_complete(&reader.export().unwrap())
        });
        member.end();
        let left = SqliteStore::open(store.path()).unwrap().export().unwrap();
        world.judge(left);
    }
}

/// Nobody is known, so that every event which asks for a recipient waits.
fn events_without_rows(member: &mut Member, world: &World) {
    member.write(&world.deliveries.concat());
    member.wait_for("webhooks_processed_total", world.processed);
    member.wait_for("webhook_queue_depth", 0);
    assert_eq!(
        member.metric("webhooks_processed_total{outcome=\"applied\"}"),
        0
    );
    assert!(member.metric("webhooks_processed_total{outcome=\"unmatched\"}") > 1_000);
}

/// Looks that fail are told and hold nothing back.
fn table_that_goes_away(member: &mut Member, world: &World, user: &User) {
    rename(user, "sent", "gone");
    member.wait("failing looks are told", |member| {
        let failed = member.metric("webhook_recipient_polls_failed_total");
        let trouble = member.trouble().unwrap_or_default();
        failed >= 2 && trouble.contains("recipients: ") && trouble.contains("polls in a row failed")
    });
    let before = member.processed();
    member.write(&world.deliveries[0]);
    member.wait("events go on", |member| member.processed() > before);
    rename(user, "gone", "sent");
    member.wait("the table is back", |member| member.trouble().is_none());
}

fn rename(user: &User, from: &str, to: &str) {
    let (from, full) = (user.table(from), user.table(to));
    user.run(&match user.server {
        DatabaseKind::Postgres => format!("ALTER TABLE {from} RENAME TO {to}"),
        DatabaseKind::ClickHouse => format!("RENAME TABLE {from} TO {full}"),
    });
}

/// A restart reads the overlap again, and not the table.
fn goes_on_where_it_was(member: &mut Member, rows: usize, batches: usize) {
    member.wait("a look after the restart", |member| {
        member.metric("webhook_recipients_read_total") > 0
    });
    let read = member.metric("webhook_recipients_read_total");
    let looks = member.metric("webhook_recipient_polls_total");
    let most = OVERLAP + 1 + batches;
    assert!(rows > 2 * most, "the sample is too small: {rows} rows");
    assert!(read <= looks * most as u64, "{read} rows in {looks} looks");
    assert_eq!(member.metric(LOADED), 0);
}

#[test]
#[ignore = "needs Postgres and ClickHouse"]
fn a_member_that_cannot_reach_the_table_works_and_says_so() {
    for user in place::all("no table at the start") {
        let store = tempfile::tempdir().unwrap();
        let mut settings = settings(&user);
        let url = match user.server {
            DatabaseKind::Postgres => "postgres://a@127.0.0.1:1/d",
            DatabaseKind::ClickHouse => "http://127.0.0.1:1",
        };
        settings.push(("HOOKFLOW_RECIPIENTS_URL", url.into()));
        let mut member = Member::start(store.path(), &settings);
        member.write(&delivered(1));
        member.wait("it works", |member| member.processed() == 1);
        member.wait("it says so", |member| {
            let trouble = member.trouble().unwrap_or_default();
            trouble.contains("polls in a row failed") && !trouble.contains("127.0.0.1")
        });
        member.end();
    }
}
