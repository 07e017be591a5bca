//! What the binary left: read from the store's files with plain SQL, and from the log by `hookflow events`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::{Connection, OpenFlags, Row as SqlRow};
use serde_json::Value;

use crate::process::{self, BINARY};
use crate::truth::{DeadName, FLAGS, Facts, Name, RowName, millis, text};
use crate::world::hex;

/// A state row: flags, status, and per flag its first and last time.
#[derive(Debug)]
pub struct Row {
    pub flags: i64,
    pub status: i64,
    pub times: BTreeMap<&'static str, (Option<i64>, Option<i64>)>,
}

/// A batch.
#[derive(Debug)]
pub struct Batch {
    pub total: Option<i64>,
    pub sealed: bool,
    pub completed: bool,
    pub generation: i64,
    pub counters: BTreeMap<&'static str, i64>,
}

/// A logged event.
#[derive(Debug)]
pub struct Logged {
    pub identity: String,
    pub version: i64,
    pub row: (String, String),
    pub facts: Facts,
    pub received_at: i64,
}

/// User, batch, generation.
pub type Firing = (String, String, i64);

/// All of it.
#[derive(Debug)]
pub struct Store {
    pub rows: BTreeMap<RowName, Row>,
    pub batches: BTreeMap<(String, String), Batch>,
    pub parked: BTreeSet<Name>,
    pub dead: BTreeMap<DeadName, i64>,
    pub ledger: BTreeSet<String>,
    pub outbox: BTreeSet<Firing>,
    pub undelivered: i64,
    pub told: BTreeSet<Firing>,
    pub log: BTreeMap<Name, Logged>,
}

const COUNTERS: [&str; 5] = ["recipients", "finished", "opens", "clicks", "machine_opens"];

/// Reads a store that no process uses.
pub fn read(folder: &Path) -> Result<Store, String> {
    let conn =
        Connection::open_with_flags(folder.join("state.db"), OpenFlags::SQLITE_OPEN_READ_WRITE)
            .map_err(|error| format!("the store cannot be opened: {error}"))?;
    Ok(Store {
        rows: query(&conn, "SELECT * FROM recipients", row),
        batches: query(&conn, "SELECT * FROM batches", batch),
        parked: query(&conn, "SELECT * FROM unmatched", parked),
        dead: query(&conn, "SELECT * FROM dead_letters", dead),
        ledger: query(&conn, "SELECT identity FROM ledger", |row| {
            hex(&row.get::<_, Vec<u8>>(0).unwrap())
        }),
        outbox: query(
            &conn,
            "SELECT b.user, b.batch_id, o.generation FROM outbox o JOIN batches b ON b.id = o.batch",
            |row| {
                (
                    string(row, "user"),
                    string(row, "batch_id"),
                    int(row, "generation"),
                )
            },
        ),
        undelivered: conn
            .query_row(
                "SELECT count(*) FROM outbox WHERE delivered_at IS NULL",
                [],
                |row| row.get(0),
            )
            .unwrap(),
        told: told(folder)?,
        log: log(folder)?,
    })
}

fn query<T, C: FromIterator<T>>(conn: &Connection, sql: &str, take: fn(&SqlRow<'_>) -> T) -> C {
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok(take(row))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn string(row: &SqlRow<'_>, name: &str) -> String {
    row.get(name).unwrap()
}

fn int(row: &SqlRow<'_>, name: &str) -> i64 {
    row.get(name).unwrap()
}

fn row(row: &SqlRow<'_>) -> (RowName, Row) {
    let name = ["user", "batch_id", "recipient_id"].map(|name| string(row, name));
    let times = FLAGS.map(|flag| {
        let first = row.get(format!("first_{flag}").as_str()).unwrap();
        let last = row.get(format!("last_{flag}").as_str()).unwrap();
        (flag, (first, last))
    });
    let row = Row {
        flags: int(row, "flags"),
        status: int(row, "status"),
        times: times.into(),
    };
    (name.into(), row)
}

fn batch(row: &SqlRow<'_>) -> ((String, String), Batch) {
    let counters = FLAGS.into_iter().chain(COUNTERS);
    let batch = Batch {
        total: row.get("total").unwrap(),
        sealed: row.get::<_, Option<i64>>("sealed_at").unwrap().is_some(),
        completed: row.get::<_, Option<i64>>("completed_at").unwrap().is_some(),
        generation: int(row, "generation"),
        counters: counters.map(|name| (name, int(row, name))).collect(),
    };
    ((string(row, "user"), string(row, "batch_id")), batch)
}

/// The names of kinds in the order of their stored numbers.
pub const KINDS: [&str; 11] = [
    "sent",
    "deferred",
    "delivered",
    "opened",
    "clicked",
    "bounced",
    "dropped",
    "complained",
    "unsubscribed",
    "failed",
    "other",
];

fn parked(row: &SqlRow<'_>) -> Name {
    let kind = KINDS[usize::try_from(int(row, "kind")).unwrap()].to_owned();
    let (provider, user) = (string(row, "provider"), string(row, "user"));
    (provider, user, kind, string(row, "event_key"))
}

fn dead(row: &SqlRow<'_>) -> (DeadName, i64) {
    let sha: Vec<u8> = row.get("body_sha256").unwrap();
    let name = (string(row, "stage"), int(row, "place"), hex(&sha));
    (name, int(row, "attempts"))
}

fn told(folder: &Path) -> Result<BTreeSet<Firing>, String> {
    let lines = std::fs::read_to_string(folder.join("completions.jsonl")).unwrap_or_default();
    let take = |line: &str| {
        let line: Value = serde_json::from_str(line)
            .map_err(|error| format!("completions.jsonl holds {line:?}: {error}"))?;
        let generation = line["generation"].as_i64().unwrap();
        Ok((text(&line["user"]), text(&line["batch_id"]), generation))
    };
    lines.lines().map(take).collect()
}

fn log(folder: &Path) -> Result<BTreeMap<Name, Logged>, String> {
    let path = folder.join("oracle-events");
    let child = Command::new(BINARY)
        .args(["events", "--json", "--limit", "100000000", "--store"])
        .arg(folder)
        .stdout(std::fs::File::create(&path).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = process::wait(child, process::LIMIT, "hookflow events")?;
    if !status.success() {
        return Err(format!("hookflow events ended with {status}"));
    }
    let mut log = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let names = ["provider", "user", "kind", "event_key"];
        let name: Name = names.map(|name| text(&line[name])).into();
        let logged = Logged {
            identity: text(&line["identity"]),
            version: line["version"].as_i64().unwrap(),
            row: (text(&line["batch_id"]), text(&line["recipient_id"])),
            facts: Facts::of(&line),
            received_at: millis(&line["received_at"]).unwrap(),
        };
        if log.insert(name.clone(), logged).is_some() {
            return Err(format!("hookflow events lists {name:?} twice"));
        }
    }
    Ok(log)
}
