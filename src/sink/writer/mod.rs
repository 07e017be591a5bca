//! The thread in front of a sink: group commit, retries, breaker, bisection, dead letters.
//!
//! ```text
//! operator ─ try_submit(job) ─► bounded queue ─► writer thread ─ write ─► sink
//!     ▲                                              │  refused rows ─► dead letters
//!     └───────────── reply, once it is durable ◄─────┘
//! ```
//!
//! Contract:
//!
//! * **Group commit.** It takes everything that waits, up to `rows_max`, and writes it as one; then it answers each job
//!   separately and in the order of the queue. While one write runs the next group fills.
//! * **A reply means durable.** Each row was written, or its dead letter was. A job that is not answered may or may not have
//!   been written; all writes can be repeated.
//! * **An outage dead-letters nothing.** The batch is held and tried again, with backoff, until the sink answers, the
//!   limit of outages is reached, or a stop is asked for. After some failures the breaker opens, which pauses the
//!   source; then one small write of the held rows finds out whether the sink is back.
//! * **Only a refusal ([`Class::Data`](crate::error::Class)) of the rows dead-letters**, and only the culprits.
//! * **A bug stops it**: the caller is notified once, through `on_fatal`, and no job is answered any more.
//!
//! Bounds: `queue_jobs_max` jobs wait, and one group is held.

mod attempts;
mod handle;
mod job;
mod log;
mod run;
mod state;
mod status;
mod target;
mod wait;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use handle::{SubmitError, WriterHandle};
pub use job::{Reply, RowResult, WriteJob, refused};
pub use log::LogHandle;
pub use state::{DeadLetterContext, StateHandle, StateTarget};
pub use status::SinkStatus;
#[cfg(feature = "faults")]
pub use target::faults;
pub use target::{DeadLetterWriter, LogTarget, Target, reject};

use self::attempts::AttemptControl;
use self::run::Writer;
use crate::epoch::Clock;
use crate::error::Fatal;
use crate::sink::retry::RetryPolicy;
use crate::sink::retry_budget::RetryBudget;

/// The limits of a writer.
#[derive(Clone, Debug)]
pub struct WriterSettings {
    /// The name of the sink, for threads, logs and metrics.
    pub name: &'static str,
    /// Rows in one write at most.
    pub rows_max: usize,
    /// Rows in the write that probes a sink whose breaker is open.
    pub probe_rows: usize,
    /// Jobs (and calls) that may wait.
    pub queue_jobs_max: usize,
    /// Failures in a row after which the breaker opens (`DATABASE_UPDATE_RETRIES`).
    pub breaker_opens_after: u32,
    /// The waits between attempts; its budget is the longest outage that is borne (`--max-outage`).
    pub retry: RetryPolicy,
    /// How many retries may be made, all sinks together.
    pub retry_budget: RetryBudget,
    /// How long an attempt may take before a watchdog may call it hung.
    pub attempt_limit: Duration,
    /// The seed of the jitter: from the system, so that no two writers of a fleet wait alike.
    pub seed: u64,
}

impl WriterSettings {
    /// The defaults, for a sink of that name.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            rows_max: 20_000,
            probe_rows: 100,
            queue_jobs_max: 64,
            breaker_opens_after: 3,
            retry: RetryPolicy::default(),
            retry_budget: RetryBudget::default(),
            attempt_limit: Duration::from_secs(60),
            seed: 0,
        }
    }
}

/// The running thread of a writer.
#[must_use = "a job that ends must drain its writers"]
pub struct WriterThread<T: Target> {
    handle: WriterHandle<T>,
    thread: JoinHandle<()>,
}

impl<T: Target> WriterThread<T> {
    /// A handle to submit jobs with.
    pub fn handle(&self) -> &WriterHandle<T> {
        &self.handle
    }

    /// Lets it finish what waits, and the work of its drain; returns when it ended.
    ///
    /// [`WriterHandle::stop`] on another thread cuts this short. The log is drained before the state store, which takes
    /// its dead letters.
    pub fn drain(self) {
        self.handle.close();
        self.join();
    }

    /// Stops it at the end of the running attempt, or at once between attempts; what is held stays unanswered.
    pub fn stop(self) {
        self.handle.stop();
        self.join();
    }

    fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("a writer panicked");
        }
    }
}

/// Starts the writer of a sink. `on_fatal` is called at most once, on its thread, right before it ends.
pub fn spawn<T: Target>(
    settings: &WriterSettings,
    target: T,
    clock: Arc<dyn Clock>,
    on_fatal: impl FnOnce(Fatal) + Send + 'static,
) -> io::Result<WriterThread<T>> {
    let status = Arc::new(SinkStatus::new(settings.name));
    let (jobs, queue) = crossbeam_channel::bounded(settings.queue_jobs_max);
    let (stop, stopped) = crossbeam_channel::bounded(1);
    let control = AttemptControl::new(settings, clock, Arc::clone(&status), stopped);
    let writer = Writer::new(target, control, queue, settings.rows_max);
    let thread = std::thread::Builder::new()
        .name(format!("write-{}", settings.name))
        .spawn(move || writer.run(on_fatal))?;
    let handle = WriterHandle::new(jobs, stop, status);
    Ok(WriterThread { handle, thread })
}
