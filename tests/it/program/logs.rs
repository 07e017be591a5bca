//! The text logs of the real program: a delivery can be followed through them, and nobody can be read in them.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_hookflow");

fn hookflow(store: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("--store").arg(store);
    command
}

/// Runs a replay of these lines; its log lines.
fn replay(store: &Path, lines: &[String]) -> Vec<Value> {
    let file = store.join("deliveries.jsonl");
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let ran = hookflow(store)
        .args(["run", "replay", "--quiet"])
        .arg(&file)
        .env("HOOKFLOW_LOGS_LEVEL", "debug")
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let said = String::from_utf8(ran.stderr).unwrap();
    let logged = said.lines().filter(|line| line.starts_with('{'));
    logged
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn listed(store: &Path, what: &[&str]) -> Vec<Value> {
    let ran = hookflow(store).args(what).arg("--json").output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let rows = String::from_utf8(ran.stdout).unwrap();
    rows.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What was said of a delivery.
fn about(logs: &[Value], delivery: &str) -> Vec<String> {
    logs.iter()
        .filter(|line| line["delivery"] == delivery)
        .map(|line| line["message"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_delivery_is_followed_through_the_logs_by_its_id() {
    let store = tempfile::tempdir().unwrap();
    let store = store.path();
    let body = include_str!("../../fixtures/sendgrid/delivered.json");
    let good = json!({"provider": "sendgrid", "user": "u", "body": body}).to_string();
    let bad_body = json!({"provider": "sendgrid", "user": "u", "body": "[17"}).to_string();
    let lines = [good, "no delivery, ada@example.com".to_owned(), bad_body];
    let logs = replay(store, &lines);
    let at = |line: usize| {
        let before: usize = lines[..line].iter().map(|text| text.len() + 1).sum();
        format!("0-{before}")
    };
    assert_eq!(about(&logs, &at(0)), ["no recipient is known yet"]);
    for bad in [1, 2] {
        assert_eq!(
            about(&logs, &at(bad)),
            ["rejected", "dead letter stored"],
            "line {bad}"
        );
    }
    let letters = listed(store, &["dlq", "list"]);
    let mut ids: Vec<&str> = letters
        .iter()
        .map(|letter| letter["delivery"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [at(1), at(2)], "dead letters keep the id");
    let parked = listed(store, &["unmatched", "list"]);
    assert_eq!(parked[0]["delivery"], at(0), "parked events keep the id");
    let all = serde_json::to_string(&logs).unwrap();
    for secret in ["ada@", "example.com", "[17"] {
        assert!(!all.contains(secret), "{secret} is in the logs");
    }
}
