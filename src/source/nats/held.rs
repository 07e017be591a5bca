//! The messages that this member holds: delivered to it, and not yet known to be acknowledged.
//!
//! Every message gets a local ordinal when it is received first; the job commits ordinals. A redelivery of a message that is
//! still held only replaces its ack subject. A lease is extended until the message is committed or its maximum age is reached.
//!
//! Pure. Contract: an ordinal is given to one message; ordinals have no gaps; nothing above the committed ordinal is
//! released; memory is bounded by the number of held messages.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use async_nats::Subject;

use super::ack_subject::Delivered;

/// The messages held. `now` is any clock that only goes forward.
#[derive(Debug, Default)]
pub struct HeldMessages {
    /// By sequence in the stream.
    messages: HashMap<u64, HeldMessage>,
    /// The sequences that are not committed, by ordinal.
    uncommitted: VecDeque<u64>,
    /// The ordinal of the first of them.
    first: u64,
    /// Leases in the order in which they were granted or extended last.
    leases: VecDeque<Lease>,
    /// The number of the next lease.
    next_lease: u64,
}

#[derive(Debug)]
struct HeldMessage {
    ordinal: u64,
    ack: Subject,
    /// When the stream took it: distinguishes it from a message of the same sequence in a stream that was made anew.
    taken_nanos: i64,
    /// The consumer that delivered it, by index.
    consumer: usize,
    /// The number of its last lease; every delivery grants one.
    lease: u64,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    number: u64,
    sequence: u64,
    /// When it was granted or extended last.
    granted: Duration,
    /// When the message was delivered.
    received: Duration,
}

/// What a delivery is to this member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// A message that it does not hold; its ordinal.
    New(u64),
    /// A message that it holds: only the ack subject is replaced.
    Held,
    /// Another message under a sequence that it holds: the stream was deleted and made anew.
    OtherStream,
}

/// A committed message, to be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// The consumer that delivered it, by index.
    pub consumer: usize,
}

impl HeldMessages {
    /// Receives one delivery of a message by a consumer.
    pub fn receive(
        &mut self,
        delivered: &Delivered<'_>,
        ack: Subject,
        consumer: usize,
        now: Duration,
    ) -> Receipt {
        let sequence = delivered.sequence;
        if let Some(message) = self.messages.get_mut(&sequence) {
            if message.taken_nanos != delivered.taken_nanos {
                return Receipt::OtherStream;
            }
            message.ack = ack;
            if message.ordinal >= self.first {
                message.lease = self.next_lease;
                self.grant_lease(sequence, now);
            }
            return Receipt::Held;
        }
        let ordinal = self.first + self.uncommitted.len() as u64;
        self.uncommitted.push_back(sequence);
        let lease = self.next_lease;
        self.grant_lease(sequence, now);
        let message = HeldMessage {
            ordinal,
            ack,
            taken_nanos: delivered.taken_nanos,
            consumer,
            lease,
        };
        self.messages.insert(sequence, message);
        Receipt::New(ordinal)
    }

    /// Releases every message before the ordinal `upto`, in order. They stay held until they are [forgotten](Self::forget).
    pub fn release(&mut self, upto: u64) -> Vec<Committed> {
        let count = upto.saturating_sub(self.first);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let count = count.min(self.uncommitted.len());
        self.first += count as u64;
        let sequences = self.uncommitted.drain(..count);
        let messages = &self.messages;
        let released = sequences.filter_map(|sequence| {
            let consumer = messages.get(&sequence)?.consumer;
            Some(Committed { sequence, consumer })
        });
        released.collect()
    }

    /// Where a message is acknowledged: the subject of its last delivery.
    pub fn ack_subject(&self, sequence: u64) -> Option<&Subject> {
        self.messages.get(&sequence).map(|message| &message.ack)
    }

    /// Forgets a message whose acknowledgement the server has confirmed.
    pub fn forget(&mut self, sequence: u64) {
        self.messages.remove(&sequence);
    }

    /// Gives up every message from the ordinal `from` on: they were not handed out. Answers their ack subjects.
    pub fn give_back(&mut self, from: u64) -> Vec<Subject> {
        let keep = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let given = self.uncommitted.split_off(keep.min(self.uncommitted.len()));
        let messages = &mut self.messages;
        let subjects = given
            .iter()
            .filter_map(|sequence| messages.remove(sequence));
        subjects.map(|message| message.ack).collect()
    }

    /// The ack subjects of messages whose leases are to be extended, at most `limit`: those that were received or extended
    /// `every` ago, are not committed, and were received less than `age_max` ago.
    pub fn extend_leases(
        &mut self,
        now: Duration,
        every: Duration,
        age_max: Duration,
        limit: usize,
    ) -> Vec<Subject> {
        let mut due = Vec::new();
        while due.len() < limit
            && let Some(lease) = self.leases.front().copied()
        {
            let is_current = self.is_current(&lease);
            if is_current && now < lease.granted + every {
                break;
            }
            self.leases.pop_front();
            if is_current && now < lease.received + age_max {
                due.extend(self.ack_subject(lease.sequence).cloned());
                self.leases.push_back(Lease {
                    granted: now,
                    ..lease
                });
            }
        }
        due
    }

    fn grant_lease(&mut self, sequence: u64, now: Duration) {
        self.leases.push_back(Lease {
            number: self.next_lease,
            sequence,
            granted: now,
            received: now,
        });
        self.next_lease += 1;
    }

    /// Whether a lease is the last one of a message that is not committed.
    fn is_current(&self, lease: &Lease) -> bool {
        let message = self.messages.get(&lease.sequence);
        message
            .is_some_and(|message| message.lease == lease.number && message.ordinal >= self.first)
    }

    /// Whether the message of this sequence is held.
    pub fn holds(&self, sequence: u64) -> bool {
        self.messages.contains_key(&sequence)
    }

    /// How many messages are held.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
