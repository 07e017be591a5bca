//! What one worker's bridge has handed in and not seen settled: epoch → positions, and how much that is.
//!
//! Pure and single-threaded. Closing is prefix-closed by construction: everything below the frontier, nothing above.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::epoch::Epoch;
use crate::event::Millis;

/// A parcel's place: its partition, and from where to where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The partition.
    pub partition: u32,
    /// The start of the parcel.
    pub start: u64,
    /// Where the next one starts.
    pub end: u64,
}

/// How much may be open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlightLimit {
    /// Events (a delivery that is not decoded yet counts as one).
    pub events_max: usize,
    /// Bytes of raw input.
    pub bytes_max: usize,
}

#[derive(Debug, Default)]
struct Open {
    positions: Vec<Position>,
    events: usize,
    /// Raw and decoded bytes.
    bytes: usize,
    /// Those of them that decoding added.
    decoded_bytes: usize,
    /// When each parcel was due (or handed in), and how many deliveries it holds.
    since: Vec<(Duration, u64)>,
    /// When a broker took the messages, and how many it took then.
    taken: Vec<(Millis, u64)>,
}

/// What a frontier settled.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// The positions, in the order of their epochs.
    pub positions: Vec<Position>,
    /// For each parcel, how long it was open and how many deliveries it held.
    pub ages: Vec<(Duration, u64)>,
    /// When a broker took the messages among them, and how many it took then.
    pub taken: Vec<(Millis, u64)>,
}

/// The open epochs of one worker.
#[derive(Debug, Default)]
pub struct InFlight {
    open: BTreeMap<Epoch, Open>,
    events: usize,
    bytes: usize,
    decoded_bytes: usize,
}

impl InFlight {
    /// A parcel was handed in at `epoch`; its latency counts from `since`.
    pub fn record(
        &mut self,
        epoch: Epoch,
        position: Position,
        events: usize,
        bytes: usize,
        since: Duration,
    ) {
        let open = self.open.entry(epoch).or_default();
        open.positions.push(position);
        open.since.push((since, events as u64));
        open.events += events;
        open.bytes += bytes;
        self.events += events;
        self.bytes += bytes;
    }

    /// A broker took messages of an open epoch at these times, in any order.
    pub fn taken(&mut self, epoch: Epoch, times: impl Iterator<Item = Millis>) {
        let Some(open) = self.open.get_mut(&epoch) else {
            return;
        };
        for time in times {
            match open.taken.last_mut() {
                Some((last, count)) if *last == time => *count += 1,
                _ => open.taken.push((time, 1)),
            }
        }
    }

    /// Decoding added `events` (beyond one a delivery) and `bytes` (beside the raw input) to an epoch.
    pub fn grow(&mut self, epoch: Epoch, events: usize, bytes: usize) {
        if let Some(open) = self.open.get_mut(&epoch) {
            open.events += events;
            open.bytes += bytes;
            open.decoded_bytes += bytes;
            self.events += events;
            self.bytes += bytes;
            self.decoded_bytes += bytes;
        }
    }

    /// The last epoch that holds decoded bytes, if no more may be decoded before some of them are settled.
    pub fn decoding_waits_for(&self, limit: &InFlightLimit) -> Option<Epoch> {
        if self.bytes < limit.bytes_max || self.decoded_bytes == 0 {
            return None;
        }
        let mut open = self.open.iter().rev();
        let last = open.find(|(_, open)| open.decoded_bytes > 0);
        last.map(|(epoch, _)| *epoch)
    }

    /// Input of `from` that is not decoded yet (`events`, `bytes`) will be decoded at the later epoch `to`. All positions of
    /// `from` are then settled with `to`; what is decoded already is released with `from`.
    pub fn defer(&mut self, from: Epoch, to: Epoch, events: usize, bytes: usize) {
        let Some(open) = self.open.get_mut(&from) else {
            return;
        };
        let (events, bytes) = (events.min(open.events), bytes.min(open.bytes));
        open.events -= events;
        open.bytes -= bytes;
        let moved = Open {
            positions: std::mem::take(&mut open.positions),
            since: std::mem::take(&mut open.since),
            taken: std::mem::take(&mut open.taken),
            ..Open::default()
        };
        let later = self.open.entry(to).or_default();
        later.positions.extend(moved.positions);
        later.since.extend(moved.since);
        later.taken.extend(moved.taken);
        later.events += events;
        later.bytes += bytes;
    }

    /// Everything below the frontier is durable in every sink; no frontier means everything is.
    pub fn close_before(&mut self, frontier: Option<Epoch>, now: Duration) -> Closed {
        let rest = match frontier {
            Some(frontier) => self.open.split_off(&frontier),
            None => BTreeMap::new(),
        };
        let mut closed = Closed::default();
        for (_, open) in std::mem::replace(&mut self.open, rest) {
            self.events -= open.events;
            self.bytes -= open.bytes;
            self.decoded_bytes -= open.decoded_bytes;
            let ages = open.since.into_iter();
            closed
                .ages
                .extend(ages.map(|(since, held)| (now.saturating_sub(since), held)));
            closed.positions.extend(open.positions);
            closed.taken.extend(open.taken);
        }
        closed
    }

    /// Whether no more may be handed in.
    pub const fn is_full(&self, limit: &InFlightLimit) -> bool {
        self.events >= limit.events_max || self.bytes >= limit.bytes_max
    }

    /// Open events.
    pub const fn events(&self) -> usize {
        self.events
    }

    /// Open epochs.
    pub fn epochs(&self) -> usize {
        self.open.len()
    }

    /// Open bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn closes_exactly_what_is_below_the_frontier(epochs in proptest::collection::vec(0..50u64, 0..100), frontier in 0..60u64) {
            let mut ledger = InFlight::default();
            for (n, epoch) in epochs.iter().enumerate() {
                ledger.record(Epoch(*epoch), Position { partition: 0, start: n as u64, end: n as u64 + 1 }, 2, 10, Duration::ZERO);
            }
            let closed = ledger.close_before(Some(Epoch(frontier)), Duration::ZERO);
            let below = epochs.iter().filter(|epoch| **epoch < frontier).count();
            prop_assert_eq!(closed.positions.len(), below);
            prop_assert_eq!(ledger.events(), (epochs.len() - below) * 2);
            prop_assert_eq!(ledger.close_before(None, Duration::ZERO).positions.len(), epochs.len() - below);
            prop_assert_eq!((ledger.events(), ledger.bytes()), (0, 0));
        }
    }

    #[test]
    fn the_times_of_a_broker_come_back_with_their_epochs() {
        let mut ledger = InFlight::default();
        for epoch in [1, 2] {
            let position = Position {
                partition: 0,
                start: epoch,
                end: epoch + 1,
            };
            ledger.record(Epoch(epoch), position, 3, 10, Duration::ZERO);
            let times = [5, 5, epoch as i64].map(Millis);
            ledger.taken(Epoch(epoch), times.into_iter());
        }
        ledger.taken(Epoch(3), std::iter::once(Millis(9)));
        let closed = ledger.close_before(Some(Epoch(2)), Duration::ZERO);
        assert_eq!(closed.taken, [(Millis(5), 2), (Millis(1), 1)]);
        let rest = ledger.close_before(None, Duration::ZERO).taken;
        assert_eq!(rest, [(Millis(5), 2), (Millis(2), 1)]);
    }

    #[test]
    fn it_is_full_by_events_or_by_bytes() {
        let mut ledger = InFlight::default();
        let limit = InFlightLimit {
            events_max: 10,
            bytes_max: 100,
        };
        ledger.record(
            Epoch(1),
            Position {
                partition: 0,
                start: 0,
                end: 1,
            },
            1,
            99,
            Duration::ZERO,
        );
        assert!(!ledger.is_full(&limit));
        ledger.grow(Epoch(1), 9, 0);
        assert!(ledger.is_full(&limit));
        assert_eq!(ledger.decoding_waits_for(&limit), None);
    }

    #[test]
    fn decoded_bytes_fill_it_and_deferred_input_is_settled_later() {
        let mut ledger = InFlight::default();
        let limit = InFlightLimit {
            events_max: 10,
            bytes_max: 100,
        };
        let position = Position {
            partition: 0,
            start: 0,
            end: 2,
        };
        ledger.record(Epoch(1), position, 2, 20, Duration::ZERO);
        ledger.grow(Epoch(1), 0, 90);
        assert!(ledger.is_full(&limit));
        assert_eq!(ledger.decoding_waits_for(&limit), Some(Epoch(1)));
        ledger.defer(Epoch(1), Epoch(2), 1, 10);
        assert_eq!((ledger.events(), ledger.bytes()), (2, 110));
        let closed = ledger.close_before(Some(Epoch(2)), Duration::ZERO);
        assert_eq!((closed.positions.len(), closed.ages.len()), (0, 0));
        assert_eq!((ledger.events(), ledger.bytes()), (1, 10));
        assert_eq!(ledger.decoding_waits_for(&limit), None);
        let closed = ledger.close_before(None, Duration::ZERO);
        assert_eq!((closed.positions, closed.ages.len()), (vec![position], 1));
        assert_eq!((ledger.events(), ledger.bytes()), (0, 0));
    }
}
