//! The log behind its writer, for everyone who is not its thread.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::handle::WriterHandle;
use super::job::{Reply, WriteJob};
use super::target::LogTarget;
use super::wait::{check_cancelled, wait};
use crate::error::SinkError;
use crate::log::LogRow;

impl WriteJob<LogTarget> {
    /// A job for the log.
    pub fn log(rows: Vec<LogRow>, reply: Reply<()>) -> Self {
        let contexts = vec![(); rows.len()];
        Self::new(rows, contexts, reply)
    }
}

/// The log for everyone who is not its thread and not a timely operator: appends block until they are durable.
#[derive(Clone)]
pub struct LogHandle {
    writer: WriterHandle<LogTarget>,
    /// Raised when the caller no longer waits.
    cancelled: Option<Arc<AtomicBool>>,
}

impl LogHandle {
    /// A handle through that writer.
    pub const fn new(writer: WriterHandle<LogTarget>) -> Self {
        Self {
            writer,
            cancelled: None,
        }
    }

    /// The same handle for a caller that waits only until `flag` is raised: then its calls fail with [`Class::Outage`]. Rows that
    /// were handed over already may still be appended.
    ///
    /// [`Class::Outage`]: crate::error::Class::Outage
    #[must_use]
    pub fn cancelled_by(mut self, flag: Arc<AtomicBool>) -> Self {
        self.cancelled = Some(flag);
        self
    }

    /// Appends rows durably.
    pub fn append(&self, rows: Vec<LogRow>) -> Result<(), SinkError> {
        check_cancelled(self.cancelled.as_deref(), "log")?;
        let (answer, answered) = crossbeam_channel::bounded(1);
        let reply = Reply::call(move |_| answer.try_send(()).unwrap_or_default());
        self.writer.submit(WriteJob::log(rows, reply));
        wait(&answered, self.cancelled.as_deref(), "log")
    }
}
