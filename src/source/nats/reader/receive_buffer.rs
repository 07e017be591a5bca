//! Messages on their way to the job: a run that grows, and one that found no room.

use std::time::Duration;

use crate::source::run_builder::RunBuilder;
use crate::source::{Record, RecordSender, Records, Stopped};

/// Messages that were received and not handed out, in the order of their ordinals, which are the offsets of partition 0.
#[derive(Debug)]
pub struct ReceiveBuffer {
    run: RunBuilder,
    /// A run that found no room.
    ready: Option<Records>,
    /// The first ordinal of a run that the job refused because it stops.
    refused: Option<u64>,
}

impl Default for ReceiveBuffer {
    fn default() -> Self {
        Self {
            run: RunBuilder::new(0, 0),
            ready: None,
            refused: None,
        }
    }
}

impl ReceiveBuffer {
    /// Adds the message of the next ordinal.
    pub fn push(&mut self, ordinal: u64, record: Record, now: Duration) {
        self.run.push(ordinal, record, now);
    }

    /// Hands out as much as there is room for.
    pub fn hand_out(&mut self, sender: &mut RecordSender, now: Duration) -> Result<(), Stopped> {
        while let Some(records) = self.next_run(now) {
            let start = records.start;
            match sender.try_hand_out(records) {
                Ok(None) => {}
                Ok(back) => {
                    self.ready = back;
                    return Ok(());
                }
                Err(stopped) => {
                    self.refused = Some(start);
                    return Err(stopped);
                }
            }
        }
        Ok(())
    }

    fn next_run(&mut self, now: Duration) -> Option<Records> {
        if self.ready.is_some() {
            return self.ready.take();
        }
        let is_due = self.run.is_due(now, true);
        is_due.then(|| self.run.cut(usize::MAX)).flatten()
    }

    /// Drops everything; the ordinal of the first message that the job did not take, if there is one.
    pub fn clear(&mut self) -> Option<u64> {
        let ready = self.ready.take().map(|records| records.start);
        let waiting = (!self.run.is_empty()).then(|| self.run.offset_of(0));
        self.run.clear();
        self.refused.take().or(ready).or(waiting)
    }

    /// How many messages wait.
    pub fn messages(&self) -> usize {
        let ready = self.ready.as_ref().map_or(0, |run| run.records.len());
        ready + self.run.len()
    }

    /// How many bytes they hold.
    pub fn bytes(&self) -> usize {
        self.ready.as_ref().map_or(0, |run| run.bytes) + self.run.bytes()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.messages() == 0
    }

    /// Whether records wait because the job has no room.
    pub const fn is_held_back(&self) -> bool {
        self.ready.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Origin;
    use crate::source::run_builder::{RUN_BYTES_MAX, RUN_RECORDS_MAX};

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
            buffer
                .hand_out(&mut sender, Duration::from_millis(1))
                .unwrap();
        }
        assert!(buffer.is_empty() && buffer.bytes() == 0);
        let mut next = 0;
        for records in receivers.workers[0].try_iter() {
            assert_eq!((records.partition, records.start), (0, next));
            assert!(records.records.len() <= RUN_RECORDS_MAX);
            assert!(records.bytes <= RUN_BYTES_MAX + 1_000_000);
            next = records.end;
        }
        assert_eq!(next, 2_000);
    }

    #[test]
    fn what_finds_no_room_waits_and_is_dropped_from_its_first_ordinal_on() {
        let (mut sender, receivers) = RecordSender::channels(1, 1);
        let mut buffer = ReceiveBuffer::default();
        for ordinal in 0..3 * RUN_RECORDS_MAX as u64 {
            buffer.push(ordinal, line(1), Duration::ZERO);
        }
        buffer.hand_out(&mut sender, Duration::ZERO).unwrap();
        assert!(buffer.is_held_back());
        assert_eq!(buffer.messages(), 2 * RUN_RECORDS_MAX);
        assert_eq!(buffer.clear(), Some(RUN_RECORDS_MAX as u64));
        assert_eq!((buffer.clear(), buffer.messages()), (None, 0));
        assert_eq!(receivers.workers[0].try_iter().count(), 1);
    }

    #[test]
    fn a_run_that_a_stopping_job_refuses_goes_back_with_the_rest() {
        let (mut sender, receivers) = RecordSender::channels(1, 1);
        drop(receivers);
        let mut buffer = ReceiveBuffer::default();
        for ordinal in 0..2 * RUN_RECORDS_MAX as u64 {
            buffer.push(ordinal, line(1), Duration::ZERO);
        }
        assert!(buffer.hand_out(&mut sender, Duration::ZERO).is_err());
        assert_eq!(buffer.clear(), Some(0));
    }
}
