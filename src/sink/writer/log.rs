//! The log behind its writer, for everyone who is not its thread.

use super::handle::WriterHandle;
use super::job::{Job, Reply};
use super::target::LogTarget;
use crate::error::{Class, SinkError};
use crate::log::LogRow;

impl Job<LogTarget> {
    /// A job for the log.
    pub fn log(rows: Vec<LogRow>, reply: Reply<()>) -> Self {
        let carriers = vec![(); rows.len()];
        Self::new(rows, carriers, reply)
    }
}

/// The log for everyone who is not its thread and not a timely operator: appends block until they are durable.
#[derive(Clone)]
pub struct LogHandle(WriterHandle<LogTarget>);

impl LogHandle {
    /// A handle through that writer.
    pub const fn new(writer: WriterHandle<LogTarget>) -> Self {
        Self(writer)
    }

    /// Appends rows durably.
    pub fn append(&self, rows: Vec<LogRow>) -> Result<(), SinkError> {
        let (answer, answered) = crossbeam_channel::bounded(1);
        let reply = Reply::call(move |_| answer.try_send(()).unwrap_or_default());
        self.0.submit(Job::log(rows, reply));
        let stopped = |_| SinkError::new("log", Class::Outage, "the writer has stopped");
        answered.recv().map_err(stopped)
    }
}
