//! Where partitions begin: asks the brokers what the group has committed and what the partitions hold.
//!
//! Each question may take a few seconds; what does not answer is asked again later, and nothing is guessed.

use std::collections::HashMap;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::Reader;
use crate::error::{Exit, Fatal};
use crate::source::kafka::begin::{Begin, Standing, begin};
use crate::source::kafka::connect::{self, PATIENCE, why};
use crate::source::kafka::context::{self, Consumer, Partition, list};
use crate::source::kafka::settings::Start;
use crate::source::trouble::Trouble;
use crate::tally::Counter;

impl Reader {
    /// Where partitions begin.
    pub(super) fn begins(&self, partitions: &[Partition]) -> Result<Vec<(Partition, Begin)>, End> {
        let standings = self.standings(partitions)?;
        let (start, on_lost) = (self.settings.start, self.settings.on_lost);
        let begins = partitions.iter().zip(&standings).map(|(partition, standing)| {
            let begin = begin(standing, start, on_lost).map_err(|count| self.lost(partition, count))?;
            if begin.lost > 0 {
                self.tally.count(Counter::SourceLost, begin.lost);
                tracing::error!(%partition, lost = begin.lost, "messages were dropped before they were read");
            }
            Ok((partition.clone(), begin))
        });
        begins.collect()
    }

    /// Messages were lost, and the settings say that this ends the job.
    pub(super) fn lost(&self, partition: &Partition, count: u64) -> Fatal {
        self.tally.count(Counter::SourceLost, count);
        Fatal::new(
            Exit::Config,
            format!(
                "at least {count} messages of {partition} were dropped before they were read: they were older than the topic \
                 keeps them, or the topic was made anew. To go on with what is left: kafka.on_lost = \"earliest\""
            ),
        )
    }

    fn standings(&self, partitions: &[Partition]) -> Result<Vec<Standing>, End> {
        let mut committed = self.commits(partitions)?;
        let fresh = |committed: &HashMap<Partition, u64>| {
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
    fn commits(&self, partitions: &[Partition]) -> Result<HashMap<Partition, u64>, Trouble> {
        let asked = list(partitions.iter().map(|one| (one, None)));
        offsets(
            &self.consumer,
            self.consumer.committed_offsets(asked, PATIENCE),
        )
    }

    /// A group that has committed nothing of a topic begins with what comes from now on, in all of its partitions at once,
    /// whoever will read them. Answers the commits that there were.
    fn choose_latest(&self) -> Result<HashMap<Partition, u64>, Trouble> {
        let all = connect::partitions(&self.consumer, &self.settings)?;
        let committed = self.commits(&all)?;
        let known = |one: &Partition| committed.keys().any(|other| other.topic == one.topic);
        let fresh: Vec<&Partition> = all.iter().filter(|one| !known(one)).collect();
        if fresh.is_empty() {
            return Ok(committed);
        }
        let ends = fresh
            .into_iter()
            .map(|one| Ok((one, Some(self.ends(one)?.1))));
        let ends: Vec<_> = ends.collect::<Result<_, Trouble>>()?;
        let done = self.consumer.commit(&list(ends), CommitMode::Sync);
        done.map_err(|error| why(&self.consumer, &error))?;
        Ok(committed)
    }

    /// The first message of that time or later, where there is one.
    fn at_time(
        &self,
        partitions: &[Partition],
        time: i64,
    ) -> Result<HashMap<Partition, u64>, Trouble> {
        let time = u64::try_from(time).unwrap_or(0);
        let asked = list(partitions.iter().map(|one| (one, Some(time))));
        offsets(
            &self.consumer,
            self.consumer.offsets_for_times(asked, PATIENCE),
        )
    }

    /// The oldest message of a partition, and where the next one goes.
    pub(super) fn ends(&self, partition: &Partition) -> Result<(u64, u64), Trouble> {
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
    Trouble(Trouble),
    /// Messages were lost, and the settings say that this ends the job.
    Lost(Fatal),
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        End::Trouble(trouble)
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
) -> Result<HashMap<Partition, u64>, Trouble> {
    let answered = answered.map_err(|error| why(consumer, &error))?;
    for element in answered.elements() {
        element.error().map_err(|error| why(consumer, &error))?;
    }
    Ok(context::offsets(&answered))
}
