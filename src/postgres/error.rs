//! Why Postgres cannot be used: something a person has to change, or something that may pass. One advice text per failure.

use std::error::Error as _;

use tokio_postgres::Error;

use super::class;
use crate::error::{Class, Exit, Fatal, SinkError};

/// Why a connection cannot be made or used.
#[derive(Debug)]
pub enum PostgresError {
    /// Configuration, rights or schema: a sentence that says what to do.
    Config(String),
    /// What the server, the network or the driver said.
    Failed(SinkError),
}

impl PostgresError {
    /// Something a person has to change.
    pub fn config(advice: impl Into<String>) -> Self {
        Self::Config(advice.into())
    }

    /// An error of the driver; `section` is the part of the configuration that describes the server.
    pub fn of(error: &Error, section: &str) -> Self {
        match advice(error, section) {
            Some(advice) => Self::Config(advice),
            None => Self::Failed(class::failed(error)),
        }
    }
}

/// What to do about an error that waiting cannot mend.
fn advice(error: &Error, section: &str) -> Option<String> {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let state = error.code().map(|code| code.code());
    Some(match (state, error.to_string().as_str()) {
        (Some("28P01" | "28000"), _) => format!(
            "Postgres refuses this user or password: check {section}.url and {section}.password, and that the server's pg_hba.conf lets this user in"
        ),
        (Some("3D000"), _) => format!(
            "there is no such database on the Postgres server: create it, or correct {section}.url"
        ),
        (Some("42501"), _) => format!(
            "the Postgres user of {section}.url lacks rights: grant it USAGE on the schema, SELECT, INSERT, UPDATE, DELETE on its tables, or run `hookflow migrate` as the owner"
        ),
        (_, "error performing TLS handshake") if cause.contains("does not support TLS") => format!(
            "the Postgres server offers no TLS and {section}.tls = \"require\": turn TLS on at the server, or set {section}.tls = \"off\" if the network between is trusted"
        ),
        (_, "error performing TLS handshake") if cause.contains("certificate") => format!(
            "the certificate of the Postgres server cannot be verified: name its authority in {section}.tls_ca_file, and check that the host in {section}.url is the one in the certificate"
        ),
        (_, "authentication error" | "invalid configuration") => {
            format!(
                "Postgres asks for a password and none is set: set {section}.password, or name it in {section}.url"
            )
        }
        _ => return None,
    })
}

impl From<SinkError> for PostgresError {
    fn from(error: SinkError) -> Self {
        Self::Failed(error)
    }
}

/// An error on a connection of the state store.
impl From<Error> for PostgresError {
    fn from(error: Error) -> Self {
        Self::of(&error, "postgres")
    }
}

/// For callers that have no second try.
impl From<PostgresError> for Fatal {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Config(advice) => Fatal::new(Exit::Config, advice),
            PostgresError::Failed(error) => error.into(),
        }
    }
}

/// On a later connection only the log and the exit code can say it.
impl From<PostgresError> for SinkError {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Config(advice) => SinkError::new("postgres", Class::Bug, advice),
            PostgresError::Failed(error) => error,
        }
    }
}

/// The deadline of the client has passed.
pub fn too_slow() -> SinkError {
    let message = "no answer within the time limit; the connection is given up";
    SinkError::new("postgres", Class::Outage, message)
}
