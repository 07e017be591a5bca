//! The write operator: rows in, nothing out but progress.
//!
//! * **Pact**: pipeline. Rows gather in a [`Window`], go to a writer thread as a batch, and the batch's least capability is
//!   dropped when the writer says that it is durable: dropping it is what lets positions settle.
//! * **State**: the open window, closed batches that wait for their turn, and the capabilities of those being written; all of
//!   it is bounded by the source's in-flight limit.
//! * **Waiting**: a writer that retries or waits for an outage to end simply does not answer; nothing is dropped meanwhile.
//! * **Cost**: a push a row; one channel send and one wake-up a batch.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::{Stream, StreamVec};
use timely::scheduling::activate::SyncActivator;

use crate::epoch::{Clock, Epoch};
use crate::log::LogPace;
use crate::window::{Window, WindowConditions, WindowLimits};

/// The writer's way back to the operator that handed in a batch.
#[derive(Debug)]
pub struct WriteAck<A> {
    ticket: u64,
    back: Sender<(u64, A)>,
    waker: SyncActivator,
}

impl<A> WriteAck<A> {
    /// The batch is durable; `answer` is for the operator's bookkeeping.
    pub fn complete(self, answer: A) {
        let gone = self.back.send((self.ticket, answer)).is_err() || self.waker.activate().is_err();
        if gone {
            tracing::debug!("a batch became durable after its worker had ended");
        }
    }
}

/// What one worker's write operator needs.
pub struct WriteSettings<T, A> {
    /// The operator's name.
    pub name: &'static str,
    /// When to close a window.
    pub limits: WindowLimits,
    /// Batches handed to the writer and not answered, at most.
    pub concurrent_max: usize,
    /// About how many bytes a row holds.
    pub weigh: fn(&T) -> usize,
    /// Hands a batch to the writer; must not block.
    pub submit: Box<dyn FnMut(Vec<T>, WriteAck<A>)>,
    /// What to do with an answer.
    pub answered: Box<dyn FnMut(A)>,
    /// Whether the source stands at its in-flight limit.
    pub pressed: Arc<AtomicBool>,
    /// Monotonic time.
    pub clock: Arc<dyn Clock>,
    /// What the sink asks of its windows.
    pub pace: LogPace,
}

/// How often a window that holds rows is checked: the source may have stalled.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// When to check a window that is due in so long. One that is overdue waits for its sink, whose answer wakes the operator:
/// checking at once would spin.
fn next_look(due: Duration) -> Duration {
    if due.is_zero() {
        LOOK_AGAIN
    } else {
        due.min(LOOK_AGAIN)
    }
}

type Nothing = CapacityContainerBuilder<Vec<()>>;

/// Writes rows; the output carries no data, only the progress of what is durable.
pub fn write<'scope, T: 'static, A: Send + 'static>(
    rows: StreamVec<'scope, Epoch, T>,
    settings: WriteSettings<T, A>,
) -> Stream<'scope, Epoch, Vec<()>> {
    let scope = rows.scope();
    rows.unary_frontier::<Nothing, _, _, _>(Pipeline, settings.name, move |_cap, info| {
        let activator = scope.activator_for(Rc::clone(&info.address));
        let waker = scope.worker().sync_activator_for(info.address.to_vec());
        let mut batches = Batches::new(settings, waker);
        move |(input, frontier), output| {
            let now = batches.settings.clock.elapsed();
            input.for_each(|cap, rows| {
                if let Some(cap) = cap.retain_least(output.output_index()) {
                    batches.push(rows, cap, now);
                }
            });
            batches.take_answers();
            batches.close_window(now, frontier.is_empty());
            batches.hand_in();
            if let Some(due) = batches.window.due_in(now) {
                activator.activate_after(next_look(due));
            }
        }
    })
}

struct Batches<T, A> {
    settings: WriteSettings<T, A>,
    window: Window<T>,
    /// The least capability of the rows in the window.
    cap: Option<Capability<Epoch>>,
    closed: VecDeque<(Capability<Epoch>, Vec<T>)>,
    writing: BTreeMap<u64, Capability<Epoch>>,
    tickets: u64,
    waker: SyncActivator,
    back: Sender<(u64, A)>,
    answers: Receiver<(u64, A)>,
}

impl<T, A> Batches<T, A> {
    fn new(settings: WriteSettings<T, A>, waker: SyncActivator) -> Self {
        let (back, answers) = crossbeam_channel::unbounded();
        Self {
            window: Window::new(settings.limits),
            settings,
            cap: None,
            closed: VecDeque::new(),
            writing: BTreeMap::new(),
            tickets: 0,
            waker,
            back,
            answers,
        }
    }

    fn push(&mut self, rows: &mut Vec<T>, cap: Capability<Epoch>, now: Duration) {
        for row in rows.drain(..) {
            let bytes = (self.settings.weigh)(&row);
            self.window.push(row, bytes, now);
            if self
                .cap
                .as_ref()
                .is_none_or(|held| cap.time() < held.time())
            {
                self.cap = Some(cap.clone());
            }
            if self.window.is_full() {
                self.close_window(now, false);
            }
        }
    }

    fn close_window(&mut self, now: Duration, last: bool) {
        let moment = WindowConditions {
            now,
            sink_free: self.writing.is_empty() && self.closed.is_empty(),
            pressed: last || self.settings.pressed.load(Ordering::Relaxed),
            wait_min: self.settings.pace.wait_min(),
        };
        if let Some(rows) = self.window.take_if_due(moment)
            && let Some(cap) = self.cap.take()
        {
            self.closed.push_back((cap, rows));
        }
    }

    fn hand_in(&mut self) {
        while self.writing.len() < self.settings.concurrent_max {
            let Some((cap, rows)) = self.closed.pop_front() else {
                return;
            };
            self.tickets += 1;
            self.writing.insert(self.tickets, cap);
            let answer = WriteAck {
                ticket: self.tickets,
                back: self.back.clone(),
                waker: self.waker.clone(),
            };
            (self.settings.submit)(rows, answer);
        }
    }

    fn take_answers(&mut self) {
        while let Ok((ticket, answer)) = self.answers.try_recv() {
            (self.settings.answered)(answer);
            self.writing.remove(&ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_waits_for_its_sink_is_not_looked_at_in_a_spin() {
        assert_eq!(next_look(Duration::ZERO), LOOK_AGAIN);
        assert_eq!(
            next_look(Duration::from_millis(1)),
            Duration::from_millis(1)
        );
        assert_eq!(next_look(Duration::from_secs(1)), LOOK_AGAIN);
    }
}
