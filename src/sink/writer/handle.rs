//! The submitting side of a writer.

use std::sync::Arc;

use crossbeam_channel::{Sender, TrySendError};

use super::job::{Call, WriteJob, WriterMessage};
use super::status::SinkStatus;
use super::target::Target;

/// Why a job was not taken; it comes back.
pub enum SubmitError<T: Target> {
    /// The queue is full: wait until a reply comes.
    Full(WriteJob<T>),
    /// The writer has ended.
    Stopped(WriteJob<T>),
}

/// Hands jobs to a writer; cheap to clone.
pub struct WriterHandle<T: Target> {
    jobs: Sender<WriterMessage<T>>,
    stop: Sender<()>,
    status: Arc<SinkStatus>,
}

impl<T: Target> Clone for WriterHandle<T> {
    fn clone(&self) -> Self {
        Self {
            jobs: self.jobs.clone(),
            stop: self.stop.clone(),
            status: Arc::clone(&self.status),
        }
    }
}

impl<T: Target> WriterHandle<T> {
    pub(super) const fn new(
        jobs: Sender<WriterMessage<T>>,
        stop: Sender<()>,
        status: Arc<SinkStatus>,
    ) -> Self {
        Self { jobs, stop, status }
    }

    /// Submits a job if there is room; never blocks.
    pub fn try_submit(&self, job: WriteJob<T>) -> Result<(), SubmitError<T>> {
        let rows = job.rows();
        self.status.queued(rows);
        let refused = match self.jobs.try_send(WriterMessage::WriteJob(job)) {
            Err(TrySendError::Full(WriterMessage::WriteJob(job))) => SubmitError::Full(job),
            Err(TrySendError::Disconnected(WriterMessage::WriteJob(job))) => {
                SubmitError::Stopped(job)
            }
            _ => return Ok(()),
        };
        self.status.unqueued(rows);
        Err(refused)
    }

    /// Submits a job, waiting for room; false if the writer has ended.
    pub fn submit(&self, job: WriteJob<T>) -> bool {
        let rows = job.rows();
        self.status.queued(rows);
        let sent = self.jobs.send(WriterMessage::WriteJob(job)).is_ok();
        if !sent {
            self.status.unqueued(rows);
        }
        sent
    }

    /// Runs a call on the writer's thread, after what waits already. It is dropped if the writer has ended.
    pub(super) fn call(&self, call: Call<T>) {
        self.jobs
            .send(WriterMessage::Call(call))
            .unwrap_or_default();
    }

    /// Nothing more will come: the writer finishes what waits, and its drain. Later jobs are not written.
    pub fn close(&self) {
        self.jobs.send(WriterMessage::End).unwrap_or_default();
    }

    /// Asks the writer to end without finishing: at once between attempts, else when the running one returns.
    pub fn stop(&self) {
        // Full: somebody asked already. Disconnected: it has ended.
        self.stop.try_send(()).unwrap_or_default();
    }

    /// The status of the writer.
    pub const fn status(&self) -> &Arc<SinkStatus> {
        &self.status
    }
}
