//! What is durable in the sinks, read with plain SQL, and a lock that freezes the state store.

use std::collections::{BTreeSet, HashSet};

use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

use super::stack::Stack;
use crate::store::KINDS;
use crate::truth::{DeadName, Name};

/// Stage, index, SHA-256 of the body.
pub type Letter = DeadName;

/// Identities of events, and dead letters.
#[derive(Debug, Default)]
pub struct Durable {
    /// Applied or parked.
    pub state: HashSet<u128>,
    pub letters: BTreeSet<Letter>,
    pub log: HashSet<u128>,
}

/// A connection to the state store.
pub struct State {
    runtime: Runtime,
    client: Client,
}

impl State {
    /// Connects; unqualified names are those of the schema.
    pub fn connect(stack: &Stack, schema: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let url = stack.variable("HOOKFLOW_POSTGRES_URL");
        let connected = runtime.block_on(tokio_postgres::connect(url, NoTls));
        let (client, connection) = connected.unwrap();
        runtime.spawn(connection);
        let state = Self { runtime, client };
        state.run(&format!("SET search_path = {schema}")).unwrap();
        state
    }

    fn run(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.runtime.block_on(self.client.batch_execute(sql))
    }

    fn rows<T>(&self, sql: &str, take: impl Fn(&SimpleQueryRow) -> T) -> Vec<T> {
        let messages = self.runtime.block_on(self.client.simple_query(sql));
        let messages = messages.unwrap();
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(take(row)),
            _ => None,
        });
        rows.collect()
    }

    /// Freezes the store: from now on no event and no dead letter is written, until the connection is dropped. Whoever waits for
    /// the lock with us wants only one of the tables first, so in a deadlock it is enough to try again.
    pub fn lock(&self) {
        let lock = "BEGIN; LOCK TABLE ledger, unmatched, dead_letters IN ACCESS EXCLUSIVE MODE";
        for _ in 0..5 {
            match self.run(lock) {
                Ok(()) => return,
                Err(error) => println!("no lock: {error}"),
            }
            self.run("ROLLBACK").unwrap();
        }
        panic!("the state store cannot be locked");
    }

    /// The identities of all events that are applied or parked.
    pub fn events(&self) -> HashSet<u128> {
        let sql = "SELECT identity FROM ledger UNION ALL SELECT identity FROM unmatched";
        let identity = |row: &SimpleQueryRow| {
            let text = row.get(0).unwrap().replace('-', "");
            u128::from_str_radix(&text, 16).unwrap()
        };
        self.rows(sql, identity).into_iter().collect()
    }

    /// All dead letters.
    pub fn letters(&self) -> BTreeSet<Letter> {
        let sql = "SELECT stage, place, encode(body_sha256, 'hex') FROM dead_letters";
        let text = |row: &SimpleQueryRow, column: usize| row.get(column).unwrap().to_owned();
        let letter =
            |row: &SimpleQueryRow| (text(row, 0), text(row, 1).parse().unwrap(), text(row, 2));
        self.rows(sql, letter).into_iter().collect()
    }

    /// All parked events.
    pub fn parked(&self) -> BTreeSet<Name> {
        let sql = "SELECT provider, \"user\", kind, event_key FROM unmatched";
        let text = |row: &SimpleQueryRow, column: usize| row.get(column).unwrap().to_owned();
        let name = |row: &SimpleQueryRow| {
            let kind: usize = text(row, 2).parse().unwrap();
            (
                text(row, 0),
                text(row, 1),
                KINDS[kind].to_owned(),
                text(row, 3),
            )
        };
        self.rows(sql, name).into_iter().collect()
    }

    /// Whether every batch that is due is complete, and every completion told: a live job looks at deadlines now and then.
    pub fn is_at_rest(&self) -> bool {
        let sql =
            "SELECT count(*) FROM batches WHERE sealed_at IS NOT NULL AND completed_at IS NULL
            AND (finished >= total OR deadline <= now())";
        let due = self.rows(sql, |row| row.get(0).unwrap().to_owned());
        due[0] == "0" && self.completions().1 == 0
    }

    /// How many completions there are, and how many of them were not told.
    pub fn completions(&self) -> (u64, u64) {
        let sql = "SELECT count(*), count(*) FILTER (WHERE delivered_at IS NULL) FROM outbox";
        let count = |row: &SimpleQueryRow, column: usize| row.get(column).unwrap().parse().unwrap();
        self.rows(sql, |row| (count(row, 0), count(row, 1)))[0]
    }
}

/// The identities of all events in the log.
pub fn logged(stack: &Stack, database: &str) -> HashSet<u128> {
    let client = clickhouse::Client::default()
        .with_url(stack.variable("HOOKFLOW_CLICKHOUSE_URL"))
        .with_database(database);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let sql = "SELECT DISTINCT lower(hex(identity)) FROM events";
    let found = runtime.block_on(client.query(sql).fetch_all::<String>());
    let found = found.unwrap();
    let identity = |text: &String| u128::from_str_radix(text, 16).unwrap();
    found.iter().map(identity).collect()
}
