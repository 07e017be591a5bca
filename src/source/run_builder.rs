//! Cuts what comes of one partition into runs of records.
//!
//! Offsets that hold no message (compacted away, marks of transactions, deleted) belong to the run that comes after them, so runs
//! follow each other without gaps. From old to new:
//!
//! ```text
//!   handed out │ waiting here │ not received
//!         handed_out         next
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use super::{Record, Records};

/// Most records of one run.
pub const RUN_RECORDS_MAX: usize = 512;
/// Most bytes of one run (and one record more).
pub const RUN_BYTES_MAX: usize = 1 << 20;
/// How long a run waits to grow while there is room for it.
const LINGER: Duration = Duration::from_millis(1);

/// The records of one partition that are not handed out yet. Pure; `now` is any clock that only goes forward.
#[derive(Debug)]
pub struct RunBuilder {
    partition: u32,
    waiting: VecDeque<(u64, Record)>,
    waiting_bytes: usize,
    /// When the oldest of them came.
    since: Duration,
    next: u64,
    handed_out: u64,
}

impl RunBuilder {
    /// A partition that begins at an offset.
    pub const fn new(partition: u32, offset: u64) -> Self {
        Self {
            partition,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            since: Duration::ZERO,
            next: offset,
            handed_out: offset,
        }
    }

    /// The number under which the job knows the partition.
    pub const fn partition(&self) -> u32 {
        self.partition
    }

    /// The first offset that was not received.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// The first offset that was not handed out.
    pub const fn handed_out(&self) -> u64 {
        self.handed_out
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many bytes wait.
    pub const fn bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// The offset of a waiting record, counted from the oldest.
    pub fn offset_of(&self, at: usize) -> u64 {
        let waiting = self.waiting.get(at);
        waiting.map_or(self.next, |(offset, _)| *offset)
    }

    /// A record came. Answers false, and forgets it, if its offset was received before.
    pub fn push(&mut self, offset: u64, record: Record, now: Duration) -> bool {
        if offset < self.next {
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

    /// There is no record before that offset any more: what comes next is behind the gap.
    pub const fn skip_to(&mut self, offset: u64) {
        if self.next < offset {
            self.next = offset;
        }
    }

    /// Whether a run would be full.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= RUN_RECORDS_MAX || self.waiting_bytes >= RUN_BYTES_MAX
    }

    /// Whether a run is to be cut: it would be full, or has grown for long enough where there is room.
    pub fn is_due(&self, now: Duration, has_room: bool) -> bool {
        let has_lingered = now >= self.since + LINGER;
        self.is_full() || (has_room && !self.waiting.is_empty() && has_lingered)
    }

    /// Cuts a run of at most so many records; none if none wait.
    pub fn cut(&mut self, most: usize) -> Option<Records> {
        let most = most.min(RUN_RECORDS_MAX);
        let mut records = Vec::with_capacity(self.waiting.len().min(most));
        let (start, mut bytes) = (self.handed_out, 0);
        while records.len() < most
            && bytes < RUN_BYTES_MAX
            && let Some((offset, record)) = self.waiting.pop_front()
        {
            bytes += record.bytes();
            self.handed_out = offset + 1;
            records.push(record);
        }
        self.waiting_bytes -= bytes;
        (!records.is_empty()).then_some(Records {
            partition: self.partition,
            start,
            end: self.handed_out,
            records,
            bytes,
            due: None,
        })
    }

    /// A run that was cut will not be taken by the job.
    pub fn take_back(&mut self, run: &Records) {
        self.handed_out = self.handed_out.min(run.start);
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.next = self.handed_out;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::Origin;

    const NOW: Duration = Duration::ZERO;

    fn record() -> Record {
        Record::Line(Origin::default(), Bytes::from_static(b"{}"))
    }

    fn filled(offsets: &[u64]) -> RunBuilder {
        let mut run = RunBuilder::new(7, 10);
        for offset in offsets {
            assert!(run.push(*offset, record(), NOW));
        }
        run
    }

    #[test]
    fn offsets_without_a_message_belong_to_the_run_behind_them() {
        let mut run = filled(&[12, 13, 20]);
        let first = run.cut(2).unwrap();
        assert_eq!((first.start, first.end, first.records.len()), (10, 14, 2));
        let second = run.cut(2).unwrap();
        assert_eq!((second.start, second.end), (14, 21));
        assert!(run.cut(2).is_none());
        assert_eq!((run.len(), run.bytes()), (0, 0));
    }

    #[test]
    fn what_waits_before_a_gap_is_not_lost() {
        let mut run = filled(&[10, 11]);
        run.skip_to(50);
        assert!(!run.push(49, record(), NOW));
        assert!(run.push(50, record(), NOW));
        let before = run.cut(2).unwrap();
        assert_eq!((before.start, before.end), (10, 12));
        let behind = run.cut(2).unwrap();
        assert_eq!((behind.start, behind.end), (12, 51));
    }

    #[test]
    fn a_record_is_taken_once() {
        let mut run = filled(&[10, 11]);
        assert!(!run.push(11, record(), NOW));
        assert!(run.push(12, record(), NOW));
        run.clear();
        assert_eq!(run.next(), 10);
    }

    #[test]
    fn runs_are_bounded_in_records_and_bytes() {
        let mut run = filled(&[]);
        for offset in 10..10 + 2 * RUN_RECORDS_MAX as u64 {
            run.push(offset, record(), NOW);
        }
        assert!(run.is_due(NOW, false));
        assert_eq!(run.cut(usize::MAX).unwrap().records.len(), RUN_RECORDS_MAX);
        let large = Bytes::from(vec![b' '; RUN_BYTES_MAX / 2]);
        let mut run = filled(&[]);
        for offset in 10..16 {
            run.push(offset, Record::Line(Origin::default(), large.clone()), NOW);
        }
        assert!(run.is_due(NOW, false));
        assert_eq!(run.cut(usize::MAX).unwrap().records.len(), 2);
    }

    #[test]
    fn a_run_lingers_only_while_there_is_room() {
        let run = filled(&[10]);
        assert!(!run.is_due(NOW, true));
        assert!(run.is_due(LINGER, true));
        assert!(!run.is_due(LINGER, false));
    }
}
