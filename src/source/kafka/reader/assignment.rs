//! Which partitions are ours: begun where the group has committed, let go when what was handed out of them is settled and committed.
//!
//! The driver waits meanwhile, and so does the group, for as long as `poll_interval_max`; nothing blocks here but the questions where a
//! partition begins, each for a few seconds at most.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{LAST_NOTE, Reader, Work};
use crate::error::{Exit, Fatal};
use crate::source::Notice;
use crate::source::kafka::begin::{Begin, Standing, begin};
use crate::source::kafka::connect::{self, PATIENCE, why};
use crate::source::kafka::context::{Partition, list, partition};
use crate::source::kafka::lane::Lane;
use crate::source::kafka::settings::Start;
use crate::source::trouble::Trouble;
use crate::tally::Counter;

/// How long after a failed attempt the brokers are asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// Partitions that are ours and not begun.
#[derive(Debug)]
pub(super) struct Beginning {
    partitions: Vec<Partition>,
    /// Not tried before then.
    after: Duration,
}

/// Partitions that are taken away.
#[derive(Debug)]
pub(super) struct Leaving {
    partitions: Vec<Partition>,
    deadline: Duration,
}

impl Reader {
    /// Joins the group, or begins with the partitions that the settings name.
    pub(super) fn subscribe(&mut self, all: Vec<Partition>) -> Result<(), Fatal> {
        if let Some(chosen) = &self.settings.partitions {
            let mine = all.into_iter().filter(|one| chosen.holds(one.number));
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
    pub(super) fn assigned(&mut self, partitions: Vec<Partition>) {
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
                self.condition.well("begin");
                self.begin_at(begins)
            }
            Err(End::Lost(fatal)) => Err(fatal),
            Err(End::Trouble(Trouble::Refused(why))) => Err(Fatal::new(Exit::Config, why)),
            Err(End::Trouble(Trouble::Passing(why))) => {
                self.condition.trouble("begin", why);
                self.beginning = Some(Beginning {
                    after: self.now() + AGAIN,
                    ..beginning
                });
                Ok(())
            }
        }
    }

    fn begin_at(&mut self, begins: Vec<(Partition, Begin)>) -> Result<(), Fatal> {
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
        for (partition, begin) in begins {
            self.begin_lane(partition, begin)?;
        }
        self.begun();
        Ok(())
    }

    pub(super) fn begin_lane(&mut self, partition: Partition, begin: Begin) -> Result<(), Fatal> {
        let number = self.next_lane;
        self.next_lane += 1;
        let name = partition.to_string();
        let mut lane = Lane::new(number, begin.at, (!begin.is_chosen).then_some(begin.at));
        if let Some(feed) = &self.feed {
            let told = feed.tell(Notice::Begins {
                lane: number,
                name: name.clone(),
                offset: begin.at,
                length: None,
            });
            if told.is_err() {
                tracing::debug!("the job ended before a partition began");
            }
        } else {
            lane.stop();
        }
        self.gate.begin(number, &name, begin.at);
        let mut topics = self.settings.topics.iter();
        let topic = topics.find(|topic| topic.name == partition.topic);
        self.works.push(Work {
            provider: topic.and_then(|topic| topic.provider.clone()),
            partition,
            lane,
            end: None,
        });
        Ok(())
    }

    /// These partitions are taken away: nothing more is handed out of them.
    pub(super) fn revoked(&mut self, partitions: Vec<Partition>) {
        if let Some(beginning) = &mut self.beginning {
            beginning.partitions.retain(|one| !partitions.contains(one));
        }
        let lanes = self.stop_lanes(&partitions);
        self.take_back(|lane| lanes.contains(&lane));
        tracing::info!(count = partitions.len(), "partitions are taken away");
        let earlier = self.leaving.take().map(|earlier| earlier.partitions);
        self.leaving = Some(Leaving {
            partitions: earlier.into_iter().flatten().chain(partitions).collect(),
            deadline: self.now() + self.settings.revoke_deadline,
        });
    }

    fn stop_lanes(&mut self, partitions: &[Partition]) -> Vec<u32> {
        let works = self.works.iter_mut();
        let works = works.filter(|work| partitions.contains(&work.partition));
        works
            .map(|work| {
                work.lane.stop();
                work.lane.number()
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
            .filter(|work| leaving.partitions.contains(&work.partition));
        let drained = mine.all(|work| !work.lane.is_open() && work.lane.is_committed());
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

    fn forget(&mut self, partitions: &[Partition], lost: bool) {
        let gone = |work: &Work| partitions.contains(&work.partition);
        let lanes: Vec<u32> = self
            .works
            .iter()
            .filter(|work| gone(work))
            .map(|work| work.lane.number())
            .collect();
        self.works.retain(|work| !gone(work));
        self.last = 0;
        match lost {
            true => self.gate.forget(&lanes),
            false => self.gate.end(&lanes, Instant::now() + LAST_NOTE),
        }
        let list = list(partitions.iter().map(|one| (one, None)));
        if self.consumer.incremental_unassign(&list).is_err() && self.consumer.unassign().is_err() {
            tracing::warn!("partitions that were taken away could not be given up");
        }
    }

    /// Where partitions begin.
    fn begins(&self, partitions: &[Partition]) -> Result<Vec<(Partition, Begin)>, End> {
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
        offsets(self, self.consumer.committed_offsets(asked, PATIENCE))
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
        offsets(self, self.consumer.offsets_for_times(asked, PATIENCE))
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
enum End {
    Trouble(Trouble),
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

/// The offsets of a list; partitions that have none are left out.
fn offsets(
    reader: &Reader,
    answered: Result<TopicPartitionList, KafkaError>,
) -> Result<HashMap<Partition, u64>, Trouble> {
    let answered = answered.map_err(|error| why(&reader.consumer, &error))?;
    let mut offsets = HashMap::new();
    for element in answered.elements() {
        element
            .error()
            .map_err(|error| why(&reader.consumer, &error))?;
        if let Offset::Offset(offset) = element.offset()
            && let Ok(offset) = u64::try_from(offset)
        {
            offsets.insert(partition(&element), offset);
        }
    }
    Ok(offsets)
}
