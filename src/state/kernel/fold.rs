//! The order-free fold: what a set of events makes of a recipient and of its batch.
//!
//! A [`RowState`] is a set of [`Flag`]s with the first and last time of each. Merging is a union with minimum and
//! maximum, so it is associative, commutative and idempotent: nothing depends on the order of events, on how they were
//! cut into batches, or on how often one came. What a merge changed is a [`Transition`]; counters ([`Deltas`])
//! grow by transitions only, so none of them can pass the number of state rows.

use serde::{Deserialize, Serialize};

use super::flags::{FLAG_COUNT, Flag, Flags};
use crate::event::Millis;

/// What is known of one recipient. The times of a flag that is not set are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowState {
    /// What happened.
    pub flags: Flags,
    /// When each flag's earliest event happened.
    pub first: [Millis; FLAG_COUNT],
    /// When each flag's latest event happened.
    pub last: [Millis; FLAG_COUNT],
}

impl RowState {
    /// The state that one event makes.
    pub fn of(flag: Flag, time: Millis) -> Self {
        let mut state = Self::default();
        state.add(flag, time);
        state
    }

    /// Folds one event in; returns whether anything changed.
    pub fn add(&mut self, flag: Flag, time: Millis) -> bool {
        self.widen(flag, time, time)
    }

    /// Folds another state in.
    pub fn merge(&mut self, other: &RowState) {
        for flag in other.flags.iter() {
            let at = flag.index();
            self.widen(flag, other.first[at], other.last[at]);
        }
    }

    fn widen(&mut self, flag: Flag, first: Millis, last: Millis) -> bool {
        let at = flag.index();
        let known = self.flags.has(flag);
        let grows = !known || first < self.first[at] || last > self.last[at];
        if grows {
            self.first[at] = if known {
                self.first[at].min(first)
            } else {
                first
            };
            self.last[at] = if known { self.last[at].max(last) } else { last };
            self.flags = self.flags.or(flag.bit());
        }
        grows
    }
}

/// What a merge changed that counters care about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transition {
    /// Flags that were not set before.
    pub set: Flags,
    /// The recipient was not finished before and is now.
    pub finished: bool,
}

impl Transition {
    /// From a row's flags before a merge to those after it.
    pub const fn between(before: Flags, after: Flags) -> Self {
        Self {
            set: after.without(before),
            finished: after.finished() && !before.finished(),
        }
    }
}

/// Counters of every event that counts, once per identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTotals {
    /// Opens by people.
    pub opens: u64,
    /// Clicks.
    pub clicks: u64,
    /// Opens by machines.
    pub machine_opens: u64,
}

impl EventTotals {
    /// Counts one event.
    pub const fn count(&mut self, flag: Flag) {
        match flag {
            Flag::Opened => self.opens += 1,
            Flag::Clicked => self.clicks += 1,
            Flag::MachineOpened => self.machine_opens += 1,
            _ => {}
        }
    }
}

/// By how much one batch's counters grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deltas {
    /// Recipients that got each flag for the first time.
    pub unique: [u64; FLAG_COUNT],
    /// Events.
    pub totals: EventTotals,
    /// Recipients that finished.
    pub finished: u64,
}

impl Deltas {
    /// Counts what a row's merge changed.
    pub fn transition(&mut self, change: Transition) {
        for flag in change.set.iter() {
            self.unique[flag.index()] += 1;
        }
        self.finished += u64::from(change.finished);
    }

    /// Adds another growth to this one.
    pub fn add(&mut self, other: &Deltas) {
        for (sum, more) in self.unique.iter_mut().zip(other.unique) {
            *sum += more;
        }
        self.totals.opens += other.totals.opens;
        self.totals.clicks += other.totals.clicks;
        self.totals.machine_opens += other.totals.machine_opens;
        self.finished += other.finished;
    }

    /// Whether no counter grows.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
