//! The Postgres server that is measured, and what it used.

use hookflow::state::postgres::{PostgresConfig, PostgresStore, migrate};
use tokio_postgres::{Client, NoTls};

pub const SCHEMA: &str = "hookflow_bench";

pub struct Server {
    pub runtime: tokio::runtime::Runtime,
    pub client: Client,
    settings: PostgresConfig,
}

impl Server {
    pub fn connect(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        });
        let mut settings = PostgresConfig::plain(url, SCHEMA);
        settings.application_name = SCHEMA.into();
        Self {
            runtime,
            client,
            settings,
        }
    }

    pub fn run(&self, words: &str) {
        self.runtime
            .block_on(self.client.batch_execute(words))
            .unwrap();
    }

    pub fn number(&self, query: &str) -> i64 {
        let row = self.runtime.block_on(self.client.query_one(query, &[]));
        row.unwrap().get(0)
    }

    /// An empty store.
    pub fn fresh(&self) -> PostgresStore {
        self.run(&format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"));
        migrate(self.settings.clone()).unwrap();
        PostgresStore::open(self.settings.clone()).unwrap()
    }

    /// What the server does in the background anyway, done now.
    pub fn settle(&self) {
        self.run(&format!("VACUUM ANALYZE {SCHEMA}.recipients"));
        self.run("CHECKPOINT");
    }

    pub fn wal(&self) -> i64 {
        self.number("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
    }

    /// Of the updates of recipients, how many in a hundred stayed within their page.
    pub fn hot(&self) -> i64 {
        self.run("SELECT pg_stat_force_next_flush()");
        self.number(&format!(
            "SELECT coalesce(100 * n_tup_hot_upd / nullif(n_tup_upd, 0), 0)::bigint
             FROM pg_stat_all_tables WHERE relid = '{SCHEMA}.recipients'::regclass"
        ))
    }

    /// Keys of the ledger, and the bytes that they take with their index.
    pub fn ledger(&self) -> (i64, i64) {
        let sum = |what: &str| {
            self.number(&format!(
                "SELECT sum({what})::bigint FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
                 WHERE inhparent = '{SCHEMA}.ledger'::regclass"
            ))
        };
        self.run(&format!("ANALYZE {SCHEMA}.ledger"));
        (
            sum("greatest(reltuples, 0)"),
            sum("pg_total_relation_size(c.oid)"),
        )
    }

    /// CPU seconds of the backend that serves the store (0 where the server is on another machine).
    pub fn backend_cpu(&self) -> f64 {
        let query = format!(
            "SELECT coalesce(max(pid), 0)::bigint FROM pg_stat_activity WHERE application_name = '{SCHEMA}'"
        );
        cpu_of(self.number(&query))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.run(&format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"));
    }
}

/// User and system time of a process, from its `stat`, in a clock of 100 ticks a second.
pub fn cpu_of(pid: i64) -> f64 {
    let Ok(file) = std::process::Command::new("cat")
        .arg(format!("/proc/{pid}/stat"))
        .output()
    else {
        return 0.0;
    };
    let text = String::from_utf8_lossy(&file.stdout).into_owned();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split(' ').collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(12) + ticks(13)) / 100.0
}

pub fn cpu_own() -> f64 {
    cpu_of(i64::from(std::process::id()))
}
