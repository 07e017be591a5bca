//! The past of the topics, as a finite source: everything from a moment on, up to what each partition holds when it begins.
//!
//! It joins no group and commits nothing, so live readers do not notice it. Topics are read one after the other, the partitions of
//! one side by side; offsets are the partitions' own.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};

use super::config::{KafkaConfig, Topic};
use super::connect::{of_topic, offsets_at, replay_consumer, watermarks, why};
use super::consumer::{Consumer, TopicPartition, list};
use super::reader::record;
use crate::error::{Exit, Fatal};
use crate::event::Millis;
use crate::source::connect_error::ConnectError;
use crate::source::message::FieldsWriter;
use crate::source::replay::{ReplayError, ReplayOutput, ReplayRange, ReplayStart};
use crate::source::{Source, SourceContext};

/// How often a replay that waits for room checks whether it is stopped.
const STOP_CHECK: Duration = Duration::from_millis(10);
/// How long nothing may come while messages are known to wait.
const SILENCE: Duration = Duration::from_secs(60);

/// A replay.
#[derive(Debug)]
pub struct KafkaReplay {
    config: KafkaConfig,
    since: Option<Millis>,
    until: Option<Millis>,
}

impl KafkaReplay {
    /// A replay that has not connected yet.
    pub const fn new(config: KafkaConfig, range: ReplayRange) -> Self {
        let since = match range.start {
            ReplayStart::Time(time) => Some(time),
            ReplayStart::Beginning | ReplayStart::Offset(_) => None,
        };
        Self {
            config,
            since,
            until: range.until,
        }
    }
}

impl Source for KafkaReplay {
    fn run(self: Box<Self>, mut context: SourceContext) -> Result<(), Fatal> {
        let mut first_partition = 0;
        for topic in &self.config.topics {
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
        let consumer = replay_consumer(&self.config)?;
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
        let offsets_at = |time| offsets_at(consumer, &all, time);
        let since = self.since.map(offsets_at).transpose()?;
        let until = self.until.map(offsets_at).transpose()?;
        let ranges = all.iter().map(|partition| {
            let (low, high) = watermarks(consumer, partition)?;
            // A time that no message reaches is where the partition ends.
            let at = |found: &Option<HashMap<_, u64>>, none: u64| match found {
                Some(found) => found.get(partition).copied().unwrap_or(high),
                None => none,
            };
            let range = at(&since, low).max(low)..at(&until, high).min(high);
            Ok((partition.clone(), range))
        });
        ranges.collect()
    }
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
            while !self.output.hand_out(is_idle, STOP_CHECK)? {
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
