//! How the server is reached and what is asked of it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Everything about the connection. Secrets are left out of its `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ClickHouseConfig {
    /// Where the HTTP interface is: `http://host:8123`, or `https://…`, with the server's certificate and name verified.
    pub url: String,
    /// The database.
    pub database: String,
    /// The table; the exact view is `<table>_exact`.
    pub table: String,
    /// The user.
    pub user: String,
    /// Its password.
    pub password: Option<String>,
    /// Certificates (PEM) to verify the server with, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Compress what is sent with LZ4.
    pub compress: bool,
    /// How long one append may take, all its inserts together.
    pub call_timeout: Duration,
    /// Rows received so long ago are dropped by the server; none: kept for ever.
    pub ttl: Option<Duration>,
    /// Active parts of the table that the log's window aims to stay below.
    pub parts_max: u64,
}

impl ClickHouseConfig {
    /// ClickHouseConfig for that address and database with everything else as it usually is.
    pub fn plain(url: impl Into<String>, database: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            database: database.into(),
            table: "events".into(),
            user: "default".into(),
            password: None,
            ca_file: None,
            compress: true,
            call_timeout: Duration::from_secs(25),
            ttl: None,
            parts_max: 300,
        }
    }
}

impl fmt::Debug for ClickHouseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClickHouseConfig")
            .field("database", &self.database)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

/// Whether a name can be a database or a table without quoting.
pub fn is_name(name: &str) -> bool {
    let first = name.chars().next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
