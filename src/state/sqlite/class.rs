//! What an error of SQLite asks for: the one place that decides.

use rusqlite::{Error, ErrorCode, ffi};

use crate::error::{Class, SinkError};

/// The class of an error.
///
/// A failed CHECK is a [`Class::Bug`]: those constraints are alarms on our own counters, no row of input can cause one,
/// and dead-lettering whoever happened to be in the batch would hide it.
pub(super) fn class(error: &Error) -> Class {
    let Some(cause) = error.sqlite_error() else {
        return Class::Bug;
    };
    if cause.extended_code == ffi::SQLITE_CONSTRAINT_CHECK {
        return Class::Bug;
    }
    match cause.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Class::Retry,
        ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch => Class::Data,
        ErrorCode::DiskFull
        | ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::ReadOnly => Class::Outage,
        _ => Class::Bug,
    }
}

impl From<Error> for SinkError {
    fn from(error: Error) -> Self {
        SinkError::new("sqlite", class(&error), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: i32) -> Class {
        class(&Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn codes_have_their_classes() {
        assert_eq!(of(ffi::SQLITE_BUSY), Class::Retry);
        assert_eq!(of(ffi::SQLITE_LOCKED), Class::Retry);
        assert_eq!(of(ffi::SQLITE_TOOBIG), Class::Data);
        assert_eq!(of(ffi::SQLITE_CONSTRAINT_UNIQUE), Class::Data);
        assert_eq!(of(ffi::SQLITE_CONSTRAINT_CHECK), Class::Bug);
        assert_eq!(of(ffi::SQLITE_FULL), Class::Outage);
        assert_eq!(of(ffi::SQLITE_IOERR_FSYNC), Class::Outage);
        assert_eq!(of(ffi::SQLITE_CANTOPEN), Class::Outage);
        assert_eq!(of(ffi::SQLITE_READONLY), Class::Outage);
        assert_eq!(of(ffi::SQLITE_MISUSE), Class::Bug);
        assert_eq!(class(&Error::QueryReturnedNoRows), Class::Bug);
    }
}
