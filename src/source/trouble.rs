//! Why something that needs a broker did not succeed.

use super::Stopped;
use crate::error::{Exit, Fatal};

/// A failure, and whether trying again may help.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Trying again cannot help.
    #[error("{0}")]
    Refused(String),
    /// Trying again may help.
    #[error("{0}")]
    Passing(String),
}

impl From<Trouble> for Fatal {
    fn from(trouble: Trouble) -> Self {
        let exit = match trouble {
            Trouble::Refused(_) => Exit::Config,
            Trouble::Passing(_) => Exit::Unfinished,
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

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        End::Failed(trouble.into())
    }
}
