//! Calls to the server, each with a deadline.
//!
//! The store is called from a thread that may block, so it has a runtime of its own. Contract: a connection on which a deadline
//! passed, or a read or write failed, is closed; the next call opens a new one and checks the schema again. A statement that
//! the server refused leaves the connection usable.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::class;
use super::connect::{AS_PLANNED, BY_KEY, Mode, StoreConnection};
use super::schema;
use super::settings::PostgresConfig;
use crate::error::{Class, SinkError};
use crate::postgres::{PostgresError, too_slow};

/// How long a rollback may take before the connection is closed instead.
const ROLL_BACK_LIMIT: Duration = Duration::from_secs(2);

/// The connection to the server, made anew where it was lost.
pub(super) struct Session {
    runtime: Runtime,
    settings: PostgresConfig,
    mode: Mode,
    connection: Option<StoreConnection>,
    /// How many connections there have been.
    connections: u64,
}

impl Session {
    /// A session that is not connected yet.
    pub(super) fn new(settings: PostgresConfig, mode: Mode) -> Result<Self, PostgresError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|_| PostgresError::from(class::bug("no runtime for Postgres")))?;
        Ok(Self {
            runtime,
            settings,
            mode,
            connection: None,
            connections: 0,
        })
    }

    /// Which connection this is; it changes when one was lost.
    pub(super) const fn connections(&self) -> u64 {
        self.connections
    }

    /// Connects if that is needed, and checks that the schema is the one this program knows.
    pub(super) fn connect(&mut self) -> Result<(), PostgresError> {
        self.connect_and(async |connection, schema| schema::check(connection, schema).await)
    }

    /// Connects if that is needed, and checks what is there with `check`.
    pub(super) fn connect_and(
        &mut self,
        check: impl AsyncFnOnce(&StoreConnection, &str) -> Result<(), PostgresError>,
    ) -> Result<(), PostgresError> {
        if self
            .connection
            .as_ref()
            .is_some_and(|c| c.client.is_closed())
        {
            self.discard();
        }
        if self.connection.is_some() {
            return Ok(());
        }
        if self.mode == Mode::Dry && self.connections > 0 {
            return Err(dry_run_lost().into());
        }
        let limit = self.settings.connect_timeout + self.settings.call_timeout;
        let (settings, mode) = (&self.settings, self.mode);
        let opening = async {
            let connection = StoreConnection::open(settings, mode).await?;
            check(&connection, &settings.schema).await?;
            Ok::<_, PostgresError>(connection)
        };
        let opened = self
            .runtime
            .block_on(async { timeout(limit, opening).await });
        self.connection = Some(opened.map_err(|_| too_slow())??);
        self.connections += 1;
        Ok(())
    }

    /// Runs a call within the usual time limit.
    pub(super) fn call<T>(
        &mut self,
        f: impl AsyncFnOnce(&StoreConnection) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        self.connect()?;
        self.within(self.settings.call_timeout, f)
    }

    /// Runs a call that reads whole tables: it may take long, and its plans are the planner's.
    pub(super) fn maintain<T>(
        &mut self,
        f: impl AsyncFnOnce(&StoreConnection) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        self.with_plans(AS_PLANNED, f)
    }

    /// Runs a call that finds rows by their keys, but so many of them that it may take long.
    pub(super) fn long<T>(
        &mut self,
        f: impl AsyncFnOnce(&StoreConnection) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        self.with_plans(BY_KEY, f)
    }

    /// Runs a call within the long time limit, under these settings of the planner.
    fn with_plans<T>(
        &mut self,
        plans: &str,
        f: impl AsyncFnOnce(&StoreConnection) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        self.connect()?;
        let limit = self.settings.maintenance_timeout;
        let usual = self.settings.statement_timeout.as_millis();
        let sql = format!("SET statement_timeout = {}; {plans}", limit.as_millis());
        let done = self.within(limit, async |connection| {
            connection.client.batch_execute(&sql).await?;
            f(connection).await
        });
        // After the rollback of a call that failed, which would undo this as well.
        if self.connection.is_some() {
            let sql = format!("SET statement_timeout = {usual}; {BY_KEY}");
            let reset = self.within(self.settings.call_timeout, async |connection| {
                Ok(connection.client.batch_execute(&sql).await?)
            });
            if reset.is_err() {
                self.discard();
            }
        }
        done
    }

    /// Runs a call on the open connection within a time limit.
    pub(super) fn within<T>(
        &mut self,
        limit: Duration,
        f: impl AsyncFnOnce(&StoreConnection) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let Some(connection) = self.connection.as_ref() else {
            return Err(class::bug("a call without a connection"));
        };
        let done = self.runtime.block_on(async {
            let error = match timeout(limit, f(connection)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(_) => return Err((too_slow(), false)),
            };
            let usable = error.class != Class::Outage && !connection.client.is_closed();
            let usable = usable && rolled_back(connection).await;
            Err((error, usable))
        });
        done.map_err(|(error, usable)| {
            if !usable {
                self.discard();
            }
            error
        })
    }

    fn discard(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.runtime.block_on(connection.discard());
        }
    }
}

async fn rolled_back(connection: &StoreConnection) -> bool {
    matches!(
        timeout(ROLL_BACK_LIMIT, connection.roll_back()).await,
        Ok(Ok(()))
    )
}

/// A dry run that lost its transaction.
fn dry_run_lost() -> SinkError {
    class::bug(
        "the dry run lost the connection that held its changes; nothing was written, run it again",
    )
}
