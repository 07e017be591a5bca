//! Requests for messages: how many have been asked for, and have not come.
//!
//! The next request goes out before the last one is answered, so that a consumer is not idle for a round trip. Messages and bytes
//! under way are bounded. Requests that the server will not answer any more (it said so, the connection is another one, or
//! their time is over) are taken off, or the consumer would starve.

use std::time::Duration;

use super::wire::Incoming;

/// How long a request stands at the server. Short: to ask for nothing more is to let the requests run out.
pub const EXPIRES: Duration = Duration::from_secs(2);
/// How long after a request's end its answer may still be under way.
const GRACE: Duration = Duration::from_secs(2);
/// The status of a request that reached nobody: the consumer is gone.
const NO_RESPONDERS: u16 = 503;
/// The status of a sign of life.
const IDLE_HEARTBEAT: u16 = 100;
/// How long nothing is asked for after a refused request.
const REST: Duration = Duration::from_millis(500);

/// The requests to one consumer that are under way. Pure; `now` is any clock that only goes forward.
#[derive(Debug, Default)]
pub struct Pull {
    outstanding: usize,
    /// When the last of them ends at the server.
    ends: Duration,
    /// Nothing is asked for before then.
    rests_until: Duration,
    /// The next message is larger than a whole request may be.
    is_large: bool,
}

/// A request to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// How many messages.
    pub messages: usize,
    /// Whether their bytes are bounded; not so for one message that is larger than the bound.
    pub is_bounded: bool,
}

impl PullRequest {
    /// The request as the server reads it.
    pub fn payload(self, bytes_max: usize) -> String {
        let (batch, expires) = (self.messages, EXPIRES.as_nanos());
        if self.is_bounded {
            format!(r#"{{"batch":{batch},"max_bytes":{bytes_max},"expires":{expires}}}"#)
        } else {
            format!(r#"{{"batch":{batch},"expires":{expires}}}"#)
        }
    }
}

/// The subject of requests to a consumer.
pub fn request_subject(stream: &str, consumer: &str) -> String {
    format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}")
}

impl Pull {
    /// The request to send now, if any, so that about `target` messages are under way.
    pub fn next_request(&mut self, now: Duration, target: usize) -> Option<PullRequest> {
        if now > self.ends + GRACE {
            self.outstanding = 0;
        }
        if target == 0 || now < self.rests_until || self.outstanding > target / 2 {
            return None;
        }
        let messages = if self.is_large {
            1
        } else {
            (target - self.outstanding).max(1)
        };
        self.outstanding += messages;
        self.ends = self.ends.max(now + EXPIRES);
        Some(PullRequest {
            messages,
            is_bounded: !self.is_large,
        })
    }

    /// Records that a message arrived.
    pub const fn record_message(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.is_large = false;
    }

    /// Records an answer that is not a message: the end of a request, or its refusal.
    pub fn record_status(&mut self, message: &Incoming, now: Duration) {
        let rest = message.header("Nats-Pending-Messages");
        let rest = rest.and_then(|rest| rest.parse::<usize>().ok());
        match (message.status(), rest) {
            (Some((NO_RESPONDERS, _)), _) => self.reset(now + REST),
            (Some((_, text)), Some(rest)) => self.end(rest, text.contains("MaxBytes")),
            (Some((IDLE_HEARTBEAT, _)) | None, None) => {}
            (Some((status, text)), None) => {
                tracing::debug!(status, text, "the server ended a request");
                self.reset(now + REST);
            }
            (None, Some(_)) => {}
        }
    }

    /// The server ended a request of which so many messages had not come, perhaps because the next one is too large for it.
    const fn end(&mut self, rest: usize, is_too_large: bool) {
        self.outstanding = self.outstanding.saturating_sub(rest);
        if is_too_large {
            self.is_large = self.outstanding == 0;
        }
    }

    /// Nothing that was asked for will come; the next request waits until then.
    pub fn reset(&mut self, rests_until: Duration) {
        *self = Self {
            rests_until,
            ..Self::default()
        };
    }

    /// How many messages are asked for and have not come, as far as `now` is known.
    pub fn outstanding(&self, now: Duration) -> usize {
        if now > self.ends + GRACE {
            0
        } else {
            self.outstanding
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn messages(pull: &mut Pull, now: Duration) -> Option<usize> {
        pull.next_request(now, 100).map(|request| request.messages)
    }

    #[test]
    fn the_next_request_goes_out_when_half_has_come() {
        let mut pull = Pull::default();
        assert_eq!(messages(&mut pull, SECOND), Some(100));
        (0..49).for_each(|_| pull.record_message());
        assert_eq!(messages(&mut pull, SECOND), None);
        pull.record_message();
        assert_eq!(messages(&mut pull, SECOND), Some(50));
        assert_eq!(messages(&mut pull, SECOND), None);
    }

    #[test]
    fn requests_that_ended_or_expired_are_sent_again() {
        let mut pull = Pull::default();
        assert_eq!(messages(&mut pull, SECOND), Some(100));
        pull.end(100, false);
        assert_eq!(messages(&mut pull, SECOND), Some(100));
        assert_eq!(messages(&mut pull, SECOND + EXPIRES + GRACE), None);
        let later = 2 * SECOND + EXPIRES + GRACE;
        assert_eq!(pull.outstanding(later), 0);
        assert_eq!(messages(&mut pull, later), Some(100));
        pull.reset(later + SECOND);
        assert_eq!(messages(&mut pull, later), None);
        assert_eq!(messages(&mut pull, later + SECOND), Some(100));
    }

    #[test]
    fn a_message_larger_than_a_request_is_asked_for_alone() {
        let mut pull = Pull::default();
        assert_eq!(messages(&mut pull, SECOND), Some(100));
        pull.end(100, true);
        let alone = PullRequest {
            messages: 1,
            is_bounded: false,
        };
        assert_eq!(pull.next_request(SECOND, 100), Some(alone));
        pull.record_message();
        assert!(pull.next_request(SECOND, 100).unwrap().is_bounded);
    }
}
