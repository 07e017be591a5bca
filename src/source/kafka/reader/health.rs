//! What is wrong, and what follows from it.

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::KafkaReader;
use super::assignment::RETRY_AFTER;
use crate::error::{Exit, Fatal};
use crate::metrics::{Counter, Gauge};
use crate::source::connect_error::ConnectError;
use crate::source::kafka::config::OnLost;
use crate::source::kafka::connect::{HUNG_UP, meaning};
use crate::source::kafka::consumer::{ClusterStatus, TopicPartition, list};
use crate::source::kafka::start_offset::PartitionStart;

impl KafkaReader {
    /// An error that the driver reported. Most of them it mends by itself.
    pub(super) fn handle_error(&mut self, code: Code) -> Result<(), Fatal> {
        match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => {
                self.check_after = Some(self.now());
            }
            Code::Fatal | Code::FencedInstanceId => {
                let fatal = self.consumer.client().fatal_error();
                return self.client_ended(fatal.map_or(code, |(code, _)| code));
            }
            Code::AllBrokersDown => {
                self.unreachable_at = Some(self.now());
                let has_hung_up = self.consumer.context().has_hung_up();
                let why = if has_hung_up {
                    HUNG_UP
                } else {
                    "Kafka cannot be reached"
                };
                self.health.degraded("broker", why);
            }
            Code::PollExceeded => {
                tracing::warn!(
                    "the group has given our partitions away: the process stood still for too long"
                );
            }
            Code::UnknownTopicOrPartition | Code::UnknownTopic => self.health.degraded(
                "client",
                "a topic of kafka.topics, or a partition of it, is gone: find out who deleted it",
            ),
            code => match meaning(code) {
                ConnectError::Permanent(why) => self.health.degraded("client", why),
                ConnectError::Transient(_) => tracing::debug!(?code, "the Kafka client"),
            },
        }
        Ok(())
    }

    /// Whether the brokers were away a while ago. A static member that joins again then has another id, and what was under way
    /// with the old one is refused as if it came from somebody else.
    fn was_unreachable(&self) -> bool {
        let while_ago = self.config.session_timeout.saturating_mul(2) + RETRY_AFTER;
        let since = self.unreachable_at.map(|at| self.now().saturating_sub(at));
        since.is_some_and(|since| since < while_ago)
    }

    /// An error after which the client cannot go on. Another client can, where this one was only taken for somebody else.
    pub(super) fn client_ended(&mut self, code: Code) -> Result<(), Fatal> {
        if code == Code::FencedInstanceId && self.was_unreachable() {
            self.must_rejoin = true;
            return Ok(());
        }
        Err(match meaning(code) {
            ConnectError::Permanent(why) => Fatal::new(Exit::Config, why),
            ConnectError::Transient(_) => Fatal::new(
                Exit::Internal,
                format!("the Kafka client has ended: {code:?}"),
            ),
        })
    }

    /// What the driver knows of the brokers.
    pub(super) fn update_status(&mut self, status: &ClusterStatus) {
        if status.is_reachable {
            self.health.recovered("broker");
            self.unreachable_at = self.unreachable_at.filter(|_| self.was_unreachable());
        } else if self.unreachable_at.is_some() {
            // The driver does not report it again, however long it lasts.
            self.unreachable_at = Some(self.now());
        }
        let mut lag = 0;
        for partition in &mut self.partitions {
            let end = status.ends.get(&partition.topic_partition).copied();
            partition.end = end.or(partition.end);
            let not_fetched = partition.end.map_or(0, |end| partition.assigned.lag(end));
            let waiting = partition.assigned.waiting().0;
            lag += not_fetched + waiting as u64;
        }
        self.metrics.set(Gauge::SourceLag, lag);
    }

    /// A partition may not hold the message that is to be read next: a loss that is never passed over silently. The driver does
    /// not say which one, and reads none of it any more; so all are checked, and read on where nothing is lost.
    pub(super) fn check_offsets(&mut self) -> Result<(), Fatal> {
        let now = self.now();
        let is_changing = self.pending.is_some() || self.revocation.is_some();
        if is_changing || self.check_after.take_if(|after| *after <= now).is_none() {
            return Ok(());
        }
        let all: Vec<(TopicPartition, u64)> = self
            .partitions
            .iter()
            .map(|partition| {
                let next = partition.assigned.next();
                (partition.topic_partition.clone(), next)
            })
            .collect();
        for (partition, next) in all {
            match self.watermarks(&partition) {
                Ok((low, _)) if next < low => self.read_behind_gap(&partition, low, low - next)?,
                Ok((low, high)) if next > high => self.read_recreated(partition, low)?,
                Ok(_) => self.read_from(&partition, next)?,
                Err(error) => {
                    // Without an answer it stays as it is: nothing is read of it, which is better than a guess.
                    self.health.degraded("losses", error.to_string());
                    self.check_after = Some(self.now() + RETRY_AFTER);
                    return Ok(());
                }
            }
        }
        self.health.recovered("losses");
        Ok(())
    }

    /// Reads a partition from an offset on. The driver does not seek where it has stopped reading, so the partition is given up
    /// and taken again, which the group does not notice.
    fn read_from(&mut self, partition: &TopicPartition, offset: u64) -> Result<(), Fatal> {
        let given_up = list([(partition, None)]);
        let taken = list([(partition, Some(offset))]);
        let done = self.consumer.incremental_unassign(&given_up);
        let done = done.and_then(|()| self.consumer.incremental_assign(&taken));
        done.map_err(|_| {
            let why = "a partition that may have lost messages cannot be read on: start again";
            Fatal::new(Exit::Internal, why)
        })?;
        self.pause_or_resume();
        Ok(())
    }

    /// Messages before `low` are gone: the partition goes on behind the gap.
    fn read_behind_gap(
        &mut self,
        partition: &TopicPartition,
        low: u64,
        lost: u64,
    ) -> Result<(), Fatal> {
        self.report_loss(partition, lost)?;
        self.read_from(partition, low)?;
        let mut partitions = self.partitions.iter_mut();
        if let Some(reader) = partitions.find(|one| one.topic_partition == *partition) {
            reader.assigned.skip_to(low);
        }
        Ok(())
    }

    /// The topic was made anew: another partition begins, and what was fetched of the old one and not handed out is lost.
    fn read_recreated(&mut self, partition: TopicPartition, low: u64) -> Result<(), Fatal> {
        let mut old = self.partitions.iter();
        let old = old.find(|one| one.topic_partition == partition);
        let number = old.map(|old| old.assigned.number());
        let waiting = old.map_or(0, |old| old.assigned.waiting().0);
        let ready = self.ready.iter();
        let ready = ready.filter(|run| Some(run.partition) == number);
        let lost = waiting + ready.map(|run| run.records.len()).sum::<usize>();
        self.report_loss(&partition, (lost as u64).max(1))?;
        self.read_from(&partition, low)?;
        self.take_back(|one| Some(one) == number);
        self.remove(|one| one.topic_partition == partition);
        let start = PartitionStart {
            offset: low,
            is_chosen: true,
            lost: lost as u64,
        };
        self.start_partition(partition, start);
        Ok(())
    }

    /// Messages were lost: ends the job unless the settings say that it goes on.
    fn report_loss(&self, partition: &TopicPartition, lost: u64) -> Result<(), Fatal> {
        if self.config.on_lost == OnLost::Stop {
            return Err(self.lost(partition, lost));
        }
        self.metrics.count(Counter::SourceLost, lost);
        tracing::error!(%partition, lost, "messages were dropped before they were read");
        Ok(())
    }
}
