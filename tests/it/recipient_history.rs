//! `hookflow recipient`: the state of a recipient, and the events behind it in their order.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::clickhouse_server::Server;

type Settings = Vec<(&'static str, String)>;

/// One event of Postmark about message m1, as a line of a file of deliveries.
fn delivery(body: &Value) -> String {
    let line = json!({
        "provider": "postmark", "user": "acme", "method": "POST", "url": "https://example.org/in",
        "received_at": "2026-03-02T10:00:00Z", "headers": {}, "body": body.to_string(),
    });
    format!("{line}\n")
}

fn hookflow(folder: &Path, settings: &Settings, arguments: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_hookflow"))
        .arg("--store")
        .arg(folder.join("store"))
        .args(arguments)
        .envs(settings.iter().cloned())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

/// Events that are delivered out of order are shown in the order in which they happened.
fn history_is_shown(settings: &Settings) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let recipients = "provider,message_id,recipient,user_id,batch_id,recipient_id\n\
        postmark,m1,ada@example.org,acme,b1,r1\n\
        postmark,m2,bob@example.org,acme,b1,r2\n";
    std::fs::write(folder.join("recipients.csv"), recipients).unwrap();
    let opened = json!({
        "RecordType": "Open", "MessageID": "m1", "Recipient": "ada@example.org", "FirstOpen": true,
        "ReceivedAt": "2026-03-02T09:30:00Z", "UserAgent": "x",
    });
    let sent = |message: &str, to: &str| {
        json!({
            "RecordType": "Delivery", "MessageID": message, "Recipient": to, "DeliveredAt": "2026-03-02T09:00:00Z",
        })
    };
    let lines = [
        opened,
        sent("m2", "bob@example.org"),
        sent("m1", "ada@example.org"),
    ];
    let file = folder.join("deliveries.jsonl");
    std::fs::write(&file, lines.iter().map(delivery).collect::<String>()).unwrap();
    let snapshot = folder.join("recipients.csv");
    let (file, snapshot) = (file.to_str().unwrap(), snapshot.to_str().unwrap());
    let replay = ["run", "replay", file, "--snapshot", snapshot, "--quiet"];
    hookflow(folder, settings, &replay);

    let shown = hookflow(folder, settings, &["recipient", "ada@example.org"]);
    let at = |text: &str| {
        shown
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {shown}"))
    };
    assert!(at("events of r1") < at("2026-03-02T09:00:00"), "{shown}");
    assert!(
        at("2026-03-02T09:00:00") < at("2026-03-02T09:30:00"),
        "{shown}"
    );
    assert!(!shown.contains("m2"), "of another recipient: {shown}");

    let json = hookflow(folder, settings, &["recipient", "r1", "--json"]);
    let row: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    let events = row["events"].as_array().unwrap();
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["delivered", "opened"]);
}

#[test]
fn recipient_shows_the_events_behind_it_in_order() {
    history_is_shown(&Settings::new());
}

#[test]
#[ignore = "needs ClickHouse"]
fn recipient_shows_its_events_from_clickhouse_too() {
    let Some(server) = Server::new("recipient_history") else {
        return;
    };
    history_is_shown(&vec![
        ("HOOKFLOW_STORE_LOG", "clickhouse".into()),
        ("HOOKFLOW_CLICKHOUSE_URL", server.settings.url.clone()),
        (
            "HOOKFLOW_CLICKHOUSE_DATABASE",
            server.settings.database.clone(),
        ),
    ]);
}
