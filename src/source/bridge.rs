//! From a source's channel into the dataflow: mints epochs, keeps count of what is in flight, and stops at the in-flight limit.
//!
//! * **Waiting**: an idle bridge polls its channel every `POLL`, which is the latency it adds at most.
//! * **Capability**: one, downgraded to the clock's epoch on every call, so that an idle source still lets time pass; it is
//!   dropped when the channel is closed and empty.
//! * **Bound**: at most [`InFlightLimit`] open events and bytes (plus one run of records); timely has no
//!   backpressure of its own, so this limits the whole job.
//! * **Cost**: one epoch a tick, one entry a run of records; nothing per record but its move.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::Receiver;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::generic::source;
use timely::dataflow::{Scope, StreamVec};

use super::in_flight::{InFlight, InFlightLimit, OffsetRange};
use super::{Record, Records};
use crate::epoch::{Clock, Epoch};
use crate::quarantine::{Received, WorkerQuarantine};

/// Runs of records taken in one call, so that other operators get their turn.
const RUNS_PER_CALL: usize = 2;

/// How often an idle bridge polls its channel: as often as its worker wakes up anyway.
const POLL: Duration = Duration::from_millis(2);

/// What one worker's bridge needs.
#[derive(Clone)]
pub struct Bridge {
    /// Where records come from.
    pub records: Receiver<Records>,
    /// What is open.
    pub in_flight: Rc<RefCell<InFlight>>,
    /// How much may be open on this worker.
    pub limit: InFlightLimit,
    /// The job's clock.
    pub clock: Arc<dyn Clock>,
    /// How often an idle bridge advances.
    pub tick: Duration,
    /// Raised when nothing more will be asked of the source; what its channel holds is still taken.
    pub draining: Arc<AtomicBool>,
    /// Raised while the bridge is at its limit: windows then close early.
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
            match taken.next {
                Next::More => activator.activate(),
                Next::Wait => activator.activate_after(parts.tick.min(POLL)),
                Next::End => cap = None,
            }
        }
    })
}

enum Next {
    More,
    Wait,
    End,
}

struct TakenRuns {
    runs: Vec<Records>,
    next: Next,
}

fn take(parts: &Bridge, epoch: Epoch) -> TakenRuns {
    let mut in_flight = parts.in_flight.borrow_mut();
    let mut quarantine = parts.quarantine.borrow_mut();
    quarantine.advance(epoch, |epoch| !parts.before_writers.less_equal(&epoch));
    let mut runs = Vec::new();
    let mut next = Next::More;
    for _ in 0..RUNS_PER_CALL {
        match next_run(parts, &in_flight, &mut quarantine) {
            Ok(run) => {
                record(parts, epoch, &run, &mut in_flight);
                runs.push(run);
            }
            Err(other) => {
                next = other;
                break;
            }
        }
    }
    TakenRuns { runs, next }
}

/// The next run of records, or why there is none. Notes whether windows should close early.
fn next_run(
    parts: &Bridge,
    in_flight: &InFlight,
    quarantine: &mut WorkerQuarantine,
) -> Result<Records, Next> {
    let press = |pressed| parts.pressed.store(pressed, Ordering::Relaxed);
    if in_flight.is_full(&parts.limit) {
        press(true);
        return Err(Next::Wait);
    }
    let received = quarantine.receive(&parts.records);
    let is_draining = parts.draining.load(Ordering::Relaxed);
    match received {
        Received::Wait => Err(Next::Wait),
        Received::Nothing if !is_draining => {
            press(false);
            Err(Next::Wait)
        }
        Received::Nothing | Received::Closed => {
            press(true);
            Err(Next::End)
        }
        Received::Run(run) => {
            press(false);
            Ok(run)
        }
    }
}

fn record(parts: &Bridge, epoch: Epoch, run: &Records, in_flight: &mut InFlight) {
    let range = OffsetRange {
        partition: run.partition,
        start: run.start,
        end: run.end,
    };
    let since = since(run, parts.clock.elapsed());
    in_flight.record(epoch, range, run.records.len(), run.bytes, since);
    let broker_times = run.records.iter().filter_map(Record::broker_time);
    in_flight.record_broker_times(epoch, broker_times);
}

/// From when the latency of a run counts: a source that keeps a schedule and falls behind must show it.
fn since(run: &Records, now: Duration) -> Duration {
    let late = run.due.map_or(Duration::ZERO, |due| due.elapsed());
    now.saturating_sub(late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn latency_counts_from_when_a_run_was_due() {
        let mut run = Records {
            partition: 0,
            start: 0,
            end: 1,
            records: Vec::new(),
            bytes: 0,
            due: None,
        };
        let now = Duration::from_secs(10);
        assert_eq!(since(&run, now), now);
        run.due = Instant::now().checked_sub(Duration::from_secs(3));
        let counted = since(&run, now);
        assert!(counted <= Duration::from_secs(7) && counted > Duration::from_secs(6));
    }
}
