//! What the server knows of a partition, against what is held of it here.
//!
//! The server may have delivered what never came here: to a process that died, or over a connection that broke. While that is
//! possible there is *doubt*, in which nothing is acknowledged *up to* anything. Looks end it, each of them a picture of one moment:
//! one that was asked for after the doubt began, by which the server waits for nothing that is not here, and has itself not
//! forgotten what it delivered before (a server that was killed, a consumer that was made anew): what it delivers
//! again it would find acknowledged.

use std::time::Duration;

use super::{Held, Partition};

/// What came so long before a question was known to whoever answers it, though it be a follower that lags.
pub(super) const LONG: Duration = Duration::from_secs(1);
/// For so many times the server's patience it is waited for a connection that lives longer than that.
const BROKEN: u32 = 10;
/// What lies between two looks, at most.
pub(super) const A_LOOK: Duration = Duration::from_secs(5);

/// The server may know of deliveries that never came here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    /// When there was reason for it last.
    last: Duration,
    /// Since when there has been doubt without a break.
    since: Duration,
    /// When deliveries may have been lost with a connection last, or the doubt began.
    connected: Duration,
    /// The ordinal of the next message when there was reason for it last.
    before: u64,
}

impl Doubt {
    pub const fn at(now: Duration) -> Self {
        Self {
            last: now,
            since: now,
            connected: now,
            before: 0,
        }
    }
}

/// How much of what is held the server did not know to have delivered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Forgotten {
    count: u64,
    /// For how long that has not become less, though it was asked for.
    stuck: Duration,
    /// When a look found it last, or who answers became another one.
    found: Duration,
}

/// What the server says of a partition's consumer, all at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Delivered and not acknowledged.
    pub ack_pending: u64,
    /// Everything up to this sequence of the stream is acknowledged.
    pub acknowledged: u64,
    /// The number of the delivery by which it was.
    pub acknowledged_delivery: u64,
    /// The highest sequence of the stream that was delivered.
    pub delivered: u64,
    /// How many deliveries there were.
    pub deliveries: u64,
}

impl Partition {
    /// The connection, or who answers it, is another one: deliveries may have been lost with the old one.
    pub fn reconnected(&mut self, now: Duration) {
        self.doubts(now);
        if let Some(doubt) = &mut self.doubt {
            doubt.connected = now;
        }
        self.is_uncounted = true;
        self.forgotten.stuck = Duration::ZERO;
        self.forgotten.found = now;
    }

    pub(super) fn doubts(&mut self, now: Duration) {
        self.doubt = Some(Doubt {
            last: now,
            since: self.doubt.map_or(now, |doubt| doubt.since),
            connected: self.doubt.map_or(now, |doubt| doubt.connected),
            before: self.next(),
        });
    }

    /// The consumer's numbers began again: it was made anew, or its server has forgotten how far it was. Where it stands is to be
    /// heard; what is under way counts for nothing, and what was acknowledged may come again.
    pub(super) fn rewound(&mut self) {
        self.rewound = Some(self.next());
        self.acknowledged_delivery = 0;
        self.sent = self.first;
        let highest = self.held.iter().map(|held| held.sequence).max();
        self.highest = highest.unwrap_or_default();
    }

    /// Whether something is held that another consumer of the same name delivered, where a look found that it was made anew and how many
    /// deliveries the new one has made.
    pub fn is_of_another(&self, deliveries: u64) -> bool {
        match self.rewound {
            Some(next) => self.first < next,
            // Nothing of the new one came yet.
            None => deliveries < self.delivery && !self.is_empty(),
        }
    }

    /// A delivery comes while everything before it is acknowledged, or may be: then the server may have found nothing open, and
    /// taken everything that it had delivered before as acknowledged (`checkPending` in its `consumer.go`).
    pub(super) fn nothing_waits_before(&mut self, delivery: u64) {
        let number = delivery.saturating_sub(1 + self.next() - self.first);
        self.acknowledged_delivery = self.acknowledged_delivery.max(number);
    }

    /// Whether the server may know of deliveries that never came here.
    pub const fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    /// Whether a server of this patience has given up whatever it delivered and never came here, so that it delivers it again.
    pub fn is_given_up(&self, now: Duration, patience: Duration) -> bool {
        self.connected_for(now) > patience || self.in_doubt_for(now) > patience * BROKEN
    }

    /// For how long the server has known of deliveries that never came here.
    fn in_doubt_for(&self, now: Duration) -> Duration {
        let since = self.doubt.map(|doubt| doubt.since);
        since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// For how long a connection has stood in this doubt. What was lost before it, or a reader that died held, comes here after the
    /// server's patience; where doubt lasts longer, another one reads.
    pub fn connected_for(&self, now: Duration) -> Duration {
        let since = self.doubt.map(|doubt| doubt.connected);
        since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// How much of what is held the server did not know to have delivered, as the last look found. It delivers it again.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten.count
    }

    /// For how long looks over one connection have found as much of it as before, though it was asked for between them. Where it is more
    /// than the server delivers unacknowledged, it never becomes less.
    pub const fn forgotten_for(&self) -> Duration {
        self.forgotten.stuck
    }

    fn forgets(&mut self, count: u64, found: Duration, is_asked: bool) {
        let before = self.forgotten;
        let stuck = match count > 0 && count == before.count {
            false => Duration::ZERO,
            true if !is_asked => before.stuck,
            // A look that took long says nothing of what was between.
            true => before.stuck + found.saturating_sub(before.found).min(A_LOOK),
        };
        self.forgotten = Forgotten {
            count,
            stuck,
            found,
        };
    }

    /// The server answered a question of `asked`, and everything has come that it sent before its answer: the doubt ends if everything
    /// that it waits for is held here. Answers how much of it is not, or is still to be delivered again; none where the answer tells nothing
    /// of that.
    /// `is_asked`: the server has been asked for messages since the last answer.
    pub fn heard(&mut self, standing: &Standing, asked: Duration, is_asked: bool) -> Option<u64> {
        if self.doubt.is_none() && self.is_forgotten(standing, asked) {
            self.reconnected(asked);
        }
        let doubt = self.doubt.filter(|doubt| asked > doubt.last)?;
        if self.is_uncounted && standing.deliveries < self.delivery {
            self.rewound();
        }
        self.stands_at(standing);
        let waited_for = standing.acknowledged + 1..=standing.delivered;
        let is_here = |held: &&Held| waited_for.contains(&held.sequence);
        let here = self.held.iter().filter(is_here).count() as u64;
        let before = self.held.iter().take(self.place(doubt.before));
        let is_forgotten = |held: &&Held| held.sequence > standing.delivered;
        let forgotten = before.filter(is_forgotten).count() as u64;
        self.forgets(forgotten, asked, is_asked);
        let missing = standing.ack_pending.saturating_sub(here) + forgotten;
        if missing == 0 {
            self.doubt = None;
            self.rewound = None;
            if std::mem::take(&mut self.is_uncounted) {
                self.delivery = standing.deliveries;
            }
        }
        Some(missing)
    }

    /// Whether the server knows nothing of a delivery that came long before it was asked: another one leads the consumer now.
    fn is_forgotten(&self, standing: &Standing, asked: Duration) -> bool {
        let mut held = self.held.iter();
        held.any(|held| held.sequence > standing.delivered && held.leased + LONG <= asked)
    }

    /// Whoever had the partition before us may have acknowledged until now, and we ourselves more than is confirmed.
    fn stands_at(&mut self, standing: &Standing) {
        let is_acknowledged = |held: &&Held| held.sequence <= standing.acknowledged;
        let unconfirmed = self.held.iter().filter(is_acknowledged).count() as u64;
        let number = standing.acknowledged_delivery.saturating_sub(unconfirmed);
        self.acknowledged_delivery = self.acknowledged_delivery.max(number);
    }

    /// The sequence before which the server knows everything to be acknowledged, once all that it waits for is here.
    pub fn acknowledged(&self) -> Option<u64> {
        let lowest = self.held.iter().map(|held| held.sequence).min();
        let all = lowest.unwrap_or(self.highest + 1);
        self.doubt.is_none().then_some(all)
    }
}
