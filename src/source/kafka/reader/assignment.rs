//! Which partitions are ours: started where the group has committed, let go when what was handed out of them is settled and committed.
//!
//! The driver waits meanwhile, and so does the group, for as long as `poll_interval_max`; nothing blocks here but the questions where a
//! partition starts, each for a few seconds at most.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;

use super::commits::Committer;
use super::intake::Backpressure;
use super::offsets::StartError;
use super::{KafkaReader, PartitionReader};
use crate::error::{Exit, Fatal};
use crate::source::PartitionEvent;
use crate::source::connect_error::ConnectError;
use crate::source::kafka::assigned_partition::AssignedPartition;
use crate::source::kafka::connect::consumer;
use crate::source::kafka::consumer::{ConsumerEvent, TopicPartition, list};
use crate::source::kafka::start_offset::PartitionStart;

/// How long after a failed attempt the brokers are asked again.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Partitions that are assigned and not started.
#[derive(Debug)]
pub(super) struct PendingStart {
    partitions: Vec<TopicPartition>,
    /// Not tried before then.
    after: Duration,
}

/// Partitions that the group takes away.
#[derive(Debug)]
pub(super) struct Revocation {
    partitions: Vec<TopicPartition>,
    deadline: Duration,
}

impl KafkaReader {
    /// Joins the group, or starts with the partitions that the settings name.
    pub(super) fn subscribe(&mut self, all: Vec<TopicPartition>) -> Result<(), Fatal> {
        if let Some(chosen) = &self.config.partitions {
            let is_mine = |one: &TopicPartition| {
                u32::try_from(one.number).is_ok_and(|number| chosen.contains(number))
            };
            let mine = all.into_iter().filter(is_mine).collect();
            self.assign(mine);
            return Ok(());
        }
        let topics = self.config.topics.iter();
        let topics: Vec<&str> = topics.map(|topic| topic.name.as_str()).collect();
        let subscribed = self.consumer.subscribe(&topics);
        subscribed.map_err(|_| {
            Fatal::new(
                Exit::Config,
                "the Kafka client cannot subscribe to what kafka.topics names",
            )
        })
    }

    /// These partitions are ours.
    pub(super) fn assign(&mut self, partitions: Vec<TopicPartition>) {
        tracing::info!(count = partitions.len(), "partitions are assigned");
        let earlier = self.pending.take().map(|earlier| earlier.partitions);
        self.pending = Some(PendingStart {
            partitions: earlier.into_iter().flatten().chain(partitions).collect(),
            after: Duration::ZERO,
        });
    }

    /// Starts partitions that are assigned, as soon as the brokers say where.
    pub(super) fn start_pending(&mut self) -> Result<(), Fatal> {
        let now = self.now();
        let Some(pending) = self.pending.take_if(|pending| pending.after <= now) else {
            return Ok(());
        };
        match self.starts(&pending.partitions) {
            Ok(starts) => {
                self.health.recovered("begin");
                self.start_at(starts);
                Ok(())
            }
            Err(StartError::Lost(fatal)) => Err(fatal),
            Err(StartError::Broker(ConnectError::Permanent(why))) => {
                Err(Fatal::new(Exit::Config, why))
            }
            Err(StartError::Broker(ConnectError::Transient(why))) => {
                self.health.degraded("begin", why);
                self.pending = Some(PendingStart {
                    after: self.now() + RETRY_AFTER,
                    ..pending
                });
                Ok(())
            }
        }
    }

    fn start_at(&mut self, starts: Vec<(TopicPartition, PartitionStart)>) {
        let offsets = list(starts.iter().map(|(one, start)| (one, Some(start.offset))));
        let assigned = match self.config.partitions {
            Some(_) => self.consumer.assign(&offsets),
            None => self.consumer.incremental_assign(&offsets),
        };
        if assigned.is_err() {
            // Revoked meanwhile: the group will say so, and assign others.
            tracing::warn!("the partitions were revoked before they were started");
            return;
        }
        for (topic_partition, start) in starts {
            self.start_partition(topic_partition, start);
        }
        self.pause_or_resume();
    }

    pub(super) fn start_partition(
        &mut self,
        topic_partition: TopicPartition,
        start: PartitionStart,
    ) {
        let number = self.next_number;
        self.next_number += 1;
        let name = topic_partition.to_string();
        let must_commit = start.is_chosen || self.config.partitions.is_some();
        let mut assigned = AssignedPartition::new(number, start.offset, must_commit);
        if self.records.is_none() {
            assigned.stop();
        }
        self.send_event(PartitionEvent::Begins {
            partition: number,
            name,
            offset: start.offset,
            length: None,
        });
        let mut topics = self.config.topics.iter();
        let topic = topics.find(|topic| topic.name == topic_partition.topic);
        self.partitions.push(PartitionReader {
            provider: topic.and_then(|topic| topic.provider.clone()),
            topic_partition,
            assigned,
            end: None,
        });
    }

    /// The group takes these partitions away: nothing more is handed out of them.
    pub(super) fn revoke(&mut self, revoked: Vec<TopicPartition>) {
        if let Some(pending) = &mut self.pending {
            pending.partitions.retain(|one| !revoked.contains(one));
        }
        let mut numbers = Vec::new();
        for partition in &mut self.partitions {
            if revoked.contains(&partition.topic_partition) {
                partition.assigned.stop();
                numbers.push(partition.assigned.number());
            }
        }
        self.take_back(|partition| numbers.contains(&partition));
        tracing::info!(count = revoked.len(), "partitions are revoked");
        let earlier = self.revocation.take().map(|earlier| earlier.partitions);
        self.revocation = Some(Revocation {
            partitions: earlier.into_iter().flatten().chain(revoked).collect(),
            deadline: self.now() + self.config.revoke_deadline,
        });
    }

    /// Lets revoked partitions go when what was handed out of them is settled and committed, when that takes too long, or at once
    /// where they are lost already: then others have them, and a commit would be refused.
    pub(super) fn release_revoked(&mut self) {
        let Some(revocation) = &self.revocation else {
            return;
        };
        let mut revoked = self
            .partitions
            .iter()
            .filter(|partition| revocation.partitions.contains(&partition.topic_partition));
        let is_drained = revoked.all(|one| !one.assigned.is_open() && one.assigned.is_committed());
        let is_lost = self.consumer.assignment_lost();
        let is_late = self.now() >= revocation.deadline;
        if !(is_drained || is_lost || is_late) {
            return;
        }
        let Some(revocation) = self.revocation.take() else {
            return;
        };
        if is_drained {
            tracing::info!("revoked partitions are let go, all of it committed");
        } else if is_lost {
            tracing::warn!("partitions were lost with messages open: they are delivered again");
        } else {
            tracing::warn!(
                "revoked partitions are let go with messages open (kafka.revoke_deadline): another member gets them again"
            );
        }
        self.release(&revocation.partitions);
    }

    fn release(&mut self, revoked: &[TopicPartition]) {
        self.remove(|partition| revoked.contains(&partition.topic_partition));
        let list = list(revoked.iter().map(|one| (one, None)));
        if self.consumer.incremental_unassign(&list).is_err() && self.consumer.unassign().is_err() {
            tracing::warn!("revoked partitions could not be given up");
        }
    }

    /// The group takes this client for another process of our name: another client joins. What is open is delivered again, as
    /// after a loss; but nobody died over it.
    pub(super) fn rejoin(&mut self) -> Result<(), Fatal> {
        tracing::warn!(
            "the group took this member for another after the brokers were away: it joins anew"
        );
        self.take_back(|_| true);
        self.remove(|_| true);
        self.answer_the_group();
        self.committer.end();
        let consumer = Arc::new(consumer(&self.config)?);
        self.committer = Committer::start(&consumer)?;
        self.consumer = consumer;
        self.backpressure = Backpressure::default();
        self.check_after = None;
        // Only members of a group are ever taken for others, and the group says which partitions are theirs.
        self.subscribe(Vec::new())
    }

    /// The consumer is to be closed. What was said of partitions and not carried out yet is carried out now: the driver waits for
    /// an answer, and how it ends without one is not left to it.
    pub(super) fn answer_the_group(&mut self) {
        self.consumer.context().close();
        if self.config.partitions.is_some() {
            return;
        }
        let assigned = self.pending.take().map(|one| one.partitions);
        let revoked = self.revocation.take().map(|one| one.partitions);
        let mut answers = vec![
            ConsumerEvent::Assigned(assigned.unwrap_or_default()),
            ConsumerEvent::Revoked(revoked.unwrap_or_default()),
        ];
        while let Some(event) = self.consumer.context().next() {
            answers.push(event);
        }
        for event in answers {
            let whole = |all: &[TopicPartition]| list(all.iter().map(|one| (one, None)));
            let answered = match &event {
                ConsumerEvent::Assigned(all) if !all.is_empty() => {
                    self.consumer.incremental_assign(&whole(all))
                }
                ConsumerEvent::Revoked(all) if !all.is_empty() => {
                    self.consumer.incremental_unassign(&whole(all))
                }
                _ => Ok(()),
            };
            if answered.is_err() {
                tracing::debug!("the group went on meanwhile");
            }
        }
    }
}
