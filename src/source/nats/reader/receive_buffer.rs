//! Messages on their way to the job: a run that grows, and records that found no room.

use std::collections::VecDeque;
use std::time::Duration;

use crate::source::{Record, RecordSender, Records, Stopped};

/// Most messages of one run.
pub const RUN_MESSAGES: usize = 512;
/// Most bytes of one run (and one message more).
pub const RUN_BYTES: usize = 1 << 20;
/// How long a run waits to grow while there is room for it.
const LINGER: Duration = Duration::from_millis(1);

/// Messages that were received and not handed out, in order.
#[derive(Debug, Default)]
pub struct ReceiveBuffer {
    ready: VecDeque<Records>,
    run: PendingRun,
    messages: usize,
    bytes: usize,
}

/// Messages that are not in [`Records`] yet.
#[derive(Debug, Default)]
pub struct PendingRun {
    /// The messages.
    pub records: Vec<Record>,
    /// What they weigh.
    pub bytes: usize,
    start: u64,
    since: Duration,
}

impl PendingRun {
    /// Adds a message.
    pub fn push(&mut self, record: Record) {
        self.bytes += record.bytes();
        self.records.push(record);
    }

    /// Whether no more fits.
    pub const fn is_full(&self) -> bool {
        self.records.len() >= RUN_MESSAGES || self.bytes >= RUN_BYTES
    }

    /// All of it, as the records `start..end` of partition 0.
    pub fn take(&mut self, start: u64, end: u64) -> Records {
        let run = std::mem::take(self);
        Records {
            partition: 0,
            start,
            end,
            records: run.records,
            bytes: run.bytes,
            due: None,
        }
    }
}

impl ReceiveBuffer {
    /// Adds the message of the next ordinal.
    pub fn push(&mut self, ordinal: u64, record: Record, now: Duration) {
        if self.run.records.is_empty() {
            (self.run.start, self.run.since) = (ordinal, now);
        }
        self.messages += 1;
        self.bytes += record.bytes();
        self.run.push(record);
        if self.run.is_full() {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let start = self.run.start;
        let end = start + self.run.records.len() as u64;
        self.ready.push_back(self.run.take(start, end));
    }

    /// Hands out as much as there is room for.
    pub fn hand_out(&mut self, sender: &mut RecordSender, now: Duration) -> Result<(), Stopped> {
        let has_lingered = !self.run.records.is_empty() && now >= self.run.since + LINGER;
        if self.ready.is_empty() && has_lingered {
            self.cut();
        }
        while let Some(records) = self.ready.pop_front() {
            let (messages, bytes) = (records.records.len(), records.bytes);
            if let Some(back) = sender.try_hand_out(records)? {
                self.ready.push_front(back);
                return Ok(());
            }
            self.messages -= messages;
            self.bytes -= bytes;
        }
        Ok(())
    }

    /// Drops everything; the ordinal of its first message, if there is one.
    pub fn clear(&mut self) -> Option<u64> {
        let first = self.ready.front().map(|records| records.start);
        let run = (!self.run.records.is_empty()).then_some(self.run.start);
        *self = Self::default();
        first.or(run)
    }

    /// How many messages wait.
    pub const fn messages(&self) -> usize {
        self.messages
    }

    /// How many bytes they hold.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Whether records wait because the job has no room.
    pub fn is_held_back(&self) -> bool {
        !self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Origin;

    fn line(bytes: usize) -> Record {
        Record::Line(Origin::default(), vec![b'x'; bytes].into())
    }

    #[test]
    fn runs_are_bounded_in_messages_and_in_bytes_and_have_no_gaps() {
        let (mut sender, receivers) = RecordSender::channels(1, 1_000);
        let mut buffer = ReceiveBuffer::default();
        for ordinal in 0..2_000 {
            let large = if ordinal % 500 == 0 { 900_000 } else { 10 };
            buffer.push(ordinal, line(large), Duration::ZERO);
        }
        for _ in 0..2 {
            buffer.hand_out(&mut sender, LINGER).unwrap();
        }
        assert!(buffer.is_empty() && buffer.bytes() == 0);
        let mut next = 0;
        for records in receivers.workers[0].try_iter() {
            assert_eq!((records.partition, records.start), (0, next));
            assert!(records.records.len() <= RUN_MESSAGES);
            assert!(records.bytes <= RUN_BYTES + 1_000_000);
            next = records.end;
        }
        assert_eq!(next, 2_000);
    }

    #[test]
    fn what_finds_no_room_waits_and_is_dropped_from_its_first_ordinal_on() {
        let (mut sender, receivers) = RecordSender::channels(1, 1);
        let mut buffer = ReceiveBuffer::default();
        for ordinal in 0..3 * RUN_MESSAGES as u64 {
            buffer.push(ordinal, line(1), Duration::ZERO);
        }
        buffer.hand_out(&mut sender, Duration::ZERO).unwrap();
        assert!(buffer.is_held_back());
        assert_eq!(buffer.messages(), 2 * RUN_MESSAGES);
        assert_eq!(buffer.clear(), Some(RUN_MESSAGES as u64));
        assert_eq!((buffer.clear(), buffer.messages()), (None, 0));
        assert_eq!(receivers.workers[0].try_iter().count(), 1);
    }
}
