//! Which partitions are ours: begun where the group has committed, let go when what was handed out of them is settled and committed.
//!
//! The driver waits meanwhile, and so does the group, for as long as `poll_interval_max`; nothing blocks here but the questions where a
//! partition begins, each for a few seconds at most.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;

use super::commits::Committer;
use super::intake::Waiting;
use super::standing::End;
use super::{LAST_NOTE, Reader, Work};
use crate::error::{Exit, Fatal};
use crate::source::PartitionEvent;
use crate::source::connect_error::ConnectError;
use crate::source::kafka::assigned::AssignedPartition;
use crate::source::kafka::begin::Begin;
use crate::source::kafka::connect::consumer;
use crate::source::kafka::context::{Event, TopicPartition, list};

/// How long after a failed attempt the brokers are asked again.
pub(super) const AGAIN: Duration = Duration::from_millis(500);

/// Partitions that are ours and not begun.
#[derive(Debug)]
pub(super) struct Beginning {
    partitions: Vec<TopicPartition>,
    /// Not tried before then.
    after: Duration,
}

/// Partitions that are taken away.
#[derive(Debug)]
pub(super) struct Leaving {
    partitions: Vec<TopicPartition>,
    deadline: Duration,
}

impl Reader {
    /// Joins the group, or begins with the partitions that the settings name.
    pub(super) fn subscribe(&mut self, all: Vec<TopicPartition>) -> Result<(), Fatal> {
        if let Some(chosen) = &self.settings.partitions {
            let mine = all.into_iter().filter(|one| u32::try_from(one.number).is_ok_and(|number| chosen.contains(number)));
            let mine = mine.collect();
            self.assigned(mine);
            return Ok(());
        }
        let topics = self.settings.topics.iter();
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
    pub(super) fn assigned(&mut self, partitions: Vec<TopicPartition>) {
        tracing::info!(count = partitions.len(), "partitions are assigned");
        let earlier = self.beginning.take().map(|earlier| earlier.partitions);
        self.beginning = Some(Beginning {
            partitions: earlier.into_iter().flatten().chain(partitions).collect(),
            after: Duration::ZERO,
        });
    }

    /// Begins partitions that are ours, as soon as the brokers say where.
    pub(super) fn begin(&mut self) -> Result<(), Fatal> {
        let now = self.now();
        let Some(beginning) = self.beginning.take_if(|beginning| beginning.after <= now) else {
            return Ok(());
        };
        match self.begins(&beginning.partitions) {
            Ok(begins) => {
                self.condition.recovered("begin");
                self.begin_at(begins)
            }
            Err(End::Lost(fatal)) => Err(fatal),
            Err(End::ConnectError(ConnectError::Permanent(why))) => {
                Err(Fatal::new(Exit::Config, why))
            }
            Err(End::ConnectError(ConnectError::Transient(why))) => {
                self.condition.degraded("begin", why);
                self.beginning = Some(Beginning {
                    after: self.now() + AGAIN,
                    ..beginning
                });
                Ok(())
            }
        }
    }

    fn begin_at(&mut self, begins: Vec<(TopicPartition, Begin)>) -> Result<(), Fatal> {
        let offsets = list(begins.iter().map(|(one, begin)| (one, Some(begin.at))));
        let assigned = match self.settings.partitions {
            Some(_) => self.consumer.assign(&offsets),
            None => self.consumer.incremental_assign(&offsets),
        };
        if assigned.is_err() {
            // Taken away meanwhile: the group will say so, and give others.
            tracing::warn!("the partitions were taken away before they were begun");
            return Ok(());
        }
        for (topic_partition, begin) in begins {
            self.begin_lane(topic_partition, begin)?;
        }
        self.begun();
        Ok(())
    }

    pub(super) fn begin_lane(
        &mut self,
        topic_partition: TopicPartition,
        begin: Begin,
    ) -> Result<(), Fatal> {
        let number = self.next_partition;
        self.next_partition += 1;
        let name = topic_partition.to_string();
        let must_commit = begin.is_chosen || self.settings.partitions.is_some();
        let mut partition = AssignedPartition::new(number, begin.at, must_commit);
        if let Some(feed) = &self.feed {
            let told = feed.tell(PartitionEvent::Begins {
                partition: number,
                name: name.clone(),
                offset: begin.at,
                length: None,
            });
            if told.is_err() {
                tracing::debug!("the job ended before a topic_partition began");
            }
        } else {
            partition.stop();
        }
        self.gate.begin(number, &name, begin.at);
        let mut topics = self.settings.topics.iter();
        let topic = topics.find(|topic| topic.name == topic_partition.topic);
        self.works.push(Work {
            provider: topic.and_then(|topic| topic.provider.clone()),
            topic_partition,
            assigned: partition,
            end: None,
        });
        Ok(())
    }

    /// These partitions are taken away: nothing more is handed out of them.
    pub(super) fn revoked(&mut self, partitions: Vec<TopicPartition>) {
        if let Some(beginning) = &mut self.beginning {
            beginning.partitions.retain(|one| !partitions.contains(one));
        }
        let numbers = self.stop_lanes(&partitions);
        self.take_back(|partition| numbers.contains(&partition));
        tracing::info!(count = partitions.len(), "partitions are taken away");
        let earlier = self.leaving.take().map(|earlier| earlier.partitions);
        self.leaving = Some(Leaving {
            partitions: earlier.into_iter().flatten().chain(partitions).collect(),
            deadline: self.now() + self.settings.revoke_deadline,
        });
    }

    fn stop_lanes(&mut self, partitions: &[TopicPartition]) -> Vec<u32> {
        let works = self.works.iter_mut();
        let works = works.filter(|work| partitions.contains(&work.topic_partition));
        works
            .map(|work| {
                work.assigned.stop();
                work.assigned.number()
            })
            .collect()
    }

    /// Lets partitions go that are taken away, when what was handed out of them is settled and committed, when that takes too
    /// long, or at once where they are lost already: then others have them, and a commit would be refused.
    pub(super) fn let_go(&mut self) {
        let Some(leaving) = &self.leaving else { return };
        let mut mine = self
            .works
            .iter()
            .filter(|work| leaving.partitions.contains(&work.topic_partition));
        let drained = mine.all(|work| !work.assigned.is_open() && work.assigned.is_committed());
        let lost = self.consumer.assignment_lost();
        let late = self.now() >= leaving.deadline;
        if !(drained || lost || late) {
            return;
        }
        let Some(leaving) = self.leaving.take() else {
            return;
        };
        match (drained, lost) {
            (true, _) => tracing::info!("partitions are let go, all of it settled"),
            (false, true) => {
                tracing::warn!("partitions were lost with messages open: they come again")
            }
            (false, false) => tracing::warn!(
                "partitions are let go with messages open (kafka.revoke_deadline): they come again elsewhere"
            ),
        }
        self.forget(&leaving.partitions, lost);
    }

    fn forget(&mut self, partitions: &[TopicPartition], lost: bool) {
        let gone = |work: &Work| partitions.contains(&work.topic_partition);
        let numbers: Vec<u32> = self
            .works
            .iter()
            .filter(|work| gone(work))
            .map(|work| work.assigned.number())
            .collect();
        self.works.retain(|work| !gone(work));
        self.last = 0;
        match lost {
            true => self.gate.forget(&numbers),
            false => self.gate.end(&numbers, Instant::now() + LAST_NOTE),
        }
        let list = list(partitions.iter().map(|one| (one, None)));
        if self.consumer.incremental_unassign(&list).is_err() && self.consumer.unassign().is_err() {
            tracing::warn!("partitions that were taken away could not be given up");
        }
    }

    /// The group takes this client for another process of our name: another client joins. What is open comes again, as after a loss;
    /// but nobody died over it.
    pub(super) fn join_anew(&mut self) -> Result<(), Fatal> {
        tracing::warn!(
            "the group took this member for another after the brokers were away: it joins anew"
        );
        self.take_back(|_| true);
        let numbers: Vec<u32> = self
            .works
            .drain(..)
            .map(|work| work.assigned.number())
            .collect();
        self.last = 0;
        self.gate.end(&numbers, Instant::now() + LAST_NOTE);
        self.answer_the_group();
        self.committer.end();
        let consumer = Arc::new(consumer(&self.settings)?);
        self.committer = Committer::start(&consumer)?;
        self.consumer = consumer;
        (self.waiting, self.look_after) = (Waiting::default(), None);
        // Only members of a group are ever taken for others, and the group says which partitions are theirs.
        self.subscribe(Vec::new())
    }

    /// The consumer is to be closed. What was said of partitions and not carried out yet is carried out now: the driver waits for
    /// an answer, and how it ends without one is not left to it.
    pub(super) fn answer_the_group(&mut self) {
        self.consumer.context().close();
        if self.settings.partitions.is_some() {
            return;
        }
        let beginning = self.beginning.take().map(|one| one.partitions);
        let leaving = self.leaving.take().map(|one| one.partitions);
        if let Some(partitions) = beginning {
            let given = list(partitions.iter().map(|one| (one, None)));
            drop(self.consumer.incremental_assign(&given));
        }
        if let Some(partitions) = leaving {
            let taken = list(partitions.iter().map(|one| (one, None)));
            drop(self.consumer.incremental_unassign(&taken));
        }
        while let Some(event) = self.consumer.context().next() {
            let answered = match event {
                Event::Assigned(given) => self
                    .consumer
                    .incremental_assign(&list(given.iter().map(|one| (one, None)))),
                Event::Revoked(taken) => self
                    .consumer
                    .incremental_unassign(&list(taken.iter().map(|one| (one, None)))),
                Event::Error(_) | Event::Known(_) => Ok(()),
            };
            if answered.is_err() {
                tracing::debug!("the group went on meanwhile");
            }
        }
    }
}
