//! What one partition holds of what was delivered to it, from delivery to confirmed acknowledgement.
//!
//! A partition numbers the messages that it takes by an ordinal of its own, without gaps: that is the position in which
//! the job settles. Behind each ordinal stand the message's sequence in the stream, by which it is known again, and its latest
//! reply subject, by which it is acknowledged. From old to new:
//!
//! ```text
//!   confirmed │ acknowledgement under way │ settled │ open at the job
//!           first                        sent     floor             next
//! ```
//!
//! Contract:
//! * a message that is held is taken once, however often it is delivered; a repetition only replaces its reply subject;
//! * nothing at or above the floor is ever acknowledged;
//! * [`Partition::up_to`] names nothing while a message with a lower sequence may be open, here or nowhere: acknowledging *up to* a
//!   message acknowledges everything before it, also what was delivered to a process that died, or was lost on the way;
//! * acknowledgements *up to* bear numbers of deliveries that only grow. The server passes over one whose number is not above that of the
//!   last, and answers as if it had taken it (`processAckMsg` in nats-server's `consumer.go`, 2.10 to 2.15). But a message that was delivered
//!   twice bears a higher number than those behind it. So the numbers count what is acknowledged, from where the consumer stood, or from
//!   where it stands whenever nothing is open: as no message is acknowledged without a delivery, they do not pass the server's own. They
//!   must not: what it delivers under a number that it counts as acknowledged it does not write down as open (`UpdateDelivered` in its
//!   `filestore.go`).

mod standing;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use async_nats::Subject;

use super::token::Token;
use crate::event::Millis;
pub use standing::Standing;
use standing::{Doubt, Forgotten};

#[derive(Debug)]
struct Held {
    sequence: u64,
    /// When the stream took it: with the sequence, what it is.
    at: Millis,
    reply: Subject,
    /// When the server last began to wait for it.
    leased: Duration,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is taken under this ordinal.
    New(u64),
    /// It is held already.
    Known,
    /// Another message bears the sequence of one that is held: the stream is not the one it was.
    Strange,
}

/// One partition. Pure; `now` is any clock that only goes forward.
#[derive(Debug, Default)]
pub struct Partition {
    held: VecDeque<Held>,
    ordinals: HashMap<u64, u64>,
    first: u64,
    sent: u64,
    /// Up to where acknowledgements have ever been sent.
    tried: u64,
    floor: u64,
    /// The highest sequence that came.
    highest: u64,
    /// The last ordinal whose sequence is below one that came before it.
    disorder: Option<u64>,
    /// The consumer's own number of the last delivery.
    delivery: u64,
    /// Nothing came since the connection became another one: the number may be one that the server has forgotten.
    is_uncounted: bool,
    /// The number of the delivery by which everything before `first` was acknowledged.
    acknowledged_delivery: u64,
    doubt: Option<Doubt>,
    forgotten: Forgotten,
    /// The ordinal of the next message when the consumer's numbers began again.
    rewound: Option<u64>,
}

impl Partition {
    /// A partition of which nothing came yet. Until the server was asked, an earlier process may have left deliveries open.
    pub fn new(now: Duration) -> Self {
        Self {
            doubt: Some(Doubt::at(now)),
            ..Self::default()
        }
    }

    /// The consumer's own number of the last delivery before ours.
    pub const fn begins_after(&mut self, delivery: u64) {
        self.delivery = delivery;
    }

    /// The number that an acknowledgement of everything before the floor bears.
    const fn number(&self) -> u64 {
        self.acknowledged_delivery + (self.floor - self.first)
    }

    /// A message was delivered.
    pub fn arrived(&mut self, token: &Token, reply: Subject, now: Duration) -> Arrival {
        // Also the first one: what was delivered before it, here or to an earlier process, may be open.
        if self.is_uncounted || token.delivery != self.delivery + 1 {
            self.doubts(now);
        }
        if token.delivery <= self.delivery {
            self.rewound();
        }
        self.delivery = token.delivery;
        self.is_uncounted = false;
        if let Some(held) = self.find(token.sequence) {
            if held.at != token.at {
                return Arrival::Strange;
            }
            held.reply = reply;
            held.leased = now;
            return Arrival::Known;
        }
        let ordinal = self.next();
        if self.tried == ordinal {
            self.nothing_waits_before(token.delivery);
        }
        if token.sequence < self.highest {
            self.disorder = Some(ordinal);
        }
        self.highest = self.highest.max(token.sequence);
        self.ordinals.insert(token.sequence, ordinal);
        self.held.push_back(Held {
            sequence: token.sequence,
            at: token.at,
            reply,
            leased: now,
        });
        Arrival::New(ordinal)
    }

    fn find(&mut self, sequence: u64) -> Option<&mut Held> {
        if sequence > self.highest {
            return None;
        }
        let ordinal = self.ordinals.get(&sequence)?;
        let place = usize::try_from(ordinal - self.first).ok()?;
        self.held.get_mut(place)
    }

    /// Whether something of a higher sequence came before.
    pub const fn is_below(&self, sequence: u64) -> bool {
        sequence < self.highest
    }

    /// Everything before `upto` is durable.
    pub fn settled(&mut self, upto: u64) {
        self.floor = self.floor.max(upto.min(self.next()));
    }

    /// The ordinal of the next message.
    pub fn next(&self) -> u64 {
        self.first + self.held.len() as u64
    }

    /// How many messages are not settled.
    pub fn open(&self) -> u64 {
        self.next() - self.floor
    }

    /// Whether it holds nothing at all.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether everything that is settled is confirmed.
    pub const fn is_confirmed(&self) -> bool {
        self.first == self.floor
    }

    /// The reply subjects of at most `most` settled messages whose acknowledgements are to be sent, each by itself.
    pub fn each(&self, most: usize) -> Vec<Subject> {
        let due = usize::try_from(self.floor - self.sent).unwrap_or(usize::MAX);
        let replies = self.held.iter().skip(self.place(self.sent));
        let due = replies.take(due.min(most));
        due.map(|held| held.reply.clone()).collect()
    }

    /// The one message by which everything that is settled is acknowledged, and how many that are; none while that is
    /// not known to be safe, or there is nothing.
    pub fn up_to(&self) -> Option<(Subject, u64)> {
        let disorderly = self.disorder.is_some_and(|ordinal| self.floor <= ordinal);
        if self.doubt.is_some() || disorderly {
            return None;
        }
        let due = usize::try_from(self.floor - self.sent).ok()?;
        let settled = self.held.iter().skip(self.place(self.sent)).take(due);
        let last = settled.max_by_key(|held| held.sequence)?;
        let reply = Token::renumbered(&last.reply, self.number())?;
        Some((reply.into(), due as u64))
    }

    /// The acknowledgements of the next `count` messages are under way; answers the ordinal at which they end.
    pub fn sending(&mut self, count: u64) -> u64 {
        self.sent = (self.sent + count).min(self.floor);
        self.tried = self.tried.max(self.sent);
        self.sent
    }

    /// The server has confirmed everything before `upto`; answers how many these are.
    pub fn confirmed(&mut self, upto: u64) -> u64 {
        let count = upto.min(self.sent).saturating_sub(self.first);
        for held in self.held.drain(..usize::try_from(count).unwrap_or(0)) {
            self.ordinals.remove(&held.sequence);
        }
        self.first += count;
        self.acknowledged_delivery += count;
        count
    }

    /// What is under way will not be confirmed and is to be sent again; answers how many these are.
    pub const fn unconfirmed(&mut self) -> u64 {
        let count = self.sent - self.first;
        self.sent = self.first;
        count
    }

    /// Whether everything before an ordinal is acknowledged, and the server waits for nothing that is not here.
    pub const fn is_settled_before(&self, ordinal: u64) -> bool {
        self.doubt.is_none() && self.first == ordinal
    }

    /// Whether everything before an ordinal is settled.
    pub const fn is_durable_before(&self, ordinal: u64) -> bool {
        self.floor >= ordinal
    }

    /// Whether what came at an ordinal or behind it belongs before what settled last: the server waits for nothing that is not here, and
    /// everything before the ordinal settled, but cannot be acknowledged *up to* before that has settled too.
    pub fn goes_back(&self, ordinal: u64) -> bool {
        let is_idle = self.sent == self.first && self.first < ordinal && self.floor == ordinal;
        self.doubt.is_none() && is_idle && self.disorder.is_some_and(|last| ordinal <= last)
    }

    /// The sequence of what is held under an ordinal; that of nothing at all where none is.
    pub fn sequence(&self, ordinal: u64) -> u64 {
        let held = self.held.get(self.place(ordinal));
        held.map_or(u64::MAX, |held| held.sequence)
    }

    /// Gives everything from an ordinal on, of which nothing may have been handed out, ordinals in the order of the sequences; answers at
    /// which place each was before, or none if that is where it is.
    pub fn in_order(&mut self, from: u64) -> Option<Vec<usize>> {
        self.disorder.filter(|last| from <= *last)?;
        let waiting = self.held.split_off(self.place(from).min(self.held.len()));
        let mut waiting: Vec<(usize, Held)> = waiting.into_iter().enumerate().collect();
        let is_sorted = waiting.is_sorted_by_key(|(_, held)| held.sequence);
        waiting.sort_by_key(|(_, held)| held.sequence);
        let highest = self.held.iter().map(|held| held.sequence).max();
        let below = waiting.partition_point(|(_, held)| Some(held.sequence) < highest);
        self.disorder = (below > 0).then(|| from + below as u64 - 1);
        let places = waiting.iter().map(|(place, _)| *place).collect();
        for (ordinal, (_, held)) in (from..).zip(waiting) {
            self.ordinals.insert(held.sequence, ordinal);
            self.held.push_back(held);
        }
        (!is_sorted).then_some(places)
    }

    /// The reply subjects of at most `most` messages for which the server has waited for `longest`; it is to be told that they are
    /// worked on.
    pub fn to_renew(&mut self, now: Duration, longest: Duration, most: usize) -> Vec<Subject> {
        let from = self.place(self.sent);
        let old = |held: &&mut Held| now.saturating_sub(held.leased) >= longest;
        let due = self.held.iter_mut().skip(from).filter(old).take(most);
        due.map(|held| {
            held.leased = now;
            held.reply.clone()
        })
        .collect()
    }

    /// The reply subjects of everything from an ordinal on.
    pub fn from(&self, ordinal: u64) -> Vec<Subject> {
        let replies = self.held.iter().skip(self.place(ordinal));
        replies.map(|held| held.reply.clone()).collect()
    }

    fn place(&self, ordinal: u64) -> usize {
        usize::try_from(ordinal.saturating_sub(self.first)).unwrap_or(usize::MAX)
    }
}
