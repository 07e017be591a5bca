//! A fleet: what another member or `hookflow load` puts into the store reaches the members that run.

use std::path::Path;

use hookflow::enrich::tables::Server;
use hookflow::state::StateStore;
use hookflow::state::postgres::PostgresReader;
use hookflow::state::view::StateReader;
use serde_json::Value;

use super::member::{Member, Settings, hookflow};
use super::place::{User, row_of};
use super::world::World;
use crate::conformance_state::database::Database;

const FED: &str = "webhook_recipients_fed_total";

fn settings(database: &Database) -> Settings {
    vec![
        ("HOOKFLOW_STORE_STATE", "postgres".into()),
        ("HOOKFLOW_POSTGRES_URL", database.settings.url.clone()),
        ("HOOKFLOW_POSTGRES_TLS", "off".into()),
        ("HOOKFLOW_POSTGRES_SCHEMA", database.settings.schema.clone()),
        ("HOOKFLOW_RECIPIENTS_POLL_INTERVAL", "100ms".into()),
    ]
}

/// Messages for a file, and for a table.
fn halves(world: &World) -> [Vec<&Value>; 2] {
    let (one, other) = world.messages.split_at(world.messages.len() / 2);
    [one, other].map(|messages| messages.iter().flatten().collect())
}

fn load(world: &World, rows: &[&Value], store: &Path, settings: &Settings) -> String {
    let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    let file = world.path("half.jsonl");
    std::fs::write(&file, lines.concat()).unwrap();
    let (file, batches) = (file.display().to_string(), world.path("batches.jsonl"));
    let batches = batches.display().to_string();
    hookflow(&["load", &file, "--batches", &batches], store, settings)
}

#[test]
#[ignore = "needs Postgres and ClickHouse"]
fn rows_that_somebody_else_loads_reach_a_member() {
    let Some(database) = Database::new("rows of others") else {
        return;
    };
    let user = User::new(Server::Postgres, "rows of others").unwrap();
    user.create_tables("time");
    let world = World::new(23);
    let [of_file, of_table] = halves(&world);
    let stores = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let settings = settings(&database);
    let mut member = Member::start(stores[0].path(), &settings);
    let (first, second) = world.deliveries.split_at(world.deliveries.len() / 2);
    member.write(&first.concat());
    member.wait("the first deliveries are read", |member| {
        member.metric("webhooks_received_total") == first.len() as u64
            && member.metric("webhook_queue_depth") == 0
    });
    let report = load(&world, &of_file, stores[1].path(), &settings);
    let accepted = report.split_whitespace().nth(1).unwrap().replace(',', "");
    assert_eq!(accepted, of_file.len().to_string(), "{report}");
    member.wait_for(FED, of_file.len() as u64);
    let rows = of_table.iter().enumerate().map(|(id, row)| row_of(id, row));
    user.insert("sent", &rows.collect::<Vec<_>>());
    let mut with_table = settings.clone();
    with_table.extend(user.settings());
    let mut other = Member::start(stores[2].path(), &with_table);
    let all = (of_file.len() + of_table.len()) as u64;
    other.wait_for("webhook_recipients_loaded_total", of_table.len() as u64);
    other.wait_for(FED, all);
    member.wait_for(FED, all);
    let hits = |member: &Member| member.metric("webhook_lookups_total{result=\"hit\"}");
    assert_eq!(
        hits(&member),
        0,
        "nobody was known when the first events came"
    );
    member.write(&second.concat());
    member.wait_for("webhooks_processed_total", world.processed);
    assert!(hits(&member) > 500, "only {} joins hit", hits(&member));
    let mut reader = PostgresReader::open(database.settings.clone()).unwrap();
    member.wait("all events but the unknown are matched", |_| {
        reader.counts().unwrap().unmatched == world.parked
    });
    member.wait("what is due is complete", |_| {
        world.is_complete(&reader.export().unwrap())
    });
    member.end();
    other.end();
    world.judge(database.open().export().unwrap());
}
