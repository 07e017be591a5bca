//! Calls into the server: each with a deadline, on a connection that is thrown away as soon as it is doubtful.
//!
//! The store is called from a thread that may block, so a small runtime lives here and nowhere else. Contract: a
//! connection on which a deadline passed, or any reading or writing failed, is closed and never used again; the next call
//! makes a new one, and checks the schema anew. Statements that the server refused leave the connection usable.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::class;
use super::connect::{AS_PLANNED, BY_KEY, Connection, Lock, Mode};
use super::settings::Settings;
use super::trouble::{Trouble, dry_run_lost, too_slow};
use super::{locks, schema};
use crate::error::{Class, SinkError};

/// How long giving a transaction up may take before the connection is given up as well.
const ROLL_BACK_LIMIT: Duration = Duration::from_secs(2);

/// The way to the server.
pub(super) struct Session {
    runtime: Runtime,
    settings: Settings,
    mode: Mode,
    connection: Option<Connection>,
    /// How many connections there have been.
    connections: u64,
}

impl Session {
    /// A session that is not connected yet.
    pub(super) fn new(settings: Settings, mode: Mode) -> Result<Self, Trouble> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|_| Trouble::from(class::bug("no runtime for Postgres")))?;
        Ok(Self {
            runtime,
            settings,
            mode,
            connection: None,
            connections: 0,
        })
    }

    /// An advisory lock of this store.
    pub(super) fn lock(&self, what: locks::What) -> Lock {
        locks::lock(&self.settings.schema, what)
    }

    /// Which connection this is; it changes when one was lost.
    pub(super) const fn connections(&self) -> u64 {
        self.connections
    }

    /// Connects if that is needed, and checks that the schema is the one this program knows.
    pub(super) fn connect(&mut self) -> Result<(), Trouble> {
        self.connect_and(async |connection, schema| schema::check(connection, schema).await)
    }

    /// Connects if that is needed, and looks at what is there with `look`.
    pub(super) fn connect_and(
        &mut self,
        look: impl AsyncFnOnce(&Connection, &str) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
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
            let connection = Connection::open(settings, mode).await?;
            look(&connection, &settings.schema).await?;
            Ok::<_, Trouble>(connection)
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
        f: impl AsyncFnOnce(&Connection) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        self.connect()?;
        self.within(self.settings.call_timeout, f)
    }

    /// Runs a call that looks at whole tables: it may take long, and its plans are the planner's.
    pub(super) fn maintain<T>(
        &mut self,
        f: impl AsyncFnOnce(&Connection) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        self.told(AS_PLANNED, f)
    }

    /// Runs a call that finds rows by their keys, but so many of them that it may take long.
    pub(super) fn long<T>(
        &mut self,
        f: impl AsyncFnOnce(&Connection) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        self.told(BY_KEY, f)
    }

    fn told<T>(
        &mut self,
        plans: &str,
        f: impl AsyncFnOnce(&Connection) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        self.connect()?;
        let limit = self.settings.maintenance_timeout;
        let usual = self.settings.statement_timeout.as_millis();
        let words = format!("SET statement_timeout = {}; {plans}", limit.as_millis());
        let done = self.within(limit, async |connection| {
            connection.client.batch_execute(&words).await?;
            f(connection).await
        });
        // Not before the transaction of a call that failed is given up: it would take this back with it.
        if self.connection.is_some() {
            let words = format!("SET statement_timeout = {usual}; {BY_KEY}");
            let reset = self.within(self.settings.call_timeout, async |connection| {
                Ok(connection.client.batch_execute(&words).await?)
            });
            if reset.is_err() {
                self.discard();
            }
        }
        done
    }

    pub(super) fn within<T>(
        &mut self,
        limit: Duration,
        f: impl AsyncFnOnce(&Connection) -> Result<T, SinkError>,
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

async fn rolled_back(connection: &Connection) -> bool {
    matches!(
        timeout(ROLL_BACK_LIMIT, connection.roll_back()).await,
        Ok(Ok(()))
    )
}
