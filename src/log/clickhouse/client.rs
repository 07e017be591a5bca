//! A client that blocks the thread that calls it, and ends every call at a deadline.

use std::io;
use std::time::Duration;

use clickhouse::error::Error;
use clickhouse::{Client, Compression};

use super::connect;
use super::settings::ClickHouseConfig;
use crate::clickhouse::class::{code_and_name, sink_error};
use crate::error::{Class, Exit, Fatal, SinkError};

/// The client, its runtime, and the deadline of its calls.
pub(super) struct Blocking {
    runtime: tokio::runtime::Runtime,
    pub(super) client: Client,
    deadline: Duration,
}

impl Blocking {
    /// Connects nothing yet. Calls end after the settings' `call_timeout`.
    pub(super) fn new(settings: &ClickHouseConfig) -> Result<Self, Fatal> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Fatal::new(Exit::Internal, format!("no runtime: {error}")))?;
        let compression = if settings.compress {
            Compression::Lz4
        } else {
            Compression::None
        };
        let mut client = connect::client(settings)?
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

    /// The same client with another deadline.
    #[must_use]
    pub(super) fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Runs a call to its end or to the deadline; a call that is cut off may or may not have been carried out.
    pub(super) fn call<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.call_within(self.deadline, call)
    }

    /// The same with a deadline of its own.
    pub(super) fn call_within<T>(
        &self,
        deadline: Duration,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let within = async { tokio::time::timeout(deadline, call).await };
        self.runtime
            .block_on(within)
            .unwrap_or(Err(Error::TimedOut))
    }

    /// Runs a statement.
    pub(super) fn execute(&self, sql: &str) -> Result<(), Error> {
        self.call(self.client.query_raw(sql).execute())
    }
}

/// What an error at the start means: a mistake in the configuration ends the program with a sentence; anything else is the
/// writer's to wait for.
pub(super) fn refused(error: &Error) -> Result<SinkError, Fatal> {
    let advice = match error {
        Error::BadResponse(text) => answer_advice(text),
        Error::InvalidParams(_) | Error::Unsupported(_) => {
            Some("clickhouse.url is no address such as http://host:8123")
        }
        Error::Network(cause) => connection_advice(cause.as_ref()),
        _ => None,
    };
    match advice {
        Some(advice) => Err(Fatal::new(Exit::Config, format!("clickhouse: {advice}"))),
        None => Ok(match sink_error(error) {
            broken if matches!(error, Error::Network(cause) if is_silent(cause.as_ref())) => {
                let hint = "where its port is for HTTPS, clickhouse.url begins with https://";
                SinkError::new(
                    "clickhouse",
                    broken.class,
                    format!("{}: {hint}", broken.message),
                )
            }
            // Nothing is known to be wrong with the schema yet, so what the server says is not ours.
            unclear if unclear.class == Class::Bug => {
                SinkError::new("clickhouse", Class::Outage, unclear.message)
            }
            known => known,
        }),
    }
}

/// What to change where the server's answer says that waiting will not help.
fn answer_advice(text: &str) -> Option<&'static str> {
    match code_and_name(text) {
        Some((192..=194 | 516, _)) => Some(
            "the server refuses the user or the password: see clickhouse.user and clickhouse.password",
        ),
        Some((497, _)) => Some(
            "the user lacks rights on the database: grant SELECT, INSERT and, for `hookflow migrate`, CREATE",
        ),
        Some((164, _)) => Some(
            "the user may only read: the job needs one that may insert (readonly = 0 in its profile)",
        ),
        Some((16, _)) => Some(
            "the table lacks columns of this version: use the hookflow that made it, or another clickhouse.table",
        ),
        Some((81, _)) => Some("the database is missing: run `hookflow migrate`"),
        Some((60, _)) => Some("the table is missing: run `hookflow migrate`"),
        None if text.contains("is for clickhouse-client program") => Some(
            "clickhouse.url names the port of the native protocol: name that of the HTTP interface (usually 8123 or 8443)",
        ),
        _ => None,
    }
}

/// What to change where the two sides do not speak the same protocol.
fn connection_advice(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls_advice(tls));
        }
        let hyper = error.downcast_ref::<hyper::Error>();
        if hyper.is_some_and(hyper::Error::is_parse) {
            return Some(
                "the server does not answer in plain HTTP: where its port is for HTTPS, clickhouse.url begins with https://",
            );
        }
        next = beneath(error);
    }
    None
}

/// What an error was made of. What an I/O error wraps is not its source: that is the source of what it wraps.
fn beneath<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> Option<&'e (dyn std::error::Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// Whether the server closed the connection without a word, as a port for TLS may do to a plain request.
fn is_silent(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
    std::iter::successors(Some(error), |error| beneath(*error)).any(|error| {
        let hyper = error.downcast_ref::<hyper::Error>();
        hyper.is_some_and(hyper::Error::is_incomplete_message)
            || error.downcast_ref::<io::Error>().is_some_and(is_reset)
    })
}

const fn tls_advice(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(_) => {
            "the server's certificate cannot be verified: name its authority in clickhouse.ca_file, and check that the host in clickhouse.url is the one in the certificate"
        }
        rustls::Error::InvalidMessage(_) => {
            "the server offers no TLS on this port although clickhouse.url asks for it: name its HTTPS port (usually 8443)"
        }
        _ => "the server and this program cannot agree on TLS",
    }
}
