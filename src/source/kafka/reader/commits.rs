//! Commits: what is settled of each partition, all in one request, one request at a time.
//!
//! The driver answers a commit only to a caller that waits, which takes long in an outage. So a thread of its own waits, and the source
//! goes on.
//!
//! A commit of a partition that is not ours any more is refused by the brokers, which know the assignment it belongs to; an
//! answer that comes after its partition was let go means nothing here, for a partition is one assignment of a partition.
//!
//! A refused commit is sent again, as long as it takes: nothing is lost by that, but everything since the last commit would be
//! delivered again after a restart. So the source is degraded when it lasts, and at once where only a person can mend it.
//!
//! The brokers forget a commit that nobody repeats (after `offsets.retention.minutes`, a week) where the group has no members; so
//! where partitions are given by settings, all of them are committed again every hour, whether anything came or not.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::{KafkaReader, PartitionReader};
use crate::error::{Exit, Fatal};
use crate::failpoint::{self, Failpoint};
use crate::metrics::Counter;
use crate::source::connect_error::ConnectError;
use crate::source::kafka::connect::{PATIENCE, meaning};
use crate::source::kafka::consumer::{Consumer, TopicPartition, list, offsets};

/// The shortest time between two commits.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long after a refused commit the next one is sent.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// How long commits may be refused before the source is degraded.
const REFUSED_MAX: Duration = Duration::from_secs(10);
const REFUSED: &str = "Kafka lets no commit stand of some partitions: all since the last one would come again after a start. See \
                       whether their topic is still there, and what the brokers log of the group kafka.group";

/// How often all partitions are committed again, where the settings give them.
pub(super) const RENEW: Duration = Duration::from_secs(3_600);

/// An offset to commit.
struct CommitRequest {
    partition: u32,
    topic_partition: TopicPartition,
    offset: u64,
}

/// The answer to some requests.
struct CommitAnswer {
    /// Whether each was accepted.
    accepted: Vec<(CommitRequest, bool)>,
    /// Why not all of them were, as far as the driver says.
    code: Option<Code>,
}

/// The thread that waits for answers.
pub(super) struct Committer {
    requests: Option<Sender<Vec<CommitRequest>>>,
    answers: Receiver<CommitAnswer>,
    /// A request is not answered yet.
    is_busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(consumer: &Arc<Consumer>) -> Result<Self, Fatal> {
        let (requests, requested) = crossbeam_channel::bounded(1);
        let (answer, answers) = crossbeam_channel::unbounded();
        let consumer = Arc::clone(consumer);
        let thread = std::thread::Builder::new()
            .name("commit".into())
            .spawn(move || answer_all(&consumer, &requested, &answer))
            .map_err(|error| {
                Fatal::new(Exit::Watchdog, format!("no thread for commits: {error}"))
            })?;
        Ok(Self {
            requests: Some(requests),
            answers,
            is_busy: false,
            thread: Some(thread),
        })
    }

    fn send(&mut self, due: Vec<CommitRequest>) {
        let sent = self.requests.as_ref().map(|requests| requests.send(due));
        self.is_busy = sent.is_some_and(|sent| sent.is_ok());
    }

    /// Ends the thread; waits for it unless it waits for the brokers.
    pub(super) fn end(&mut self) {
        self.requests = None;
        let thread = self.thread.take().filter(|_| !self.is_busy);
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::debug!("the thread for commits had ended");
        }
    }
}

fn answer_all(
    consumer: &Consumer,
    requests: &Receiver<Vec<CommitRequest>>,
    answers: &Sender<CommitAnswer>,
) {
    for due in requests {
        if answers.send(commit(consumer, due)).is_err() {
            return;
        }
    }
}

/// The driver answers for a request as a whole: where some of it was refused, the brokers are asked what they have.
fn commit(consumer: &Consumer, due: Vec<CommitRequest>) -> CommitAnswer {
    let offsets = list(
        due.iter()
            .map(|one| (&one.topic_partition, Some(one.offset))),
    );
    let done = failpoint::run(Failpoint::SourceAcknowledge, || {
        consumer.commit(&offsets, CommitMode::Sync)
    });
    let all = done.is_ok();
    let known = if !all && due.len() > 1 {
        committed(consumer, &due)
    } else {
        HashMap::new()
    };
    let answered = due.into_iter().map(|one| {
        let is_accepted = all || known.get(&one.topic_partition) == Some(&one.offset);
        (one, is_accepted)
    });
    CommitAnswer {
        accepted: answered.collect(),
        code: done.err().and_then(|error| error.rdkafka_error_code()),
    }
}

fn committed(consumer: &Consumer, due: &[CommitRequest]) -> HashMap<TopicPartition, u64> {
    let asked = list(due.iter().map(|one| (&one.topic_partition, None)));
    let answered = consumer.committed_offsets(asked, PATIENCE);
    answered.map_or_else(|_| HashMap::new(), |answered| offsets(&answered))
}

impl KafkaReader {
    /// Commits what is settled.
    pub(super) fn commit(&mut self) {
        let now = self.now();
        let is_urgent = self.revocation.is_some() || self.records.is_none();
        let is_early = now < self.commit_after && !is_urgent;
        if is_early || self.committer.is_busy {
            return;
        }
        self.renew_commits(now);
        let due: Vec<CommitRequest> = self.partitions.iter().filter_map(due).collect();
        if due.is_empty() {
            self.all_accepted();
        } else {
            self.commit_after = now + INTERVAL;
            self.committer.send(due);
        }
    }

    /// Partitions that the settings give are committed again now and then.
    fn renew_commits(&mut self, now: Duration) {
        if self.config.partitions.is_some() && now >= self.renew_after {
            self.renew_after = now + RENEW;
            let partitions = self.partitions.iter_mut();
            partitions.for_each(|partition| partition.assigned.renew_commit());
        }
    }

    /// Takes the answers to commits.
    pub(super) fn take_commit_answers(&mut self) {
        while let Ok(answer) = self.committer.answers.try_recv() {
            self.committer.is_busy = false;
            self.commit_answered(&answer);
        }
    }

    fn commit_answered(&mut self, answer: &CommitAnswer) {
        let (mut acknowledged, mut refused) = (0, 0);
        for (due, is_accepted) in &answer.accepted {
            if let Some(partition) = self.partition(due.partition) {
                acknowledged += partition.assigned.commit_answered(due.offset, *is_accepted);
                refused += u64::from(!is_accepted);
            }
        }
        self.metrics.count(Counter::Acknowledged, acknowledged);
        self.metrics.count(Counter::AckUnconfirmed, refused);
        if refused == 0 {
            self.all_accepted();
        } else {
            self.refused(answer.code);
        }
    }

    fn all_accepted(&mut self) {
        if self.refused_since.take().is_some() {
            self.health.recovered("commits");
        }
    }

    /// Some commits were refused; they are sent again.
    fn refused(&mut self, code: Option<Code>) {
        let now = self.now();
        self.commit_after = now + RETRY_AFTER;
        tracing::debug!(?code, "a commit was refused: it is sent again");
        let Some(code) = code.filter(|code| !is_handled_elsewhere(*code)) else {
            // It may have lasted because nobody answered.
            self.refused_since = self.refused_since.and(Some(now));
            return;
        };
        let since = *self.refused_since.get_or_insert(now);
        match meaning(code) {
            ConnectError::Permanent(why) => self.health.degraded("commits", why),
            ConnectError::Transient(_) if now.saturating_sub(since) >= REFUSED_MAX => {
                self.health.degraded("commits", REFUSED);
            }
            ConnectError::Transient(_) => {}
        }
    }
}

/// No answer of the brokers, or one about this client and not about the commit: `health` judges these.
const fn is_handled_elsewhere(code: Code) -> bool {
    matches!(
        code,
        Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::Fatal
            | Code::FencedInstanceId
            | Code::NetworkException
            | Code::OperationTimedOut
            | Code::Resolve
    )
}

/// What is to be committed of a partition, if anything.
fn due(partition: &PartitionReader) -> Option<CommitRequest> {
    Some(CommitRequest {
        partition: partition.assigned.number(),
        offset: partition.assigned.commit_due()?,
        topic_partition: partition.topic_partition.clone(),
    })
}
