//! The past of the topics, as a finite source: everything from a moment on, up to what each partition holds when it begins.
//!
//! It joins no group and commits nothing, so live readers do not notice it. Topics are read one after the other, the partitions of
//! one side by side; offsets are the partitions' own.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};

use super::connect::{PATIENCE, of_topic, replaying, why};
use super::context::{Consumer, TopicPartition, list, offsets};
use super::reader::record;
use super::settings::{Settings, Topic};
use crate::error::{Exit, Fatal};
use crate::event::Millis;
use crate::source::connect_error::ConnectError;
use crate::source::message::FieldsWriter;
use crate::source::replay::{ReplayError, ReplayOutput, ReplayRange, ReplayStart};
use crate::source::{Source, SourceContext};

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
        let mut first_partition = 0;
        for topic in &self.settings.topics {
            match self.read(topic, &mut first_partition, &mut context) {
                Ok(()) => {}
                Err(ReplayError::Stopped) => break,
                Err(ReplayError::Failed(fatal)) => return Err(fatal),
            }
        }
        Ok(())
    }
}

impl KafkaReplay {
    /// Reads one topic. Its partition 0 is known to the job as `first_partition`, which is moved on behind its last one.
    fn read(
        &self,
        topic: &Topic,
        first_partition: &mut u32,
        context: &mut SourceContext,
    ) -> Result<(), ReplayError> {
        let consumer = replaying(&self.settings)?;
        let ranges = self.ranges(&consumer, topic)?;
        let begins = ranges.iter().filter(|(_, offsets)| !offsets.is_empty());
        let begins = list(begins.map(|(partition, offsets)| (partition, Some(offsets.start))));
        let assigned = consumer.assign(&begins);
        assigned.map_err(|error| why(&consumer, &error))?;
        let mut replay = TopicReplay {
            topic,
            output: ReplayOutput::new(context),
            fields: FieldsWriter::default(),
            first_partition: *first_partition,
        };
        for (partition, offsets) in ranges {
            let name = partition.to_string();
            replay.output.begin(*first_partition, &name, offsets)?;
            *first_partition += 1;
        }
        replay.read_all(&consumer)
    }

    /// Which offsets are read of each partition, in the order of their numbers.
    fn ranges(
        &self,
        consumer: &Consumer,
        topic: &Topic,
    ) -> Result<BTreeMap<TopicPartition, Range<u64>>, ConnectError> {
        let count = i32::try_from(of_topic(consumer, &topic.name)?).unwrap_or(i32::MAX);
        let all: Vec<TopicPartition> = (0..count)
            .map(|number| TopicPartition {
                topic: topic.name.clone(),
                number,
            })
            .collect();
        let since = offsets_at(consumer, &all, self.since)?;
        let until = offsets_at(consumer, &all, self.until)?;
        let ranges = all.into_iter().map(|partition| {
            let watermarks =
                consumer.fetch_watermarks(&partition.topic, partition.number, PATIENCE);
            let (low, high) = watermarks.map_err(|error| why(consumer, &error))?;
            let low = u64::try_from(low).unwrap_or(0);
            let high = u64::try_from(high).unwrap_or(0);
            // A time that no message reaches is where the partition ends.
            let at = |found: &Option<Offsets>, none: u64| match found {
                Some(found) => found.get(&partition).copied().unwrap_or(high),
                None => none,
            };
            let range = at(&since, low).max(low)..at(&until, high).min(high);
            Ok((partition, range))
        });
        ranges.collect()
    }
}

type Offsets = std::collections::HashMap<TopicPartition, u64>;

/// The first message of each partition of that time or later, where there is one; none without a time.
fn offsets_at(
    consumer: &Consumer,
    all: &[TopicPartition],
    time: Option<Millis>,
) -> Result<Option<Offsets>, ConnectError> {
    let Some(time) = time.map(|time| u64::try_from(time.0).unwrap_or(0)) else {
        return Ok(None);
    };
    let asked = list(all.iter().map(|one| (one, Some(time))));
    let answered = consumer.offsets_for_times(asked, PATIENCE);
    let answered = answered.map_err(|error| why(consumer, &error))?;
    Ok(Some(offsets(&answered)))
}

/// One topic while it is replayed.
struct TopicReplay<'a> {
    topic: &'a Topic,
    output: ReplayOutput<'a>,
    fields: FieldsWriter,
    first_partition: u32,
}

impl TopicReplay<'_> {
    fn read_all(&mut self, consumer: &Consumer) -> Result<(), ReplayError> {
        let mut last_message = Instant::now();
        while !self.output.is_done() {
            let polled = consumer.poll(Duration::from_millis(20));
            let is_idle = polled.is_none();
            match polled {
                Some(Ok(message)) => {
                    last_message = Instant::now();
                    self.take(&message);
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    self.output.end(self.partition(number));
                }
                Some(Err(error)) => check(&error)?,
                None => {}
            }
            while !self.output.hand_out(is_idle)? {
                std::thread::sleep(Duration::from_millis(1));
                last_message = Instant::now();
            }
            if last_message.elapsed() > SILENCE {
                let text = "messages wait at Kafka and none comes: start again";
                return Err(Fatal::new(Exit::Unfinished, text).into());
            }
        }
        Ok(())
    }

    /// The number under which the job knows a partition of the topic.
    fn partition(&self, number: i32) -> u32 {
        self.first_partition + u32::try_from(number).unwrap_or(0)
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let Ok(offset) = u64::try_from(message.offset()) else {
            return;
        };
        let provider = self.topic.provider.as_ref();
        let record = record(&mut self.fields, message, offset, provider);
        let partition = self.partition(message.partition());
        self.output.push(partition, offset, record);
    }
}

/// Most errors the driver mends by itself; a partition that lost what is to be read it cannot mend.
fn check(error: &KafkaError) -> Result<(), ReplayError> {
    let code = error.rdkafka_error_code();
    match (error, code) {
        (KafkaError::MessageConsumptionFatal(_), _)
        | (_, Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation)) => {
            let text = "messages were dropped while they were to be replayed: start again for what is left";
            Err(Fatal::new(Exit::Unfinished, text).into())
        }
        _ => {
            tracing::debug!(?code, "the Kafka client");
            Ok(())
        }
    }
}
