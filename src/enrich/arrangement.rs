//! The recipient snapshot as differential arrangements, and the way rows get into them.
//!
//! Two arrangements, insert-only, sharded as the events are, fed from committed rows only, so that a hit always finds its
//! row in the store (a miss may be stale: it parks, and the sweeper checks again):
//!
//! * **messages**: [`JoinKey`] → the recipients of that message as values, in address order;
//! * **rows**: [`RowKey`] → the number of the state row. Events of one user may come from any provider, hence from any
//!   shard of that user, so a row goes to each worker that owns one of them.
//!
//! The initial load enters at the least epoch, and time moves on only when it is complete: that is how [`super::lookup`]
//! knows that it may begin. Later rows enter at the epoch of their arrival.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::{ValBatcher, ValSpine};
use serde::{Deserialize, Serialize};
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::{Operator, source};
use timely::dataflow::operators::vec::Map;
use timely::dataflow::{Scope, StreamVec};

use super::directory::MessageRecipient;
use super::{Mapping, RowId};
use crate::epoch::{Clock, Epoch};
use crate::event::{Provider, User};
use crate::key::{JoinKey, RowKey, Shard};

/// An insert-only arrangement of `K` → `V`.
pub type Table<K, V> = TraceAgent<ValSpine<K, V, Epoch, isize>>;

/// One row on its way into the arrangements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArrangedRow {
    /// A recipient of a message, with the route of the shard that its events have.
    Message(u64, JoinKey, MessageRecipient),
    /// A state row, for one worker.
    State(u64, RowKey, RowId),
}

/// An update of the snapshot for a worker.
#[derive(Clone, Debug)]
pub enum SnapshotUpdate {
    /// Committed rows.
    Rows(Vec<ArrangedRow>),
    /// The initial load is complete.
    Loaded,
}

/// Turns committed mappings into rows and distributes them over the workers' channels.
#[derive(Clone, Debug)]
pub struct SnapshotSender {
    workers: Vec<Sender<SnapshotUpdate>>,
    providers: Arc<[Provider]>,
    next: usize,
}

impl SnapshotSender {
    /// Channels for `workers` workers; `providers` are all that events may come from.
    pub fn channels(
        workers: usize,
        providers: Arc<[Provider]>,
    ) -> (SnapshotSender, Vec<Receiver<SnapshotUpdate>>) {
        let (senders, receivers) = (0..workers).map(|_| crossbeam_channel::bounded(16)).unzip();
        let sender = SnapshotSender {
            workers: senders,
            providers,
            next: 0,
        };
        (sender, receivers)
    }

    /// Sends committed mappings to the workers; blocks while their channels are full.
    pub fn send_mappings(&mut self, mappings: &[Mapping]) {
        let rows: Vec<ArrangedRow> = mappings
            .iter()
            .flat_map(|mapping| self.rows(mapping))
            .collect();
        if rows.is_empty() || self.workers.is_empty() {
            return;
        }
        self.next = (self.next + 1) % self.workers.len();
        self.send(self.next, SnapshotUpdate::Rows(rows));
    }

    /// Sends that the initial load is complete.
    pub fn send_loaded(&self) {
        for worker in 0..self.workers.len() {
            self.send(worker, SnapshotUpdate::Loaded);
        }
    }

    /// A worker that is gone takes nothing any more; the job is then ending anyway.
    fn send(&self, worker: usize, update: SnapshotUpdate) {
        if let Some(Err(gone)) = self.workers.get(worker).map(|sender| sender.send(update)) {
            tracing::debug!(%gone, "recipient rows came after the dataflow ended");
        }
    }

    fn rows(&self, mapping: &Mapping) -> Vec<ArrangedRow> {
        let target = MessageRecipient {
            address: mapping.address,
            row: mapping.row_id,
            batch_id: mapping.batch_id.clone(),
            recipient_id: mapping.recipient_id.clone(),
        };
        let route = Shard::of(&mapping.provider, &mapping.user).route();
        let mut rows = vec![ArrangedRow::Message(route, mapping.join, target)];
        let routes = self.routes_of(&mapping.user).into_iter();
        rows.extend(routes.map(|route| ArrangedRow::State(route, mapping.row, mapping.row_id)));
        rows
    }

    /// One route to each worker that owns a shard of the user.
    fn routes_of(&self, user: &User) -> Vec<u64> {
        let workers = self.workers.len() as u64;
        let shards = self
            .providers
            .iter()
            .map(|provider| Shard::of(provider, user).route());
        let mut routes: Vec<u64> = shards.map(|route| route % workers).collect();
        routes.sort_unstable();
        routes.dedup();
        routes
    }
}

/// The arrangements of one worker.
pub struct ArrangedSnapshot<'scope> {
    /// Recipients by message.
    pub messages: Arranged<'scope, Table<JoinKey, MessageRecipient>>,
    /// State rows by key.
    pub rows: Arranged<'scope, Table<RowKey, RowId>>,
}

/// Where a worker's recipients come from.
#[derive(Clone, Debug)]
pub struct Recipients {
    /// The updates.
    pub updates: Receiver<SnapshotUpdate>,
    /// Raised when no event will ask any more: the dataflow can end although rows may still come.
    pub ended: Rc<Cell<bool>>,
}

/// Builds the arrangements over the worker's updates.
pub fn arrange<'scope>(
    scope: Scope<'scope, Epoch>,
    recipients: Recipients,
    clock: Arc<dyn Clock>,
) -> ArrangedSnapshot<'scope> {
    let rows = snapshot_rows(scope, recipients, clock);
    let messages = rows.clone().flat_map(|row| match row {
        ArrangedRow::Message(route, key, target) => Some((route, (key, target))),
        ArrangedRow::State(..) => None,
    });
    let states = rows.flat_map(|row| match row {
        ArrangedRow::State(route, key, id) => Some((route, (key, id))),
        ArrangedRow::Message(..) => None,
    });
    ArrangedSnapshot {
        messages: insert_only(messages, "Messages"),
        rows: insert_only(states, "StateRows"),
    }
}

type Routed<K, V> = (u64, (K, V));

fn insert_only<'scope, K, V>(
    rows: StreamVec<'scope, Epoch, Routed<K, V>>,
    name: &str,
) -> Arranged<'scope, Table<K, V>>
where
    K: differential_dataflow::ExchangeData + std::hash::Hash,
    V: differential_dataflow::ExchangeData,
{
    let by_route = Exchange::new(|(route, _): &Routed<K, V>| *route);
    let updates: StreamVec<'scope, Epoch, ((K, V), Epoch, isize)> =
        rows.unary(by_route, name, |_cap, _info| {
            |input, output| {
                input.for_each(|cap, rows| {
                    let Some(epoch) = cap.least().copied() else {
                        return;
                    };
                    let updates = rows.drain(..).map(|(_, row)| (row, epoch, 1));
                    output.session(&cap).give_iterator(updates);
                });
            }
        });
    arrange_core(updates, Pipeline, name, ValBatcher::new)
}

/// The stream of a worker's updates. Holds the least epoch until the initial load is complete.
fn snapshot_rows<'scope>(
    scope: Scope<'scope, Epoch>,
    recipients: Recipients,
    clock: Arc<dyn Clock>,
) -> StreamVec<'scope, Epoch, ArrangedRow> {
    source(scope, "Recipients", move |cap, info| {
        let activator = scope.activator_for(info.address);
        let (mut cap, mut loaded) = (Some(cap), false);
        move |output| {
            if recipients.ended.get() {
                cap = None;
            }
            let Some(held) = cap.as_mut() else { return };
            if loaded {
                held.downgrade(&clock.epoch().max(*held.time()));
            }
            match recipients.updates.try_recv() {
                Ok(SnapshotUpdate::Rows(mut rows)) => {
                    output.session(held).give_container(&mut rows)
                }
                Ok(SnapshotUpdate::Loaded) => loaded = true,
                Err(TryRecvError::Empty) => {
                    activator.activate_after(std::time::Duration::from_millis(10));
                    return;
                }
                Err(TryRecvError::Disconnected) => {
                    cap = None;
                    return;
                }
            }
            activator.activate();
        }
    })
}
