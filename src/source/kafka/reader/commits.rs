//! Commits: what is settled of each lane, all in one request, one request at a time.
//!
//! The driver answers a commit only to whom waits for it, and through an outage that takes long. So a thread of its own waits, and
//! the source goes on.
//!
//! A commit of a partition that is not ours any more is refused by the brokers, which know the assignment it belongs to; an
//! answer that comes after its lane was let go means nothing here.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use rdkafka::consumer::{CommitMode, Consumer as _};

use super::Reader;
use crate::edge::{self, Point};
use crate::error::{Exit, Fatal};
use crate::source::kafka::context::{Consumer, Partition, list};
use crate::tally::Counter;

/// How often at most.
const EVERY: Duration = Duration::from_millis(100);
/// How long after a commit that did not stand the next one is sent.
const REST: Duration = Duration::from_millis(500);

/// A request that was answered, and whether it stands.
type Answer = (Vec<(Partition, u64)>, bool);

/// The thread that waits for answers.
pub(super) struct Committer {
    requests: Option<Sender<Vec<(Partition, u64)>>>,
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

    fn send(&mut self, due: Vec<(Partition, u64)>) {
        let sent = self.requests.as_ref().map(|requests| requests.send(due));
        self.is_busy = sent.is_some_and(|sent| sent.is_ok());
    }

    /// Ends the thread, and waits for it unless it waits for the brokers.
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
    requests: &Receiver<Vec<(Partition, u64)>>,
    answers: &Sender<Answer>,
) {
    for due in requests {
        let offsets = list(due.iter().map(|(partition, upto)| (partition, Some(*upto))));
        let commit = || consumer.commit(&offsets, CommitMode::Sync);
        let stands = edge::pass(Point::SourceAcknowledge, commit).is_ok();
        if answers.send((due, stands)).is_err() {
            return;
        }
    }
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
        let works = self.works.iter_mut();
        let due: Vec<(Partition, u64)> = works
            .filter_map(|work| Some((work.partition.clone(), work.lane.commit()?)))
            .collect();
        if !due.is_empty() {
            self.commit_after = now + EVERY;
            self.committer.send(due);
        }
    }

    /// Takes the answers to commits.
    pub(super) fn answers(&mut self) {
        while let Ok((offsets, stands)) = self.committer.answers.try_recv() {
            self.committer.is_busy = false;
            self.committed(&offsets, stands);
        }
    }

    fn committed(&mut self, offsets: &[(Partition, u64)], stands: bool) {
        let (mut acknowledged, mut refused) = (0, 0);
        for (partition, upto) in offsets {
            let mut works = self.works.iter_mut();
            if let Some(work) = works.find(|work| work.partition == *partition) {
                acknowledged += work.lane.committed(*upto, stands);
                refused += u64::from(!stands);
                if stands {
                    self.gate.settled(work.lane.number(), *upto);
                }
            }
        }
        self.tally.count(Counter::Acknowledged, acknowledged);
        self.tally.count(Counter::AckUnconfirmed, refused);
        if refused > 0 {
            tracing::debug!(refused, "a commit did not stand: it is sent again");
            self.commit_after = self.now() + REST;
        }
    }
}
