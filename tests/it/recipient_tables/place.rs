//! A schema or database of its own for each test, in each server that the environment names.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hookflow::enrich::tables::{Place, Server};
use hookflow::postgres::PostgresTls;
use serde_json::Value;

use crate::conformance_state::database;
use crate::skip::skipped_server;

/// A namespace in a server; it goes away with this.
pub struct User {
    pub server: Server,
    pub url: String,
    pub name: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// One in each server that is there.
pub fn all(test: &str) -> Vec<User> {
    [Server::Postgres, Server::ClickHouse]
        .into_iter()
        .filter_map(|server| User::new(server, test))
        .collect()
}

impl User {
    /// None without that server, which is said loudly.
    pub fn new(server: Server, test: &str) -> Option<Self> {
        let (variable, service) = match server {
            Server::Postgres => ("HOOKFLOW_POSTGRES_URL", "Postgres"),
            Server::ClickHouse => ("HOOKFLOW_CLICKHOUSE_URL", "ClickHouse"),
        };
        let Ok(url) = std::env::var(variable) else {
            skipped_server(&format!(
                "{test}: no {service} (start one with scripts/stack)"
            ));
            return None;
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("user_{}_{number}", std::process::id());
        let user = Self { server, url, name };
        user.run(&match server {
            Server::Postgres => format!("CREATE SCHEMA {}", user.name),
            Server::ClickHouse => format!("CREATE DATABASE {}", user.name),
        });
        Some(user)
    }

    /// A table's full name.
    pub fn table(&self, table: &str) -> String {
        format!("{}.{table}", self.name)
    }

    /// Runs one statement.
    pub fn run(&self, words: &str) {
        match self.server {
            Server::Postgres => {
                database::run(&self.url, &format!("SET TimeZone = 'UTC'; {words}")).unwrap();
            }
            Server::ClickHouse => {
                let client = clickhouse::Client::default().with_url(&self.url);
                let done = database::runtime().block_on(client.query_raw(words).execute());
                done.unwrap();
            }
        }
    }

    /// The table `sent`, with cursors of both kinds, and the table `batches`.
    pub fn create_tables(&self, sent_at: &str) {
        let (text, number, time, engine) = match self.server {
            Server::Postgres => ("text", "int8", "timestamptz", ""),
            Server::ClickHouse => (
                "String",
                "UInt64",
                "DateTime64(6, 'UTC')",
                "ENGINE = MergeTree ORDER BY tuple()",
            ),
        };
        let sent_at = match (sent_at, self.server) {
            ("text", _) => text,
            (_, Server::Postgres) => "timestamptz",
            (_, Server::ClickHouse) => "Nullable(DateTime64(3, 'UTC'))",
        };
        self.run(&format!(
            "CREATE TABLE {} (id {number}, at {time}, provider {text}, message_id {text}, recipient {text},
             user_id {text}, batch_id {text}, recipient_id {text}, sent_at {sent_at}) {engine}",
            self.table("sent")
        ));
        let (count, time) = match self.server {
            Server::Postgres => (number, time),
            Server::ClickHouse => ("Nullable(UInt64)", "Nullable(DateTime64(3, 'UTC'))"),
        };
        self.run(&format!(
            "CREATE TABLE {} (id {text}, user_name {text}, total {count}, sealed_at {time}, deadline {time}) {engine}",
            self.table("batches")
        ));
    }

    /// Inserts rows, all of them visible at one moment.
    pub fn insert(&self, table: &str, rows: &[String]) {
        if !rows.is_empty() {
            let table = self.table(table);
            self.run(&format!("INSERT INTO {table} VALUES {}", rows.join(", ")));
        }
    }

    /// Where the reader finds it.
    pub fn place(&self) -> Place {
        Place {
            server: self.server,
            url: self.url.clone(),
            user: None,
            password: None,
            tls: PostgresTls::Off,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(60),
        }
    }

    /// The settings of a program that reads it by the number of its rows.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let server = match self.server {
            Server::Postgres => "postgres",
            Server::ClickHouse => "clickhouse",
        };
        vec![
            ("HOOKFLOW_RECIPIENTS_SOURCE", server.into()),
            ("HOOKFLOW_RECIPIENTS_URL", self.url.clone()),
            ("HOOKFLOW_RECIPIENTS_TABLE", self.table("sent")),
            ("HOOKFLOW_RECIPIENTS_CURSOR", "id".into()),
            ("HOOKFLOW_RECIPIENTS_POLL_INTERVAL", "100ms".into()),
        ]
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.run(&match self.server {
            Server::Postgres => format!("DROP SCHEMA {} CASCADE", self.name),
            Server::ClickHouse => format!("DROP DATABASE {}", self.name),
        });
    }
}

/// A value as both servers read it.
pub fn quoted(text: &str) -> String {
    assert!(!text.contains('\\'), "{text:?} needs more than quotes");
    format!("'{}'", text.replace('\'', "''"))
}

/// A row of `sent`.
pub fn sent(id: usize, at_micros: u64, fields: [&str; 6], sent_at: Option<&str>) -> String {
    let texts = fields.map(quoted).join(", ");
    let sent_at = sent_at.map_or("NULL".into(), quoted);
    format!("({id}, {}, {texts}, {sent_at})", quoted(&time(at_micros)))
}

/// A time of 2026-03-01 as both servers read it.
pub fn time(micros: u64) -> String {
    let (second, rest) = (micros / 1_000_000, micros % 1_000_000);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "2026-03-01 {hour:02}:{minute:02}:{:02}.{rest:06}",
        second % 60
    )
}

/// A recipient of a snapshot file as a row of `sent`.
pub fn row_of(id: usize, line: &Value) -> String {
    let columns = [
        "provider",
        "message_id",
        "recipient",
        "user_id",
        "batch_id",
        "recipient_id",
    ];
    let fields = columns.map(|column| line[column].as_str().unwrap_or_default());
    let sent_at = line["sent_at"].as_str().map(plain_time);
    sent(id, 0, fields, sent_at.as_deref())
}

/// A batch of a file as a row of `batches`.
pub fn batch_of(line: &Value) -> String {
    let texts = ["id", "user"].map(|column| quoted(line[column].as_str().unwrap()));
    let total = line["total"]
        .as_u64()
        .map_or("NULL".into(), |n| n.to_string());
    let times = ["sealed_at", "deadline"].map(|column| {
        let time = line[column].as_str().map(plain_time);
        time.map_or("NULL".into(), |time| quoted(&time))
    });
    format!("({}, {total}, {})", texts.join(", "), times.join(", "))
}

/// RFC 3339 in UTC without its letters.
fn plain_time(time: &str) -> String {
    time.replace('T', " ").trim_end_matches('Z').to_owned()
}
