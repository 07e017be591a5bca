//! A generated world, and what is left of it where all recipients are known before the first delivery.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use hookflow::enrich::snapshot::GivenRow;
use hookflow::event::Millis;
use hookflow::log::{EventFilter, parquet};
use hookflow::recipient::RecipientRow;
use hookflow::state::StateStore;
use hookflow::state::sqlite::{SqliteReader, SqliteStore};
use hookflow::state::view::{Export, StateReader};
use serde_json::Value;
use tempfile::TempDir;

use super::member::{Settings, hookflow};

pub struct World {
    folder: TempDir,
    /// The recipients of each message, in the order of the messages.
    pub messages: Vec<Vec<Value>>,
    pub batches: Vec<Value>,
    /// Lines of deliveries.
    pub deliveries: Vec<String>,
    /// Events, dead letters and control messages.
    pub processed: u64,
    /// Events that no recipient is known for in the end.
    pub parked: u64,
    pub right: Export,
    /// User, batch, recipient and kind of events that bear no time: that of any copy is right.
    timeless: BTreeSet<[String; 4]>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let text = |name: &str| std::fs::read_to_string(path(name)).unwrap();
        let (store, none) = (folder.path().join("right"), Settings::new());
        let (seed, out) = (seed.to_string(), path(""));
        let size = ["--deliveries", "4000", "--users", "20"];
        let generate = ["generate", "--seed", &seed, "--out", &out];
        hookflow(&[&generate[..], &size].concat(), &store, &none);
        let all = text("snapshot.jsonl") + &text("snapshot-late.jsonl");
        std::fs::write(path("all.jsonl"), &all).unwrap();
        let load = [
            "load",
            &path("all.jsonl"),
            "--batches",
            &path("batches.jsonl"),
        ];
        hookflow(&load, &store, &none);
        let deliveries = path("deliveries.jsonl");
        let replay = [
            "run",
            "replay",
            "--quiet",
            "--summary",
            "json",
            "--workers",
            "2",
            &deliveries,
        ];
        let summary = hookflow(&replay, &store, &none);
        let summary: Value = serde_json::from_str(&summary).unwrap();
        let lines = |text: String| -> Vec<Value> {
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        };
        Self {
            messages: by_message(lines(all)),
            batches: lines(text("batches.jsonl")),
            deliveries: text("deliveries.jsonl")
                .lines()
                .map(|line| format!("{line}\n"))
                .collect(),
            processed: processed(&summary),
            parked: SqliteReader::open(&store)
                .unwrap()
                .counts()
                .unwrap()
                .unmatched,
            timeless: timeless(&store),
            right: SqliteStore::open(&store)
                .unwrap()
                .export()
                .unwrap()
                .comparable(),
            folder,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Whether as many batches are complete as will be: a job that is told to end does not look at deadlines once more.
    pub fn is_complete(&self, left: &Export) -> bool {
        let complete = |export: &Export| {
            let batches = export.batches.iter();
            batches.filter(|batch| batch.completed_at.is_some()).count()
        };
        complete(left) == complete(&self.right)
    }

    /// Compares what a run left.
    pub fn judge(&self, left: Export) {
        let (mut right, mut left) = (self.right.clone(), left.comparable());
        self.forget_free_times(&mut right);
        self.forget_free_times(&mut left);
        for (right, left) in right.recipients.iter().zip(&left.recipients) {
            assert_eq!(right, left);
        }
        for (right, left) in right.batches.iter().zip(&left.batches) {
            assert_eq!(right, left);
        }
        assert!(right == left, "there is more or less of something");
    }

    fn forget_free_times(&self, export: &mut Export) {
        for row in &mut export.recipients {
            for (flag, span) in &mut row.flags {
                // The flags of a kind bear its name: bounced_soft, machine_opened.
                let free = self.timeless.iter().any(|[user, batch, recipient, kind]| {
                    let name = (user, batch, recipient);
                    name == (&row.user, &row.batch_id, &row.recipient_id)
                        && flag.contains(kind.as_str())
                });
                if free {
                    (span.first, span.last) = (Millis(0), Millis(0));
                }
            }
        }
    }
}

fn timeless(store: &Path) -> BTreeSet<[String; 4]> {
    let log = parquet::events(&store.join("log"), &EventFilter::default()).unwrap();
    let events = log.iter().filter(|event| event.occurred_at.is_none());
    let names = events.map(|event| {
        let names = [
            &event.user,
            &event.batch_id,
            &event.recipient_id,
            &event.kind,
        ];
        names.map(|text| text.to_string())
    });
    names.collect()
}

fn processed(summary: &Value) -> u64 {
    let count = |name: &str| summary[name].as_u64().unwrap();
    let duplicates = &summary["duplicates"];
    let duplicates = ["memory", "store"].map(|layer| duplicates[layer].as_u64().unwrap());
    let places = [
        "applied",
        "unmatched",
        "logged_only",
        "dead_letters",
        "control",
    ];
    places.map(count).iter().sum::<u64>() + duplicates.iter().sum::<u64>()
}

fn by_message(rows: Vec<Value>) -> Vec<Vec<Value>> {
    let mut messages: Vec<Vec<Value>> = Vec::new();
    let mut places = HashMap::new();
    for row in rows {
        let text = |column: &str| row[column].as_str().unwrap_or_default();
        let key = RecipientRow::new(GivenRow {
            provider: text("provider"),
            message_id: text("message_id"),
            recipient: text("recipient"),
            user: text("user_id"),
            batch_id: text("batch_id"),
            recipient_id: text("recipient_id"),
            sent_at: None,
        });
        let place = *places.entry(key.join).or_insert(messages.len());
        match messages.get_mut(place) {
            Some(message) => message.push(row),
            None => messages.push(vec![row]),
        }
    }
    messages
}
