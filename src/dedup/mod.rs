//! First-seen-wins per identity, in memory, for a while.
//!
//! This layer saves work and decides nothing: the ledger of the state store is the judge. A copy may be dropped here
//! because the copy it repeats is either still open (and settles before this one's position is remembered) or
//! already durable in the sinks, the parked table or the dead letters. A copy that slips through costs a lookup.
//!
//! * **Pact**: exchange by the logical shard of (provider, user); a shard's keys live on one worker.
//! * **State**: [`memory::Memory`], a table of fixed size; keys live for the TTL or until the budget needs their slot.
//! * **Capabilities**: none held; what passes, passes in the same call.
//! * **Cost**: one hash-table probe of a single cache-line group per event.

pub mod memory;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;

use crate::epoch::{Clock, Epoch};
use crate::event::Event;
use crate::key::Identity;
use crate::metrics::{Counter, Step, WorkerMetrics};
use memory::Memory;

/// Identities that were dead-lettered after they passed: the sinks write here, dedup takes them out of memory.
///
/// Sinks run on the worker that deduplicated the event, so the list never crosses a thread.
pub type Forgotten = Rc<RefCell<Vec<Identity>>>;

/// What one worker's dedup needs.
#[derive(Clone)]
pub struct DedupSettings {
    /// How long a key is remembered.
    pub ttl: Duration,
    /// How many keys one worker remembers at most.
    pub keys_max: usize,
    /// Monotonic time.
    pub clock: Arc<dyn Clock>,
    /// The worker's counts.
    pub counts: WorkerMetrics,
}

/// Drops events whose identity was seen before.
pub fn dedup<'scope>(
    events: StreamVec<'scope, Epoch, Event>,
    settings: DedupSettings,
    forgotten: Forgotten,
) -> StreamVec<'scope, Epoch, Event> {
    let by_shard = Exchange::new(|event: &Event| event.shard.route());
    events.unary(by_shard, "Dedup", move |_cap, _info| {
        let mut memory = Memory::new(settings.keys_max, settings.ttl);
        move |input, output| {
            for identity in forgotten.borrow_mut().drain(..) {
                memory.forget(identity);
            }
            let now = settings.clock.elapsed();
            input.for_each(|cap, events| {
                let (before, started) = (events.len(), Instant::now());
                events.retain(|event| memory.first(event.identity, now));
                let dropped = (before - events.len()) as u64;
                let mut counts = settings.counts.borrow_mut();
                counts.count(Counter::DuplicateMemory, dropped);
                counts.took(Step::Dedup, started.elapsed(), 1);
                output.session(&cap).give_container(events);
            });
            memory.report(&mut settings.counts.borrow_mut());
        }
    })
}
