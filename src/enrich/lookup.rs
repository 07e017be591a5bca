//! The half join: reacts to events only, reads the snapshot as it is.
//!
//! * **Pacts**: both inputs stay on their worker; events were exchanged by dedup, rows by [`super::arrangement`], both by shard.
//! * **Waiting**: events wait for the initial load and never again: afterwards a row that is not there is a miss, which
//!   parks. The snapshot's input is disconnected from the outputs, so a poll that fails never holds back an event.
//! * **State**: until the load is complete, the events that came early; they are bounded by the in-flight limit.
//! * **Capabilities**: those of waiting events; none afterwards.
//! * **Cost**: one sort of a container's keys and one forward pass of each cursor.

use std::collections::BTreeMap;

use std::time::Instant;

use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::trace::cursor::Cursor;
use differential_dataflow::trace::implementations::ValSpine;
use differential_dataflow::trace::{BatchCursor, Navigable, TraceReader};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::RowId;
use super::arrangement::{ArrangedSnapshot, Table};
use super::directory::{Directory, Match, MessageRecipient, match_all};
use crate::epoch::Epoch;
use crate::event::Event;
use crate::key::{AddressKey, JoinKey, RowKey};
use crate::metrics::{Counter, Step, WorkerMetrics};

/// An event and the state row it belongs to, if one is known.
pub type Enriched = (Event, Option<Match>);

/// Joins events with the snapshot.
pub fn enrich<'scope>(
    events: StreamVec<'scope, Epoch, Event>,
    snapshot: ArrangedSnapshot<'scope>,
    counts: WorkerMetrics,
) -> StreamVec<'scope, Epoch, Enriched> {
    let mut builder = OperatorBuilder::new("Enrich".to_owned(), events.scope());
    let (output, stream) = builder.new_output::<Vec<Enriched>>();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(output);
    let through = Antichain::from_elem(());
    let mut input = builder.new_input_connection(events, Pipeline, [(0, through)]);
    let mut messages_in = builder.new_input_connection(snapshot.messages.stream, Pipeline, []);
    let mut rows_in = builder.new_input_connection(snapshot.rows.stream, Pipeline, []);
    let mut tables = Tables::new(snapshot.messages.trace, snapshot.rows.trace);
    builder.build(move |_capabilities| {
        let mut early: BTreeMap<Epoch, (Capability<Epoch>, Vec<Event>)> = BTreeMap::new();
        move |frontiers| {
            messages_in.for_each(|_, _| {});
            rows_in.for_each(|_, _| {});
            let mut output = output.activate();
            let loaded = frontiers
                .iter()
                .skip(1)
                .all(|dimension| !dimension.less_equal(&Epoch(0)));
            if loaded {
                for (_, (cap, events)) in std::mem::take(&mut early) {
                    output
                        .session(&cap)
                        .give_iterator(tables.join(events, &counts));
                }
            }
            input.for_each(|cap, events| {
                if loaded {
                    let events = std::mem::take(events);
                    output
                        .session(&cap)
                        .give_iterator(tables.join(events, &counts));
                } else if let Some(kept) = cap.retain_least(0) {
                    let slot = early
                        .entry(*kept.time())
                        .or_insert_with(|| (kept, Vec::new()));
                    slot.1.append(events);
                }
            });
            tables.compact(frontiers.get(1).and_then(|f| f.frontier().first().copied()));
        }
    });
    stream
}

/// Both arrangements of a worker.
struct Tables {
    messages: Table<JoinKey, MessageRecipient>,
    rows: Table<RowKey, RowId>,
}

impl Tables {
    fn new(mut messages: Table<JoinKey, MessageRecipient>, mut rows: Table<RowKey, RowId>) -> Self {
        messages.set_physical_compaction(AntichainRef::new(&[]));
        rows.set_physical_compaction(AntichainRef::new(&[]));
        Self { messages, rows }
    }

    /// Matches a batch. What comes out is in the order of what went in.
    fn join(
        &mut self,
        events: Vec<Event>,
        counts: &WorkerMetrics,
    ) -> impl Iterator<Item = Enriched> {
        let started = Instant::now();
        let mut passes = Passes {
            messages: ForwardPass::over(&mut self.messages),
            rows: ForwardPass::over(&mut self.rows),
        };
        let found = match_all(&events, &mut passes);
        let hits = found.iter().flatten().count() as u64;
        let mut counts = counts.borrow_mut();
        counts.count(Counter::LookupHit, hits);
        counts.count(Counter::LookupMiss, found.len() as u64 - hits);
        counts.took(Step::Enrich, started.elapsed(), 1);
        events.into_iter().zip(found)
    }

    /// Lets the arrangements forget when their rows came; it does not matter any more.
    fn compact(&mut self, now: Option<Epoch>) {
        let now = now.as_slice();
        self.messages.set_logical_compaction(AntichainRef::new(now));
        self.rows.set_logical_compaction(AntichainRef::new(now));
    }
}

type TraceBatch<K, V> = <ValSpine<K, V, Epoch, isize> as TraceReader>::Batch;
type TraceBatchCursor<K, V> = BatchCursor<ValSpine<K, V, Epoch, isize>>;

/// One forward pass over an arrangement: a cursor for each of its few batches.
///
/// Not differential's `CursorList`: its `seek_val` also moves cursors that are past their last key, which panics
/// (0.26.0), and a lookup needs no merged order.
struct ForwardPass<K: Ord + Clone + 'static, V: Ord + Clone + 'static> {
    batches: Vec<(TraceBatchCursor<K, V>, TraceBatch<K, V>)>,
}

impl<K: Ord + Clone + 'static, V: Ord + Clone + 'static> ForwardPass<K, V> {
    fn over(table: &mut TraceAgent<ValSpine<K, V, Epoch, isize>>) -> Self {
        let batches = table
            .batches_through(AntichainRef::new(&[]))
            .unwrap_or_default();
        let with_cursors = batches.into_iter().map(|batch| (batch.cursor(), batch));
        Self {
            batches: with_cursors.collect(),
        }
    }

    /// The first value of `key` that is not below `least`.
    fn first_from(&mut self, key: &K, least: Option<&V>) -> Option<V> {
        let mut first: Option<&V> = None;
        for (cursor, batch) in &mut self.batches {
            cursor.seek_key(batch, key);
            if cursor.get_key(batch) != Some(key) {
                continue;
            }
            if let Some(least) = least {
                cursor.seek_val(batch, least);
            }
            if let Some(value) = cursor.get_val(batch) {
                first = Some(first.map_or(value, |first| first.min(value)));
            }
        }
        first.cloned()
    }

    /// The value of `key`, if it has exactly one (however often it was inserted).
    fn only(&mut self, key: &K) -> Option<V> {
        let only = self.first_from(key, None)?;
        for (cursor, batch) in &mut self.batches {
            if cursor.get_key(batch) != Some(key) {
                continue;
            }
            while let Some(value) = cursor.get_val(batch) {
                if *value != only {
                    return None;
                }
                cursor.step_val(batch);
            }
        }
        Some(only)
    }
}

struct Passes {
    messages: ForwardPass<JoinKey, MessageRecipient>,
    rows: ForwardPass<RowKey, RowId>,
}

impl Directory for Passes {
    fn row(&mut self, key: RowKey) -> Option<RowId> {
        self.rows.first_from(&key, None)
    }

    fn message(&mut self, key: JoinKey, address: Option<AddressKey>) -> Option<MessageRecipient> {
        let Some(address) = address else {
            return self.messages.only(&key);
        };
        let found = self
            .messages
            .first_from(&key, Some(&MessageRecipient::least(address)));
        found.filter(|target| target.address == address)
    }
}
