//! Where partitions begin: asks the brokers what the group has committed and what the partitions hold.
//!
//! Each question may take a few seconds; what does not answer is asked again later, and nothing is guessed.

use std::collections::HashMap;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::Reader;
use crate::error::{Exit, Fatal};
use crate::metrics::Counter;
use crate::source::connect_error::ConnectError;
use crate::source::kafka::begin::{Begin, Standing, begin};
use crate::source::kafka::connect::{self, PATIENCE, why};
use crate::source::kafka::context::{self, Consumer, TopicPartition, list};
use crate::source::kafka::settings::Start;

impl Reader {
    /// Where partitions begin.
    pub(super) fn begins(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Begin)>, End> {
        let standings = self.standings(partitions)?;
        let (start, on_lost) = (self.settings.start, self.settings.on_lost);
        let begins = partitions.iter().zip(&standings).map(|(partition, standing)| {
            let begin = begin(standing, start, on_lost).map_err(|count| self.lost(partition, count))?;
            if begin.lost > 0 {
                self.metrics.count(Counter::SourceLost, begin.lost);
                tracing::error!(%partition, lost = begin.lost, "messages were dropped before they were read");
            }
            Ok((partition.clone(), begin))
        });
        begins.collect()
    }

    /// Messages were lost, and the settings say that this ends the job.
    pub(super) fn lost(&self, partition: &TopicPartition, count: u64) -> Fatal {
        self.metrics.count(Counter::SourceLost, count);
        Fatal::new(
            Exit::Config,
            format!(
                "at least {count} messages of {partition} were dropped before they were read: they were older than the topic \
                 keeps them, or the topic was made anew. To go on with what is left: kafka.on_lost = \"earliest\""
            ),
        )
    }

    fn standings(&self, partitions: &[TopicPartition]) -> Result<Vec<Standing>, End> {
        let mut committed = self.commits(partitions)?;
        let fresh = |committed: &HashMap<TopicPartition, u64>| {
            partitions.iter().any(|one| !committed.contains_key(one))
        };
        let (mut all, mut at_time) = (HashMap::new(), HashMap::new());
        match self.settings.start {
            Start::Latest if fresh(&committed) => {
                all = self.choose_latest()?;
                committed = self.commits(partitions)?;
            }
            Start::Time(time) if fresh(&committed) => at_time = self.at_time(partitions, time.0)?,
            _ => {}
        }
        let standings = partitions.iter().map(|partition| {
            let (low, high) = self.ends(partition)?;
            Ok(Standing {
                committed: committed.get(partition).copied(),
                low,
                high,
                at_time: at_time.get(partition).copied(),
                is_added: all.keys().any(|other| other.topic == partition.topic),
            })
        });
        standings.collect()
    }

    /// What the group has committed.
    fn commits(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, u64>, ConnectError> {
        let asked = list(partitions.iter().map(|one| (one, None)));
        offsets(
            &self.consumer,
            self.consumer.committed_offsets(asked, PATIENCE),
        )
    }

    /// A group that has committed nothing of a topic begins with what comes from now on, in all of its partitions at once,
    /// whoever will read them. Answers the commits that there were.
    fn choose_latest(&self) -> Result<HashMap<TopicPartition, u64>, ConnectError> {
        let all = connect::partitions(&self.consumer, &self.settings)?;
        let committed = self.commits(&all)?;
        let known = |one: &TopicPartition| committed.keys().any(|other| other.topic == one.topic);
        let fresh: Vec<&TopicPartition> = all.iter().filter(|one| !known(one)).collect();
        if fresh.is_empty() {
            return Ok(committed);
        }
        let ends = fresh
            .into_iter()
            .map(|one| Ok((one, Some(self.ends(one)?.1))));
        let ends: Vec<_> = ends.collect::<Result<_, ConnectError>>()?;
        let done = self.consumer.commit(&list(ends), CommitMode::Sync);
        done.map_err(|error| why(&self.consumer, &error))?;
        Ok(committed)
    }

    /// The first message of that time or later, where there is one.
    fn at_time(
        &self,
        partitions: &[TopicPartition],
        time: i64,
    ) -> Result<HashMap<TopicPartition, u64>, ConnectError> {
        let time = u64::try_from(time).unwrap_or(0);
        let asked = list(partitions.iter().map(|one| (one, Some(time))));
        offsets(
            &self.consumer,
            self.consumer.offsets_for_times(asked, PATIENCE),
        )
    }

    /// The oldest message of a partition, and where the next one goes.
    pub(super) fn ends(&self, partition: &TopicPartition) -> Result<(u64, u64), ConnectError> {
        let ends = self
            .consumer
            .fetch_watermarks(&partition.topic, partition.number, PATIENCE)
            .map_err(|error| why(&self.consumer, &error))?;
        Ok((
            ends.0.try_into().unwrap_or(0),
            ends.1.try_into().unwrap_or(0),
        ))
    }
}

/// Why partitions cannot be begun.
pub(super) enum End {
    /// Something is wrong with the brokers, or with what is set.
    ConnectError(ConnectError),
    /// Messages were lost, and the settings say that this ends the job.
    Lost(Fatal),
}

impl From<ConnectError> for End {
    fn from(trouble: ConnectError) -> Self {
        End::ConnectError(trouble)
    }
}

impl From<Fatal> for End {
    fn from(fatal: Fatal) -> Self {
        End::Lost(fatal)
    }
}

/// The offsets of a list that was answered; an error of any partition is one of all.
fn offsets(
    consumer: &Consumer,
    answered: Result<TopicPartitionList, KafkaError>,
) -> Result<HashMap<TopicPartition, u64>, ConnectError> {
    let answered = answered.map_err(|error| why(consumer, &error))?;
    for element in answered.elements() {
        element.error().map_err(|error| why(consumer, &error))?;
    }
    Ok(context::offsets(&answered))
}
