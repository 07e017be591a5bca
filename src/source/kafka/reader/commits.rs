//! Commits: what is settled of each partition, all in one request, one request at a time.
//!
//! The driver answers a commit only to whom waits for it, and through an outage that takes long. So a thread of its own waits, and
//! the source goes on.
//!
//! A commit of a partition that is not ours any more is refused by the brokers, which know the assignment it belongs to; an
//! answer that comes after its partition was let go means nothing here, for a partition is one assignment of a partition.
//!
//! What does not stand is sent again, as long as it takes: nothing is lost by that, but all since the last commit would come again
//! after a start. So it is trouble when it lasts, and at once where only a person can mend it.
//!
//! The brokers forget a commit that nobody repeats (after `offsets.retention.minutes`, a week) where the group has no members; so
//! where partitions are given by settings, all of them are committed anew every hour, whether anything came or not.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::{Reader, Work};
use crate::error::{Exit, Fatal};
use crate::failpoint::{self, Failpoint};
use crate::metrics::Counter;
use crate::source::connect_error::ConnectError;
use crate::source::kafka::connect::{PATIENCE, meaning};
use crate::source::kafka::context::{Consumer, TopicPartition, list, offsets};

/// How often at most.
const EVERY: Duration = Duration::from_millis(100);
/// How long after a commit that did not stand the next one is sent.
const REST: Duration = Duration::from_millis(500);

/// How long commits may not stand before somebody should look.
const LASTS: Duration = Duration::from_secs(10);
const LASTING: &str = "Kafka lets no commit stand of some partitions: all since the last one would come again after a start. See \
                       whether their topic is still there, and what the brokers log of the group kafka.group";

/// How often all is committed anew.
pub(super) const RENEW: Duration = Duration::from_secs(3_600);

/// What is to be committed of a partition.
struct Due {
    partition: u32,
    topic_partition: TopicPartition,
    upto: u64,
}

/// A request that was answered.
struct Answer {
    /// Whether each of it stands.
    stands: Vec<(Due, bool)>,
    /// Why not all of it does, as far as the driver says.
    code: Option<Code>,
}

/// The thread that waits for answers.
pub(super) struct Committer {
    requests: Option<Sender<Vec<Due>>>,
    answers: Receiver<Answer>,
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

    fn send(&mut self, due: Vec<Due>) {
        let sent = self.requests.as_ref().map(|requests| requests.send(due));
        self.is_busy = sent.is_some_and(|sent| sent.is_ok());
    }

    /// SourceContext the thread, and waits for it unless it waits for the brokers.
    pub(super) fn end(&mut self) {
        self.requests = None;
        let thread = self.thread.take().filter(|_| !self.is_busy);
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::debug!("the thread for commits had ended");
        }
    }
}

fn answer_all(consumer: &Consumer, requests: &Receiver<Vec<Due>>, answers: &Sender<Answer>) {
    for due in requests {
        if answers.send(commit(consumer, due)).is_err() {
            return;
        }
    }
}

/// The driver answers for a request as a whole: where some of it was refused, the brokers are asked what stands.
fn commit(consumer: &Consumer, due: Vec<Due>) -> Answer {
    let offsets = list(due.iter().map(|one| (&one.topic_partition, Some(one.upto))));
    let done = failpoint::run(Failpoint::SourceAcknowledge, || {
        consumer.commit(&offsets, CommitMode::Sync)
    });
    let all = done.is_ok();
    let known = match !all && due.len() > 1 {
        true => known(consumer, &due),
        false => HashMap::new(),
    };
    let answered = due.into_iter().map(|one| {
        let stands = all || known.get(&one.topic_partition) == Some(&one.upto);
        (one, stands)
    });
    Answer {
        stands: answered.collect(),
        code: done.err().and_then(|error| error.rdkafka_error_code()),
    }
}

fn known(consumer: &Consumer, due: &[Due]) -> HashMap<TopicPartition, u64> {
    let asked = list(due.iter().map(|one| (&one.topic_partition, None)));
    let answered = consumer.committed_offsets(asked, PATIENCE);
    answered.map_or_else(|_| HashMap::new(), |answered| offsets(&answered))
}

impl Reader {
    /// Commits what is settled.
    pub(super) fn commit(&mut self) {
        let now = self.now();
        let urgent = self.leaving.is_some() || self.feed.is_none();
        if now < self.commit_after && !urgent {
            return;
        }
        if self.committer.is_busy {
            return;
        }
        self.renew(now);
        let due: Vec<Due> = self.works.iter().filter_map(due).collect();
        if due.is_empty() {
            self.all_stands();
        } else {
            self.commit_after = now + EVERY;
            self.committer.send(due);
        }
    }

    /// Partitions that nobody but the settings gives us are committed anew now and then.
    fn renew(&mut self, now: Duration) {
        if self.settings.partitions.is_some() && now >= self.renew_after {
            self.renew_after = now + RENEW;
            self.works.iter_mut().for_each(|work| work.assigned.renew_commit());
        }
    }

    /// Takes the answers to commits.
    pub(super) fn answers(&mut self) {
        while let Ok(answer) = self.committer.answers.try_recv() {
            self.committer.is_busy = false;
            self.committed(&answer);
        }
    }

    fn committed(&mut self, answer: &Answer) {
        let (mut acknowledged, mut refused) = (0, 0);
        for (due, stands) in &answer.stands {
            let mut works = self.works.iter_mut();
            if let Some(work) = works.find(|work| work.assigned.number() == due.partition) {
                acknowledged += work.assigned.commit_answered(due.upto, *stands);
                refused += u64::from(!stands);
                if *stands {
                    self.gate.settled(due.partition, due.upto);
                }
            }
        }
        self.metrics.count(Counter::Acknowledged, acknowledged);
        self.metrics.count(Counter::AckUnconfirmed, refused);
        match refused {
            0 => self.all_stands(),
            _ => self.refused(answer.code),
        }
    }

    fn all_stands(&mut self) {
        if self.refused_since.take().is_some() {
            self.condition.recovered("commits");
        }
    }

    /// It is sent again.
    fn refused(&mut self, code: Option<Code>) {
        let now = self.now();
        self.commit_after = now + REST;
        tracing::debug!(?code, "a commit did not stand: it is sent again");
        let Some(code) = code.filter(|code| !is_told_elsewhere(*code)) else {
            // It may have lasted because nobody answered.
            self.refused_since = self.refused_since.and(Some(now));
            return;
        };
        let since = *self.refused_since.get_or_insert(now);
        match meaning(code) {
            ConnectError::Permanent(why) => self.condition.degraded("commits", why),
            ConnectError::Transient(_) if now.saturating_sub(since) >= LASTS => {
                self.condition.degraded("commits", LASTING);
            }
            ConnectError::Transient(_) => {}
        }
    }
}

/// No answer of the brokers, or one about this client and not about the commit: `health` judges these.
const fn is_told_elsewhere(code: Code) -> bool {
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
fn due(work: &Work) -> Option<Due> {
    Some(Due {
        partition: work.assigned.number(),
        upto: work.assigned.commit_due()?,
        topic_partition: work.topic_partition.clone(),
    })
}
