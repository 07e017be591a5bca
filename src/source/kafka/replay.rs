//! The past of the topics, as a finite source: everything from a moment on, up to what each partition holds when it begins.
//!
//! It joins no group and commits nothing, so live readers do not notice it. Topics are read one after the other, the partitions of one
//! side by side; each partition is a partition, and its offsets are the positions.
//!
//! A replay that is stopped starts again from its beginning; what it applied already is recognised as duplicates.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::Offset;

use super::assigned::AssignedPartition;
use super::connect::{PATIENCE, of_topic, replaying, why};
use super::context::{Consumer, TopicPartition, list, topic_partition};
use super::reader::record;
use super::settings::{Settings, Topic};
use crate::error::{Exit, Fatal};
use crate::event::Millis;
use crate::source::connect_error::{ConnectError, End};
use crate::source::message::FieldsWriter;
use crate::source::replay::{ReplayRange, ReplayStart};
use crate::source::{PartitionEvent, Source, SourceContext, Stopped};

/// How long nothing may come while messages are known to wait.
const SILENCE: Duration = Duration::from_secs(60);

/// A replay.
#[derive(Debug)]
pub struct KafkaReplay {
    settings: Settings,
    since: Option<Millis>,
    until: Option<Millis>,
}

impl KafkaReplay {
    /// A replay that has not connected yet.
    pub const fn new(settings: Settings, range: ReplayRange) -> Self {
        let since = match range.start {
            ReplayStart::Time(time) => Some(time),
            ReplayStart::Beginning | ReplayStart::Offset(_) => None,
        };
        Self {
            settings,
            since,
            until: range.until,
        }
    }
}

impl Source for KafkaReplay {
    fn run(self: Box<Self>, mut context: SourceContext) -> Result<(), Fatal> {
        let mut numbers = 0;
        for topic in &self.settings.topics {
            match self.read(topic, &mut numbers, &mut context) {
                Ok(()) => {}
                Err(End::Stopped) => break,
                Err(End::Failed(fatal)) => return Err(fatal),
            }
        }
        Ok(())
    }
}

impl KafkaReplay {
    /// Reads one topic; `numbers` is how many numbers there were before it.
    fn read(&self, topic: &Topic, numbers: &mut u32, ends: &mut SourceContext) -> Result<(), End> {
        let consumer = replaying(&self.settings)?;
        let spans = self.spans(&consumer, topic)?;
        let begins = spans.iter().map(|(one, span)| (one, Some(span.0)));
        let assigned = consumer.assign(&list(
            begins.filter(|(one, _)| spans.get(one).is_some_and(|span| span.0 < span.1)),
        ));
        assigned.map_err(|error| why(&consumer, &error))?;
        let mut reading = Reading {
            topic,
            ends,
            fields: FieldsWriter::default(),
            numbers: BTreeMap::new(),
            started: Instant::now(),
        };
        for (topic_partition, (start, end)) in spans {
            reading.begin(*numbers, &topic_partition, start, end)?;
            *numbers += 1;
        }
        reading.all(&consumer)
    }

    /// Where each partition is read from, and up to where.
    fn spans(
        &self,
        consumer: &Consumer,
        topic: &Topic,
    ) -> Result<BTreeMap<TopicPartition, (u64, u64)>, ConnectError> {
        let count = i32::try_from(of_topic(consumer, &topic.name)?).unwrap_or(i32::MAX);
        let all = (0..count).map(|number| TopicPartition {
            topic: topic.name.clone(),
            number,
        });
        let all: Vec<TopicPartition> = all.collect();
        let (since, until) = (
            at_time(consumer, &all, self.since)?,
            at_time(consumer, &all, self.until)?,
        );
        let spans = all.into_iter().map(|one| {
            let ends = consumer.fetch_watermarks(&one.topic, one.number, PATIENCE);
            let (low, high) = ends.map_err(|error| why(consumer, &error))?;
            let (low, high) = (
                u64::try_from(low).unwrap_or(0),
                u64::try_from(high).unwrap_or(0),
            );
            // A time that no message reaches is where the partition ends.
            let start = self
                .since
                .map_or(low, |_| since.get(&one).copied().unwrap_or(high));
            let end = self
                .until
                .map_or(high, |_| until.get(&one).copied().unwrap_or(high));
            Ok((one, (start.max(low), end.min(high))))
        });
        spans.collect()
    }
}

/// The first message of each partition of that time or later, where there is one.
fn at_time(
    consumer: &Consumer,
    all: &[TopicPartition],
    time: Option<Millis>,
) -> Result<BTreeMap<TopicPartition, u64>, ConnectError> {
    let Some(time) = time.and_then(|time| u64::try_from(time.0).ok()) else {
        return Ok(BTreeMap::new());
    };
    let asked = list(all.iter().map(|one| (one, Some(time))));
    let answered = consumer.offsets_for_times(asked, PATIENCE);
    let answered = answered.map_err(|error| why(consumer, &error))?;
    let found = answered.elements().into_iter().filter_map(|element| {
        let Offset::Offset(offset) = element.offset() else {
            return None;
        };
        Some((topic_partition(&element), u64::try_from(offset).ok()?))
    });
    Ok(found.collect())
}

/// One topic while it is read; its numbers by the number of their partition.
struct Reading<'a> {
    topic: &'a Topic,
    ends: &'a mut SourceContext,
    fields: FieldsWriter,
    numbers: BTreeMap<i32, (AssignedPartition, u64)>,
    started: Instant,
}

impl Reading<'_> {
    fn begin(
        &mut self,
        number: u32,
        topic_partition: &TopicPartition,
        start: u64,
        end: u64,
    ) -> Result<(), Stopped> {
        self.ends.records.tell(PartitionEvent::Begins {
            partition: number,
            name: format!("{topic_partition} from {start} to {end}"),
            offset: start,
            length: None,
        })?;
        if start >= end {
            return self.ends.records.tell(PartitionEvent::Ended {
                partition: number,
                offset: start,
            });
        }
        let partition = AssignedPartition::new(number, start, Some(start));
        self.numbers
            .insert(topic_partition.number, (partition, end));
        Ok(())
    }

    fn all(&mut self, consumer: &Consumer) -> Result<(), End> {
        let mut heard = Instant::now();
        while !self.numbers.is_empty() {
            match consumer.poll(Duration::from_millis(20)) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    self.take(&message)?;
                }
                Some(Err(KafkaError::PartitionEOF(number))) => self.end(number)?,
                Some(Err(error)) => passing(&error)?,
                None => self.idle()?,
            }
            self.still_reading()?;
            if heard.elapsed() > SILENCE {
                let text = "messages wait at Kafka and none comes: start again";
                return Err(End::Failed(Fatal::new(Exit::Unfinished, text)));
            }
        }
        Ok(())
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<(), End> {
        let number = message.partition();
        let (Some((partition, end)), Ok(offset)) = (
            self.numbers.get_mut(&number),
            u64::try_from(message.offset()),
        ) else {
            return Ok(());
        };
        if offset < *end {
            let record = record(
                &mut self.fields,
                message,
                offset,
                self.topic.provider.as_ref(),
            );
            partition.arrived(offset, record, self.started.elapsed());
        }
        if offset + 1 >= *end {
            return self.end(number);
        }
        if partition.is_due(self.started.elapsed(), false) {
            self.hand_out(number)?;
        }
        Ok(())
    }

    /// Hands out what waits, however little.
    fn idle(&mut self) -> Result<(), End> {
        let numbers: Vec<i32> = self.numbers.keys().copied().collect();
        numbers
            .into_iter()
            .try_for_each(|number| self.hand_out(number))
    }

    /// A partition was read to its end.
    fn end(&mut self, number: i32) -> Result<(), End> {
        self.hand_out(number)?;
        let Some((partition, _)) = self.numbers.remove(&number) else {
            return Ok(());
        };
        Ok(self.ends.records.tell(PartitionEvent::Ended {
            partition: partition.number(),
            offset: partition.next(),
        })?)
    }

    /// Hands out what waits of a partition, when there is room.
    fn hand_out(&mut self, number: i32) -> Result<(), End> {
        while let Some(mut parcel) = self
            .numbers
            .get_mut(&number)
            .and_then(|(partition, _)| partition.cut(usize::MAX))
        {
            while let Some(back) = self.ends.records.try_hand_out(parcel)? {
                parcel = back;
                self.still_reading()?;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }

    fn still_reading(&self) -> Result<(), End> {
        match self.ends.stop.load(Ordering::Relaxed) {
            true => Err(End::Stopped),
            false => Ok(()),
        }
    }
}

/// Most errors the driver mends by itself; a partition that lost what is to be read it cannot mend.
fn passing(error: &KafkaError) -> Result<(), End> {
    let code = error.rdkafka_error_code();
    match (error, code) {
        (KafkaError::MessageConsumptionFatal(_), _)
        | (_, Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation)) => {
            let text = "messages were dropped while they were to be replayed: start again for what is left";
            Err(End::Failed(Fatal::new(Exit::Unfinished, text)))
        }
        _ => {
            tracing::debug!(?code, "the Kafka client");
            Ok(())
        }
    }
}
