//! The client, its runtime, and the deadline of every call.

use std::time::Duration;

use clickhouse::error::Error;
use clickhouse::{Client, Compression};

use super::settings::Settings;
use crate::clickhouse::class::{code_and_name, sink_error};
use crate::error::{Class, Exit, Fatal, SinkError};

/// A client that blocks the thread that calls it.
pub(super) struct Blocking {
    runtime: tokio::runtime::Runtime,
    pub(super) client: Client,
    deadline: Duration,
}

impl Blocking {
    /// Connects nothing yet.
    pub(super) fn new(settings: &Settings) -> Result<Self, Fatal> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Fatal::new(Exit::Watchdog, format!("no runtime: {error}")))?;
        let compression = match settings.compress {
            true => Compression::Lz4,
            false => Compression::None,
        };
        let mut client = Client::default()
            .with_url(&settings.url)
            .with_user(&settings.user)
            .with_compression(compression)
            .with_validation(false);
        if let Some(password) = &settings.password {
            client = client.with_password(password);
        }
        Ok(Self {
            runtime,
            client,
            deadline: settings.call_timeout,
        })
    }

    /// Runs a call to its end or to the deadline; a call that is cut off may or may not have been carried out.
    pub(super) fn call<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let within = async { tokio::time::timeout(self.deadline, call).await };
        self.runtime
            .block_on(within)
            .unwrap_or(Err(Error::TimedOut))
    }

    /// Runs a statement.
    pub(super) fn execute(&self, sql: &str) -> Result<(), Error> {
        self.call(self.client.query_raw(sql).execute())
    }

    /// The single value that a query answers with.
    pub(super) fn value<T>(&self, sql: &str) -> Result<Option<T>, Error>
    where
        T: clickhouse::RowOwned + clickhouse::RowRead,
    {
        self.call(self.client.query_raw(sql).fetch_optional::<T>())
    }
}

/// What an error at the start means: a mistake in the configuration ends the program with a sentence; anything else is the
/// writer's to wait for.
pub(super) fn refused(error: &Error) -> Result<SinkError, Fatal> {
    let config = |message: &str| Err(Fatal::new(Exit::Config, format!("clickhouse: {message}")));
    let code = match error {
        Error::BadResponse(text) => code_and_name(text).map(|(code, _)| code),
        Error::InvalidParams(_) | Error::Unsupported(_) => {
            return config("clickhouse.url is no address such as http://host:8123");
        }
        _ => None,
    };
    match code {
        Some(192..=194 | 516) => config(
            "the server refuses the user or the password: see clickhouse.user and clickhouse.password",
        ),
        Some(497) => config(
            "the user lacks rights on the database: grant SELECT, INSERT and, for `hookflow migrate`, CREATE",
        ),
        Some(81) => config("the database is missing: run `hookflow migrate`"),
        Some(60) => config("the table is missing: run `hookflow migrate`"),
        _ => Ok(match sink_error(error) {
            // Nothing is known to be wrong with the schema yet, so what the server says is not ours.
            unclear if unclear.class == Class::Bug => {
                SinkError::new("clickhouse", Class::Outage, unclear.message)
            }
            known => known,
        }),
    }
}
