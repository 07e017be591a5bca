//! What is wrong, and what follows from it.

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::Reader;
use super::assignment::AGAIN;
use crate::error::{Exit, Fatal};
use crate::metrics::{Counter, Gauge};
use crate::source::connect_error::ConnectError;
use crate::source::kafka::begin::Begin;
use crate::source::kafka::connect::{HUNG_UP, meaning};
use crate::source::kafka::context::{Known, TopicPartition, list};
use crate::source::kafka::settings::OnLost;

impl Reader {
    /// An error that the driver told. Most of them it mends by itself.
    pub(super) fn wrong(&mut self, code: Code) -> Result<(), Fatal> {
        match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => {
                self.look_after = Some(self.now());
            }
            Code::Fatal | Code::FencedInstanceId => return self.fatal(code),
            Code::AllBrokersDown => {
                self.unreachable_at = Some(self.now());
                self.condition.degraded("broker", self.unreachable());
            }
            Code::PollExceeded => {
                tracing::warn!(
                    "the group has given our partitions away: the process stood still for too long"
                );
            }
            Code::UnknownTopicOrPartition | Code::UnknownTopic => self.condition.degraded(
                "client",
                "a topic of kafka.topics, or a topic_partition of it, is gone: look who deleted it",
            ),
            code => match meaning(code) {
                ConnectError::Permanent(why) => self.condition.degraded("client", why),
                ConnectError::Transient(_) => tracing::debug!(?code, "the Kafka client"),
            },
        }
        Ok(())
    }

    /// Whether the brokers were away a while ago. A member that joins anew then has another id, and what was under way with the
    /// old one is refused as if it came from somebody else.
    fn was_unreachable(&self) -> bool {
        let while_ago = self.settings.session_timeout.saturating_mul(2) + AGAIN;
        let since = self.unreachable_at.map(|at| self.now().saturating_sub(at));
        since.is_some_and(|since| since < while_ago)
    }

    fn unreachable(&self) -> &'static str {
        match self.consumer.context().hung_up() {
            true => HUNG_UP,
            false => "Kafka cannot be reached",
        }
    }

    /// The client cannot go on.
    fn fatal(&mut self, code: Code) -> Result<(), Fatal> {
        let inner = self.consumer.client().fatal_error();
        self.ended(inner.map_or(code, |(code, _)| code))
    }

    /// An error after which the client cannot go on. Another client can, where this one was only taken for somebody else.
    pub(super) fn ended(&mut self, code: Code) -> Result<(), Fatal> {
        if code == Code::FencedInstanceId && self.was_unreachable() {
            self.joins_anew = true;
            return Ok(());
        }
        Err(match meaning(code) {
            ConnectError::Permanent(why) => Fatal::new(Exit::Config, why),
            ConnectError::Transient(_) => Fatal::new(
                Exit::Watchdog,
                format!("the Kafka client has ended: {code:?}"),
            ),
        })
    }

    /// What the driver knows of the brokers.
    pub(super) fn known(&mut self, known: &Known) {
        match known.reachable {
            true => {
                self.condition.recovered("broker");
                self.unreachable_at = self.unreachable_at.filter(|_| self.was_unreachable());
            }
            // Nothing tells of it again however long it lasts.
            false if self.unreachable_at.is_some() => self.unreachable_at = Some(self.now()),
            false => {}
        }
        let mut lag = 0;
        for work in &mut self.works {
            work.end = known.ends.get(&work.topic_partition).copied().or(work.end);
            let behind = work.end.map_or(0, |end| work.assigned.lag(end));
            lag += behind + work.assigned.waiting().0 as u64;
            if work.end.is_some() && behind == 0 && work.assigned.waiting().0 == 0 {
                self.gate.is_empty(work.assigned.number());
            }
        }
        self.metrics.set(Gauge::SourceLag, lag);
    }

    /// A partition may not hold the message that is to be read next: a loss that is never passed over silently. The driver does
    /// not say which one, and reads none of it any more; so all are looked at, and read on where nothing is lost.
    pub(super) fn look(&mut self) -> Result<(), Fatal> {
        let now = self.now();
        let changing = self.beginning.is_some() || self.leaving.is_some();
        if changing || self.look_after.take_if(|after| *after <= now).is_none() {
            return Ok(());
        }
        let places: Vec<(TopicPartition, u64)> = self
            .works
            .iter()
            .map(|work| (work.topic_partition.clone(), work.assigned.next()))
            .collect();
        for (topic_partition, next) in places {
            match self.ends(&topic_partition) {
                Ok((low, _)) if next < low => self.read_on(&topic_partition, low, low - next)?,
                Ok((low, high)) if next > high => self.read_anew(topic_partition, low)?,
                Ok(_) => self.read_from(&topic_partition, next)?,
                Err(trouble) => {
                    // Without an answer it stays as it is: nothing is read of it, which is better than a guess.
                    self.condition.degraded("losses", trouble.to_string());
                    self.look_after = Some(self.now() + AGAIN);
                    return Ok(());
                }
            }
        }
        self.condition.recovered("losses");
        Ok(())
    }

    /// Reads a partition from an offset on. The driver does not seek where it has stopped reading, so the partition is given up
    /// and taken again, of which the group hears nothing.
    fn read_from(&mut self, topic_partition: &TopicPartition, offset: u64) -> Result<(), Fatal> {
        let given_up = list([(topic_partition, None)]);
        let taken = list([(topic_partition, Some(offset))]);
        let done = self.consumer.incremental_unassign(&given_up);
        let done = done.and_then(|()| self.consumer.incremental_assign(&taken));
        done.map_err(|_| {
            let why =
                "a topic_partition that may have lost messages cannot be read on: start again";
            Fatal::new(Exit::Watchdog, why)
        })?;
        self.begun();
        Ok(())
    }

    /// Messages before `low` are gone: the partition goes on behind the gap.
    fn read_on(
        &mut self,
        topic_partition: &TopicPartition,
        low: u64,
        lost: u64,
    ) -> Result<(), Fatal> {
        self.say_lost(topic_partition, lost)?;
        self.read_from(topic_partition, low)?;
        let mut works = self.works.iter_mut();
        if let Some(work) = works.find(|work| work.topic_partition == *topic_partition) {
            work.assigned.skip_to(low);
        }
        Ok(())
    }

    /// The partition is another than it was: another partition begins, and what was fetched of the old one and not handed out is lost.
    fn read_anew(&mut self, topic_partition: TopicPartition, low: u64) -> Result<(), Fatal> {
        let gone: Vec<u32> = self
            .works
            .iter()
            .filter(|work| work.topic_partition == topic_partition)
            .map(|work| work.assigned.number())
            .collect();
        let waiting = self
            .works
            .iter()
            .filter(|work| work.topic_partition == topic_partition);
        let ready = self
            .ready
            .iter()
            .filter(|parcel| gone.contains(&parcel.partition));
        let lost = waiting.map(|work| work.assigned.waiting().0).sum::<usize>()
            + ready.map(|parcel| parcel.records.len()).sum::<usize>();
        self.say_lost(&topic_partition, (lost as u64).max(1))?;
        self.read_from(&topic_partition, low)?;
        self.take_back(|partition| gone.contains(&partition));
        self.works
            .retain(|work| work.topic_partition != topic_partition);
        self.last = 0;
        self.gate.forget(&gone);
        let begin = Begin {
            at: low,
            is_chosen: true,
            lost: lost as u64,
        };
        self.begin_lane(topic_partition, begin)
    }

    /// SourceContext the job unless the settings say that it goes on.
    fn say_lost(&self, topic_partition: &TopicPartition, lost: u64) -> Result<(), Fatal> {
        if self.settings.on_lost == OnLost::Stop {
            return Err(self.lost(topic_partition, lost));
        }
        self.metrics.count(Counter::SourceLost, lost);
        tracing::error!(%topic_partition, lost, "messages were dropped before they were read");
        Ok(())
    }
}
