//! Records that wait to be decoded while decoded bytes fill the in-flight limit.

use std::collections::VecDeque;
use std::vec::IntoIter;

use timely::dataflow::operators::{Capability, InputCapability};

use crate::epoch::Epoch;
use crate::source::in_flight::{InFlight, InFlightLimit};
use crate::source::{Record, Records};

/// Records of one run and epoch, in order, with their capabilities for both outputs.
pub(super) struct WaitingRun {
    pub(super) partition: u32,
    pub(super) records: IntoIter<Record>,
    pub(super) events: Capability<Epoch>,
    pub(super) rejects: Capability<Epoch>,
}

/// The records of one worker that are not decoded yet, in the order of their arrival.
#[derive(Default)]
pub(super) struct WaitingRecords(VecDeque<WaitingRun>);

impl WaitingRecords {
    /// Takes the runs of one container.
    pub(super) fn push(&mut self, cap: &InputCapability<Epoch>, runs: &mut Vec<Records>) {
        let (Some(events), Some(rejects)) = (cap.retain_least(0), cap.retain_least(1)) else {
            return;
        };
        self.0.extend(runs.drain(..).map(|run| WaitingRun {
            partition: run.partition,
            records: run.records.into_iter(),
            events: events.clone(),
            rejects: rejects.clone(),
        }));
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The records to be decoded next; none while decoded bytes fill the limit, or if nothing waits.
    pub(super) fn next(
        &mut self,
        in_flight: &mut InFlight,
        limit: &InFlightLimit,
    ) -> Option<&mut WaitingRun> {
        while self.0.front().is_some_and(|run| run.records.len() == 0) {
            self.0.pop_front();
        }
        if self.0.is_empty() {
            return None;
        }
        if let Some(last) = in_flight.decoding_waits_for(limit) {
            self.defer_behind(last, in_flight);
            return None;
        }
        self.0.front_mut()
    }

    /// Moves all that waits behind an epoch, so that this epoch can be settled.
    fn defer_behind(&mut self, last: Epoch, in_flight: &mut InFlight) {
        let later = Epoch(last.0 + 1);
        for run in &mut self.0 {
            let from = *run.events.time();
            if from > last {
                continue;
            }
            let bytes = run.records.as_slice().iter().map(Record::bytes).sum();
            in_flight.defer(from, later, run.records.len(), bytes);
            run.events.downgrade(&later);
            run.rejects.downgrade(&later);
        }
    }
}
