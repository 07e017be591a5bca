//! The submitting side of a writer.

use std::sync::Arc;

use crossbeam_channel::{Sender, TrySendError};

use super::job::{Call, Job, Message};
use super::status::SinkStatus;
use super::target::Target;

/// Why a job was not taken; it comes back.
pub enum Refused<T: Target> {
    /// The queue is full: wait until a reply comes.
    Full(Job<T>),
    /// The writer has ended.
    Stopped(Job<T>),
}

/// Hands jobs to a writer; cheap to clone.
pub struct WriterHandle<T: Target> {
    jobs: Sender<Message<T>>,
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
        jobs: Sender<Message<T>>,
        stop: Sender<()>,
        status: Arc<SinkStatus>,
    ) -> Self {
        Self { jobs, stop, status }
    }

    /// Submits a job if there is room; never blocks.
    pub fn try_submit(&self, job: Job<T>) -> Result<(), Refused<T>> {
        let rows = job.rows();
        self.status.queued(rows);
        let refused = match self.jobs.try_send(Message::Job(job)) {
            Err(TrySendError::Full(Message::Job(job))) => Refused::Full(job),
            Err(TrySendError::Disconnected(Message::Job(job))) => Refused::Stopped(job),
            _ => return Ok(()),
        };
        self.status.unqueued(rows);
        Err(refused)
    }

    /// Submits a job, waiting for room; false if the writer has ended.
    pub fn submit(&self, job: Job<T>) -> bool {
        let rows = job.rows();
        self.status.queued(rows);
        let sent = self.jobs.send(Message::Job(job)).is_ok();
        if !sent {
            self.status.unqueued(rows);
        }
        sent
    }

    /// Runs a call on the writer's thread, after what waits already. It is dropped if the writer has ended.
    pub(super) fn call(&self, call: Call<T>) {
        self.jobs.send(Message::Call(call)).unwrap_or_default();
    }

    /// Nothing more will come: the writer finishes what waits, and its drain. Later jobs are not written.
    pub fn close(&self) {
        self.jobs.send(Message::End).unwrap_or_default();
    }

    /// Asks the writer to end without finishing: at once between attempts, else when the running one returns.
    pub fn stop(&self) {
        // Full: somebody asked already. Disconnected: it has ended.
        self.stop.try_send(()).unwrap_or_default();
    }

    /// What the writer tells about itself.
    pub const fn status(&self) -> &Arc<SinkStatus> {
        &self.status
    }
}
