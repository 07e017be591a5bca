//! The state store behind its writer: batches of events, and every other call, one after the other on one thread.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::handle::WriterHandle;
use super::job::{Reply, RowResult, WriteJob};
use super::target::{DeadLetterWriter, Target, reject};
use super::wait::{check_cancelled, wait};
use crate::error::{Class, SinkError};
use crate::event::{Delivery, Reject, Stage};
use crate::metrics::{Counter, Metrics, Sink};
use crate::state::{Outcome, StateEvent, StateStore};

/// Where a state event came from: what its dead letter would be made from.
#[derive(Clone, Debug)]
pub struct DeadLetterContext {
    /// The delivery.
    pub delivery: Arc<Delivery>,
    /// The place among the events decoded from it.
    pub index: u32,
}

/// A state store.
pub struct StateTarget {
    store: Box<dyn StateStore>,
    metrics: Arc<Metrics>,
}

impl StateTarget {
    /// Takes a store; what it does is counted.
    pub const fn new(store: Box<dyn StateStore>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }
}

impl Target for StateTarget {
    type Row = StateEvent;
    type DeadLetterContext = DeadLetterContext;
    type Answer = Outcome;

    fn write(&mut self, rows: &[StateEvent]) -> Result<Vec<Outcome>, SinkError> {
        let started = Instant::now();
        let applied = self.store.apply(rows)?;
        self.metrics
            .wrote(Sink::State, rows.len() as u64, started.elapsed());
        let counted = [
            (Counter::LateTotalRefused, applied.late_total_refused),
            (Counter::Completions, applied.completed),
            (Counter::RecipientsChanged, applied.recipients_changed),
        ];
        for (what, by) in counted {
            self.metrics.count(what, by);
        }
        Ok(applied.outcomes)
    }

    fn reject(_: &StateEvent, context: &DeadLetterContext, error: &SinkError) -> Reject {
        reject(&context.delivery, context.index, Stage::State, error)
    }

    fn write_dead_letters(&mut self, rejects: &[Reject]) -> Result<(), SinkError> {
        let started = Instant::now();
        self.store.write_dead_letters(rejects)?;
        self.metrics
            .wrote(Sink::Reject, rejects.len() as u64, started.elapsed());
        for reject in rejects {
            self.metrics.reject(reject.reason.code, 1);
            tracing::debug!(
                delivery = %reject.origin,
                index = reject.index,
                stage = reject.stage.name(),
                reason = reject.reason.code.name(),
                "dead letter stored"
            );
        }
        Ok(())
    }
}

/// The other calls of the state store, for everyone who is not its thread.
///
/// They run between batches, in the order of the queue, and block until they are done: never call them from a timely
/// operator or from a reply.
#[derive(Clone)]
pub struct StateHandle {
    writer: WriterHandle<StateTarget>,
    /// Raised when the caller no longer waits.
    cancelled: Option<Arc<AtomicBool>>,
}

impl StateHandle {
    /// A handle through that writer.
    pub const fn new(writer: WriterHandle<StateTarget>) -> Self {
        Self {
            writer,
            cancelled: None,
        }
    }

    /// The same handle for a caller that waits only until `flag` is raised: then its calls fail with [`Class::Outage`]. A call
    /// that was handed over already may still be done.
    #[must_use]
    pub fn cancelled_by(mut self, flag: Arc<AtomicBool>) -> Self {
        self.cancelled = Some(flag);
        self
    }

    /// Runs a call once; its error, of whatever class, is the caller's.
    pub fn call<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut dyn StateStore) -> Result<R, SinkError> + Send + 'static,
    ) -> Result<R, SinkError> {
        let mut once = Some(f);
        self.run(move |store| once.take().map(|f| f(store)), |_| false)
    }

    /// Runs a call until it succeeds or its error says that trying again cannot help, with the retries and the
    /// breaker of the writer.
    pub fn call_until_done<R: Send + 'static>(
        &self,
        mut f: impl FnMut(&mut dyn StateStore) -> Result<R, SinkError> + Send + 'static,
    ) -> Result<R, SinkError> {
        self.run(
            move |store| Some(f(store)),
            |class| matches!(class, Class::Retry | Class::Outage),
        )
    }

    /// Runs a call until it succeeds, without waiting: `done` is called with its result on the writer's thread.
    pub fn call_later<R: 'static>(
        &self,
        mut f: impl FnMut(&mut dyn StateStore) -> Result<R, SinkError> + Send + 'static,
        done: impl FnOnce(R) + Send + 'static,
    ) {
        let mut done = Some(done);
        let call = move |target: &mut StateTarget| {
            let result = f(target.store.as_mut())?;
            if let Some(done) = done.take() {
                done(result);
            }
            Ok(())
        };
        self.writer.call(Box::new(call));
    }

    /// Applies events like those of the dataflow: with retries, bisection and dead letters. Returns the verdict of each once
    /// all of it is durable.
    pub fn apply(
        &self,
        rows: Vec<(StateEvent, DeadLetterContext)>,
    ) -> Result<Vec<RowResult<Outcome>>, SinkError> {
        let (events, contexts) = rows.into_iter().unzip();
        let (answer, answered) = crossbeam_channel::bounded(1);
        let reply = Reply::call(move |verdicts| answer.try_send(verdicts).unwrap_or_default());
        self.writer.submit(WriteJob::new(events, contexts, reply));
        wait(&answered, self.cancelled.as_deref(), "state")
    }

    /// Where the dead letters of other sinks go.
    pub fn dead_letter_writer(&self) -> DeadLetterWriter {
        let state = self.clone();
        Box::new(move |rejects| {
            let (done, written) = crossbeam_channel::bounded(1);
            state.write_dead_letters(rejects.to_vec(), move || {
                done.try_send(()).unwrap_or_default()
            });
            wait(&written, None, "state")
        })
    }

    /// Stores dead letters without waiting; `durable` is called on the writer's thread once they are.
    pub fn write_dead_letters(
        &self,
        rejects: Vec<Reject>,
        durable: impl FnOnce() + Send + 'static,
    ) {
        let mut durable = Some(durable);
        let status = Arc::clone(self.writer.status());
        status.queued(rejects.len());
        let call = move |target: &mut StateTarget| {
            target.write_dead_letters(&rejects)?;
            status.unqueued(rejects.len());
            if let Some(durable) = durable.take() {
                durable();
            }
            Ok(())
        };
        self.writer.call(Box::new(call));
    }

    fn run<R: Send + 'static>(
        &self,
        mut f: impl FnMut(&mut dyn StateStore) -> Option<Result<R, SinkError>> + Send + 'static,
        again: impl Fn(Class) -> bool + Send + 'static,
    ) -> Result<R, SinkError> {
        let (answer, answered) = crossbeam_channel::bounded(1);
        let call = move |target: &mut StateTarget| match f(target.store.as_mut()) {
            Some(Err(error)) if again(error.class) => Err(error),
            Some(result) => {
                // A caller that is gone does not ask any more.
                answer.try_send(result).unwrap_or_default();
                Ok(())
            }
            None => Ok(()),
        };
        check_cancelled(self.cancelled.as_deref(), "state")?;
        self.writer.call(Box::new(call));
        wait(&answered, self.cancelled.as_deref(), "state")?
    }
}
