//! Commits: what is settled of each lane, all in one request, never waited for.
//!
//! A commit of a partition that is not ours any more is refused by the brokers, which know the assignment it belongs to; an
//! answer that comes after its lane was let go means nothing here.

use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};

use super::Reader;
use crate::source::kafka::context::{Partition, list};
use crate::tally::Counter;

/// How often at most.
const EVERY: Duration = Duration::from_millis(100);
/// How long after a commit that did not stand the next one is sent.
const REST: Duration = Duration::from_millis(500);

impl Reader {
    /// Commits what is settled.
    pub(super) fn commit(&mut self) {
        let now = self.now();
        let urgent = self.leaving.is_some() || self.feed.is_none();
        if now < self.commit_after && !urgent {
            return;
        }
        let works = self.works.iter_mut();
        let due: Vec<(&Partition, Option<u64>)> = works
            .filter_map(|work| Some((&work.partition, Some(work.lane.commit()?))))
            .collect();
        if due.is_empty() {
            return;
        }
        let sent = self
            .consumer
            .commit(&list(due.iter().copied()), CommitMode::Async);
        self.commit_after = now + EVERY;
        if sent.is_err() {
            let due: Vec<(Partition, u64, bool)> = due
                .into_iter()
                .filter_map(|(partition, upto)| Some((partition.clone(), upto?, false)))
                .collect();
            self.committed(&due);
        }
    }

    /// The answer to a commit.
    pub(super) fn committed(&mut self, offsets: &[(Partition, u64, bool)]) {
        let (mut acknowledged, mut refused) = (0, 0);
        for (partition, upto, stands) in offsets {
            let mut works = self.works.iter_mut();
            if let Some(work) = works.find(|work| work.partition == *partition) {
                acknowledged += work.lane.committed(*upto, *stands);
                refused += u64::from(!stands);
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
