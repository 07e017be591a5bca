//! Where partitions start: asks the brokers what the group has committed and what the partitions hold.
//!
//! Each question may take a few seconds; what does not answer is asked again later, and nothing is guessed.

use std::collections::HashMap;

use rdkafka::consumer::{CommitMode, Consumer as _};

use super::KafkaReader;
use crate::error::{Exit, Fatal};
use crate::metrics::Counter;
use crate::source::connect_error::ConnectError;
use crate::source::kafka::config::StartOffset;
use crate::source::kafka::connect::{self, PATIENCE, offsets_at, offsets_of, why};
use crate::source::kafka::consumer::{TopicPartition, list};
use crate::source::kafka::start_offset::{PartitionOffsets, PartitionStart, choose};

/// Why partitions cannot be started.
pub(super) enum StartError {
    /// Something is wrong with the brokers, or with what is set.
    Broker(ConnectError),
    /// Messages were lost, and the settings say that this ends the job.
    Lost(Fatal),
}

impl From<ConnectError> for StartError {
    fn from(error: ConnectError) -> Self {
        StartError::Broker(error)
    }
}

impl KafkaReader {
    /// Where partitions start.
    pub(super) fn starts(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, PartitionStart)>, StartError> {
        let found = self.find_offsets(partitions)?;
        let (start, on_lost) = (self.config.start, self.config.on_lost);
        let starts = partitions.iter().zip(&found).map(|(partition, found)| {
            let start = choose(found, start, on_lost);
            let start = start.map_err(|lost| StartError::Lost(self.lost(partition, lost)))?;
            if start.lost > 0 {
                self.metrics.count(Counter::SourceLost, start.lost);
                let lost = start.lost;
                tracing::error!(%partition, lost, "messages were dropped before they were read");
            }
            Ok((partition.clone(), start))
        });
        starts.collect()
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

    fn find_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<PartitionOffsets>, ConnectError> {
        let mut committed = self.committed(partitions)?;
        let is_new = partitions.iter().any(|one| !committed.contains_key(one));
        let (mut of_group, mut at_time) = (HashMap::new(), HashMap::new());
        match self.config.start {
            StartOffset::Latest if is_new => {
                of_group = self.choose_latest()?;
                committed = self.committed(partitions)?;
            }
            StartOffset::Time(time) if is_new => {
                at_time = offsets_at(&self.consumer, partitions, time)?;
            }
            _ => {}
        }
        let found = partitions.iter().map(|partition| {
            let (low, high) = self.watermarks(partition)?;
            Ok(PartitionOffsets {
                committed: committed.get(partition).copied(),
                low,
                high,
                at_time: at_time.get(partition).copied(),
                is_added: of_group.keys().any(|other| other.topic == partition.topic),
            })
        });
        found.collect()
    }

    /// What the group has committed.
    fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, u64>, ConnectError> {
        let asked = list(partitions.iter().map(|one| (one, None)));
        let answered = self.consumer.committed_offsets(asked, PATIENCE);
        offsets_of(&self.consumer, answered)
    }

    /// A group that has committed nothing of a topic starts with what comes from now on, in all of its partitions at once,
    /// whoever will read them. Answers the commits that there were.
    fn choose_latest(&self) -> Result<HashMap<TopicPartition, u64>, ConnectError> {
        let all = connect::partitions(&self.consumer, &self.config)?;
        let committed = self.committed(&all)?;
        let is_known =
            |one: &TopicPartition| committed.keys().any(|other| other.topic == one.topic);
        let new: Vec<&TopicPartition> = all.iter().filter(|one| !is_known(one)).collect();
        if new.is_empty() {
            return Ok(committed);
        }
        let ends = new
            .into_iter()
            .map(|one| Ok((one, Some(self.watermarks(one)?.1))));
        let ends: Vec<_> = ends.collect::<Result<_, ConnectError>>()?;
        let done = self.consumer.commit(&list(ends), CommitMode::Sync);
        done.map_err(|error| why(&self.consumer, &error))?;
        Ok(committed)
    }

    /// The offset of the oldest message of a partition, and of the next one.
    pub(super) fn watermarks(
        &self,
        partition: &TopicPartition,
    ) -> Result<(u64, u64), ConnectError> {
        connect::watermarks(&self.consumer, partition)
    }
}
