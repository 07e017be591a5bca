//! What one lane holds of what was delivered to it, from delivery to confirmed acknowledgement.
//!
//! A lane numbers the messages that it takes by an ordinal of its own, without gaps: that is the position in which
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
//! * [`Lane::up_to`] names nothing while a message with a lower sequence may be open, here or nowhere: acknowledging *up to* a
//!   message acknowledges everything before it, also what was delivered to a process that died, or was lost on the way.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use async_nats::Subject;

use super::token::Token;
use crate::event::Millis;

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

/// One lane. Pure; `now` is any clock that only goes forward.
#[derive(Debug, Default)]
pub struct Lane {
    held: VecDeque<Held>,
    ordinals: HashMap<u64, u64>,
    first: u64,
    sent: u64,
    floor: u64,
    /// The highest sequence that came.
    highest: u64,
    /// The last ordinal whose sequence is below one that came before it.
    disorder: Option<u64>,
    /// The consumer's own number of the last delivery.
    delivery: u64,
    /// Since when the server may know of deliveries that never came here; none once it was found not to.
    doubt: Option<Duration>,
    /// Since when there has been doubt without a break.
    doubtful_since: Duration,
}

/// What the server says of a lane's consumer, all at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Delivered and not acknowledged.
    pub ack_pending: u64,
    /// Everything up to this sequence of the stream is acknowledged.
    pub acknowledged: u64,
    /// The highest sequence of the stream that was delivered.
    pub delivered: u64,
}

impl Lane {
    /// A lane of which nothing came yet. Until the server was asked, an earlier process may have left deliveries open.
    pub fn new(now: Duration) -> Self {
        Self {
            doubt: Some(now),
            doubtful_since: now,
            ..Self::default()
        }
    }

    /// The consumer's own number of the last delivery before ours.
    pub const fn begins_after(&mut self, delivery: u64) {
        self.delivery = delivery;
    }

    /// A message was delivered.
    pub fn arrived(&mut self, token: &Token, reply: Subject, now: Duration) -> Arrival {
        // Also the first one: what was delivered before it, here or to an earlier process, may be open.
        if token.delivery != self.delivery + 1 {
            self.doubts(now);
        }
        self.delivery = token.delivery;
        if let Some(held) = self.find(token.sequence) {
            if held.at != token.at {
                return Arrival::Strange;
            }
            held.reply = reply;
            held.leased = now;
            return Arrival::Known;
        }
        let ordinal = self.next();
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
        Some((last.reply.clone(), due as u64))
    }

    /// The acknowledgements of the next `count` messages are under way; answers the ordinal at which they end.
    pub fn sending(&mut self, count: u64) -> u64 {
        self.sent = (self.sent + count).min(self.floor);
        self.sent
    }

    /// The server has confirmed everything before `upto`; answers how many these are.
    pub fn confirmed(&mut self, upto: u64) -> u64 {
        let count = upto.min(self.sent).saturating_sub(self.first);
        for held in self.held.drain(..usize::try_from(count).unwrap_or(0)) {
            self.ordinals.remove(&held.sequence);
        }
        self.first += count;
        count
    }

    /// What is under way will not be confirmed and is to be sent again; answers how many these are.
    pub const fn unconfirmed(&mut self) -> u64 {
        let count = self.sent - self.first;
        self.sent = self.first;
        count
    }

    /// The connection is another one: deliveries may have been lost with the old one.
    pub const fn reconnected(&mut self, now: Duration) {
        self.doubts(now);
    }

    const fn doubts(&mut self, now: Duration) {
        if self.doubt.is_none() {
            self.doubtful_since = now;
        }
        self.doubt = Some(now);
    }

    /// Whether the server may know of deliveries that never came here.
    pub const fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    /// For how long the server has known of deliveries that never came here. What a reader that died held comes here after the
    /// server's patience; where doubt lasts longer, another one reads.
    pub fn in_doubt_for(&self, now: Duration) -> Duration {
        let since = self.doubt.map(|_| self.doubtful_since);
        since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// The server answered a question of `asked`: the doubt ends if everything it waits for is held here. Answers how much of it is
    /// not.
    pub fn heard(&mut self, standing: &Standing, asked: Duration) -> u64 {
        if self.doubt.is_none_or(|since| asked <= since) {
            return 0;
        }
        let waited_for = standing.acknowledged + 1..=standing.delivered;
        let here = self
            .held
            .iter()
            .filter(|held| waited_for.contains(&held.sequence));
        let missing = standing.ack_pending.saturating_sub(here.count() as u64);
        if missing == 0 {
            self.doubt = None;
        }
        missing
    }

    /// The sequence before which the server knows everything to be acknowledged, once all that it waits for is here.
    pub fn acknowledged(&self) -> Option<u64> {
        let lowest = self.held.iter().map(|held| held.sequence).min();
        self.doubt
            .is_none()
            .then(|| lowest.unwrap_or(self.highest + 1))
    }

    /// Whether everything before an ordinal is acknowledged, and the server waits for nothing that is not here.
    pub const fn is_settled_before(&self, ordinal: u64) -> bool {
        self.doubt.is_none() && self.first == ordinal
    }

    /// The sequence of what is held under an ordinal; that of nothing at all where none is.
    pub fn sequence(&self, ordinal: u64) -> u64 {
        let held = self.held.get(self.place(ordinal));
        held.map_or(u64::MAX, |held| held.sequence)
    }

    /// Gives everything that is held, of which nothing may have been handed out, ordinals in the order of the sequences; answers at which
    /// place each was before, or none if that is where it is.
    pub fn in_order(&mut self) -> Option<Vec<usize>> {
        self.disorder.take()?;
        let mut all: Vec<(usize, Held)> = self.held.drain(..).enumerate().collect();
        all.sort_by_key(|(_, held)| held.sequence);
        let places = all.iter().map(|(place, _)| *place).collect();
        for (ordinal, (_, held)) in (self.first..).zip(all) {
            self.ordinals.insert(held.sequence, ordinal);
            self.held.push_back(held);
        }
        Some(places)
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

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
