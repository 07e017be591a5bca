//! What an error of Postgres asks for: the one place that decides, and the only one that words it.
//!
//! Texts name no values: the server's DETAIL is left out, and its message too where that could quote a row.

use std::error::Error as _;
use std::io;

use tokio_postgres::Error;
use tokio_postgres::error::DbError;

use crate::error::{Class, SinkError};

/// The class of an error.
///
/// Where the server was not reached or the connection broke, the outcome is unknown: that is an outage, and whatever was
/// asked is asked again. A failed CHECK is a bug: those constraints are alarms on our own counters.
pub fn class(error: &Error) -> Class {
    match error.as_db_error() {
        Some(refusal) => class_of_state(refusal.code().code()),
        None if is_broken(error) => Class::Outage,
        None => Class::Bug,
    }
}

/// The class of a SQLSTATE.
fn class_of_state(state: &str) -> Class {
    match state {
        // Serialisation failure, deadlock, a lock that was not to be had, a statement that ran into its timeout.
        "40001" | "40P01" | "55P03" | "57014" => Class::Retry,
        "23514" => Class::Bug,
        // Read only: a standby, or a server that is configured so.
        "25006" => Class::Outage,
        // An idle transaction was ended: by our own delay.
        "25P03" => Class::Outage,
        _ => match state.get(..2).unwrap_or_default() {
            "22" | "23" => Class::Data,
            "08" | "28" | "53" | "57" | "58" | "XX" => Class::Outage,
            "40" => Class::Retry,
            _ => Class::Bug,
        },
    }
}

/// Whether the server was not reached, or was lost.
fn is_broken(error: &Error) -> bool {
    let io = error
        .source()
        .is_some_and(|cause| cause.downcast_ref::<io::Error>().is_some());
    // The crate keeps its kinds to itself; these are the texts of those that break a connection.
    let broken = [
        "error communicating with the server",
        "connection closed",
        "error connecting to server",
        "error performing TLS handshake",
        "timeout waiting for server",
        "unexpected message from server",
        "error parsing response from server",
        "authentication error",
    ];
    io || error.is_closed() || broken.contains(&error.to_string().as_str())
}

/// What happened, for a person, without values.
pub fn text(error: &Error) -> String {
    match error.as_db_error() {
        Some(refusal) => refusal_text(refusal),
        None => match error.source().and_then(|c| c.downcast_ref::<io::Error>()) {
            Some(cause) => format!("{error}: {}", cause.kind()),
            None => error.to_string(),
        },
    }
}

fn refusal_text(refusal: &DbError) -> String {
    let state = refusal.code().code();
    let what = match state.get(..2).unwrap_or_default() {
        "22" => "a value cannot be stored",
        "23" => "a constraint refused the write",
        "28" => "the server refuses this user or password",
        _ => refusal.message(),
    };
    let mut text = format!("{what} (SQLSTATE {state}");
    for (name, value) in [
        ("table", refusal.table()),
        ("constraint", refusal.constraint()),
    ] {
        if let Some(value) = value {
            text.push_str(&format!(", {name} {value}"));
        }
    }
    text.push(')');
    text
}

/// The error as a sink's.
pub fn failed(error: &Error) -> SinkError {
    SinkError::new("postgres", class(error), text(error))
}

impl From<Error> for SinkError {
    fn from(error: Error) -> Self {
        failed(&error)
    }
}

/// Our own mistake.
pub fn bug(message: &str) -> SinkError {
    SinkError::new("postgres", Class::Bug, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_their_classes() {
        let table = [
            (Class::Retry, "40001 40P01 40003 55P03 57014"),
            (Class::Data, "22001 22021 22P02 22P05 23502 23505 23503"),
            (
                Class::Outage,
                "08000 08006 08P01 25006 25P03 28P01 28000 53100 53200 53300 57P01 57P02 57P03 57P05 58030 XX001",
            ),
            (
                Class::Bug,
                "23514 21000 25P02 42601 42703 42P01 42501 42804 0A000 26000 2D000",
            ),
        ];
        for (class, states) in table {
            for state in states.split(' ') {
                assert_eq!(class_of_state(state), class, "{state}");
            }
        }
        assert_eq!(class_of_state(""), Class::Bug);
    }
}
