//! A Postgres schema of its own for each test, in the database that the environment names.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hookflow::state::postgres::{PostgresConfig, PostgresStore, migrate};
use tokio_postgres::NoTls;

use crate::skip::skipped_server;

/// A fresh store; its schema goes away with this.
pub struct Database {
    pub settings: PostgresConfig,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The address of the server; without one the test fails.
pub fn server(test: &str) -> Option<String> {
    match std::env::var("HOOKFLOW_POSTGRES_URL") {
        Ok(url) => Some(url),
        Err(_) => {
            skipped_server(&format!(
                "{test}: no Postgres (start one with scripts/stack)"
            ));
            None
        }
    }
}

impl Database {
    /// A migrated schema, for suites that also run on other stores; `None` if the environment names no server.
    pub fn if_available() -> Option<Self> {
        std::env::var_os("HOOKFLOW_POSTGRES_URL").and_then(|_| Self::new("every store"))
    }

    /// A schema that is migrated.
    pub fn new(test: &str) -> Option<Self> {
        let database = Self::empty(test)?;
        migrate(database.settings.clone()).unwrap();
        Some(database)
    }

    /// The name of a schema that is not there yet.
    pub fn empty(test: &str) -> Option<Self> {
        let url = server(test)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let schema = format!("test_{}_{number}", std::process::id());
        let mut settings = PostgresConfig::plain(url, schema);
        settings.lock_timeout = Duration::from_secs(10);
        Some(Self { settings })
    }

    pub fn open(&self) -> PostgresStore {
        PostgresStore::open(self.settings.clone()).unwrap()
    }

    /// Empties all tables, which is much quicker than another schema.
    pub fn clean(&self) {
        let tables =
            "ledger recipients messages batches outbox unmatched dead_letters loads load_touched
            load_batches checkpoints";
        let mut words = String::from("UPDATE meta SET dropped_before = 0;");
        for table in tables.split_whitespace() {
            words.push_str(&format!("DELETE FROM {table};"));
        }
        self.run(&words);
    }

    /// Runs statements in the schema, on a connection of its own.
    pub fn run(&self, words: &str) {
        let words = format!("SET search_path = {}; {words}", self.settings.schema);
        run(&self.settings.url, &words).unwrap();
    }

    /// Asks for one number.
    pub fn number(&self, query: &str) -> i64 {
        let runtime = runtime();
        runtime.block_on(async {
            let client = connect(&self.settings.url).await;
            let schema = &self.settings.schema;
            let words = format!("SET search_path = {schema}");
            client.batch_execute(&words).await.unwrap();
            client.query_one(query, &[]).await.unwrap().get(0)
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let words = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.settings.schema);
        if let Err(error) = run(&self.settings.url, &words) {
            eprintln!("a test's schema stays behind: {error}");
        }
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Runs statements on a connection of its own.
pub fn run(url: &str, words: &str) -> Result<(), tokio_postgres::Error> {
    runtime().block_on(async { connect(url).await.batch_execute(words).await })
}
