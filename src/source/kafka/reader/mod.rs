//! The running source: one loop that moves messages to the job and commits to the brokers.
//!
//! Everything happens on one thread, in turn: what came is taken into its partition and handed out as parcels (`intake`), what settled is
//! committed (`commits`), what the group gives and takes is begun and let go (`assignment`), what is wrong is judged (`health`). The
//! driver is polled again and again whatever the job does, which is what keeps a member in its group.

mod assignment;
mod commits;
mod health;
mod intake;
mod standing;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError};
use rdkafka::consumer::Consumer as _;

use self::assignment::{Beginning, Leaving};
use self::commits::Committer;
use self::intake::Waiting;
pub(super) use self::intake::record;
use super::assigned::AssignedPartition;
use super::connect::{consumer, partitions};
use super::context::{Consumer, Event, TopicPartition};
use super::settings::Settings;
use crate::error::{Exit, Fatal};
use crate::event::Provider;
use crate::failpoint::{self, Failpoint};
use crate::metrics::Metrics;
use crate::source::connect_error::ConnectError;
use crate::source::guard::Gate;
use crate::source::message::FieldsWriter;
use crate::source::{Commit, RecordSender, Records, SourceContext, SourceHealth};

/// The longest wait between two attempts to reach the brokers.
const LONGEST: Duration = Duration::from_secs(2);
/// How long the last commits may take when everything else is done.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long the end of the numbers may take to be told to the state store.
const LAST_NOTE: Duration = Duration::from_secs(2);

/// A partition at work.
struct Work {
    topic_partition: TopicPartition,
    assigned: AssignedPartition,
    /// The provider of messages that name none.
    provider: Option<Provider>,
    /// Where the partition ends, as far as that is known.
    end: Option<u64>,
}

/// A source that reads.
pub struct Reader {
    settings: Settings,
    consumer: Arc<Consumer>,
    /// None when nothing more is handed out.
    feed: Option<RecordSender>,
    settled: Receiver<Vec<Commit>>,
    stop: Arc<AtomicBool>,
    condition: SourceHealth,
    metrics: Arc<Metrics>,
    gate: Gate,
    works: Vec<Work>,
    /// The number of the next partition.
    next_partition: u32,
    /// The place of the partition that the last message was of: the next one is likely to be of the same.
    last: usize,
    /// Partitions that are ours and not begun.
    beginning: Option<Beginning>,
    /// Partitions that are taken away.
    leaving: Option<Leaving>,
    /// Records that found no room, in order.
    ready: VecDeque<Records>,
    waiting: Waiting,
    fields: FieldsWriter,
    committer: Committer,
    /// No commit is sent before then.
    commit_after: Duration,
    /// Since when commits do not stand, of whatever partition.
    refused_since: Option<Duration>,
    /// When what is committed already is committed again.
    renew_after: Duration,
    /// A partition may have lost what is to be read next: when to look.
    look_after: Option<Duration>,
    /// When the brokers could not be reached last.
    unreachable_at: Option<Duration>,
    /// This client is of no use any more.
    joins_anew: bool,
    started: Instant,
}

/// The whole life of a source.
pub fn run(settings: Settings, ends: SourceContext) -> Result<(), Fatal> {
    let Some((consumer, all)) = reached(&settings, &ends)? else {
        return Ok(());
    };
    tracing::info!(
        topics = settings.topics.len(),
        partitions = all.len(),
        group = settings.group,
        "reading from Kafka"
    );
    let mut reader = Reader::new(settings, ends, consumer)?;
    let ended = reader.subscribe(all).and_then(|()| reader.read());
    reader.close();
    ended
}

/// Connects and checks, however long it takes; none if the job stopped before.
fn reached(
    settings: &Settings,
    ends: &SourceContext,
) -> Result<Option<(Consumer, Vec<TopicPartition>)>, Fatal> {
    let consumer = consumer(settings)?;
    let mut wait = Duration::from_millis(100);
    while !ends.stop.load(Ordering::Relaxed) {
        match failpoint::run(Failpoint::SourceConnect, || partitions(&consumer, settings)) {
            Ok(all) => {
                ends.health.recovered("broker");
                return Ok(Some((consumer, all)));
            }
            Err(ConnectError::Permanent(why)) => return Err(Fatal::new(Exit::Config, why)),
            Err(ConnectError::Transient(why)) => ends.health.degraded("broker", why),
        }
        drop(consumer.poll(wait));
        wait = (wait * 2).min(LONGEST);
    }
    Ok(None)
}

impl Reader {
    fn new(settings: Settings, ends: SourceContext, consumer: Consumer) -> Result<Self, Fatal> {
        let consumer = Arc::new(consumer);
        Ok(Self {
            committer: Committer::start(&consumer)?,
            settings,
            consumer,
            feed: Some(ends.records),
            settled: ends.commits,
            stop: ends.stop,
            condition: ends.health,
            metrics: ends.metrics,
            gate: Gate::new(ends.attempts),
            works: Vec::new(),
            next_partition: 0,
            last: 0,
            beginning: None,
            leaving: None,
            ready: VecDeque::new(),
            waiting: Waiting::default(),
            fields: FieldsWriter::default(),
            commit_after: Duration::ZERO,
            refused_since: None,
            renew_after: commits::RENEW,
            look_after: None,
            unreachable_at: None,
            joins_anew: false,
            started: Instant::now(),
        })
    }

    /// Moves messages until the job is over.
    fn read(&mut self) -> Result<(), Fatal> {
        let mut over: Option<Instant> = None;
        loop {
            self.poll()?;
            self.events()?;
            if std::mem::take(&mut self.joins_anew) {
                self.join_anew()?;
            }
            self.answers();
            let going_on = self.settle();
            if self.feed.is_some() && self.stop.load(Ordering::Relaxed) {
                self.stop_reading();
            }
            self.look()?;
            self.begin()?;
            self.hand_out();
            self.commit();
            self.let_go();
            if !going_on {
                let since = *over.get_or_insert_with(Instant::now);
                let committed = self.works.iter().all(|work| work.assigned.is_committed());
                if committed || since.elapsed() > LAST_WORDS {
                    return Ok(());
                }
            }
        }
    }

    /// What the driver told.
    fn events(&mut self) -> Result<(), Fatal> {
        while let Some(event) = self.consumer.context().next() {
            match event {
                Event::Assigned(partitions) => self.assigned(partitions),
                Event::Revoked(partitions) => self.revoked(partitions),
                Event::Error(code) => self.wrong(code)?,
                Event::Known(known) => self.known(&known),
            }
        }
        Ok(())
    }

    /// Takes what the job settled; whether more may come.
    fn settle(&mut self) -> bool {
        loop {
            match self.settled.try_recv() {
                Ok(floors) => self.settled(&floors),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => {
                    self.stop_reading();
                    return false;
                }
            }
        }
    }

    fn settled(&mut self, floors: &[Commit]) {
        for floor in floors {
            let mut works = self.works.iter_mut();
            if let Some(work) = works.find(|work| work.assigned.number() == floor.partition) {
                work.assigned.set_committable(floor.offset);
            }
        }
    }

    /// Nothing more is handed out; what waits here was never anybody's.
    fn stop_reading(&mut self) {
        if self.feed.take().is_none() {
            return;
        }
        self.take_back(|_| true);
        self.works.iter_mut().for_each(|work| work.assigned.stop());
        self.pause();
    }

    /// Leaves the group, so that others have our partitions at once (a member with a name of its own is waited for).
    fn close(mut self) {
        self.gate.end_all();
        self.gate.finish(Instant::now() + LAST_NOTE);
        self.answer_the_group();
        self.committer.end();
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}
