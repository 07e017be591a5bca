//! A ClickHouse of one's own: a database on the server that the environment names.

use hookflow::log::clickhouse::{self, ClickHouseLog};

use crate::proxy::Proxy;
use crate::skip::skipped_server;

/// A database with the log's table in it; it goes when this is dropped.
pub struct Server {
    /// How the log reaches it.
    pub settings: clickhouse::ClickHouseConfig,
}

impl Server {
    /// None without a server, which is said loudly.
    pub fn new(test: &str) -> Option<Self> {
        let Ok(url) = std::env::var("HOOKFLOW_CLICKHOUSE_URL") else {
            skipped_server(&format!(
                "{test}: no ClickHouse (start one with scripts/stack)"
            ));
            return None;
        };
        let database = format!("test_{:016x}", rand::random::<u64>());
        let settings = clickhouse::ClickHouseConfig::plain(url, database);
        clickhouse::migrate(&settings).unwrap();
        Some(Self { settings })
    }

    /// A log that writes into it.
    pub fn open(&self) -> ClickHouseLog {
        ClickHouseLog::open(self.settings.clone()).unwrap()
    }

    /// A proxy before it, and settings that go through the proxy.
    pub fn behind_proxy(&self) -> (Proxy, clickhouse::ClickHouseConfig) {
        let server = self.settings.url.trim_start_matches("http://");
        let proxy = Proxy::before(server);
        let url = format!("http://{}", proxy.address());
        let settings = clickhouse::ClickHouseConfig {
            url,
            ..self.settings.clone()
        };
        (proxy, settings)
    }

    /// Runs a statement, in which `{table}` is the log's table; what it answers, tab-separated.
    pub fn sql(&self, statement: &str) -> String {
        let table = format!("{}.{}", self.settings.database, self.settings.table);
        let statement = statement.replace("{table}", &table);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let client = ::clickhouse::Client::default()
                .with_url(&self.settings.url)
                .with_compression(::clickhouse::Compression::None);
            let query = client.query_raw(&statement);
            let mut answer = query.fetch_bytes("TabSeparated").unwrap();
            let bytes = answer.collect().await.unwrap();
            String::from_utf8(bytes.to_vec()).unwrap().trim().to_owned()
        })
    }

    /// How many rows the table holds, copies and all.
    pub fn rows(&self) -> u64 {
        self.sql("SELECT count() FROM {table}").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed says why itself, and the server goes with the run.
        if std::thread::panicking() {
            return;
        }
        self.sql(&format!("DROP DATABASE {} SYNC", self.settings.database));
    }
}
