//! Completions while a job runs: deadlines that have passed are fired, and what is complete is delivered, every second.
//!
//! It has a thread of its own: somebody waits for completions, and they do not wait for parked events or new recipients, which may
//! wait for the log. Deliveries go over a connection of their own, so no commit waits for a file that is synced. A job whose input
//! ends fires deadlines when all of it is settled and not before: what is still to be read may finish a batch, and then it
//! is complete by itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::outbox::CompletionRelay;
use super::signals::Stop;
use crate::error::{Exit, Fatal, SinkError};
use crate::event::Millis;
use crate::metrics::{Counter, Metrics};
use crate::sink::writer::StateHandle;

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// The relay, shared with the end of the job; none where nothing is delivered.
pub type SharedRelay = Option<Arc<Mutex<CompletionRelay>>>;

/// What the thread needs.
pub struct CompletionsContext {
    /// Where batches are.
    pub state: StateHandle,
    /// Delivers completions.
    pub relay: SharedRelay,
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
                let message = format!("no thread for completions: {error}");
                Fatal::new(Exit::Internal, message)
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
    let mut is_failing = false;
    while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        // What is complete is delivered, whether or not deadlines could be fired.
        let (fired, delivered) = (fire_deadlines(parts), deliver(&parts.relay));
        let done = fired.and(delivered.map(drop));
        let was_failing = std::mem::replace(&mut is_failing, done.is_err());
        match done {
            Ok(()) => {}
            Err(error) if was_failing => tracing::debug!(%error, "completions are still delayed"),
            Err(error) => tracing::warn!(%error, "completions are delayed"),
        }
    }
}

fn fire_deadlines(parts: &CompletionsContext) -> Result<(), SinkError> {
    if !parts.is_endless {
        return Ok(());
    }
    let now = Millis::now();
    let fired = parts.state.call(move |store| store.judge_deadlines(now))?;
    parts.metrics.count(Counter::Completions, fired);
    Ok(())
}

/// Delivers what is undelivered; returns how many.
pub fn deliver(relay: &SharedRelay) -> Result<u64, SinkError> {
    let Some(relay) = relay else { return Ok(0) };
    relay.lock().unwrap_or_else(PoisonError::into_inner).relay()
}

/// Delivers what is undelivered, however often the state store is out meanwhile: until the job is asked to stop or `max_outage` has passed.
pub fn deliver_all(
    relay: &SharedRelay,
    stop: &Stop,
    max_outage: Option<Duration>,
) -> Result<u64, SinkError> {
    let began = Instant::now();
    loop {
        match deliver(relay) {
            Err(error)
                if error.class.is_passing()
                    && !stop.is_raised()
                    && max_outage.is_none_or(|limit| began.elapsed() < limit) =>
            {
                tracing::warn!(%error, "completions are delayed");
                crossbeam_channel::never::<()>()
                    .recv_timeout(EVERY)
                    .unwrap_or_default();
            }
            done => return done,
        }
    }
}
