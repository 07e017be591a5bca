//! A message that ends the process, from end to end: the real program with Kafka in and Postgres and ClickHouse out is started
//! again and again until it survives.

use std::os::unix::process::ExitStatusExt;

use hookflow::event::{Delivery, Provider, User};
use hookflow::log::EventFilter;
use hookflow::log::clickhouse;
use hookflow::source::kafka::publisher::publish;
use hookflow::source::outgoing::OutgoingMessage;
use hookflow::source::pace::Pace;
use hookflow::state::postgres::PostgresReader;
use hookflow::state::view::StateReader;

use super::program::{body, recipients, settings, tenant};
use super::world::{World, brokers};
use crate::clickhouse_server::Server;
use crate::conformance_state::database::Database;
use crate::recipient_tables::member::{Member, Settings, hookflow};

const COUNT: u64 = 4_000;
/// In the middle of its partition, with neighbours before and behind it.
const POISON: u64 = 2_345;
/// Crashes until it is found: once beside others, twice alone.
const CRASHES: u32 = 3;
const SIGABRT: i32 = 6;

fn delivery(number: u64) -> Delivery {
    Delivery {
        provider: Provider::new("sendgrid"),
        user: User::new(tenant(number)),
        method: "POST".into(),
        body: body(number).into(),
        ..Delivery::default()
    }
}

fn all_settings(world: &World, brokers: &str, database: &Database, log: &Server) -> Settings {
    let mut all = settings(world, brokers);
    all.extend([
        ("HOOKFLOW_STORE_STATE", "postgres".into()),
        ("HOOKFLOW_POSTGRES_URL", database.settings.url.clone()),
        ("HOOKFLOW_POSTGRES_TLS", "off".into()),
        ("HOOKFLOW_POSTGRES_SCHEMA", database.settings.schema.clone()),
        ("HOOKFLOW_STORE_LOG", "clickhouse".into()),
        ("HOOKFLOW_CLICKHOUSE_URL", log.settings.url.clone()),
        (
            "HOOKFLOW_CLICKHOUSE_DATABASE",
            log.settings.database.clone(),
        ),
        // With a name of its own it is not waited for after each death.
        ("HOOKFLOW_SOURCE_MEMBER", "one".into()),
        ("HOOKFLOW_POISON", format!("\"e{POISON}\"")),
    ]);
    all
}

#[test]
#[ignore = "needs Kafka, Postgres and ClickHouse"]
fn a_message_that_ends_the_process_is_found_and_no_neighbour_suffers() {
    let (Some(brokers), Some(database), Some(log)) = (
        brokers("poison"),
        Database::new("kafka poison"),
        Server::new("kafka poison"),
    ) else {
        return;
    };
    let world = World::on(&brokers).set_up(4);
    let messages = (0..COUNT).map(|number| OutgoingMessage::delivery("", delivery(number)));
    publish(&world.settings, messages, Pace::default()).unwrap();
    let store = tempfile::tempdir().unwrap();
    let settings = all_settings(&world, &brokers, &database, &log);
    let file = store.path().join("recipients.jsonl");
    std::fs::write(&file, recipients(0..COUNT)).unwrap();
    hookflow(&["load", file.to_str().unwrap()], store.path(), &settings);

    let (mut deaths, mut before) = (0, 0);
    let survivor = loop {
        let mut member = Member::start(store.path(), &settings);
        let ended = member.ends_before("everything is committed", |_| world.is_committed());
        let Some(status) = ended else { break member };
        deaths += 1;
        assert_eq!(
            status.signal(),
            Some(SIGABRT),
            "{status}: {}",
            member.said()
        );
        assert!(deaths <= CRASHES, "it died {deaths} times");
        let committed = world.committed().values().sum();
        assert!(before <= committed, "commits went back");
        before = committed;
        assert!(before < COUNT, "the poison is committed and kills");
    };
    assert_eq!(deaths, CRASHES);
    let mut reader = PostgresReader::open(database.settings.clone()).unwrap();
    let letters = reader.dead_letters(10).unwrap();
    let [letter] = &letters[..] else {
        panic!("{letters:?}")
    };
    assert_eq!(
        (letter.reason_code.as_str(), letter.user.as_str()),
        ("poison", tenant(POISON).as_str())
    );
    let letter = reader.dead_letter(&letter.id).unwrap().unwrap();
    assert_eq!(letter.raw.as_deref(), Some(body(POISON).as_bytes()));
    let rows = reader.export().unwrap().recipients;
    assert_eq!(rows.len() as u64, COUNT);
    for row in &rows {
        let is_poison = row.recipient_id == format!("r{POISON}");
        assert_eq!(row.status == "delivered", !is_poison, "{row:?}");
    }
    let seen = clickhouse::events(&log.settings, &EventFilter::default()).unwrap();
    assert_eq!(seen.len() as u64, COUNT - 1);
    survivor.end();
}
