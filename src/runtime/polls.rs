//! The thread that polls the user's own tables. A failed poll is counted and logged, and blocks nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::loader::Report;
use super::tables::TableLoader;
use crate::enrich::tables::TableError;
use crate::error::{Exit, Fatal};
use crate::metrics::{Counter, Gauge, Metrics};
use crate::observe::Board;
use crate::observe::health::Component;

/// The longest wait after failures.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How long a poll that is under way may take at the end of a job.
const END_WAIT: Duration = Duration::from_secs(2);

/// The status of the polls; cheap to clone.
#[derive(Clone)]
pub struct PollStatus {
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    degraded_after: u32,
    state: Arc<Mutex<PollState>>,
}

#[derive(Default)]
struct PollState {
    succeeded: Option<Instant>,
    failures: u32,
}

impl PollStatus {
    /// No poll was made yet.
    pub fn new(metrics: Arc<Metrics>, board: Arc<Board>, degraded_after: u32) -> Self {
        Self {
            metrics,
            board,
            degraded_after,
            state: Arc::default(),
        }
    }

    /// Polls once; returns what it loaded, or the error.
    pub fn poll(
        &self,
        tables: &mut TableLoader,
        on_rows: impl FnMut(u64),
    ) -> Result<Report, TableError> {
        self.metrics.count(Counter::RecipientPolls, 1);
        let result = tables.poll(on_rows);
        match &result {
            Ok(report) => self.record_success(report),
            Err(error) => self.record_failure(error),
        }
        result
    }

    fn record_success(&self, report: &Report) {
        let refused = report.bad + report.contradictions;
        for (counter, count) in [
            (Counter::RecipientsRead, report.read),
            (Counter::RecipientsLoaded, report.accepted),
            (Counter::RecipientsRefused, refused),
            (Counter::Completions, report.summary.completed),
        ] {
            self.metrics.count(counter, count);
        }
        if report.accepted + refused > 0 {
            tracing::info!(
                accepted = report.accepted,
                known = report.known,
                refused,
                "recipients were loaded from their table"
            );
        }
        if report.ahead > 0 {
            tracing::warn!(
                rows = report.ahead,
                "rows have a cursor after the clock of their database; they are loaded, and polling goes on from that clock"
            );
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failures >= self.degraded_after {
            tracing::info!("the table of recipients can be read again");
        }
        *state = PollState {
            succeeded: Some(Instant::now()),
            failures: 0,
        };
        self.board.post(Component::ready("recipients"));
    }

    /// Records a failure, also one before the first poll.
    pub fn record_failure(&self, error: &TableError) {
        self.metrics.count(Counter::RecipientPollsFailed, 1);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        let failures = state.failures;
        tracing::warn!(%error, failures, "the table of recipients could not be read; events go on and are matched later");
        if failures >= self.degraded_after {
            let why = format!("{failures} polls in a row failed: {error}");
            self.board.post(Component::degraded("recipients", why));
        }
    }

    /// Shows how long ago the last successful poll was.
    pub fn show(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let age = state.succeeded.map_or(0, |at| at.elapsed().as_secs());
        self.metrics.set(Gauge::RecipientPollAge, age);
    }

    /// How long to wait for the next: longer after failures.
    fn wait(&self, interval: Duration) -> Duration {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = interval.saturating_mul(1 << state.failures.min(10));
        wait.min(WAIT_MAX.max(interval))
    }
}

/// The thread.
pub struct Polls {
    stop: Sender<()>,
    ended: Receiver<TableLoader>,
    status: PollStatus,
    _thread: JoinHandle<()>,
}

impl Polls {
    /// Starts it; `woken` is notified of every poll that loaded something.
    pub fn start(
        tables: TableLoader,
        status: PollStatus,
        interval: Duration,
        woken: Sender<()>,
    ) -> Result<Self, Fatal> {
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let (end, ended) = crossbeam_channel::bounded(1);
        let of_thread = status.clone();
        let thread = std::thread::Builder::new()
            .name("recipients".into())
            .spawn(move || {
                let tables = run(tables, &of_thread, interval, &woken, &stopped);
                // Nobody waits for it any more: then it is dropped.
                end.try_send(tables).unwrap_or_default();
            });
        let thread = thread.map_err(|error| {
            let message = format!("no thread for recipients: {error}");
            Fatal::new(Exit::Internal, message)
        })?;
        Ok(Self {
            stop,
            ended,
            status,
            _thread: thread,
        })
    }

    /// The status of the polls.
    pub const fn status(&self) -> &PollStatus {
        &self.status
    }

    /// Asks it to end and waits a moment. A poll that takes longer is left alone: what it committed stands, the rest is
    /// discarded by the next start.
    pub fn end(self) -> Option<(TableLoader, PollStatus)> {
        drop(self.stop);
        let tables = self.ended.recv_timeout(END_WAIT).ok()?;
        Some((tables, self.status))
    }
}

fn run(
    mut tables: TableLoader,
    status: &PollStatus,
    interval: Duration,
    woken: &Sender<()>,
    stopped: &Receiver<()>,
) -> TableLoader {
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(status.wait(interval)) {
        if status
            .poll(&mut tables, |_| {})
            .is_ok_and(|report| report.accepted > 0)
        {
            // Full: it is woken already. Disconnected: the job ends.
            woken.try_send(()).unwrap_or_default();
        }
    }
    tables
}
