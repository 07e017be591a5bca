//! One assignment of one partition, from when the group gives it to us until it is let go.
//!
//! From old to new:
//!
//! ```text
//!   committed │ committable │ open at the job │ waiting here │ not fetched
//! ```
//!
//! Contract: nothing that is not committable is ever committed. What is committable is the commit tracker's to say; here stands only
//! what the brokers know.

use std::time::Duration;

use crate::source::run_builder::RunBuilder;
use crate::source::{Record, Records};

/// One assigned partition. Pure; `now` is any clock that only goes forward.
#[derive(Debug)]
pub struct AssignedPartition {
    run: RunBuilder,
    committable: u64,
    /// The offset that was committed last, or where the partition began.
    committed: u64,
    /// `committable` is to be committed although it does not exceed `committed`, or a commit of it was refused.
    must_commit: bool,
    /// Nothing more is taken or handed out.
    is_stopped: bool,
}

impl AssignedPartition {
    /// A partition that begins at an offset; `must_commit` if the group has to learn of it.
    pub const fn new(number: u32, offset: u64, must_commit: bool) -> Self {
        Self {
            run: RunBuilder::new(number, offset),
            committable: offset,
            committed: offset,
            must_commit,
            is_stopped: false,
        }
    }

    /// The number under which the job knows it: another one for each assignment.
    pub const fn number(&self) -> u32 {
        self.run.partition()
    }

    /// The first offset that was not fetched.
    pub const fn next(&self) -> u64 {
        self.run.next()
    }

    /// A message was fetched. Answers false if it was known, or the partition is stopped.
    pub fn fetched(&mut self, offset: u64, record: Record, now: Duration) -> bool {
        !self.is_stopped && self.run.push(offset, record, now)
    }

    /// There is no message before that offset any more.
    pub const fn skip_to(&mut self, offset: u64) {
        self.run.skip_to(offset);
    }

    /// How many messages wait, and how many bytes.
    pub fn waiting(&self) -> (usize, usize) {
        (self.run.len(), self.run.bytes())
    }

    /// Whether a run is to be cut.
    pub fn is_due(&self, now: Duration, has_room: bool) -> bool {
        self.run.is_due(now, has_room)
    }

    /// Cuts a run of at most so many messages; none if none wait.
    pub fn cut(&mut self, most: usize) -> Option<Records> {
        self.run.cut(most)
    }

    /// A run will not be taken by the job.
    pub fn take_back(&mut self, run: &Records) {
        self.run.take_back(run);
    }

    /// Nothing more is to be taken or handed out; what waits is forgotten, and fetched again by whoever is next.
    pub fn stop(&mut self) {
        self.is_stopped = true;
        self.run.clear();
    }

    /// Everything before `offset` may be committed.
    pub fn set_committable(&mut self, offset: u64) {
        let handed_out = self.run.handed_out();
        self.committable = self.committable.max(offset.min(handed_out));
    }

    /// Whether messages are open at the job.
    pub const fn is_open(&self) -> bool {
        self.committable < self.run.handed_out()
    }

    /// Whether everything that may be committed is.
    pub const fn is_committed(&self) -> bool {
        !self.must_commit && self.committed >= self.committable
    }

    /// The last commit is to be repeated, before the brokers forget it.
    pub const fn renew_commit(&mut self) {
        self.must_commit = true;
    }

    /// The offset to commit, if there is any. No other commit of the partition may be under way.
    pub fn commit_due(&self) -> Option<u64> {
        (!self.is_committed()).then_some(self.committable)
    }

    /// The answer to a commit; how many offsets are newly committed.
    pub fn commit_answered(&mut self, offset: u64, is_accepted: bool) -> u64 {
        self.must_commit = !is_accepted;
        if !is_accepted {
            return 0;
        }
        let newly = offset.saturating_sub(self.committed);
        self.committed = self.committed.max(offset);
        newly
    }

    /// How many messages behind the end of its partition it is.
    pub const fn lag(&self, end: u64) -> u64 {
        end.saturating_sub(self.run.next())
    }
}

#[cfg(test)]
#[path = "assigned_partition_tests.rs"]
mod tests;
