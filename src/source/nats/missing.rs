//! What the server waits for of a lane and is not here: how much of it is to be asked for.
//!
//! While a lane is suspect no more of it is asked for than is missing, for what is new would only wait. But a server hands out what it
//! handed out before first (`getNextMsg` in nats-server's `consumer.go`), and one that was killed does that with all that was open. What it
//! has forgotten comes behind all of it.
//!
//! Contract: a message that is held already counts for nothing of what was asked for; as much is due again. What is new is never asked for
//! beyond what was missing, but for what fills up the first request and the last.

/// Pure: looks tell what is missing, requests take of it, arrivals give back what was none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// To be asked for.
    due: u64,
    /// Asked for, and not come.
    sought: u64,
}

impl Missing {
    /// A look found that so much is missing, whatever was asked for before.
    pub const fn found(&mut self, count: u64) {
        *self = Self {
            due: count,
            sought: 0,
        };
    }

    /// How much is to be asked for.
    pub const fn due(&self) -> u64 {
        self.due
    }

    /// So much was asked for.
    pub const fn asked(&mut self, count: u64) {
        self.due = 0;
        self.sought += count;
    }

    /// A message came, which was held already or not.
    pub const fn arrived(&mut self, is_known: bool) {
        if self.sought == 0 {
            return;
        }
        self.sought -= 1;
        if is_known {
            self.due += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks a server that has messages in its queue before what is missing until nothing is due; how much of what is new came too.
    fn new_ones_asked_for(queued: u64, mut missing: u64, few: u64) -> u64 {
        let mut state = Missing::default();
        state.found(missing);
        let (mut queued, mut new) = (queued, 0);
        while state.due() > 0 {
            let count = state.due().max(few);
            state.asked(count);
            for _ in 0..count {
                let is_known = queued > 0;
                match (is_known, missing > 0) {
                    (true, _) => queued -= 1,
                    (false, true) => missing -= 1,
                    (false, false) => new += 1,
                }
                state.arrived(is_known);
            }
        }
        assert_eq!((queued, missing), (0, 0));
        new
    }

    #[test]
    fn what_is_missing_comes_however_much_is_handed_out_again_before_it() {
        for queued in [0, 1, 15, 16, 500, 5_001] {
            for missing in [1, 3, 16, 40, 700] {
                let few = 16;
                let new = new_ones_asked_for(queued, missing, few);
                assert!(new < 2 * few, "{queued} {missing}: {new}");
            }
        }
    }

    #[test]
    fn what_comes_unasked_is_not_asked_for() {
        let mut missing = Missing::default();
        missing.arrived(true);
        assert_eq!(missing.due(), 0);
        missing.found(3);
        missing.asked(16);
        missing.found(0);
        missing.arrived(true);
        assert_eq!(missing.due(), 0, "nothing is missing any more");
    }
}
