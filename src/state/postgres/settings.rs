//! How the server is reached and how long is waited for it.

use std::fmt;
use std::time::Duration;

use crate::postgres::PostgresTls;

/// Everything about the connection. Secrets are left out of its `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// Where the server is: `postgres://user@host:port/database`, or words such as `host=… dbname=…`.
    pub url: String,
    /// The password, if the url has none.
    pub password: Option<String>,
    /// The schema that holds the tables.
    pub schema: String,
    /// Encryption.
    pub tls: PostgresTls,
    /// What the server shows as the name of the connection.
    pub application_name: String,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How long a lock is waited for.
    pub lock_timeout: Duration,
    /// When the server ends a transaction in which nothing happens.
    pub idle_in_transaction_timeout: Duration,
    /// How long sent bytes may stay unacknowledged.
    pub tcp_user_timeout: Duration,
    /// How long one call of the store may take, all its statements together.
    pub call_timeout: Duration,
    /// The same for calls that read whole tables: pruning, exports, migrations.
    pub maintenance_timeout: Duration,
}

impl PostgresConfig {
    /// PostgresConfig for that address, without TLS and with the usual limits.
    pub fn plain(url: impl Into<String>, schema: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            schema: schema.into(),
            tls: PostgresTls::Off,
            application_name: "hookflow".into(),
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(15),
            lock_timeout: Duration::from_secs(5),
            idle_in_transaction_timeout: Duration::from_secs(30),
            tcp_user_timeout: Duration::from_secs(15),
            call_timeout: Duration::from_secs(25),
            maintenance_timeout: Duration::from_secs(1_800),
        }
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("schema", &self.schema)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Whether a name can be a schema without quoting: lower-case letters, digits and `_`, at most 40.
pub fn is_schema_name(name: &str) -> bool {
    let first = name.chars().next();
    first.is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && name.len() <= 40
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with("pg_")
}
