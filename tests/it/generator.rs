//! The generated world: deterministic, in the shares that were asked for, and true to its journal.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hookflow::generator::{
    Generator, GeneratorConfig, GeneratorItem, SnapshotFormat, Supply, is_complete, write_to,
};
use hookflow::metrics::Metrics;
use hookflow::source::generator::{GeneratorConnector, GeneratorSource};
use hookflow::source::pace::Pace;
use hookflow::source::{
    PartitionEvent, Record, RecordReceivers, RecordSender, Source, SourceContext,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn small(seed: u64) -> GeneratorConfig {
    GeneratorConfig {
        seed,
        deliveries: 20_000,
        malformed_bodies: 0.005,
        malformed_lines: 0.003,
        control_messages: 0.003,
        bad_elements: 0.02,
        ..GeneratorConfig::default()
    }
}

struct Folder {
    dir: tempfile::TempDir,
    lines: Vec<String>,
    journal: Vec<Value>,
}

fn lines_of(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn values(path: &Path) -> Vec<Value> {
    let lines = lines_of(path);
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn written(settings: GeneratorConfig) -> Folder {
    let dir = tempfile::tempdir().unwrap();
    write_to(dir.path(), settings, SnapshotFormat::Jsonl, |_| ()).unwrap();
    Folder {
        lines: lines_of(&dir.path().join("deliveries.jsonl")),
        journal: values(&dir.path().join("journal.jsonl")),
        dir,
    }
}

impl Folder {
    fn of_type<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.journal.iter().filter(move |line| line["type"] == name)
    }

    fn hash(&self) -> String {
        let mut hash = blake3::Hasher::new();
        for name in [
            "deliveries",
            "snapshot",
            "snapshot-late",
            "batches",
            "journal",
        ] {
            let path = self.dir.path().join(format!("{name}.jsonl"));
            hash.update(&std::fs::read(path).unwrap());
        }
        hash.finalize().to_hex().to_string()
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn hex(hash: impl AsRef<[u8]>) -> String {
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_seed_others() {
    let first = written(small(7));
    assert_eq!(first.hash(), written(small(7)).hash());
    assert_ne!(first.hash(), written(small(8)).hash());
    assert!(is_complete(first.dir.path()));
    let tiny = GeneratorConfig {
        deliveries: 500,
        ..GeneratorConfig::default()
    };
    assert_eq!(
        &written(tiny).hash()[..16],
        TINY_HASH,
        "the bytes of a seed are part of the format"
    );
}

/// Changes only when the generator is meant to write something else.
const TINY_HASH: &str = "2e15d9404843050b";

#[test]
fn the_iterator_and_the_files_agree() {
    let folder = written(small(3));
    let items: Vec<GeneratorItem> = Generator::new(small(3)).collect();
    let lates = items
        .iter()
        .filter(|item| matches!(item, GeneratorItem::Late(_)))
        .count();
    assert_eq!((lates, items.len() - 1), (1, folder.lines.len()));
    let rest = items
        .iter()
        .filter(|item| !matches!(item, GeneratorItem::Late(_)));
    for (item, line) in rest.zip(&folder.lines) {
        match item {
            GeneratorItem::Delivery(delivery) => {
                let value: Value = serde_json::from_str(line).unwrap();
                assert_eq!(text(&value, "body").as_bytes(), delivery.body.as_ref());
                assert_eq!(
                    text(&value, "received_at"),
                    delivery.received_at.to_string()
                );
                let headers: Value = serde_json::from_slice(delivery.headers.as_json()).unwrap();
                assert_eq!(value["headers"], headers);
            }
            GeneratorItem::Line(text) => assert_eq!(line.as_bytes(), text.as_ref()),
            GeneratorItem::Late(_) => {}
        }
    }
}

#[test]
fn every_good_body_parses_and_every_bad_one_is_in_the_journal() {
    let folder = written(small(5));
    let rejects: HashMap<String, &Value> = folder
        .of_type("reject")
        .map(|reject| (text(reject, "sha256").to_owned(), reject))
        .collect();
    let mut found = HashSet::new();
    for line in &folder.lines {
        let as_line = hex(Sha256::digest(line));
        if let Some(reject) = rejects.get(&as_line) {
            assert_eq!(reject["stage"], "source");
            found.insert(as_line);
            continue;
        }
        let delivery: Value = serde_json::from_str(line).unwrap();
        let body = text(&delivery, "body");
        let hash = hex(Sha256::digest(body));
        let reject = rejects.get(&hash);
        check_body(text(&delivery, "provider"), body, reject.copied());
        found.extend(reject.map(|_| hash));
    }
    assert_eq!(
        found.len(),
        rejects.len(),
        "every expected reject was delivered"
    );
    let reasons: HashSet<&str> = rejects
        .values()
        .map(|reject| text(reject, "reason"))
        .collect();
    let expected = [
        "bad_syntax",
        "bad_shape",
        "bad_delivery",
        "unknown_provider",
    ];
    assert_eq!(reasons, HashSet::from(expected));
}

fn check_body(provider: &str, body: &str, reject: Option<&Value>) {
    let form: HashMap<_, _> = form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let json: Result<Value, _> = match provider {
        "twilio" => {
            assert!(form["MessageSid"].starts_with("SM") && form["To"].starts_with('+'));
            return;
        }
        "mandrill" => serde_json::from_str(&form["mandrill_events"]),
        _ => serde_json::from_str(body),
    };
    let Some(reject) = reject else {
        let json = json.unwrap();
        let elements = json.as_array().cloned().unwrap_or_else(|| vec![json]);
        assert!(elements.iter().all(Value::is_object), "{provider}: {body}");
        return;
    };
    match text(reject, "reason") {
        "bad_syntax" => assert!(json.is_err()),
        _ => match json.unwrap() {
            Value::Array(all) => assert_eq!(all[reject["index"].as_u64().unwrap() as usize], 17),
            other => assert!(other.is_number()),
        },
    }
}

#[test]
fn the_journal_is_consistent_with_itself_and_the_snapshots() {
    let folder = written(small(11));
    let mut identities = HashSet::new();
    let rows: HashMap<(&str, &str, &str), bool> = folder
        .of_type("row")
        .map(|row| {
            let key = (
                text(row, "user"),
                text(row, "batch_id"),
                text(row, "recipient_id"),
            );
            (key, row["late"] == true)
        })
        .collect();
    assert_eq!(
        rows.len(),
        folder.of_type("row").count(),
        "state rows are distinct"
    );
    let mut unknown = 0;
    for event in folder.of_type("event") {
        let identity = ["provider", "user", "kind", "event_key"].map(|name| text(event, name));
        assert!(identities.insert(identity), "twice: {event}");
        let row = &event["row"];
        if row.is_null() {
            unknown += 1;
            continue;
        }
        let key = (
            text(event, "user"),
            text(row, "batch_id"),
            text(row, "recipient_id"),
        );
        assert_eq!(rows.get(&key), Some(&(event["late"] == true)), "{event}");
    }
    assert!(unknown > 100);
    snapshots_hold(&folder, &rows);
    let totals = folder.of_type("totals").next().unwrap();
    assert_eq!(totals["deliveries"], folder.lines.len());
    assert_eq!(totals["events"], identities.len());
}

fn snapshots_hold(folder: &Folder, rows: &HashMap<(&str, &str, &str), bool>) {
    let mut seen = HashSet::new();
    let mut messages: HashMap<String, (String, String)> = HashMap::new();
    for (name, late) in [("snapshot.jsonl", false), ("snapshot-late.jsonl", true)] {
        for row in values(&folder.dir.path().join(name)) {
            let key = (
                text(&row, "user_id"),
                text(&row, "batch_id"),
                text(&row, "recipient_id"),
            );
            assert_eq!(rows.get(&key), Some(&late), "{row}");
            seen.insert(format!("{key:?}"));
            let message = format!(
                "{}|{}|{}",
                row["provider"], row["message_id"], row["recipient"]
            );
            let to = (key.1.to_owned(), key.2.to_owned());
            assert!(
                messages.insert(message, to).is_none(),
                "no mapping contradicts another"
            );
        }
    }
    assert_eq!(seen.len(), rows.len(), "every state row is in a snapshot");
}

#[test]
fn shares_are_what_was_asked_for() {
    let folder = written(GeneratorConfig {
        deliveries: 60_000,
        ..GeneratorConfig::default()
    });
    let shipments: u64 = 60_000;
    let mut bodies: HashMap<&str, u64> = HashMap::new();
    let mut users: BTreeMap<String, u64> = BTreeMap::new();
    let mut providers = HashSet::new();
    for line in &folder.lines {
        let Ok(value) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        *users.entry(text(&value, "user").to_owned()).or_default() += 1;
        providers.insert(text(&value, "provider").to_owned());
        let body = line.find("\"body\":").map_or("", |at| &line[at..]);
        *bodies.entry(body).or_default() += 1;
    }
    assert!(providers.len() >= 11 && users.len() >= 1_000);
    let extra = bodies.values().filter(|count| **count > 1).count() as f64 / shipments as f64;
    assert!((0.05..0.08).contains(&extra), "copies: {extra}");
    let most = users.values().max().unwrap();
    assert!(*most > shipments / 30, "users are skewed: {most}");
    let late = folder
        .of_type("row")
        .filter(|row| row["late"] == true)
        .count() as f64;
    let late = late / folder.of_type("row").count() as f64;
    assert!((0.02..0.04).contains(&late), "late rows: {late}");
}

#[test]
fn most_recipients_can_only_be_found_by_their_message() {
    let folder = written(small(13));
    let rows = folder.of_type("row").count();
    let recipients: HashSet<String> = folder
        .of_type("row")
        .map(|row| format!("\\\"{}\\\"", text(row, "recipient_id")))
        .collect();
    let mut carried = HashSet::new();
    for line in &folder.lines {
        let Some(at) = line.find("recipient_id") else {
            continue;
        };
        let near = &line[at..line.len().min(at + 60)];
        let id: String = near
            .chars()
            .skip(12)
            .skip_while(|c| *c != 'r')
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
            .collect();
        if id.starts_with("r-") {
            carried.insert(id);
        }
    }
    assert!(
        !carried.is_empty() && carried.len() * 2 <= rows.max(recipients.len()),
        "{} of {rows}",
        carried.len()
    );
}

#[test]
fn most_recipients_finish_and_a_few_do_not() {
    let folder = written(small(17));
    let mut finished = HashSet::new();
    for event in folder.of_type("event") {
        let counts = !matches!(text(event, "kind"), "sent" | "deferred" | "other");
        if counts && event["machine"] == false && !event["row"].is_null() {
            finished.insert(format!("{} {}", event["user"], event["row"]));
        }
    }
    let rows = folder.of_type("row").count();
    let share = finished.len() as f64 / rows as f64;
    assert!((0.95..1.0).contains(&share), "{share}");
    assert!(
        folder
            .of_type("batch")
            .any(|batch| !batch["total"].is_null())
    );
    assert!(
        folder
            .of_type("batch")
            .any(|batch| !batch["deadline"].is_null())
    );
}

/// A generator without an end of its deliveries' world only if `supply` says so.
fn connector(
    settings: &GeneratorConfig,
    supply: Supply,
    per_second: Option<u64>,
) -> GeneratorConnector {
    GeneratorConnector {
        settings: settings.clone(),
        supply,
        pace: Pace { per_second },
    }
}

fn context() -> (SourceContext, RecordReceivers) {
    let (records, receivers) = RecordSender::channels(1, 4_096);
    let metrics = Metrics::new([]);
    let commits = crossbeam_channel::never();
    (SourceContext::new(records, commits, metrics), receivers)
}

#[test]
fn a_paced_source_bears_due_times_and_stops_when_told() {
    let settings = GeneratorConfig {
        deliveries: 1_000,
        ..GeneratorConfig::default()
    };
    let paced = connector(&settings, Supply::Meanwhile, Some(5_000));
    let source = GeneratorSource::prepare(&paced).unwrap();
    let total = source.deliveries().unwrap();
    let (mut given, receivers) = context();
    let (late, late_rows) = crossbeam_channel::unbounded();
    given.new_rows = Some(late);
    let started = Instant::now();
    Box::new(source).run(given).unwrap();
    assert!(
        started.elapsed() >= Duration::from_millis(190),
        "it is paced"
    );
    assert_eq!(late_rows.iter().count(), 1);
    let all: Vec<_> = receivers.workers[0].iter().collect();
    let times: Vec<i64> = all
        .iter()
        .flat_map(|records| &records.records)
        .filter_map(|record| match record {
            Record::Ready(delivery) => {
                Some(delivery.received_at.0 - delivery.origin.offset as i64 / 5)
            }
            Record::Line(..) | Record::Message(_) => None,
        })
        .collect();
    assert!(
        times.iter().all(|at| (at - times[0]).abs() <= 1),
        "delivery n is due n/rate after the start"
    );
    assert_eq!(all.last().unwrap().end, total as u64);
    assert!(matches!(
        receivers.partition_events.iter().last(),
        Some(PartitionEvent::Ended { .. })
    ));

    let slow = connector(&settings, Supply::Endless, Some(1));
    let source = GeneratorSource::prepare(&slow).unwrap();
    let (given, receivers) = context();
    let stop = Arc::clone(&given.stop);
    let running = std::thread::spawn(move || Box::new(source).run(given));
    receivers.workers[0].recv().unwrap();
    stop.store(true, Ordering::Relaxed);
    running.join().unwrap().unwrap();
    let mut events = receivers.partition_events.iter();
    assert!(
        !events.any(|event| matches!(event, PartitionEvent::Ended { .. })),
        "it was stopped before its end"
    );
}

#[test]
fn a_world_that_follows_begins_when_its_recipients_are_known_and_not_before() {
    let settings = GeneratorConfig {
        deliveries: 1_500,
        users: 20,
        ..GeneratorConfig::default()
    };
    let first = connector(&settings, Supply::Meanwhile, None);
    let first = GeneratorSource::prepare(&first).unwrap();
    let first = first.deliveries().unwrap() as u64;
    let endless = connector(&settings, Supply::Endless, None);
    let source = GeneratorSource::prepare(&endless).unwrap();
    let (mut given, receivers) = context();
    let (rows, new_rows) = crossbeam_channel::unbounded();
    given.new_rows = Some(rows);
    let stop = Arc::clone(&given.stop);
    let end = Duration::from_secs(30);
    let running = std::thread::spawn(move || Box::new(source).run(given));
    let records = &receivers.workers[0];
    let mut taken = 0;
    while taken < first {
        taken = records.recv_timeout(end).unwrap().end;
    }
    assert_eq!(taken, first, "the second world waits");
    let next = new_rows.recv_timeout(end).unwrap();
    assert!(next.tables.is_whole && !next.tables.batches.is_empty());
    assert!(!new_rows.recv_timeout(end).unwrap().tables.is_whole);
    assert!(records.try_recv().is_err());
    drop(next);
    assert_eq!(records.recv_timeout(end).unwrap().start, first);
    stop.store(true, Ordering::Relaxed);
    // It may wait for room in the channel.
    drop(receivers);
    running.join().unwrap().unwrap();
}
