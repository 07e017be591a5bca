//! What a failed call of the Parquet log means to its writer: one function for I/O, one for the format.

use std::io::{Error, ErrorKind};

use parquet::errors::ParquetError;

use crate::error::{Class, SinkError};

/// EIO, ENFILE and EMFILE have no kind of their own.
const DEVICE_ERRORS: [i32; 3] = [5, 23, 24];

/// What an I/O error asks for: a disk that is full, broken, gone or not ours is an outage, and nothing is lost by waiting.
fn class(error: &Error) -> Class {
    use ErrorKind::{
        Interrupted, NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StaleNetworkFileHandle, StorageFull, TimedOut, WouldBlock,
    };
    match error.kind() {
        Interrupted | WouldBlock => Class::Retry,
        StorageFull
        | QuotaExceeded
        | NotFound
        | NotADirectory
        | PermissionDenied
        | ReadOnlyFilesystem
        | StaleNetworkFileHandle
        | TimedOut => Class::Outage,
        _ if error
            .raw_os_error()
            .is_some_and(|code| DEVICE_ERRORS.contains(&code)) =>
        {
            Class::Outage
        }
        _ => Class::Bug,
    }
}

/// An I/O error as the writer sees it.
pub(super) fn io(error: &Error) -> SinkError {
    SinkError::new("parquet", class(error), error.to_string())
}

impl From<ParquetError> for SinkError {
    fn from(error: ParquetError) -> Self {
        let class = match &error {
            ParquetError::External(inner) => {
                inner.downcast_ref::<Error>().map_or(Class::Bug, class)
            }
            _ => Class::Bug,
        };
        SinkError::new("parquet", class, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_cannot_be_written_is_an_outage() {
        for code in [2, 5, 13, 24, 28, 30, 122] {
            let error = Error::from_raw_os_error(code);
            assert_eq!(class(&error), Class::Outage, "{error}");
            let wrapped = SinkError::from(ParquetError::from(error));
            assert_eq!(wrapped.class, Class::Outage);
        }
        assert_eq!(class(&Error::from_raw_os_error(4)), Class::Retry);
        assert_eq!(class(&Error::from_raw_os_error(22)), Class::Bug);
        let broken = SinkError::from(ParquetError::General("bad footer".to_owned()));
        assert_eq!(broken.class, Class::Bug);
    }
}
