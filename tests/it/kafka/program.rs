//! The real program over a topic, with the embedded stores: set up, publish, read, and read the past again.

use std::path::Path;

use hookflow::state::StateStore;
use hookflow::state::sqlite::SqliteStore;
use hookflow::state::view::Export;

use super::wait::until;
use super::world::{World, brokers};
use crate::recipient_tables::member::{Member, Settings, hookflow};

/// How a topic is named to the program.
pub fn settings(world: &World, brokers: &str) -> Settings {
    vec![
        ("HOOKFLOW_SOURCE_LIVE", "kafka".into()),
        ("HOOKFLOW_KAFKA_BROKERS", brokers.into()),
        ("HOOKFLOW_KAFKA_TOPICS", world.topic().into()),
        ("HOOKFLOW_KAFKA_GROUP", world.settings.group.clone()),
        ("HOOKFLOW_KAFKA_SESSION_TIMEOUT", "3s".into()),
    ]
}

/// The tenant of a delivery.
pub fn tenant(number: u64) -> String {
    format!("tenant {}", number % 40)
}

/// The body of a delivery of one event.
pub fn body(number: u64) -> String {
    serde_json::json!([{"email": format!("r{number}@example.org"), "timestamp": 1_772_460_003, "event": "delivered",
        "sg_event_id": format!("e{number}"), "sg_message_id": format!("m{number}")}])
    .to_string()
}

/// Whom the deliveries of these numbers concern, as a file of recipients.
pub fn recipients(numbers: std::ops::Range<u64>) -> String {
    let row = |number: u64| {
        let row = serde_json::json!({"user_id": tenant(number), "provider": "sendgrid", "message_id": format!("m{number}"),
            "recipient": format!("r{number}@example.org"), "batch_id": "b", "recipient_id": format!("r{number}")});
        format!("{row}\n")
    };
    numbers.map(row).collect()
}

fn deliveries(numbers: std::ops::Range<u64>) -> String {
    let line = |number: u64| {
        let delivery = serde_json::json!({"provider": "sendgrid", "user": tenant(number), "body": body(number)});
        format!("{delivery}\n")
    };
    numbers.map(line).collect()
}

fn export(store: &Path) -> Export {
    SqliteStore::open(store).unwrap().export().unwrap()
}

#[test]
#[ignore = "needs Kafka"]
fn a_topic_is_set_up_filled_read_and_its_past_changes_nothing() {
    let Some(brokers) = brokers("program") else {
        return;
    };
    let mut world = World::on(&brokers);
    world.settings.storage.partitions = 3;
    let mut settings = settings(&world, &brokers);
    settings.push(("HOOKFLOW_KAFKA_TOPIC_PARTITIONS", "3".into()));
    let store = tempfile::tempdir().unwrap();
    let said = hookflow(&["setup"], store.path(), &settings);
    assert!(said.contains("3 partitions ready"), "{said}");
    hookflow(&["check"], store.path(), &settings);
    let file = |name: &str, text: &str| {
        let path = store.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    // One that is no delivery, and one that came twice.
    let lines = deliveries(0..500) + &deliveries(7..8) + "no delivery\n";
    let published = hookflow(
        &["publish", &file("deliveries.jsonl", &lines)],
        store.path(),
        &settings,
    );
    assert!(published.contains("502 messages"), "{published}");
    assert_eq!(world.ends().values().sum::<u64>(), 502);
    hookflow(
        &["load", &file("recipients.jsonl", &recipients(0..500))],
        store.path(),
        &settings,
    );

    let mut member = Member::start(store.path(), &settings);
    member.wait("everything is committed", |_| world.is_committed());
    let metric = |member: &Member, outcome: &str| {
        member.metric(&format!(
            "webhooks_processed_total{{outcome=\"{outcome}\"}}"
        ))
    };
    assert_eq!(metric(&member, "applied"), 500);
    assert_eq!(metric(&member, "dead_letter"), 1);
    member.wait_for("webhook_source_lag", 0);
    member.end();
    let before = export(store.path());
    assert_eq!(before.recipients.len(), 500);
    assert!(
        before
            .recipients
            .iter()
            .all(|row| row.status == "delivered")
    );

    let committed = world.committed();
    for since in [&["--since", "2020-01-01T00:00:00Z"][..], &[]] {
        let replay = ["run", "replay", "--stream", "--quiet"];
        let arguments: Vec<&str> = replay.iter().chain(since).copied().collect();
        let said = hookflow(&arguments, store.path(), &settings);
        assert!(said.contains("502"), "it reads all of it: {said}");
        assert_eq!(export(store.path()), before, "the past changed something");
    }
    until("nobody is left in the group", || world.group().0 == 0);
    assert_eq!(world.committed(), committed, "a replay commits nothing");
}
