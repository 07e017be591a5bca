//! Why something that needs a broker did not succeed.

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
    fn from(error: ConnectError) -> Self {
        let exit = match error {
            ConnectError::Permanent(_) => Exit::Config,
            ConnectError::Transient(_) => Exit::Unfinished,
        };
        Fatal::new(exit, error.to_string())
    }
}
