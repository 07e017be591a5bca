//! Where the tables are and what they are called.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::postgres::PostgresTls;

/// What kind of database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// Postgres.
    Postgres,
    /// ClickHouse, over HTTP.
    ClickHouse,
}

/// How the database is reached. Secrets are left out of its `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseLocation {
    /// What it is.
    pub server: DatabaseKind,
    /// Where: `postgres://user@host:port/database`, or `http://host:8123` (`https` for TLS).
    pub url: String,
    /// The user, if the url has none.
    pub user: Option<String>,
    /// The password, if the url has none.
    pub password: Option<String>,
    /// Encryption towards Postgres.
    pub tls: PostgresTls,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one statement, or one page of it, may take.
    pub statement_timeout: Duration,
}

impl fmt::Debug for DatabaseLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseLocation")
            .field("server", &self.server)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// A table, or a query that gives one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// `table` or `schema.table`.
    Table(String),
    /// A SELECT.
    Query(String),
    /// Both were given, which the configuration refuses.
    Both,
}

/// A table that the user has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserTable {
    /// The setting that describes it, for sentences about it: `recipients.table`.
    pub setting: &'static str,
    /// What is read.
    pub relation: Relation,
    /// Our name of a column → theirs, where they differ.
    pub renamed: BTreeMap<String, String>,
    /// The monotone column; none: every poll reads everything.
    pub cursor: Option<String>,
}

impl UserTable {
    /// Their name of one of our columns.
    pub fn name<'a>(&'a self, ours: &'a str) -> &'a str {
        self.renamed.get(ours).map_or(ours, String::as_str)
    }

    /// A name for what is read: it changes when anything does on which the meaning of a stored cursor depends.
    pub fn fingerprint(&self, place: &DatabaseLocation) -> String {
        let address = place.url.rsplit('@').next().unwrap_or_default();
        let all = format!("{:?}|{address}|{self:?}", place.server);
        let mut name = blake3::hash(all.as_bytes()).to_hex().to_string();
        name.truncate(16);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_changes_no_fingerprint_and_is_in_no_debug_text() {
        let place = |url: &str| DatabaseLocation {
            server: DatabaseKind::Postgres,
            url: url.into(),
            user: None,
            password: Some("hunter2".into()),
            tls: PostgresTls::Off,
            connect_timeout: Duration::ZERO,
            statement_timeout: Duration::ZERO,
        };
        let given = UserTable {
            setting: "recipients.table",
            relation: Relation::Table("sent".into()),
            renamed: BTreeMap::new(),
            cursor: Some("id".into()),
        };
        let one = given.fingerprint(&place("postgres://a:hunter2@h/d"));
        assert_eq!(one, given.fingerprint(&place("postgres://a:hunter3@h/d")));
        assert_ne!(one, given.fingerprint(&place("postgres://a:hunter2@h/e")));
        assert!(!format!("{:?}", place("postgres://a:hunter2@h/d")).contains("hunter2"));
    }
}
