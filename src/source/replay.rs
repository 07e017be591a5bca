//! A replay of a broker's past: from where and up to when, and how it is handed out.
//!
//! A replay joins no group and commits nothing. One that is stopped starts again from its beginning; what it applied already is
//! recognised as duplicates.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::connect_error::ConnectError;
use super::context::SourceContext;
use super::run_builder::RunBuilder;
use super::{PartitionEvent, Record, Records, Stopped};
use crate::error::Fatal;
use crate::event::Millis;

/// Where a replay begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplayStart {
    /// With the oldest message.
    #[default]
    Beginning,
    /// With the first message that the broker took at this time or later.
    Time(Millis),
    /// With this offset (for NATS a sequence of the stream).
    Offset(u64),
}

/// Which messages are replayed: those that the broker holds when the replay begins, within this range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayRange {
    /// The first.
    pub start: ReplayStart,
    /// Messages that the broker took at this time or later are left out.
    pub until: Option<Millis>,
}

/// Why a replay ended before its end.
#[derive(Debug)]
pub enum ReplayError {
    /// The job wants no more.
    Stopped,
    /// It cannot be read.
    Failed(Fatal),
}

impl From<Stopped> for ReplayError {
    fn from(_: Stopped) -> Self {
        ReplayError::Stopped
    }
}

impl From<Fatal> for ReplayError {
    fn from(fatal: Fatal) -> Self {
        ReplayError::Failed(fatal)
    }
}

impl From<ConnectError> for ReplayError {
    fn from(error: ConnectError) -> Self {
        ReplayError::Failed(error.into())
    }
}

/// A partition that is replayed up to an offset.
#[derive(Debug)]
struct ReplayedPartition {
    run: RunBuilder,
    end: u64,
    /// It was read to its end, or nothing more of it is wanted.
    is_read: bool,
}

/// What a replay hands out: whole partitions, each up to where it ended when the replay began.
///
/// Memory is bounded in messages and bytes: while [`hand_out`](Self::hand_out) answers that there is no room, nothing more may be
/// pushed. Then at most one run of each partition, and one record more, waits here.
#[derive(Debug)]
pub struct ReplayOutput<'a> {
    context: &'a mut SourceContext,
    partitions: BTreeMap<u32, ReplayedPartition>,
    /// A run that found no room.
    held: Option<Records>,
    started: Instant,
}

impl<'a> ReplayOutput<'a> {
    /// Hands out through the job's context.
    pub fn new(context: &'a mut SourceContext) -> Self {
        Self {
            context,
            partitions: BTreeMap::new(),
            held: None,
            started: Instant::now(),
        }
    }

    /// A partition is replayed within this range of offsets.
    pub fn begin(
        &mut self,
        partition: u32,
        name: &str,
        offsets: Range<u64>,
    ) -> Result<(), Stopped> {
        self.context.records.send_event(PartitionEvent::Begins {
            partition,
            name: name.to_owned(),
            offset: offsets.start,
            length: None,
        })?;
        let replayed = ReplayedPartition {
            run: RunBuilder::new(partition, offsets.start),
            end: offsets.end,
            is_read: offsets.is_empty(),
        };
        self.partitions.insert(partition, replayed);
        self.send_ends()
    }

    /// A record came. Those behind the partition's end, and repetitions, are left out.
    pub fn push(&mut self, partition: u32, offset: u64, record: Record) {
        let now = self.started.elapsed();
        let Some(partition) = self.partitions.get_mut(&partition) else {
            return;
        };
        if offset < partition.end {
            partition.run.push(offset, record, now);
        }
        partition.is_read |= offset + 1 >= partition.end;
    }

    /// Nothing more of a partition is wanted, or there is nothing more.
    pub fn end(&mut self, partition: u32) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.is_read = true;
        }
    }

    /// Hands out full runs and what is left of partitions that were read; `is_idle` hands out everything. Waits for room for a
    /// while (each time there is none). Answers false where there is still none: nothing may be pushed before it was called again.
    pub fn hand_out(&mut self, is_idle: bool, wait: Duration) -> Result<bool, Stopped> {
        loop {
            if self.context.is_stopped() {
                return Err(Stopped);
            }
            let Some(run) = self.held.take().or_else(|| self.cut(is_idle)) else {
                self.send_ends()?;
                return Ok(true);
            };
            self.held = self.context.records.hand_out_within(run, wait)?;
            if self.held.is_some() {
                return Ok(false);
            }
        }
    }

    /// Whether every partition was handed out to its end.
    pub fn is_done(&self) -> bool {
        self.partitions.is_empty() && self.held.is_none()
    }

    fn cut(&mut self, is_idle: bool) -> Option<Records> {
        let mut partitions = self.partitions.values_mut();
        partitions.find_map(|partition| {
            let is_due = is_idle || partition.is_read || partition.run.is_full();
            is_due.then(|| partition.run.cut(usize::MAX)).flatten()
        })
    }

    fn send_ends(&mut self) -> Result<(), Stopped> {
        let is_over = |partition: &ReplayedPartition| partition.is_read && partition.run.is_empty();
        for (partition, replayed) in &self.partitions {
            if is_over(replayed) {
                self.context.records.send_event(PartitionEvent::Ended {
                    partition: *partition,
                    offset: replayed.run.handed_out(),
                })?;
            }
        }
        self.partitions.retain(|_, partition| !is_over(partition));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::Origin;
    use crate::metrics::Metrics;
    use crate::source::run_builder::{RUN_BYTES_MAX, RUN_RECORDS_MAX};
    use crate::source::{RecordReceivers, RecordSender};

    fn context(depth: usize) -> (SourceContext, RecordReceivers) {
        let (records, receivers) = RecordSender::channels(1, depth);
        let metrics = Metrics::new([]);
        let commits = crossbeam_channel::never();
        (SourceContext::new(records, commits, metrics), receivers)
    }

    fn record(bytes: usize) -> Record {
        Record::Line(Origin::default(), Bytes::from(vec![b' '; bytes]))
    }

    fn ended(receivers: &RecordReceivers) -> Vec<(u32, u64)> {
        let events = receivers.partition_events.try_iter();
        let ended = events.filter_map(|event| match event {
            PartitionEvent::Ended { partition, offset } => Some((partition, offset)),
            _ => None,
        });
        ended.collect()
    }

    #[test]
    fn a_partition_is_handed_out_up_to_its_end_and_not_further() {
        let (mut context, receivers) = context(8);
        let mut output = ReplayOutput::new(&mut context);
        output.begin(0, "a", 5..8).unwrap();
        output.begin(1, "empty", 3..3).unwrap();
        assert_eq!(ended(&receivers), [(1, 3)]);
        for offset in [5, 7, 8] {
            output.push(0, offset, record(1));
        }
        assert!(output.hand_out(false, Duration::ZERO).unwrap() && output.is_done());
        let run = receivers.workers[0].try_recv().unwrap();
        assert_eq!((run.start, run.end, run.records.len()), (5, 8, 2));
        assert_eq!(ended(&receivers), [(0, 8)]);
    }

    #[test]
    fn what_waits_is_bounded_in_messages_and_in_bytes() {
        for (bytes, most) in [(1, RUN_RECORDS_MAX), (RUN_BYTES_MAX / 4, 4)] {
            let (mut context, receivers) = context(1);
            let mut output = ReplayOutput::new(&mut context);
            output.begin(0, "a", 0..u64::MAX).unwrap();
            let mut pushed = 0;
            while output.hand_out(false, Duration::ZERO).unwrap() {
                output.push(0, pushed, record(bytes));
                pushed += 1;
                assert!(pushed <= 2 * most as u64, "one in the channel, one held");
            }
            assert!(!output.hand_out(true, Duration::ZERO).unwrap());
            assert!(receivers.workers[0].recv().unwrap().records.len() <= most);
            assert!(output.hand_out(false, Duration::ZERO).unwrap());
        }
    }

    #[test]
    fn a_stop_ends_it() {
        let (mut context, _receivers) = context(1);
        context
            .stop
            .store(true, std::sync::atomic::Ordering::Relaxed);
        let mut output = ReplayOutput::new(&mut context);
        assert_eq!(output.hand_out(true, Duration::ZERO), Err(Stopped));
    }
}
