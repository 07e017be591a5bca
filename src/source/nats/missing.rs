//! What the server waits for of a partition and is not here: how much of it is still to come.
//!
//! While a partition is suspect no more of it is asked for than is missing, for what is new would only wait. But a server hands out anew what
//! nobody has renewed in time before anything else (its queue of redeliveries: `getNextMsg` in nats-server's `consumer.go`), and one that
//! was killed may do so with most of what is open, here too. What it has forgotten comes behind that, as if it had never been delivered, and
//! before it whatever was acknowledged of that.
//!
//! Contract: what is held and comes from that queue stands for nothing that is missing, nor does what is not held any more; whatever else
//! comes does, so that no more than that is asked for, but for what fills up the last request.

/// Pure: looks tell what is missing, arrivals what has come of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    all: u64,
    /// That of which the server does not know that it has delivered it.
    forgotten: u64,
}

impl Missing {
    /// A look found that so much is missing, and how much of it is forgotten, whatever came before.
    pub const fn found(&mut self, all: u64, forgotten: u64) {
        *self = Self { all, forgotten };
    }

    /// A message came for the how-many-eth time, which was held already or not; one that was not may be below others that are held.
    pub const fn arrived(&mut self, deliveries: u64, is_known: bool, is_below: bool) {
        let is_first = deliveries <= 1;
        let is_forgotten = is_first && (is_known || !is_below);
        if is_forgotten || !(is_first || is_known) {
            self.all = self.all.saturating_sub(1);
        }
        if is_forgotten {
            self.forgotten = self.forgotten.saturating_sub(1);
        }
    }

    /// How much is still to come.
    pub const fn all(&self) -> u64 {
        self.all
    }

    /// How much of it comes at once, while the server still waits for an answer to the rest.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::*;
    use crate::source::nats::pull::Pull;

    /// What a server hands out next: for the how-many-eth time, whether it is held here already, and whether it is below others.
    type Queue = VecDeque<(u64, bool, bool)>;

    const FEW: u64 = 16;
    const MOST: u64 = 1_000;

    /// Asks, with at most so many messages coming before it may ask again, until nothing is missing; how much came that was new.
    fn until_nothing_is_missing(
        queue: &mut Queue,
        mut missing: Missing,
        a_turn: usize,
        ends: bool,
    ) -> u64 {
        let (mut pull, mut asked, mut new) = (Pull::default(), 0, 0);
        for _ in 0..100_000 {
            let left = if ends {
                missing.all()
            } else {
                missing.forgotten()
            };
            if left == 0 {
                return new + asked as u64;
            }
            let target = usize::try_from(left.clamp(FEW, MOST)).unwrap();
            if let Some(due) = pull.due(Duration::ZERO, target) {
                pull.sent(due, Duration::from_secs(10));
                asked += due.messages;
            }
            for _ in 0..a_turn.min(asked) {
                asked -= 1;
                pull.delivered();
                let next = queue.pop_front();
                new += u64::from(next.is_none());
                let (deliveries, is_known, is_below) = next.unwrap_or((1, false, false));
                missing.arrived(deliveries, is_known, is_below);
            }
        }
        panic!("it never comes: {missing:?}");
    }

    #[test]
    fn what_is_missing_comes_however_much_is_handed_out_again_before_it() {
        for (queued, count, a_turn) in [0, 1, 15, 16, 500, 5_001]
            .into_iter()
            .flat_map(|queued| [1, 3, 16, 40, 700].map(|count| (queued, count)))
            .flat_map(|(queued, count)| [1, 8, 5_000].map(|a_turn| (queued, count, a_turn)))
        {
            let again = std::iter::repeat_n((2, true, true), queued);
            // Acknowledged, and both that and its delivery forgotten.
            let acknowledged = std::iter::repeat_n((1, false, true), queued);
            // What a dead process held, and what is held here and forgotten.
            for (deliveries, is_known) in [(2, false), (1, true)] {
                let of_it = std::iter::repeat_n((deliveries, is_known, true), count);
                let before = again.clone().chain(acknowledged.clone());
                let mut queue: Queue = before.chain(of_it).collect();
                let mut missing = Missing::default();
                let all = count as u64;
                missing.found(all, if is_known { all } else { 0 });
                let new = until_nothing_is_missing(&mut queue, missing, a_turn, !is_known);
                let what = (queued, count, a_turn, is_known);
                assert!(queue.is_empty(), "{what:?}: {} left", queue.len());
                assert!(new < 2 * FEW, "{what:?}: {new} that are new");
            }
        }
    }

    #[test]
    fn what_was_acknowledged_and_comes_again_is_not_what_was_forgotten() {
        let mut missing = Missing::default();
        missing.found(3, 3);
        (0..40).for_each(|_| missing.arrived(1, false, true));
        assert_eq!((missing.all(), missing.forgotten()), (3, 3));
        (0..40).for_each(|_| missing.arrived(2, false, true));
        assert_eq!((missing.all(), missing.forgotten()), (0, 3));
    }
}
