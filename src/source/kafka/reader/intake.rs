//! Messages into runs of records.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::{KafkaReader, PartitionReader};
use crate::error::Fatal;
use crate::event::{Millis, Origin, Provider};
use crate::failpoint::{self, Failpoint};
use crate::metrics::Counter;
use crate::source::kafka::consumer::list;
use crate::source::kafka::headers;
use crate::source::message::{self, Address, FieldsWriter};
use crate::source::{Record, Records};

/// Most messages taken in one turn.
const BATCH: usize = 4096;
/// While so many messages or bytes wait here, no more are taken.
const WAITING_MAX: (usize, usize) = (16 * 1024, 16 << 20);
/// While so many runs, or bytes in them, wait for room, no more are cut.
const READY_MAX: (usize, usize) = (64, 8 << 20);
/// How long the job may leave no room before the partitions are paused; what was fetched of them is then fetched again.
const PAUSE_AFTER: Duration = Duration::from_millis(500);

/// Whether the job has room.
#[derive(Debug, Default)]
pub(super) struct Backpressure {
    /// Since when no more is taken.
    since: Option<Duration>,
    /// Whether the driver fetches nothing.
    is_paused: bool,
}

impl KafkaReader {
    /// Takes what came; waits a little where nothing did.
    pub(super) fn poll(&mut self) -> Result<(), Fatal> {
        if self.is_held_back() {
            return self.wait_for_room();
        }
        self.backpressure.since = None;
        if self.backpressure.is_paused && self.records.is_some() {
            self.resume();
        }
        self.fetch(self.poll_timeout())
    }

    fn fetch(&mut self, wait: Duration) -> Result<(), Fatal> {
        let consumer = Arc::clone(&self.consumer);
        let now = self.now();
        let (mut wait, mut repeated, mut is_any) = (wait, 0, false);
        for _ in 0..BATCH {
            match failpoint::run(Failpoint::SourceFetch, || consumer.poll(wait).ok_or(())) {
                Ok(Ok(message)) => {
                    repeated += u64::from(!self.take(&message, now));
                    is_any = true;
                }
                Ok(Err(error)) => self.fetch_failed(&error)?,
                Err(()) => break,
            }
            wait = Duration::ZERO;
        }
        if is_any {
            self.health.recovered("broker");
            self.health.recovered("client");
        }
        self.metrics.count(Counter::Redelivered, repeated);
        Ok(())
    }

    /// Takes one message; false if it is known.
    fn take(&mut self, message: &BorrowedMessage<'_>, now: Duration) -> bool {
        // A partition that is not found was let go, or paused a moment ago.
        let Some(index) = self.index_of(message) else {
            return true;
        };
        self.last = index;
        let (Some(partition), Ok(offset)) = (
            self.partitions.get_mut(index),
            u64::try_from(message.offset()),
        ) else {
            return true;
        };
        if offset < partition.assigned.next() {
            return false;
        }
        let provider = partition.provider.as_ref();
        let record = record(&mut self.fields, message, offset, provider);
        partition.assigned.fetched(offset, record, now);
        true
    }

    fn index_of(&self, message: &BorrowedMessage<'_>) -> Option<usize> {
        let (topic, number) = (message.topic(), message.partition());
        let is_it = |partition: &PartitionReader| {
            let one = &partition.topic_partition;
            one.number == number && one.topic == topic
        };
        if self.partitions.get(self.last).is_some_and(is_it) {
            return Some(self.last);
        }
        self.partitions.iter().position(is_it)
    }

    fn fetch_failed(&mut self, error: &KafkaError) -> Result<(), Fatal> {
        match (error, error.rdkafka_error_code()) {
            (KafkaError::MessageConsumptionFatal(code), _) => self.client_ended(*code),
            // Reported as an event, too.
            (KafkaError::Global(_), _) | (_, None) => Ok(()),
            (_, Some(code)) => self.handle_error(code),
        }
    }

    /// Cuts runs and hands out what there is room for.
    pub(super) fn hand_out(&mut self) {
        if self.records.is_none() {
            return;
        }
        let now = self.now();
        for index in 0..self.partitions.len() {
            while !self.has_enough_ready()
                && let Some(run) = self.cut(index, now)
            {
                self.ready.push_back(run);
            }
        }
        let Some(records) = &mut self.records else {
            return;
        };
        while let Some(run) = self.ready.pop_front() {
            match records.try_hand_out(run) {
                Ok(None) => {}
                Ok(Some(run)) => return self.ready.push_front(run),
                Err(_) => return self.stop_reading(),
            }
        }
    }

    /// Whether enough waits for room at the job.
    fn has_enough_ready(&self) -> bool {
        let bytes: usize = self.ready.iter().map(|run| run.bytes).sum();
        self.ready.len() >= READY_MAX.0 || bytes >= READY_MAX.1
    }

    fn cut(&mut self, index: usize, now: Duration) -> Option<Records> {
        let has_room = self.ready.is_empty();
        let assigned = &mut self.partitions.get_mut(index)?.assigned;
        if !assigned.is_due(now, has_room) {
            return None;
        }
        assigned.cut(usize::MAX)
    }

    /// Runs of some partitions that wait for room are not to be handed out after all.
    pub(super) fn take_back(&mut self, is_of: impl Fn(u32) -> bool) {
        let ready = std::mem::take(&mut self.ready);
        let (mut back, kept): (Vec<_>, _) = ready.into_iter().partition(|run| is_of(run.partition));
        self.ready = kept.into();
        while let Some(run) = back.pop() {
            if let Some(partition) = self.partition(run.partition) {
                partition.assigned.take_back(&run);
            }
        }
    }

    fn is_held_back(&self) -> bool {
        let waiting = self.partitions.iter().map(|one| one.assigned.waiting());
        let (messages, bytes) = waiting.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        messages >= WAITING_MAX.0 || bytes >= WAITING_MAX.1
    }

    /// For a short while only the job is waited for; then the driver is asked to fetch nothing, and polled as ever.
    fn wait_for_room(&mut self) -> Result<(), Fatal> {
        let now = self.now();
        let since = *self.backpressure.since.get_or_insert(now);
        if now < since + PAUSE_AFTER {
            if let Ok(commits) = self.commits.recv_timeout(Duration::from_millis(1)) {
                self.set_committable(&commits);
            }
            return Ok(());
        }
        if !self.backpressure.is_paused {
            tracing::debug!("the job leaves no room: partitions are paused");
            self.pause();
        }
        self.fetch(Duration::from_millis(10))
    }

    /// Asks the driver to fetch nothing.
    pub(super) fn pause(&mut self) {
        self.backpressure.is_paused = true;
        let all = self
            .partitions
            .iter()
            .map(|one| (&one.topic_partition, None));
        if self.consumer.pause(&list(all)).is_err() {
            tracing::debug!("not all partitions could be paused");
        }
    }

    fn resume(&mut self) {
        self.backpressure.is_paused = false;
        let all = self
            .partitions
            .iter()
            .map(|one| (&one.topic_partition, None));
        if self.consumer.resume(&list(all)).is_err() {
            tracing::debug!("not all partitions could be resumed");
        }
    }

    /// Partitions were assigned. The driver remembers that it was to fetch nothing of one, even where it was revoked since.
    pub(super) fn pause_or_resume(&mut self) {
        if self.records.is_some() {
            self.resume();
        } else {
            self.pause();
        }
    }

    /// How long to wait when nothing comes.
    fn poll_timeout(&self) -> Duration {
        let mut partitions = self.partitions.iter();
        let is_waiting = |one: &PartitionReader| one.assigned.waiting().0 > 0;
        if !self.ready.is_empty() || partitions.clone().any(is_waiting) {
            return Duration::from_millis(1);
        }
        let is_open =
            |one: &PartitionReader| one.assigned.is_open() || !one.assigned.is_committed();
        if self.revocation.is_some() || partitions.any(is_open) {
            return Duration::from_millis(5);
        }
        Duration::from_millis(20)
    }
}

/// Copies out of a message what is ours.
pub(in crate::source::kafka) fn record(
    fields: &mut FieldsWriter,
    message: &BorrowedMessage<'_>,
    offset: u64,
    provider: Option<&Provider>,
) -> Record {
    let key = message.key().map(|key| fields.keep(key));
    for (name, value) in message.headers().into_iter().flat_map(headers::each) {
        fields.add(name, value);
    }
    Record::Message(Box::new(message::Message {
        origin: Origin {
            partition: u32::try_from(message.partition()).unwrap_or(0),
            offset,
        },
        address: Address::Topic {
            key,
            provider: provider.cloned(),
        },
        at: message.timestamp().to_millis().map(Millis),
        deliveries: 0,
        fields: fields.take(),
        body: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
    }))
}
