//! From a source's channel into the dataflow: mints epochs, keeps the ledger, and stops at the in-flight limit.
//!
//! * **Waiting**: an idle bridge looks at its channel every `LOOK_AGAIN`, so that is what it adds to latency at most.
//! * **Capability**: one, downgraded to the clock's epoch on every call, so that an idle source still lets time pass; it is
//!   dropped when the channel is closed and empty.
//! * **Bound**: at most [`InFlightLimit`] open events and bytes (plus one parcel); timely has no backpressure of its own, so
//!   this is the brake of the whole job.
//! * **Cost**: one epoch a tick, one ledger entry a parcel; nothing per record but its move.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::Receiver;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::generic::source;
use timely::dataflow::{Scope, StreamVec};

use super::in_flight::{InFlight, InFlightLimit, Position};
use super::{Record, Records};
use crate::epoch::{Clock, Epoch};
use crate::quarantine::{Next, WorkerQuarantine};

/// Records taken in one call, so that other operators get their turn.
const PARCELS_A_CALL: usize = 2;

/// How often an idle bridge looks at its channel: as often as its worker wakes up anyway.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What one worker's bridge needs.
#[derive(Clone)]
pub struct Bridge {
    /// Where parcels come from.
    pub parcels: Receiver<Records>,
    /// What is open.
    pub ledger: Rc<RefCell<InFlight>>,
    /// How much may be open on this worker.
    pub limit: InFlightLimit,
    /// The job's clock.
    pub clock: Arc<dyn Clock>,
    /// How often an idle bridge advances.
    pub tick: Duration,
    /// Raised when nothing more will be asked of the source; what its channel holds is still taken.
    pub draining: Arc<AtomicBool>,
    /// Raised while the bridge stands at its limit: windows then close early.
    pub pressed: Arc<AtomicBool>,
    /// Holds back suspects until they may be decoded alone.
    pub quarantine: Rc<RefCell<WorkerQuarantine>>,
    /// What is on its way to the writers, over all workers.
    pub before_writers: ProbeHandle<Epoch>,
}

/// The stream of one worker's runs of records.
pub fn bridge<'scope>(
    scope: Scope<'scope, Epoch>,
    parts: Bridge,
) -> StreamVec<'scope, Epoch, Records> {
    source(scope, "Bridge", move |cap, info| {
        let activator = scope.activator_for(info.address);
        let mut cap = Some(cap);
        move |output| {
            let Some(held) = cap.as_mut() else { return };
            let epoch = parts.clock.epoch().max(*held.time());
            held.downgrade(&epoch);
            let taken = take(&parts, epoch);
            if !taken.runs.is_empty() {
                let mut runs = taken.runs;
                output.session(held).give_container(&mut runs);
            }
            match taken.then {
                Then::More => activator.activate(),
                Then::Wait => activator.activate_after(parts.tick.min(LOOK_AGAIN)),
                Then::End => cap = None,
            }
        }
    })
}

enum Then {
    More,
    Wait,
    End,
}

struct Taken {
    runs: Vec<Records>,
    then: Then,
}

fn take(parts: &Bridge, epoch: Epoch) -> Taken {
    let mut ledger = parts.ledger.borrow_mut();
    let mut quarantine = parts.quarantine.borrow_mut();
    quarantine.advance(epoch, |epoch| !parts.before_writers.less_equal(&epoch));
    let mut runs = Vec::new();
    for _ in 0..PARCELS_A_CALL {
        if ledger.is_full(&parts.limit) {
            parts.pressed.store(true, Ordering::Relaxed);
            return Taken {
                runs,
                then: Then::Wait,
            };
        }
        match quarantine.next(epoch, &parts.parcels) {
            Next::Records(parcel) => {
                let position = Position {
                    partition: parcel.partition,
                    start: parcel.start,
                    end: parcel.end,
                };
                ledger.record(
                    epoch,
                    position,
                    parcel.records.len(),
                    parcel.bytes,
                    since(&parcel, parts.clock.elapsed()),
                );
                ledger.taken(epoch, parcel.records.iter().filter_map(Record::taken));
                runs.push(parcel);
            }
            Next::Wait => {
                return Taken {
                    runs,
                    then: Then::Wait,
                };
            }
            Next::Empty if !parts.draining.load(Ordering::Relaxed) => {
                parts.pressed.store(false, Ordering::Relaxed);
                return Taken {
                    runs,
                    then: Then::Wait,
                };
            }
            Next::Empty | Next::Closed => {
                parts.pressed.store(true, Ordering::Relaxed);
                return Taken {
                    runs,
                    then: Then::End,
                };
            }
        }
    }
    parts.pressed.store(false, Ordering::Relaxed);
    Taken {
        runs,
        then: Then::More,
    }
}

/// From when a parcel's latency counts: a source that keeps a schedule and falls behind must show it.
fn since(parcel: &Records, now: Duration) -> Duration {
    let late = parcel.due.map_or(Duration::ZERO, |due| due.elapsed());
    now.saturating_sub(late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn latency_counts_from_when_a_parcel_was_due() {
        let mut parcel = Records {
            partition: 0,
            start: 0,
            end: 1,
            records: Vec::new(),
            bytes: 0,
            due: None,
        };
        let now = Duration::from_secs(10);
        assert_eq!(since(&parcel, now), now);
        parcel.due = Instant::now().checked_sub(Duration::from_secs(3));
        let counted = since(&parcel, now);
        assert!(counted <= Duration::from_secs(7) && counted > Duration::from_secs(6));
    }
}
