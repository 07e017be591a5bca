//! What one partition holds: a partition from its assignment to the moment when it is let go.
//!
//! Positions are the partition's offsets. Offsets that hold no message (compacted away, marks of transactions) belong to the
//! run that comes after them, so runs follow each other without gaps. From old to new:
//!
//! ```text
//!   committed │ commit under way │ settled │ open at the job │ waiting here │ not fetched
//!          committed          committing  floor           handed          next
//! ```
//!
//! Contract: nothing above the floor is ever committed; a message is taken once.

use std::collections::VecDeque;
use std::time::Duration;

use crate::source::{Record, Records};

/// Most messages of one parcel.
const PARCEL: usize = 512;
/// Most bytes of one parcel (and one message more).
const PARCEL_BYTES: usize = 1 << 20;
/// How long a run waits to grow while there is room for it.
const LINGER: Duration = Duration::from_millis(1);

/// One partition. Pure; `now` is any clock that only goes forward.
#[derive(Debug)]
pub struct AssignedPartition {
    number: u32,
    waiting: VecDeque<(u64, Record)>,
    waiting_bytes: usize,
    since: Duration,
    next: u64,
    handed: u64,
    floor: u64,
    committing: Option<u64>,
    /// None while what the group knows is not where the partition began.
    committed: Option<u64>,
    began: u64,
    /// What is committed is to be committed once more.
    renew: bool,
    /// Nothing more is taken or handed out.
    over: bool,
}

impl AssignedPartition {
    /// A partition that begins at an offset; everything before it is settled. `committed` is what the group knows.
    pub const fn new(number: u32, begin: u64, committed: Option<u64>) -> Self {
        Self {
            number,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            since: Duration::ZERO,
            next: begin,
            handed: begin,
            floor: begin,
            committing: None,
            committed,
            began: begin,
            renew: false,
            over: false,
        }
    }

    /// The number under which the job knows it.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The offset of the next message that is not known.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Everything before it is durable.
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// A message came; false if it is known, or the partition is over.
    pub fn arrived(&mut self, offset: u64, record: Record, now: Duration) -> bool {
        if self.over || offset < self.next {
            return false;
        }
        if self.waiting.is_empty() {
            self.since = now;
        }
        self.next = offset + 1;
        self.waiting_bytes += record.bytes();
        self.waiting.push_back((offset, record));
        true
    }

    /// There is no message before that offset any more: what comes next is behind the gap.
    pub const fn skip_to(&mut self, offset: u64) {
        if self.next < offset {
            self.next = offset;
        }
    }

    /// How many messages wait, and how many bytes.
    pub fn waiting(&self) -> (usize, usize) {
        (self.waiting.len(), self.waiting_bytes)
    }

    /// Whether a parcel is to be cut: it would be full, or has grown for long enough where there is room.
    pub fn is_due(&self, now: Duration, room: bool) -> bool {
        let full = self.waiting.len() >= PARCEL || self.waiting_bytes >= PARCEL_BYTES;
        full || (room && !self.waiting.is_empty() && now >= self.since + LINGER)
    }

    /// Cuts a parcel of at most so many messages; none if none wait.
    pub fn cut(&mut self, most: usize) -> Option<Records> {
        let mut records = Vec::with_capacity(self.waiting.len().min(most).min(PARCEL));
        let (start, mut bytes) = (self.handed, 0);
        while records.len() < most.min(PARCEL)
            && bytes < PARCEL_BYTES
            && let Some((offset, record)) = self.waiting.pop_front()
        {
            bytes += record.bytes();
            self.handed = offset + 1;
            records.push(record);
        }
        self.waiting_bytes -= bytes;
        (!records.is_empty()).then_some(Records {
            partition: self.number,
            start,
            end: self.handed,
            records,
            bytes,
            due: None,
        })
    }

    /// A parcel was not taken by the job and never will be.
    pub fn taken_back(&mut self, parcel: &Records) {
        self.handed = self.handed.min(parcel.start);
    }

    /// Nothing more is to be taken or handed out; what waits is forgotten, as the group knows it.
    pub fn stop(&mut self) {
        self.over = true;
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.next = self.handed;
    }

    /// Everything before `upto` is durable.
    pub fn settled(&mut self, upto: u64) {
        self.floor = self.floor.max(upto.min(self.handed));
    }

    /// Whether messages are open at the job.
    pub const fn is_open(&self) -> bool {
        self.floor < self.handed
    }

    /// Whether everything that is settled is committed.
    pub fn is_committed(&self) -> bool {
        self.committed
            .is_some_and(|committed| committed >= self.floor)
    }

    /// What is committed is to be committed once more, before the brokers forget it.
    pub const fn renew(&mut self) {
        self.renew = true;
    }

    /// What is to be committed, if anything, and no commit is under way; it is, from now on.
    pub fn commit(&mut self) -> Option<u64> {
        if self.committing.is_some() || (self.is_committed() && !self.renew) {
            return None;
        }
        self.renew = false;
        self.committing = Some(self.floor);
        self.committing
    }

    /// The answer to a commit; how many offsets are newly committed.
    pub fn committed(&mut self, upto: u64, stands: bool) -> u64 {
        let Some(committing) = self.committing.take_if(|committing| *committing == upto) else {
            return 0;
        };
        if !stands {
            self.renew = true;
            return 0;
        }
        let more = committing.saturating_sub(self.committed.unwrap_or(self.began));
        self.committed = self.committed.max(Some(committing));
        more
    }

    /// How many messages behind the end of its partition it is.
    pub const fn behind(&self, end: u64) -> u64 {
        end.saturating_sub(self.next)
    }
}

#[cfg(test)]
#[path = "assigned_tests.rs"]
mod tests;
