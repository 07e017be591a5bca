//! The state store behind its writer: batches of events, and every other call, one after the other on one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::handle::WriterHandle;
use super::target::{Bury, Target, reject};
use crate::error::{Class, SinkError};
use crate::event::{Delivery, Reject, Stage};
use crate::sink::state::{Applied, Outcome, StateEvent, StateStore};

/// Where a state event came from: what its dead letter would be made from.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// The delivery.
    pub delivery: Arc<Delivery>,
    /// The place among the events decoded from it.
    pub index: u32,
}

/// What batches did besides their rows' outcomes, summed up; readable from any thread.
#[derive(Debug, Default)]
pub struct StateTotals {
    late_total_refused: AtomicU64,
    completed: AtomicU64,
    recipients_changed: AtomicU64,
}

impl StateTotals {
    /// Events older than what was pruned.
    pub fn late_total_refused(&self) -> u64 {
        self.late_total_refused.load(Ordering::Relaxed)
    }

    /// Batches whose completion fired.
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// Changes of state rows.
    pub fn recipients_changed(&self) -> u64 {
        self.recipients_changed.load(Ordering::Relaxed)
    }

    fn add(&self, applied: &Applied) {
        let add = |total: &AtomicU64, more| total.fetch_add(more, Ordering::Relaxed);
        add(&self.late_total_refused, applied.late_total_refused);
        add(&self.completed, applied.completed);
        add(&self.recipients_changed, applied.recipients_changed);
    }
}

/// A state store.
pub struct StateTarget {
    store: Box<dyn StateStore>,
    totals: Arc<StateTotals>,
}

impl StateTarget {
    /// Takes a store.
    pub fn new(store: Box<dyn StateStore>) -> Self {
        Self {
            store,
            totals: Arc::default(),
        }
    }

    /// The sums of what batches did.
    pub fn totals(&self) -> Arc<StateTotals> {
        Arc::clone(&self.totals)
    }
}

impl Target for StateTarget {
    type Row = StateEvent;
    type Carrier = Carrier;
    type Answer = Outcome;

    fn write(&mut self, rows: &[StateEvent]) -> Result<Vec<Outcome>, SinkError> {
        let applied = self.store.apply(rows)?;
        self.totals.add(&applied);
        Ok(applied.outcomes)
    }

    fn reject(_: &StateEvent, carrier: &Carrier, error: &SinkError) -> Reject {
        reject(&carrier.delivery, carrier.index, Stage::State, error)
    }

    fn bury(&mut self, rejects: &[Reject]) -> Result<(), SinkError> {
        self.store.bury(rejects)
    }
}

/// The other calls of the state store, for everyone who is not its thread.
///
/// They run between batches, in the order of the queue, and block until they are done: never call them from a timely
/// operator or from a reply.
#[derive(Clone)]
pub struct StateHandle(WriterHandle<StateTarget>);

impl StateHandle {
    /// A handle through that writer.
    pub const fn new(writer: WriterHandle<StateTarget>) -> Self {
        Self(writer)
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

    /// Where the dead letters of other sinks go.
    pub fn burier(&self) -> Bury {
        let state = self.clone();
        Box::new(move |rejects| {
            let rejects = rejects.to_vec();
            state.call_until_done(move |store| store.bury(&rejects))
        })
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
        self.0.call(Box::new(call));
        answered.recv().unwrap_or_else(|_| Err(stopped()))
    }
}

/// What a call gets when the writer ended before it was done; it may be repeated by the next run.
fn stopped() -> SinkError {
    SinkError::new("state", Class::Outage, "the writer has stopped")
}
