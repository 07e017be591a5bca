//! The running source: one loop that moves messages to the job and commits to the brokers.
//!
//! Everything happens on one thread, in turn: what was fetched is cut into runs of records (`intake`), what may be committed is
//! committed (`commits`), partitions that the group gives are started and those that it revokes are let go (`assignment`), errors are
//! judged (`health`). The driver is polled again and again whatever the job does, which is what keeps a member in its group.

mod assignment;
mod commits;
mod health;
mod intake;
mod offsets;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError};
use rdkafka::consumer::Consumer as _;

use self::assignment::{PendingStart, Revocation};
use self::commits::Committer;
use self::intake::Backpressure;
pub(super) use self::intake::record;
use super::assigned_partition::AssignedPartition;
use super::config::KafkaConfig;
use super::connect::{consumer, partitions};
use super::consumer::{Consumer, ConsumerEvent, TopicPartition};
use crate::error::{Exit, Fatal};
use crate::event::Provider;
use crate::failpoint::{self, Failpoint};
use crate::metrics::Metrics;
use crate::source::connect_error::ConnectError;
use crate::source::message::FieldsWriter;
use crate::source::{Commit, PartitionEvent, RecordSender, Records, SourceContext, SourceHealth};

/// The longest wait between two attempts to reach the brokers.
const CONNECT_BACKOFF_MAX: Duration = Duration::from_secs(2);
/// How long the last commits may take when everything else is done.
const LAST_COMMITS: Duration = Duration::from_secs(5);

/// A partition that is read.
struct PartitionReader {
    topic_partition: TopicPartition,
    assigned: AssignedPartition,
    /// The provider of messages that name none.
    provider: Option<Provider>,
    /// Where the partition ends, as far as that is known.
    end: Option<u64>,
}

/// A source that reads.
pub struct KafkaReader {
    config: KafkaConfig,
    consumer: Arc<Consumer>,
    /// None when nothing more is handed out.
    records: Option<RecordSender>,
    commits: Receiver<Vec<Commit>>,
    stop: Arc<AtomicBool>,
    health: SourceHealth,
    metrics: Arc<Metrics>,
    partitions: Vec<PartitionReader>,
    /// The number that the job will know the next assigned partition by.
    next_number: u32,
    /// The index of the partition of the last message: the next one is likely to be of the same.
    last: usize,
    /// Partitions that are assigned and not started.
    pending: Option<PendingStart>,
    /// Partitions that the group takes away.
    revocation: Option<Revocation>,
    /// Runs that found no room, in order.
    ready: VecDeque<Records>,
    backpressure: Backpressure,
    fields: FieldsWriter,
    committer: Committer,
    /// No commit is sent before then.
    commit_after: Duration,
    /// Since when commits are refused, of whatever partition.
    refused_since: Option<Duration>,
    /// When the last commits are repeated.
    renew_after: Duration,
    /// A partition may have lost what is to be read next: when to check the offsets.
    check_after: Option<Duration>,
    /// When the brokers could not be reached last.
    unreachable_at: Option<Duration>,
    /// This client is of no use any more.
    must_rejoin: bool,
    started: Instant,
}

/// Runs a source to its end.
pub fn run(config: KafkaConfig, context: SourceContext) -> Result<(), Fatal> {
    let Some((consumer, all)) = connect(&config, &context)? else {
        return Ok(());
    };
    tracing::info!(
        topics = config.topics.len(),
        partitions = all.len(),
        group = config.group,
        "reading from Kafka"
    );
    let mut reader = KafkaReader::new(config, context, consumer)?;
    let ended = reader.subscribe(all).and_then(|()| reader.read());
    reader.close();
    ended
}

/// Connects and checks, however long it takes; none if the job stopped before.
fn connect(
    config: &KafkaConfig,
    context: &SourceContext,
) -> Result<Option<(Consumer, Vec<TopicPartition>)>, Fatal> {
    let consumer = consumer(config)?;
    let mut wait = Duration::from_millis(100);
    while !context.is_stopped() {
        match failpoint::run(Failpoint::SourceConnect, || partitions(&consumer, config)) {
            Ok(all) => {
                context.health.recovered("broker");
                return Ok(Some((consumer, all)));
            }
            Err(ConnectError::Permanent(why)) => return Err(Fatal::new(Exit::Config, why)),
            Err(ConnectError::Transient(why)) => context.health.degraded("broker", why),
        }
        drop(consumer.poll(wait));
        wait = (wait * 2).min(CONNECT_BACKOFF_MAX);
    }
    Ok(None)
}

impl KafkaReader {
    fn new(config: KafkaConfig, context: SourceContext, consumer: Consumer) -> Result<Self, Fatal> {
        let consumer = Arc::new(consumer);
        Ok(Self {
            committer: Committer::start(&consumer)?,
            config,
            consumer,
            records: Some(context.records),
            commits: context.commits,
            stop: context.stop,
            health: context.health,
            metrics: context.metrics,
            partitions: Vec::new(),
            next_number: 0,
            last: 0,
            pending: None,
            revocation: None,
            ready: VecDeque::new(),
            backpressure: Backpressure::default(),
            fields: FieldsWriter::default(),
            commit_after: Duration::ZERO,
            refused_since: None,
            renew_after: commits::RENEW,
            check_after: None,
            unreachable_at: None,
            must_rejoin: false,
            started: Instant::now(),
        })
    }

    /// Moves messages and commits until the job is over.
    fn read(&mut self) -> Result<(), Fatal> {
        let mut over: Option<Instant> = None;
        loop {
            self.poll()?;
            self.handle_events()?;
            if std::mem::take(&mut self.must_rejoin) {
                self.rejoin()?;
            }
            self.take_commit_answers();
            let is_job_running = self.take_commits();
            if self.stop.load(Ordering::Relaxed) {
                self.stop_reading();
            }
            self.check_offsets()?;
            self.start_pending()?;
            self.hand_out();
            self.commit();
            self.release_revoked();
            if !is_job_running {
                let since = *over.get_or_insert_with(Instant::now);
                if self.is_committed() {
                    return Ok(());
                }
                if since.elapsed() > LAST_COMMITS {
                    return Err(Fatal::new(
                        Exit::Unfinished,
                        "Kafka does not confirm the last commits: it will deliver those messages again",
                    ));
                }
            }
        }
    }

    fn handle_events(&mut self) -> Result<(), Fatal> {
        while let Some(event) = self.consumer.context().next() {
            match event {
                ConsumerEvent::Assigned(partitions) => self.assign(partitions),
                ConsumerEvent::Revoked(partitions) => self.revoke(partitions),
                ConsumerEvent::Error(code) => self.handle_error(code)?,
                ConsumerEvent::Status(status) => self.update_status(&status),
            }
        }
        Ok(())
    }

    /// Takes what may be committed; false when the job is over.
    fn take_commits(&mut self) -> bool {
        loop {
            match self.commits.try_recv() {
                Ok(commits) => self.set_committable(&commits),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => {
                    self.stop_reading();
                    return false;
                }
            }
        }
    }

    fn set_committable(&mut self, commits: &[Commit]) {
        for commit in commits {
            if let Some(partition) = self.partition(commit.partition) {
                partition.assigned.set_committable(commit.offset);
            }
        }
    }

    fn is_committed(&self) -> bool {
        let mut partitions = self.partitions.iter();
        partitions.all(|partition| partition.assigned.is_committed())
    }

    /// The assigned partition that the job knows by this number.
    fn partition(&mut self, number: u32) -> Option<&mut PartitionReader> {
        let mut partitions = self.partitions.iter_mut();
        partitions.find(|partition| partition.assigned.number() == number)
    }

    /// Forgets partitions, here and at the job; answers their numbers.
    fn remove(&mut self, is_gone: impl Fn(&PartitionReader) -> bool) -> Vec<u32> {
        let gone = self
            .partitions
            .extract_if(.., |partition| is_gone(partition));
        let gone: Vec<u32> = gone.map(|partition| partition.assigned.number()).collect();
        self.last = 0;
        for partition in &gone {
            self.send_event(PartitionEvent::Revoked {
                partition: *partition,
            });
        }
        gone
    }

    fn send_event(&self, event: PartitionEvent) {
        let sent = self
            .records
            .as_ref()
            .map(|records| records.send_event(event));
        if sent.is_some_and(|sent| sent.is_err()) {
            tracing::debug!("the job ended before it learned of a partition");
        }
    }

    /// Hands out nothing more; what waits here is fetched again by whoever is next.
    fn stop_reading(&mut self) {
        if self.records.take().is_none() {
            return;
        }
        self.take_back(|_| true);
        let partitions = self.partitions.iter_mut();
        partitions.for_each(|partition| partition.assigned.stop());
        self.pause();
    }

    /// Leaves the group, so that others have our partitions at once (a member with a name of its own is waited for).
    fn close(mut self) {
        self.answer_the_group();
        self.committer.end();
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}
