//! Records that kill the real program: over a file, with the embedded store.
#![cfg(feature = "faults")]

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::broker::wait::until;

const BINARY: &str = env!("CARGO_BIN_EXE_hookflow");
const COUNT: usize = 3_000;
/// Runs of a file hold 512 lines: these two are decoded by different workers at the same time.
const POISON: usize = 700;
const SLOW: usize = 100;
const SIGABRT: i32 = 6;

/// A folder with a file of deliveries, and a store.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let lines: String = (0..COUNT)
            .map(|number| format!("{}\n", line(number)))
            .collect();
        std::fs::write(place.file(), lines).unwrap();
        place
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("deliveries.jsonl")
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn start(&self, env: &[(&str, &str)]) -> Child {
        Command::new(BINARY)
            .args(["run", "replay", "--quiet", "--workers", "2", "--store"])
            .arg(self.store())
            .arg(self.file())
            .env("HOOKFLOW_LOGS_LEVEL", "warn")
            .env("HOOKFLOW_JOB_CHECKPOINT_INTERVAL", "20ms")
            .env("HOOKFLOW_LOG_WINDOW_AGE_MAX", "50ms")
            .env("HOOKFLOW_POISON", key(POISON))
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Starts it until it comes to its end; how often the poison killed it.
    fn run_to_the_end(&self, env: &[(&str, &str)]) -> u32 {
        let mut deaths = 0;
        loop {
            let status = end(self.start(env));
            if status.success() {
                return deaths;
            }
            assert_eq!(status.signal(), Some(SIGABRT), "{status}");
            deaths += 1;
            assert!(deaths < 20, "it dies again and again");
        }
    }

    fn listed(&self, what: &[&str]) -> Vec<Value> {
        listed(&self.store(), what)
    }

    /// The raw bytes of all dead letters.
    fn letters(&self) -> BTreeSet<String> {
        let letters = self.listed(&["dlq", "list", "--limit", "10000"]);
        let raw = |letter: &Value| {
            let id = letter["id"].as_str().unwrap();
            assert_eq!(letter["reason_code"], "poison", "{letter}");
            let shown: Value =
                serde_json::from_str(&said(&self.store(), &["dlq", "show", id])).unwrap();
            shown["raw_text"].as_str().unwrap().to_owned()
        };
        letters.iter().map(raw).collect()
    }
}

fn end(mut child: Child) -> ExitStatus {
    let mut ended = None;
    until("the program ends", || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    ended.unwrap()
}

fn said(store: &Path, what: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    let ran = command.args(what).arg("--json").arg("--store").arg(store);
    let ran = ran.output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

fn listed(store: &Path, what: &[&str]) -> Vec<Value> {
    let rows = said(store, what);
    rows.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn key(number: usize) -> String {
    format!("key-{number}-")
}

fn line(number: usize) -> String {
    let event = json!([{"email": format!("a{number}@example.org"), "timestamp": 1_772_460_003, "event": "delivered",
        "sg_event_id": key(number), "sg_message_id": format!("m{number}")}]);
    json!({"provider": "sendgrid", "user": "u", "body": event.to_string()}).to_string()
}

#[test]
fn a_slow_innocent_beside_each_crash_and_ten_kills_are_not_blamed() {
    let place = Place::new();
    let slow = key(SLOW);
    // The poison kills only while the slow one is being decoded, if that is possible at all.
    let deaths = place.run_to_the_end(&[("HOOKFLOW_SLOW", &slow)]);
    assert_eq!(deaths, 3);
    assert_eq!(place.letters(), BTreeSet::from([line(POISON)]));

    let mut killed = 0;
    for kill in 0..10u64 {
        let mut child = place.start(&[]);
        // From before the first record to beyond the last one.
        let pause = Duration::from_millis(40 + kill * 7919 % 400);
        crossbeam_channel::never::<()>()
            .recv_timeout(pause)
            .unwrap_err();
        child.kill().unwrap();
        killed += u32::from(end(child).signal() == Some(9));
    }
    assert!(killed > 0, "no kill hit a running program");
    place.run_to_the_end(&[]);
    assert_eq!(place.letters(), BTreeSet::from([line(POISON)]));
    let events = place.listed(&["events", "--limit", "10000"]);
    assert_eq!(events.len(), COUNT - 1);
}

/// The design that the rules exclude: whatever was being decoded in three crashes is blamed.
#[test]
fn blame_by_presence_is_caught() {
    let place = Place::new();
    let slow = key(SLOW);
    let wrong = [
        ("HOOKFLOW_SLOW", slow.as_str()),
        ("HOOKFLOW_WRONG", "blame-by-presence"),
    ];
    place.run_to_the_end(&wrong);
    assert!(
        place.letters().contains(&line(SLOW)),
        "nobody blames the slow one"
    );
}

#[test]
fn a_poisoned_line_of_a_file_becomes_a_dead_letter_after_three_crashes() {
    let place = Place::new();
    assert_eq!(place.run_to_the_end(&[]), 3);
    assert_eq!(place.letters(), BTreeSet::from([line(POISON)]));
    let events = place.listed(&["events", "--limit", "10000"]);
    assert_eq!(events.len(), COUNT - 1);
}

#[test]
fn the_files_of_the_quarantine_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    assert_eq!(end(place.start(&[])).signal(), Some(SIGABRT));
    let files = std::fs::read_dir(place.store()).unwrap();
    let files = files.map(|file| file.unwrap());
    let ours: Vec<_> = files
        .filter(|file| {
            file.file_name()
                .to_string_lossy()
                .starts_with("quarantine-")
        })
        .collect();
    assert_eq!(ours.len(), 2, "{ours:?}");
    for file in ours {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
