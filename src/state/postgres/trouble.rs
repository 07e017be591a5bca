//! Why a store cannot be opened: something a person has to change, or something that may pass.

use std::error::Error as _;

use tokio_postgres::Error;

use super::class;
use crate::error::{Class, Exit, Fatal, SinkError};

/// What stands in the way.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Settings, rights or schema: a sentence that says what to do.
    Config(String),
    /// The server, the network, a lock.
    Sink(SinkError),
}

impl Trouble {
    /// Something a person has to change.
    pub(super) fn config(advice: impl Into<String>) -> Self {
        Self::Config(advice.into())
    }

    /// For those who have no second try.
    pub(super) fn fatal(self) -> Fatal {
        match self {
            Trouble::Config(advice) => Fatal::new(Exit::Config, advice),
            Trouble::Sink(error) => error.into(),
        }
    }
}

impl From<SinkError> for Trouble {
    fn from(error: SinkError) -> Self {
        Self::Sink(error)
    }
}

/// Errors of connecting and of the first look at the schema. Those that waiting cannot mend are put into words.
impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let state = error.code().map(|code| code.code().to_owned());
        match state
            .as_deref()
            .and_then(advice)
            .or_else(|| tls_advice(&error))
        {
            Some(advice) => Self::config(advice),
            None => Self::Sink(error.into()),
        }
    }
}

/// What to do about a SQLSTATE that no waiting mends.
fn advice(state: &str) -> Option<&'static str> {
    Some(match state {
        "28P01" | "28000" => {
            "Postgres refuses this user or password: check postgres.url and postgres.password, and that the server's pg_hba.conf lets this user in"
        }
        "3D000" => {
            "there is no such database on the Postgres server: create it, or correct postgres.url"
        }
        "42501" => {
            "this Postgres user lacks rights: grant it USAGE on the schema, SELECT, INSERT, UPDATE, DELETE on its tables, or run `hookflow migrate` as the owner"
        }
        _ => return None,
    })
}

fn tls_advice(error: &Error) -> Option<&'static str> {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    match error.to_string().as_str() {
        "error performing TLS handshake" if cause.contains("does not support TLS") => Some(
            "the Postgres server offers no TLS and postgres.tls = \"require\": turn TLS on at the server, or set postgres.tls = \"off\" if the network between is trusted",
        ),
        "error performing TLS handshake" if cause.contains("certificate") => Some(
            "the certificate of the Postgres server cannot be verified: name its authority in postgres.tls_ca_file, and check that the host in postgres.url is the one in the certificate",
        ),
        "authentication error" | "invalid configuration" => {
            Some("Postgres asks for a password and none is set: set postgres.password")
        }
        _ => None,
    }
}

/// On a later connection there is nobody to tell but the log and the exit code.
impl From<Trouble> for SinkError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Config(advice) => SinkError::new("postgres", Class::Bug, advice),
            Trouble::Sink(error) => error,
        }
    }
}

/// What is said when the deadline of the client has passed.
pub(super) fn too_slow() -> SinkError {
    let message = "no answer within the time limit; the connection is given up";
    SinkError::new("postgres", Class::Outage, message)
}

/// A dry run that lost its transaction.
pub(super) fn dry_run_lost() -> SinkError {
    class::bug(
        "the dry run lost the connection that held its changes; nothing was written, run it again",
    )
}
