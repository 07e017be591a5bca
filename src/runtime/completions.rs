//! Completions while a job runs: batches whose deadline has passed are judged, and what is complete is delivered, every second.
//!
//! It has a thread of its own: somebody waits for completions, and they do not wait for parked events or new recipients, which may
//! wait for the log. A job whose input ends judges deadlines when all of it is settled and not before: what is still to be read may
//! finish a batch, and then it is complete and no deadline's.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::outbox;
use crate::error::{Exit, Fatal, SinkError};
use crate::event::Millis;
use crate::metrics::{Counter, Metrics};
use crate::sink::writer::StateHandle;

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// What it needs.
pub struct CompletionsContext {
    /// Where batches are.
    pub state: StateHandle,
    /// Where completions are delivered.
    pub outbox: Option<PathBuf>,
    /// The input has no end.
    pub is_endless: bool,
    /// The job's counts.
    pub metrics: Arc<Metrics>,
}

/// The thread.
pub struct Completions {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Completions {
    /// Starts it.
    pub fn start(parts: CompletionsContext) -> Result<Self, Fatal> {
        let (stop, stopped) = crossbeam_channel::bounded(1);
        let thread = std::thread::Builder::new()
            .name("completions".into())
            .spawn(move || run(&parts, &stopped))
            .map_err(|error| {
                let words = format!("no thread for completions: {error}");
                Fatal::new(Exit::Internal, words)
            })?;
        Ok(Self { stop, thread })
    }

    /// Lets it finish what it is doing.
    pub fn end(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::warn!("the thread for completions had ended");
        }
    }
}

fn run(parts: &CompletionsContext, stopped: &Receiver<()>) {
    let mut is_put_off = false;
    while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        // What is complete is delivered, whether or not deadlines could be judged.
        let (judged, delivered) = (judge(parts), deliver(parts));
        let done = judged.and(delivered);
        let was_put_off = std::mem::replace(&mut is_put_off, done.is_err());
        match done {
            Ok(()) => {}
            // A store that is out of order is the writer's business: this tries again.
            Err(error) if was_put_off => tracing::debug!(%error, "completions are put off still"),
            Err(error) => tracing::warn!(%error, "completions are put off"),
        }
    }
}

fn judge(parts: &CompletionsContext) -> Result<(), SinkError> {
    if !parts.is_endless {
        return Ok(());
    }
    let now = Millis::now();
    let fired = parts.state.call(move |store| store.judge_deadlines(now))?;
    parts.metrics.count(Counter::Completions, fired);
    Ok(())
}

fn deliver(parts: &CompletionsContext) -> Result<(), SinkError> {
    outbox::relay_if_possible(&parts.state, parts.outbox.clone()).map(drop)
}
