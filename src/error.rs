//! What can go wrong in a sink, and what follows from it.
//!
//! Every error of a sink carries a [`Class`], decided by one function next to the driver that raised it, and the
//! class alone decides what the writer does.

/// What a failed write asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The same write may succeed now (deadlock, serialisation failure, busy): try again with backoff.
    Retry,
    /// The rows themselves are refused: bisect down to the culprit and dead-letter that one.
    Data,
    /// The store cannot be reached or cannot write (down, disk full): open the breaker, pause the source, dead-letter nothing.
    Outage,
    /// Our own mistake (unknown column, broken invariant): trying again cannot help; stop loudly.
    Bug,
}

impl Class {
    /// Whether waiting may mend it.
    pub const fn is_passing(self) -> bool {
        matches!(self, Class::Retry | Class::Outage)
    }

    /// The name used in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Retry => "retry",
            Class::Data => "data",
            Class::Outage => "outage",
            Class::Bug => "bug",
        }
    }
}

/// A sink's failure. Its text names no address, secret or payload.
#[derive(Debug, thiserror::Error)]
#[error("{component}: {message}")]
pub struct SinkError {
    /// Which sink: `sqlite`, `parquet`, …
    pub component: &'static str,
    /// What the writer does about it.
    pub class: Class,
    /// What happened.
    pub message: String,
}

impl SinkError {
    /// An error of that class.
    pub fn new(component: &'static str, class: Class, message: impl Into<String>) -> Self {
        Self {
            component,
            class,
            message: message.into(),
        }
    }
}

/// The exit codes of the program, for scripts and supervisors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; dead letters included, the summary says so.
    Done = 0,
    /// Input unreadable, store in use by another process, or nothing good to decode.
    Input = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The watchdog fired, a thread panicked or could not be started, or something else went wrong in the program itself.
    Internal = 70,
    /// The drain deadline passed, an outage outlasted its limit, or a second signal came.
    Unfinished = 75,
    /// Configuration, schema or password.
    Config = 78,
}

/// An error that ends the program: its exit code, what happened, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fatal {
    /// The exit code.
    pub exit: Exit,
    /// One or more lines for a person.
    pub message: String,
}

impl Fatal {
    /// An error with that exit code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }
}

impl From<SinkError> for Fatal {
    fn from(error: SinkError) -> Self {
        let exit = match error.class {
            Class::Retry | Class::Outage => Exit::Unfinished,
            Class::Data | Class::Bug => Exit::Internal,
        };
        Fatal::new(exit, error.to_string())
    }
}
