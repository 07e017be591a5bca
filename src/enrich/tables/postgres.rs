//! Tables in Postgres: a poll is one read-only transaction over one connection, a table of it a server-side cursor.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Row};

use super::cursor::{TableCursor, TableCursorKind};
use super::given::{DatabaseLocation, UserTable};
use super::postgres_sql::Postgres;
use super::select::{self, ColumnInfo};
use super::{RawRow, TableError, TableQuery, TableReader};
use crate::error::{Class, Fatal, SinkError};
use crate::failpoint::{self, Failpoint};
use crate::postgres::{self, PostgresTarget, class, too_slow};

/// How much longer than the server's limit is waited for an answer.
const GRACE: Duration = Duration::from_secs(5);

/// How long the transaction may stand idle while the store takes a page.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// Tables in a Postgres database.
pub(super) struct PostgresTables {
    place: DatabaseLocation,
    runtime: Runtime,
    connection: Option<TableConnection>,
}

/// A connection, and the kind of cursor of the table that is open on it.
struct TableConnection {
    client: Client,
    task: JoinHandle<()>,
    kind: Option<TableCursorKind>,
}

impl PostgresTables {
    pub(super) fn new(place: DatabaseLocation) -> Result<Self, Fatal> {
        Ok(Self {
            place,
            runtime: super::runtime()?,
            connection: None,
        })
    }

    /// Waits for the server, but not for ever.
    fn wait<T>(&self, call: impl Future<Output = Result<T, TableError>>) -> Result<T, TableError> {
        let limit = self.place.statement_timeout + GRACE;
        let waiting = async { tokio::time::timeout(limit, call).await };
        let done = self.runtime.block_on(waiting);
        done.unwrap_or_else(|_| Err(too_slow().into()))
    }

    fn connection(&self) -> Result<&TableConnection, TableError> {
        self.connection.as_ref().ok_or_else(|| {
            SinkError::new("postgres", Class::Outage, "the connection was given up").into()
        })
    }
}

impl TableReader for PostgresTables {
    fn begin(&mut self) -> Result<(), TableError> {
        self.end();
        let words = words(&self.place);
        let (client, task) = self.wait(async {
            let target = target(&self.place);
            let (client, task) = postgres::connect(&target, Failpoint::SnapshotOpen).await?;
            client.batch_execute(&words).await.map_err(failed)?;
            Ok((client, task))
        })?;
        self.connection = Some(TableConnection {
            client,
            task,
            kind: None,
        });
        Ok(())
    }

    fn clock(&mut self) -> Result<TableCursor, TableError> {
        let client = &self.connection()?.client;
        let sql = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::int8";
        let row = self.wait(async { client.query_one(sql, &[]).await.map_err(failed) })?;
        Ok(TableCursor::Time(row.try_get(0).map_err(failed)?))
    }

    fn open(&mut self, query: &TableQuery<'_>) -> Result<(), TableError> {
        let client = &self.connection()?.client;
        let kind = self.wait(async {
            let has = describe(client, query.given).await?;
            let (sql, kind) = select::select(&Postgres, query, &has)?;
            let declare = format!("CLOSE ALL; DECLARE look NO SCROLL CURSOR FOR {sql}");
            let declared = client.batch_execute(&declare).await;
            declared.map_err(|error| wrong_or_failed(&error, query.given))?;
            Ok(kind)
        })?;
        if let Some(connection) = self.connection.as_mut() {
            connection.kind = kind;
        }
        Ok(())
    }

    fn page(&mut self, rows: usize) -> Result<Vec<RawRow>, TableError> {
        let TableConnection { client, kind, .. } = self.connection()?;
        let fetch = format!("FETCH FORWARD {} FROM look", rows.clamp(1, 1_000_000));
        let fetching = failpoint::run_async(Failpoint::SnapshotRead, client.query(&fetch, &[]));
        let page = self.wait(async { fetching.await.map_err(failed) })?;
        page.iter().map(|row| raw(row, *kind)).collect()
    }

    /// The server undoes the transaction when the connection goes, and there is nothing in it to keep.
    fn end(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.task.abort();
        }
    }
}

fn target(place: &DatabaseLocation) -> PostgresTarget<'_> {
    PostgresTarget {
        section: "recipients",
        url: &place.url,
        user: place.user.as_deref(),
        password: place.password.as_deref(),
        tls: &place.tls,
        application_name: "hookflow recipients",
        connect_timeout: place.connect_timeout,
        tcp_user_timeout: place.statement_timeout,
    }
}

/// The first statements of a session. JIT costs more than it saves for a plain scan.
fn words(place: &DatabaseLocation) -> String {
    format!(
        "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {};
         SET jit = off; SET client_encoding = 'UTF8'; SET TimeZone = 'UTC';
         BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        place.statement_timeout.as_millis(),
        place.statement_timeout.as_millis(),
        IDLE_MAX.as_millis(),
    )
}

/// The columns of what was given, without running it.
async fn describe(client: &Client, given: &UserTable) -> Result<Vec<ColumnInfo>, TableError> {
    let sql = format!(
        "SELECT * FROM {} AS given",
        select::source(&Postgres, &given.relation)
    );
    let statement = client.prepare(&sql).await;
    let statement = statement.map_err(|error| wrong_or_failed(&error, given))?;
    let columns = statement.columns().iter().map(|column| ColumnInfo {
        name: column.name().to_owned(),
        of: column.type_().name().to_owned(),
        kind: Postgres::kind(column.type_().name()),
    });
    Ok(columns.collect())
}

fn raw(row: &Row, kind: Option<TableCursorKind>) -> Result<RawRow, TableError> {
    let last = row.len().saturating_sub(1);
    let texts = (0..last).map(|at| {
        let text: Option<&str> = row.try_get(at)?;
        Ok(text.filter(|text| !text.is_empty()).map(str::to_owned))
    });
    let fields: Result<Vec<_>, tokio_postgres::Error> = texts.collect();
    let value: Option<i64> = row.try_get(last).map_err(failed)?;
    Ok(RawRow {
        fields: fields.map_err(failed)?,
        cursor: kind
            .zip(value)
            .map(|(kind, value)| TableCursor::new(kind, value)),
    })
}

fn failed(error: tokio_postgres::Error) -> TableError {
    class::failed(&error).into()
}

/// What the server does not understand is for a person to change.
fn wrong_or_failed(error: &tokio_postgres::Error, given: &UserTable) -> TableError {
    let failure = class::failed(error);
    match failure.class {
        Class::Bug => TableError::Config(format!("{}: {}", given.setting, failure.message)),
        _ => failure.into(),
    }
}
