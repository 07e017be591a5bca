//! Tables in ClickHouse: a table of a poll is one query that streams; the server waits while nobody takes the next page.

use std::time::Duration;

use clickhouse::error::Error;
use clickhouse::query::RowCursor;
use clickhouse::{Client, Compression, Row};
use serde::Deserialize;
use tokio::runtime::Runtime;

use super::clickhouse_sql::ClickHouse;
use super::cursor::{TableCursor, TableCursorKind};
use super::given::{DatabaseLocation, UserTable};
use super::select::{self, ColumnInfo};
use super::{RawRow, TableError, TableQuery, TableReader};
use crate::clickhouse::class::{code_and_name, sink_error};
use crate::error::{Class, Fatal, SinkError};
use crate::failpoint::{self, Failpoint};

/// How long the server waits for us to take more, in seconds: as long as the store may be out of order for a while.
const SEND_TIMEOUT: &str = "300";

/// How long a description of columns may take at least.
const DESCRIBE_MIN: Duration = Duration::from_secs(5);

/// Tables in a ClickHouse server.
pub(super) struct ClickHouseTables {
    place: DatabaseLocation,
    client: Client,
    runtime: Runtime,
    open: Option<OpenQuery>,
}

/// A query under way.
struct OpenQuery {
    rows: RowCursor<Line>,
    kind: Option<TableCursorKind>,
    /// What the query was made from.
    setting: &'static str,
}

#[derive(Row, Deserialize)]
struct Line {
    all_fields: Vec<Option<String>>,
    cursor_value: Option<i64>,
}

/// One line of DESCRIBE.
#[derive(Deserialize)]
struct Described {
    name: String,
    r#type: String,
}

impl ClickHouseTables {
    pub(super) fn new(place: DatabaseLocation) -> Result<Self, Fatal> {
        // Another part of the process may have chosen a provider already, which is as good.
        rustls::crypto::ring::default_provider()
            .install_default()
            .unwrap_or_default();
        Ok(Self {
            client: client(&place),
            place,
            runtime: super::runtime()?,
            open: None,
        })
    }

    /// Waits for the server, but not for ever.
    fn wait<T>(
        runtime: &Runtime,
        limit: Duration,
        call: impl Future<Output = Result<T, TableError>>,
    ) -> Result<T, TableError> {
        let waiting = async { tokio::time::timeout(limit, call).await };
        runtime.block_on(waiting).unwrap_or_else(|_| {
            let message = "no answer within the time limit; the connection is given up";
            Err(SinkError::new("clickhouse", Class::Outage, message).into())
        })
    }
}

impl TableReader for ClickHouseTables {
    /// ClickHouse has no transactions over several queries; the first page will show whether the server is there.
    fn begin(&mut self) -> Result<(), TableError> {
        self.end();
        Ok(())
    }

    fn clock(&mut self) -> Result<TableCursor, TableError> {
        let limit = self.place.statement_timeout.max(DESCRIBE_MIN);
        let sql = "SELECT toUnixTimestamp64Micro(now64(6))";
        let asking = async {
            let answer = self.client.query_raw(sql).fetch_one::<i64>().await;
            answer.map_err(|error| wrong_or_failed(&error, "recipients.url"))
        };
        failpoint::run(Failpoint::SnapshotOpen, || {
            Self::wait(&self.runtime, limit, asking)
        })
        .map(TableCursor::Time)
    }

    fn open(&mut self, query: &TableQuery<'_>) -> Result<(), TableError> {
        self.open = None;
        let limit = self.place.statement_timeout.max(DESCRIBE_MIN);
        let has = failpoint::run(Failpoint::SnapshotOpen, || {
            Self::wait(&self.runtime, limit, describe(&self.client, query.given))
        })?;
        let (sql, kind) = select::select(&ClickHouse, query, &has)?;
        let rows = self
            .client
            .query_raw(&sql)
            .fetch::<Line>()
            .map_err(|error| wrong_or_failed(&error, query.given.setting))?;
        self.open = Some(OpenQuery {
            rows,
            kind,
            setting: query.given.setting,
        });
        Ok(())
    }

    fn page(&mut self, rows: usize) -> Result<Vec<RawRow>, TableError> {
        let Some(open) = self.open.as_mut() else {
            return Ok(Vec::new());
        };
        let limit = self.place.statement_timeout;
        failpoint::run(Failpoint::SnapshotRead, || {
            Self::wait(&self.runtime, limit, open.take(rows.max(1)))
        })
    }

    fn end(&mut self) {
        self.open = None;
    }
}

impl OpenQuery {
    async fn take(&mut self, rows: usize) -> Result<Vec<RawRow>, TableError> {
        let mut page = Vec::with_capacity(rows.min(100_000));
        while page.len() < rows {
            let line = self.rows.next().await;
            // The server checks the query and the rights when it is asked for the first page.
            let line = line.map_err(|error| wrong_or_failed(&error, self.setting))?;
            let Some(line) = line else { break };
            let value = self.kind.zip(line.cursor_value);
            let texts = line.all_fields.into_iter();
            page.push(RawRow {
                fields: texts.map(|text| text.filter(|t| !t.is_empty())).collect(),
                cursor: value.map(|(kind, value)| TableCursor::new(kind, value)),
            });
        }
        Ok(page)
    }
}

fn client(place: &DatabaseLocation) -> Client {
    let mut client = Client::default()
        .with_url(&place.url)
        .with_compression(Compression::Lz4)
        .with_product_info("hookflow-recipients", env!("CARGO_PKG_VERSION"))
        .with_setting("send_timeout", SEND_TIMEOUT)
        .with_setting("http_send_timeout", SEND_TIMEOUT);
    if let Some(user) = &place.user {
        client = client.with_user(user);
    }
    if let Some(password) = &place.password {
        client = client.with_password(password);
    }
    client
}

/// The columns of what was given, without running it.
async fn describe(client: &Client, given: &UserTable) -> Result<Vec<ColumnInfo>, TableError> {
    let source = select::source(&ClickHouse, &given.relation);
    let sql = format!("DESCRIBE TABLE (SELECT * FROM {source} AS given)");
    let answer = client.query_raw(&sql).fetch_bytes("JSONEachRow");
    let mut answer = answer.map_err(|error| wrong_or_failed(&error, given.setting))?;
    let lines = answer.collect().await;
    let lines = lines.map_err(|error| wrong_or_failed(&error, given.setting))?;
    let columns = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let described: Described = serde_json::from_slice(line).map_err(|_| {
                TableError::Config(
                    "recipients.url: the answer is not that of a ClickHouse server".into(),
                )
            })?;
            Ok(ColumnInfo {
                kind: ClickHouse::kind(&described.r#type),
                name: described.name,
                of: described.r#type,
            })
        });
    columns.collect()
}

/// What the server does not understand, does not have or does not allow is for a person to change.
fn wrong_or_failed(error: &Error, setting: &str) -> TableError {
    let code = match error {
        Error::BadResponse(text) => code_and_name(text).map(|(code, _)| code),
        _ => None,
    };
    let failure = sink_error(error);
    match (failure.class, code) {
        (_, Some(192..=194 | 516)) => TableError::Config(
            "recipients.url: ClickHouse refuses the user or the password: see recipients.user and recipients.password".into(),
        ),
        (_, Some(497)) => TableError::Config(format!(
            "{setting}: this user may not read it: GRANT SELECT (code 497)"
        )),
        (Class::Bug, _) => TableError::Config(format!("{setting}: {}", failure.message)),
        _ => failure.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_has_to_change_is_told_apart_from_what_passes() {
        let classified =
            |text: &str| wrong_or_failed(&Error::BadResponse(text.into()), "recipients.table");
        for (text, part) in [
            (
                "Code: 497. DB::Exception: ada (ACCESS_DENIED) (version 26.7)",
                "GRANT SELECT",
            ),
            (
                "Code: 60. DB::Exception: ada (UNKNOWN_TABLE) (version 26.7)",
                "UNKNOWN_TABLE",
            ),
            (
                "Code: 516. DB::Exception: ada (AUTHENTICATION_FAILED) (version 26.7)",
                "recipients.password",
            ),
        ] {
            let TableError::Config(advice) = classified(text) else {
                panic!("{text}");
            };
            assert!(advice.contains(part) && !advice.contains("ada"), "{advice}");
        }
        let passing =
            classified("Code: 241. DB::Exception: x (MEMORY_LIMIT_EXCEEDED) (version 26.7)");
        assert!(matches!(passing, TableError::Failed(_)));
    }
}
