//! What is true: a single-threaded fold of the journal, with the rules written out once more.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The flags, lowest bit first; the names are those of the store's columns.
pub const FLAGS: [&str; 12] = [
    "sent",
    "deferred",
    "dropped",
    "failed",
    "bounced_soft",
    "bounced_hard",
    "delivered",
    "opened",
    "clicked",
    "unsubscribed",
    "complained",
    "machine_opened",
];

/// The flags from the lowest status to the highest; `pending` is below, `machine_opened` has none.
const RANKS: [&str; 11] = [
    "sent",
    "deferred",
    "dropped",
    "failed",
    "bounced_soft",
    "delivered",
    "opened",
    "clicked",
    "bounced_hard",
    "unsubscribed",
    "complained",
];

/// Provider, user, kind, event key.
pub type Name = (String, String, String, String);
/// User, batch, recipient.
pub type RowName = (String, String, String);
/// Stage, index, SHA-256 of the body.
pub type DeadName = (String, i64, String);

/// One logical event.
#[derive(Clone, Debug)]
pub struct Event {
    pub flag: Option<&'static str>,
    pub row: Option<(String, String)>,
    /// Its time, or one of these if it has none.
    pub times: Vec<i64>,
    pub facts: Facts,
    pub received: Vec<i64>,
}

/// What an event says of itself, beside its name: every copy says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub message_id: String,
    pub bounce_class: Option<String>,
    pub machine: bool,
    pub recipient: Option<String>,
    pub occurred_at: Option<i64>,
}

impl Facts {
    /// Reads a line of the journal, or of `hookflow events`.
    pub fn of(line: &Value) -> Self {
        let optional = |name: &str| line[name].as_str().map(str::to_owned);
        Self {
            message_id: text(&line["message_id"]),
            bounce_class: optional("bounce_class"),
            machine: line["machine"].as_bool().unwrap(),
            recipient: optional("recipient"),
            occurred_at: millis(&line["occurred_at"]),
        }
    }
}

/// One state row.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// By flag: the times of each event.
    pub times: BTreeMap<&'static str, Vec<Vec<i64>>>,
}

impl Row {
    pub fn has(&self, flag: &str) -> bool {
        self.times.contains_key(flag)
    }

    /// 0 = pending.
    pub fn status(&self) -> i64 {
        let highest = RANKS.iter().rposition(|flag| self.has(flag));
        highest.map_or(0, |at| at as i64 + 1)
    }

    pub fn finished(&self) -> bool {
        let open = ["sent", "deferred", "machine_opened"];
        self.times.keys().any(|flag| !open.contains(flag))
    }
}

/// One batch.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub given: bool,
    pub early: i64,
    pub late: i64,
    pub total: Option<i64>,
    pub deadline: Option<i64>,
    pub counters: BTreeMap<&'static str, i64>,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Truth {
    pub events: BTreeMap<Name, Event>,
    pub rows: BTreeMap<RowName, Row>,
    pub batches: BTreeMap<(String, String), Batch>,
    pub parked: BTreeSet<Name>,
    /// With the least number of attempts.
    pub dead: BTreeMap<DeadName, i64>,
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub fn millis(value: &Value) -> Option<i64> {
    let at: jiff::Timestamp = value.as_str()?.parse().unwrap();
    Some(at.as_millisecond())
}

/// Folds the journal.
pub fn fold(journal: &str) -> Truth {
    let mut truth = Truth::default();
    for line in journal.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        match line["type"].as_str().unwrap() {
            "event" => event(&mut truth, &line),
            "row" => {
                let name = [&line["user"], &line["batch_id"], &line["recipient_id"]].map(text);
                truth.rows.entry(name.into()).or_default();
            }
            "batch" => batch(&mut truth, &line),
            "reject" => {
                let index = line["index"].as_i64().unwrap();
                let name = (text(&line["stage"]), index, text(&line["sha256"]));
                let copies = line["copies"].as_array().unwrap().len() as i64;
                truth.dead.insert(name, copies);
            }
            "totals" => {}
            other => panic!("a journal line of type {other}"),
        }
    }
    effects(&mut truth);
    truth
}

fn event(truth: &mut Truth, line: &Value) {
    let name: Name = [
        &line["provider"],
        &line["user"],
        &line["kind"],
        &line["event_key"],
    ]
    .map(text)
    .into();
    let copies = line["copies"].as_array().unwrap();
    let received: Vec<i64> = copies.iter().filter_map(millis).collect();
    let row = line["row"].as_object();
    let mut facts = Facts::of(line);
    // 2010-01-01 to 2100-01-01.
    facts.occurred_at = facts
        .occurred_at
        .filter(|at| (1_262_304_000_000..4_102_444_800_000).contains(at));
    let new = Event {
        flag: flag(line),
        row: row.map(|row| (text(&row["batch_id"]), text(&row["recipient_id"]))),
        times: match facts.occurred_at {
            Some(at) => vec![at],
            None => received.clone(),
        },
        facts,
        received,
    };
    let twice = truth.events.insert(name, new);
    assert!(twice.is_none(), "two events of one identity: {line}");
}

fn flag(line: &Value) -> Option<&'static str> {
    let hard = line["bounce_class"] == "hard";
    let machine = line["machine"] == true;
    let name = match line["kind"].as_str().unwrap() {
        "bounced" if hard => "bounced_hard",
        "bounced" => "bounced_soft",
        "opened" if machine => "machine_opened",
        "other" => return None,
        kind => kind,
    };
    Some(*FLAGS.iter().find(|flag| **flag == name).unwrap())
}

fn batch(truth: &mut Truth, line: &Value) {
    let name = (text(&line["user"]), text(&line["batch_id"]));
    let batch = Batch {
        given: line["total"].is_i64(),
        early: line["rows"].as_i64().unwrap(),
        late: line["late_rows"].as_i64().unwrap(),
        total: line["total"].as_i64(),
        deadline: millis(&line["deadline"]),
        counters: BTreeMap::new(),
    };
    truth.batches.insert(name, batch);
}

fn effects(truth: &mut Truth) {
    for (name, event) in &truth.events {
        let Some(flag) = event.flag else { continue };
        let Some((batch, recipient)) = event.row.clone() else {
            truth.parked.insert(name.clone());
            continue;
        };
        let key = (name.1.clone(), batch.clone(), recipient);
        let row = truth.rows.get_mut(&key).unwrap();
        row.times.entry(flag).or_default().push(event.times.clone());
        let Some(batch) = truth.batches.get_mut(&(name.1.clone(), batch)) else {
            continue;
        };
        let total = match flag {
            "opened" => "opens",
            "clicked" => "clicks",
            "machine_opened" => "machine_opens",
            _ => continue,
        };
        *batch.counters.entry(total).or_default() += 1;
    }
    for ((user, batch, _), row) in &truth.rows {
        let Some(batch) = truth.batches.get_mut(&(user.clone(), batch.clone())) else {
            continue;
        };
        *batch.counters.entry("recipients").or_default() += 1;
        *batch.counters.entry("finished").or_default() += i64::from(row.finished());
        for flag in row.times.keys() {
            *batch.counters.entry(flag).or_default() += 1;
        }
    }
}
