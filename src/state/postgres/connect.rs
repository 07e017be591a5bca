//! One connection: how it is made, its first statements, and what makes it useless.

use std::cell::RefCell;
use std::collections::HashMap;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Statement};

use super::locks::lock_class;
use super::settings::PostgresConfig;
use crate::error::SinkError;
use crate::failpoint::{self, Failpoint};
use crate::postgres::{self, PostgresError, PostgresTarget};

/// How transactions are begun and ended: as such, or as steps of an outer one that is never committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Commits are durable.
    Durable,
    /// Everything happens within one transaction, which the server undoes when the connection ends.
    Dry,
}

impl Mode {
    pub(super) const fn begin(self) -> &'static str {
        match self {
            Mode::Durable => "BEGIN",
            Mode::Dry => "SAVEPOINT step",
        }
    }

    const fn begin_reading(self) -> &'static str {
        match self {
            Mode::Durable => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Mode::Dry => "SAVEPOINT step",
        }
    }

    const fn commit(self) -> &'static str {
        match self {
            Mode::Durable => "COMMIT",
            Mode::Dry => "RELEASE SAVEPOINT step",
        }
    }

    const fn rollback(self) -> &'static str {
        match self {
            Mode::Durable => "ROLLBACK",
            Mode::Dry => "ROLLBACK TO SAVEPOINT step; RELEASE SAVEPOINT step",
        }
    }
}

/// An open connection and the statements prepared on it.
pub(super) struct StoreConnection {
    pub(super) client: Client,
    pub(super) mode: Mode,
    /// See [`super::locks`].
    pub(super) lock_class: i32,
    task: JoinHandle<()>,
    statements: RefCell<HashMap<&'static str, Statement>>,
}

impl StoreConnection {
    /// Connects and sets the limits of the session.
    pub(super) async fn open(settings: &PostgresConfig, mode: Mode) -> Result<Self, PostgresError> {
        let target = PostgresTarget {
            section: "postgres",
            url: &settings.url,
            user: None,
            password: settings.password.as_deref(),
            tls: &settings.tls,
            application_name: &settings.application_name,
            connect_timeout: settings.connect_timeout,
            tcp_user_timeout: settings.tcp_user_timeout,
        };
        let (client, task) = postgres::connect(&target, Failpoint::StoreOpen).await?;
        let connection = Self {
            client,
            mode,
            lock_class: lock_class(&settings.schema),
            task,
            statements: RefCell::default(),
        };
        let words = session_words(settings, mode);
        connection.client.batch_execute(&words).await?;
        Ok(connection)
    }

    /// A prepared statement, made once for each connection.
    pub(super) async fn statement(&self, sql: &'static str) -> Result<Statement, SinkError> {
        let known = self.statements.borrow().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.borrow_mut().insert(sql, statement.clone());
        Ok(statement)
    }

    /// Begins a transaction.
    pub(super) async fn begin(&self) -> Result<(), SinkError> {
        Ok(self.client.batch_execute(self.mode.begin()).await?)
    }

    /// Begins a transaction that reads in one consistent moment. It is given up at its end.
    pub(super) async fn begin_reading(&self) -> Result<(), SinkError> {
        Ok(self.client.batch_execute(self.mode.begin_reading()).await?)
    }

    /// Sends the commit. A reply that never comes means that nobody knows: the caller gets an error and asks again.
    pub(super) async fn send_commit(&self) -> Result<(), SinkError> {
        Ok(self.client.batch_execute(self.mode.commit()).await?)
    }

    /// Commits, passing the named point.
    pub(super) async fn commit(&self, point: Failpoint) -> Result<(), SinkError> {
        failpoint::run_async(point, self.send_commit()).await
    }

    /// Gives a transaction up. Outside of one this does nothing.
    pub(super) async fn roll_back(&self) -> Result<(), SinkError> {
        Ok(self.client.batch_execute(self.mode.rollback()).await?)
    }

    /// Closes the socket, whatever the server is doing with it.
    pub(super) async fn discard(self) {
        drop(self.client);
        self.task.abort();
        // Cancelled is what it should be; either way the socket is closed now.
        self.task.await.unwrap_or_default();
    }
}

/// For calls that ask for rows by their keys: never by reading a whole table. What the planner knows of a table is as old as its last
/// analysis, and a plan that was made while a table was empty is kept while it grows: parked events were read from the first to
/// the last by every batch. A join may still read a whole *index*, so keys
/// are found one after another (`LATERAL (… OFFSET 0)`, a subquery as a value). Only the counters of batches are still joined with a
/// list of keys: they are locked and updated by one statement, which may wait for another member, and only a join then finds the row as
/// that one left it. If it was planned over hardly any batches it reads their whole index, until the server analyses the table.
pub(super) const BY_KEY: &str = "SET enable_seqscan = off";

/// For calls that read whole tables.
pub(super) const AS_PLANNED: &str = "SET enable_seqscan = on";

/// The settings of every session: where its tables are, how long it may wait, what durable means.
///
/// Generic plans, because the planner takes a custom plan's guess at a large array for a reason to read the whole table.
fn session_words(settings: &PostgresConfig, mode: Mode) -> String {
    let idle = match mode {
        Mode::Durable => settings.idle_in_transaction_timeout.as_millis(),
        Mode::Dry => 0,
    };
    let mut words = format!(
        "SET search_path = {}; SET statement_timeout = {}; SET lock_timeout = {};
         SET idle_in_transaction_session_timeout = {idle}; SET tcp_user_timeout = {};
         SET plan_cache_mode = force_generic_plan; {BY_KEY}; SET jit = off; SET synchronous_commit = on;
         SET client_encoding = 'UTF8'; SET client_min_messages = warning",
        settings.schema,
        settings.statement_timeout.as_millis(),
        settings.lock_timeout.as_millis(),
        settings.tcp_user_timeout.as_millis(),
    );
    if mode == Mode::Dry {
        words.push_str("; BEGIN");
    }
    words
}
