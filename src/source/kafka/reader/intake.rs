//! Messages into parcels.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::{Reader, Work};
use crate::error::Fatal;
use crate::event::{Millis, Origin, Provider};
use crate::failpoint::{self, Failpoint};
use crate::metrics::Counter;
use crate::source::guard::Permit;
use crate::source::kafka::context::list;
use crate::source::kafka::headers;
use crate::source::message::{self, Address, FieldsWriter};
use crate::source::{Record, Records};

/// Most messages taken in one turn.
const BATCH: usize = 4096;
/// While so many messages or bytes wait here, no more are taken.
const AHEAD: (usize, usize) = (16 * 1024, 16 << 20);
/// While so many parcels, or bytes in them, wait for room, no more are cut.
const READY: (usize, usize) = (64, 8 << 20);
/// How long the job may leave no room before the partitions are paused; what was fetched of them is then fetched again.
const PAUSE_AFTER: Duration = Duration::from_millis(500);

/// What waits for room at the job.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Since when no more is taken.
    held_back_since: Option<Duration>,
    /// Whether the driver fetches nothing.
    paused: bool,
}

impl Reader {
    /// Takes what came; waits a little where nothing did.
    pub(super) fn poll(&mut self) -> Result<(), Fatal> {
        if self.is_held_back() {
            return self.wait_for_room();
        }
        self.waiting.held_back_since = None;
        if self.waiting.paused && self.feed.is_some() {
            self.resume();
        }
        self.take(self.pause_of_poll())
    }

    fn take(&mut self, wait: Duration) -> Result<(), Fatal> {
        let consumer = Arc::clone(&self.consumer);
        let now = self.now();
        let (mut wait, mut again, mut any) = (wait, 0, false);
        for _ in 0..BATCH {
            match failpoint::run(Failpoint::SourceFetch, || consumer.poll(wait).ok_or(())) {
                Ok(Ok(message)) => {
                    again += u64::from(!self.arrived(&message, now));
                    any = true;
                }
                Ok(Err(error)) => self.not_consumed(&error)?,
                Err(()) => break,
            }
            wait = Duration::ZERO;
        }
        if any {
            self.condition.recovered("broker");
            self.condition.recovered("client");
        }
        self.metrics.count(Counter::Redelivered, again);
        Ok(())
    }

    /// Takes one message; false if it is known.
    fn arrived(&mut self, message: &BorrowedMessage<'_>, now: Duration) -> bool {
        let Some(place) = self.place_of(message) else {
            // Of a partition that was let go, or of one that was paused a moment ago.
            return true;
        };
        self.last = place;
        let Some(work) = self.works.get_mut(place) else {
            return true;
        };
        let Ok(offset) = u64::try_from(message.offset()) else {
            return true;
        };
        if offset < work.assigned.next() {
            return false;
        }
        let record = record(&mut self.fields, message, offset, work.provider.as_ref());
        work.assigned.fetched(offset, record, now);
        true
    }

    fn place_of(&self, message: &BorrowedMessage<'_>) -> Option<usize> {
        let (topic, number) = (message.topic(), message.partition());
        let is_it = |work: &Work| {
            work.topic_partition.number == number && work.topic_partition.topic == topic
        };
        match self.works.get(self.last) {
            Some(work) if is_it(work) => Some(self.last),
            _ => self.works.iter().position(is_it),
        }
    }

    fn not_consumed(&mut self, error: &KafkaError) -> Result<(), Fatal> {
        match (error, error.rdkafka_error_code()) {
            (KafkaError::MessageConsumptionFatal(code), _) => self.ended(*code),
            // Told as an event, too.
            (KafkaError::Global(_), _) | (_, None) => Ok(()),
            (_, Some(code)) => self.wrong(code),
        }
    }

    /// Cuts parcels and hands out what there is room for.
    pub(super) fn hand_out(&mut self) {
        if self.feed.is_none() {
            return;
        }
        self.gate.turn();
        let now = self.now();
        for place in self.in_turn() {
            while !self.is_ready()
                && let Some(parcel) = self.cut(place, now)
            {
                self.ready.push_back(parcel);
            }
        }
        let Some(feed) = &mut self.feed else { return };
        while let Some(parcel) = self.ready.pop_front() {
            match feed.try_hand_out(parcel) {
                Ok(None) => {}
                Ok(Some(back)) => return self.ready.push_front(back),
                Err(_) => return self.stop_reading(),
            }
        }
    }

    /// The places of the numbers in the order in which they ask.
    fn in_turn(&self) -> Vec<usize> {
        if !self.gate.is_suspicious() {
            return (0..self.works.len()).collect();
        }
        let numbers = self.works.iter().map(|work| work.assigned.number());
        let place = |partition: u32| {
            self.works
                .iter()
                .position(|work| work.assigned.number() == partition)
        };
        let numbers = self.gate.in_turn(numbers).into_iter();
        numbers.filter_map(place).collect()
    }

    /// Whether enough waits for room at the job.
    fn is_ready(&self) -> bool {
        let bytes: usize = self.ready.iter().map(|parcel| parcel.bytes).sum();
        self.ready.len() >= READY.0 || bytes >= READY.1
    }

    fn cut(&mut self, place: usize, now: Duration) -> Option<Records> {
        let room = self.ready.is_empty();
        let work = self.works.get_mut(place)?;
        if !work.assigned.is_due(now, room) {
            return None;
        }
        let (partition, waiting) = (work.assigned.number(), work.assigned.waiting().0);
        let permit = self
            .gate
            .permit(partition, waiting, |at| work.assigned.position(at));
        let parcel = match permit {
            Permit::Wait => return None,
            Permit::Go(most) => work.assigned.cut(most)?,
            Permit::Condemned => condemned(work.assigned.cut(1)?),
        };
        self.gate.handed_out(partition, parcel.end);
        Some(parcel)
    }

    /// Records that wait for room and are not to be handed out after all.
    pub(super) fn take_back(&mut self, of: impl Fn(u32) -> bool) {
        let (mut back, kept): (Vec<_>, Vec<_>) = self
            .ready
            .drain(..)
            .partition(|parcel| of(parcel.partition));
        self.ready.extend(kept);
        while let Some(parcel) = back.pop() {
            let mut works = self.works.iter_mut();
            if let Some(work) = works.find(|work| work.assigned.number() == parcel.partition) {
                work.assigned.take_back(&parcel);
            }
        }
    }

    fn is_held_back(&self) -> bool {
        let waiting = self.works.iter().map(|work| work.assigned.waiting());
        let (messages, bytes) = waiting.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        messages >= AHEAD.0 || bytes >= AHEAD.1
    }

    /// For a short while only the job is waited for; then the driver is asked to fetch nothing, and polled as ever.
    fn wait_for_room(&mut self) -> Result<(), Fatal> {
        let now = self.now();
        let since = *self.waiting.held_back_since.get_or_insert(now);
        if now < since + PAUSE_AFTER {
            if let Ok(floors) = self.settled.recv_timeout(Duration::from_millis(1)) {
                self.settled(&floors);
            }
            return Ok(());
        }
        if !self.waiting.paused {
            tracing::debug!("the job leaves no room: partitions are paused");
            self.pause();
        }
        self.take(Duration::from_millis(10))
    }

    /// Asks the driver to fetch nothing.
    pub(super) fn pause(&mut self) {
        self.waiting.paused = true;
        let all = list(self.works.iter().map(|work| (&work.topic_partition, None)));
        if self.consumer.pause(&all).is_err() {
            tracing::debug!("not all partitions could be paused");
        }
    }

    fn resume(&mut self) {
        self.waiting.paused = false;
        let all = list(self.works.iter().map(|work| (&work.topic_partition, None)));
        if self.consumer.resume(&all).is_err() {
            tracing::debug!("not all partitions could be resumed");
        }
    }

    /// Partitions were begun. The driver remembers that it was to fetch nothing of one, even where it was taken away since.
    pub(super) fn begun(&mut self) {
        match self.feed {
            None => self.pause(),
            Some(_) => self.resume(),
        }
    }

    /// How long to wait when nothing comes.
    fn pause_of_poll(&self) -> Duration {
        let waits = |work: &Work| work.assigned.waiting().0 > 0;
        let open = |work: &Work| work.assigned.is_open() || !work.assigned.is_committed();
        Duration::from_millis(match () {
            () if !self.ready.is_empty() || self.works.iter().any(waits) => 1,
            () if self.works.iter().any(open) || self.leaving.is_some() => 5,
            () => 20,
        })
    }
}

/// The one message of a parcel becomes a dead letter.
fn condemned(mut parcel: Records) -> Records {
    let records = parcel.records.into_iter();
    parcel.records = records.map(Record::condemned).collect();
    parcel
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
        fields: fields.take(),
        body: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
    }))
}
