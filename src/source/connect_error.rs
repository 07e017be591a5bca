//! Why something that needs a broker did not succeed.

use super::Stopped;
use crate::error::{Exit, Fatal};

/// A failure, and whether trying again may help.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Trying again cannot help.
    #[error("{0}")]
    Permanent(String),
    /// Trying again may help.
    #[error("{0}")]
    Transient(String),
}

impl From<ConnectError> for Fatal {
    fn from(trouble: ConnectError) -> Self {
        let exit = match trouble {
            ConnectError::Permanent(_) => Exit::Config,
            ConnectError::Transient(_) => Exit::Unfinished,
        };
        Fatal::new(exit, trouble.to_string())
    }
}

/// Why reading a broker's past ended before its end.
#[derive(Debug)]
pub enum End {
    /// The job wants no more.
    Stopped,
    /// It cannot be read.
    Failed(Fatal),
}

impl From<Stopped> for End {
    fn from(_: Stopped) -> Self {
        End::Stopped
    }
}

impl From<Fatal> for End {
    fn from(fatal: Fatal) -> Self {
        End::Failed(fatal)
    }
}

impl From<ConnectError> for End {
    fn from(trouble: ConnectError) -> Self {
        End::Failed(trouble.into())
    }
}
