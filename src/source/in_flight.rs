//! What one worker has taken from the source and not seen settled: epoch → offset ranges, and how much that is.
//!
//! Pure and single-threaded. Closing is prefix-closed by construction: everything below the frontier, nothing above.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::epoch::Epoch;
use crate::event::Millis;

/// A run of offsets of one partition: what one [`Records`](super::Records) covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetRange {
    /// The partition.
    pub partition: u32,
    /// The first offset.
    pub start: u64,
    /// The first offset behind it.
    pub end: u64,
}

/// How much may be open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlightLimit {
    /// Events (a delivery that is not decoded yet counts as one).
    pub events_max: usize,
    /// Bytes of raw input and of what decoding makes of it.
    pub bytes_max: usize,
}

#[derive(Debug, Default)]
struct OpenEpoch {
    ranges: Vec<OffsetRange>,
    events: usize,
    /// Raw and decoded bytes.
    bytes: usize,
    /// Those of them that decoding added.
    decoded_bytes: usize,
    /// When each run of records was due (or taken), and how many deliveries it holds.
    since: Vec<(Duration, u64)>,
    /// When a broker received the messages, and how many at that time.
    taken: Vec<(Millis, u64)>,
}

/// What a worker's frontier settled.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// The ranges, in the order of their epochs.
    pub ranges: Vec<OffsetRange>,
    /// For each run of records, how long it was open and how many deliveries it held.
    pub ages: Vec<(Duration, u64)>,
    /// When a broker received the messages among them, and how many at that time.
    pub taken: Vec<(Millis, u64)>,
}

/// The open epochs of one worker.
#[derive(Debug, Default)]
pub struct InFlight {
    open: BTreeMap<Epoch, OpenEpoch>,
    events: usize,
    bytes: usize,
    decoded_bytes: usize,
}

impl InFlight {
    /// A run of records was taken at `epoch`; its latency counts from `since`.
    pub fn record(
        &mut self,
        epoch: Epoch,
        range: OffsetRange,
        events: usize,
        bytes: usize,
        since: Duration,
    ) {
        let open = self.open.entry(epoch).or_default();
        open.ranges.push(range);
        open.since.push((since, events as u64));
        open.events += events;
        open.bytes += bytes;
        self.events += events;
        self.bytes += bytes;
    }

    /// A broker received messages of an open epoch at these times, in any order.
    pub fn record_broker_times(&mut self, epoch: Epoch, times: impl Iterator<Item = Millis>) {
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

    /// Input of `from` that is not decoded yet (`events`, `bytes`) will be decoded at the later epoch `to`. All ranges of
    /// `from` are then settled with `to`; what is decoded already is released with `from`.
    pub fn defer(&mut self, from: Epoch, to: Epoch, events: usize, bytes: usize) {
        let Some(open) = self.open.get_mut(&from) else {
            return;
        };
        let (events, bytes) = (events.min(open.events), bytes.min(open.bytes));
        open.events -= events;
        open.bytes -= bytes;
        let moved = OpenEpoch {
            ranges: std::mem::take(&mut open.ranges),
            since: std::mem::take(&mut open.since),
            taken: std::mem::take(&mut open.taken),
            ..OpenEpoch::default()
        };
        let later = self.open.entry(to).or_default();
        later.ranges.extend(moved.ranges);
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
            closed.ranges.extend(open.ranges);
            closed.taken.extend(open.taken);
        }
        closed
    }

    /// Whether no more may be taken.
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
            let mut in_flight = InFlight::default();
            for (n, epoch) in epochs.iter().enumerate() {
                in_flight.record(Epoch(*epoch), OffsetRange { partition: 0, start: n as u64, end: n as u64 + 1 }, 2, 10, Duration::ZERO);
            }
            let closed = in_flight.close_before(Some(Epoch(frontier)), Duration::ZERO);
            let below = epochs.iter().filter(|epoch| **epoch < frontier).count();
            prop_assert_eq!(closed.ranges.len(), below);
            prop_assert_eq!(in_flight.events(), (epochs.len() - below) * 2);
            prop_assert_eq!(in_flight.close_before(None, Duration::ZERO).ranges.len(), epochs.len() - below);
            prop_assert_eq!((in_flight.events(), in_flight.bytes()), (0, 0));
        }
    }

    #[test]
    fn the_times_of_a_broker_come_back_with_their_epochs() {
        let mut in_flight = InFlight::default();
        for epoch in [1, 2] {
            let position = OffsetRange {
                partition: 0,
                start: epoch,
                end: epoch + 1,
            };
            in_flight.record(Epoch(epoch), position, 3, 10, Duration::ZERO);
            let times = [5, 5, epoch as i64].map(Millis);
            in_flight.record_broker_times(Epoch(epoch), times.into_iter());
        }
        in_flight.record_broker_times(Epoch(3), std::iter::once(Millis(9)));
        let closed = in_flight.close_before(Some(Epoch(2)), Duration::ZERO);
        assert_eq!(closed.taken, [(Millis(5), 2), (Millis(1), 1)]);
        let rest = in_flight.close_before(None, Duration::ZERO).taken;
        assert_eq!(rest, [(Millis(5), 2), (Millis(2), 1)]);
    }

    #[test]
    fn it_is_full_by_events_or_by_bytes() {
        let mut in_flight = InFlight::default();
        let limit = InFlightLimit {
            events_max: 10,
            bytes_max: 100,
        };
        in_flight.record(
            Epoch(1),
            OffsetRange {
                partition: 0,
                start: 0,
                end: 1,
            },
            1,
            99,
            Duration::ZERO,
        );
        assert!(!in_flight.is_full(&limit));
        in_flight.grow(Epoch(1), 9, 0);
        assert!(in_flight.is_full(&limit));
        assert_eq!(in_flight.decoding_waits_for(&limit), None);
    }

    #[test]
    fn decoded_bytes_fill_it_and_deferred_input_is_settled_later() {
        let mut in_flight = InFlight::default();
        let limit = InFlightLimit {
            events_max: 10,
            bytes_max: 100,
        };
        let range = OffsetRange {
            partition: 0,
            start: 0,
            end: 2,
        };
        in_flight.record(Epoch(1), range, 2, 20, Duration::ZERO);
        in_flight.grow(Epoch(1), 0, 90);
        assert!(in_flight.is_full(&limit));
        assert_eq!(in_flight.decoding_waits_for(&limit), Some(Epoch(1)));
        in_flight.defer(Epoch(1), Epoch(2), 1, 10);
        assert_eq!((in_flight.events(), in_flight.bytes()), (2, 110));
        let closed = in_flight.close_before(Some(Epoch(2)), Duration::ZERO);
        assert_eq!((closed.ranges.len(), closed.ages.len()), (0, 0));
        assert_eq!((in_flight.events(), in_flight.bytes()), (1, 10));
        assert_eq!(in_flight.decoding_waits_for(&limit), None);
        let closed = in_flight.close_before(None, Duration::ZERO);
        assert_eq!((closed.ranges, closed.ages.len()), (vec![range], 1));
        assert_eq!((in_flight.events(), in_flight.bytes()), (0, 0));
    }
}
