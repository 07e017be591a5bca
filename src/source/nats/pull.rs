//! How many messages of a partition have been asked for and have not come.
//!
//! The next request goes out before the last is answered, so that the partition never stands idle for a round trip. What is asked for
//! is bounded; what the server will not answer any more (it said so, the connection is another one, or its time
//! is over) is taken off again, or the partition would starve.

use std::time::Duration;

/// How long after a request's end its answer may still be under way.
const GRACE: Duration = Duration::from_secs(2);

/// The requests of one partition that are under way. Pure; `now` is any clock that only goes forward.
#[derive(Debug, Default)]
pub struct Pull {
    outstanding: usize,
    /// When the last of them ends at the server.
    ends: Duration,
    /// Nothing is asked for before then.
    rests_until: Duration,
    /// The next message is larger than a whole request may be.
    large: bool,
}

/// A request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// How many messages.
    pub messages: usize,
    /// Whether their bytes are bounded; not so for one message that is larger than the bound.
    pub bounded: bool,
}

impl Pull {
    /// What is to be asked for now, if anything, so that about `target` messages are under way.
    pub fn due(&mut self, now: Duration, target: usize) -> Option<Due> {
        if now > self.ends + GRACE {
            self.outstanding = 0;
        }
        if now < self.rests_until || self.outstanding > target / 2 {
            return None;
        }
        Some(Due {
            messages: if self.large {
                1
            } else {
                (target - self.outstanding).max(1)
            },
            bounded: !self.large,
        })
    }

    /// A request was sent that ends at `ends`.
    pub fn sent(&mut self, due: Due, ends: Duration) {
        self.outstanding += due.messages;
        self.ends = self.ends.max(ends);
    }

    /// A message came.
    pub const fn delivered(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.large = false;
    }

    /// The server ended a request of which so many messages had not come.
    pub const fn ended(&mut self, rest: usize) {
        self.outstanding = self.outstanding.saturating_sub(rest);
    }

    /// The server will not send the next message because it is larger than the request.
    pub const fn too_large(&mut self, rest: usize) {
        self.ended(rest);
        self.large = self.outstanding == 0;
    }

    /// Nothing that was asked for will come; the next request waits until then.
    pub fn reset(&mut self, rests_until: Duration) {
        *self = Self {
            rests_until,
            ..Self::default()
        };
    }

    /// Whether anything is asked for.
    pub const fn is_waiting(&self) -> bool {
        self.outstanding > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sent(pull: &mut Pull, now: Duration) -> Due {
        let due = pull.due(now, 100).unwrap();
        pull.sent(due, now + 10 * SECOND);
        due
    }

    #[test]
    fn the_next_request_goes_out_when_half_has_come() {
        let mut pull = Pull::default();
        assert_eq!(sent(&mut pull, SECOND).messages, 100);
        (0..49).for_each(|_| pull.delivered());
        assert_eq!(pull.due(SECOND, 100), None);
        pull.delivered();
        assert_eq!(sent(&mut pull, SECOND).messages, 50);
        assert_eq!(pull.due(SECOND, 100), None);
    }

    #[test]
    fn what_the_server_ended_or_forgot_is_asked_for_again() {
        let mut pull = Pull::default();
        sent(&mut pull, SECOND);
        pull.ended(100);
        assert_eq!(sent(&mut pull, SECOND).messages, 100);
        assert_eq!(pull.due(12 * SECOND, 100), None);
        assert_eq!(
            pull.due(14 * SECOND, 100).map(|due| due.messages),
            Some(100)
        );
        pull.sent(
            Due {
                messages: 100,
                bounded: true,
            },
            24 * SECOND,
        );
        pull.reset(15 * SECOND);
        assert_eq!(pull.due(14 * SECOND, 100), None);
        assert!(pull.due(15 * SECOND, 100).is_some());
    }

    #[test]
    fn a_message_larger_than_a_request_is_asked_for_alone() {
        let mut pull = Pull::default();
        sent(&mut pull, SECOND);
        pull.too_large(100);
        assert_eq!(
            sent(&mut pull, SECOND),
            Due {
                messages: 1,
                bounded: false
            }
        );
        pull.delivered();
        assert!(sent(&mut pull, SECOND).bounded);
    }
}
