//! Which offsets may be committed: of each partition the contiguous settled prefix, never the maximum.
//!
//! Timely's progress tracking is the acknowledgement protocol. Each worker settles what lies below the frontier behind all sinks
//! (see [`in_flight`](super::in_flight)); the settled ranges of all workers meet here, in any order. Filtered, duplicate,
//! unmatched and dead-lettered events settle by the same rule. The ranges of a partition have no gaps between them: each
//! begins where the one before it ended, so the prefix follows from settled ranges alone.
//!
//! Pure. Contract: [`CommitTracker::take_commits`] never names an offset above an unsettled one; offsets of one partition only
//! grow. Memory: one entry for each partition that has not ended, one for each range settled above a gap.

use std::collections::BTreeMap;

use super::context::Commit;
use super::in_flight::OffsetRange;

/// Where the settled prefix of one partition ends, and what is settled above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettledPrefix {
    end: u64,
    /// start → end, of the ranges that are settled above a gap.
    above: BTreeMap<u64, u64>,
}

impl SettledPrefix {
    /// A partition in which everything before `offset` is settled.
    pub const fn starting_at(offset: u64) -> Self {
        Self {
            end: offset,
            above: BTreeMap::new(),
        }
    }

    /// A range is durable in every sink. Answers whether the prefix grew; an empty or repeated range changes nothing.
    pub fn settle(&mut self, start: u64, end: u64) -> bool {
        if start < self.end || end <= start {
            return false;
        }
        self.above.insert(start, end);
        let before = self.end;
        while let Some(end) = self.above.remove(&self.end) {
            self.end = end;
        }
        self.end != before
    }

    /// The first offset that is not settled.
    pub const fn offset(&self) -> u64 {
        self.end
    }

    /// What may be committed: the prefix. A test runs with the wrong design, the highest settled offset.
    fn committable(&self) -> u64 {
        #[cfg(feature = "faults")]
        if crate::failpoint::faults::wrong(crate::failpoint::faults::Wrong::AcknowledgeMaximum) {
            return self.above.values().copied().max().unwrap_or(self.end);
        }
        self.end
    }
}

#[derive(Debug)]
struct TrackedPartition {
    name: String,
    started_at: u64,
    length: Option<u64>,
    /// Where it ends, once it was read to its end.
    end: Option<u64>,
    settled: SettledPrefix,
    /// The last commit that was taken.
    taken: Option<u64>,
}

impl TrackedPartition {
    fn is_finished(&self) -> bool {
        self.end.is_some_and(|end| self.settled.offset() >= end)
    }

    fn take_commit(&mut self, partition: u32) -> Option<PartitionCommit> {
        let (offset, is_finished) = (self.settled.committable(), self.is_finished());
        let is_new = offset > self.taken.unwrap_or(self.started_at);
        if !is_new && !is_finished {
            return None;
        }
        self.taken = Some(offset);
        Some(PartitionCommit {
            commit: Commit { partition, offset },
            name: self.name.clone(),
            is_finished,
        })
    }
}

/// How far a partition is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionCommit {
    /// The partition and the offset.
    pub commit: Commit,
    /// The partition's name.
    pub name: String,
    /// It is settled to its end; nothing more comes of it.
    pub is_finished: bool,
}

/// How far all partitions together are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceProgress {
    /// Settled, in the partitions' own unit (bytes for files).
    pub settled: u64,
    /// The sum of the partitions' lengths, if all of them are known.
    pub total: Option<u64>,
}

/// The partitions of a job that are being read.
#[derive(Debug, Default)]
pub struct CommitTracker {
    partitions: BTreeMap<u32, TrackedPartition>,
    /// The settled offsets of partitions that are finished and forgotten.
    finished: u64,
}

impl CommitTracker {
    /// A partition begins: everything before `offset` is settled.
    pub fn begin(&mut self, partition: u32, name: String, offset: u64, length: Option<u64>) {
        let begun = TrackedPartition {
            name,
            started_at: offset,
            length,
            end: None,
            settled: SettledPrefix::starting_at(offset),
            taken: None,
        };
        self.partitions.insert(partition, begun);
    }

    /// A partition was read to its end. It is forgotten once all of it is settled and that commit was taken.
    pub fn end(&mut self, partition: u32, offset: u64) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.end = Some(offset);
        }
    }

    /// A partition was revoked: nothing of it may be committed any more, and what still settles of it means nothing.
    pub fn revoke(&mut self, partition: u32) {
        self.partitions.remove(&partition);
    }

    /// These ranges are durable in every sink.
    pub fn settle(&mut self, ranges: &[OffsetRange]) {
        for range in ranges {
            if let Some(partition) = self.partitions.get_mut(&range.partition) {
                partition.settled.settle(range.start, range.end);
            }
        }
    }

    /// The partitions that may be committed further than when this was called last, or that are finished now.
    pub fn take_commits(&mut self) -> Vec<PartitionCommit> {
        let partitions = self.partitions.iter_mut();
        let commits: Vec<PartitionCommit> = partitions
            .filter_map(|(number, partition)| partition.take_commit(*number))
            .collect();
        for commit in commits.iter().filter(|commit| commit.is_finished) {
            self.partitions.remove(&commit.commit.partition);
            self.finished += commit.commit.offset;
        }
        commits
    }

    /// How far all of it is.
    pub fn progress(&self) -> SourceProgress {
        let partitions = || self.partitions.values();
        let lengths = partitions().map(|partition| partition.length.or(partition.end));
        let lengths: Option<u64> = lengths.sum();
        let settled: u64 = partitions().map(|one| one.settled.offset()).sum();
        SourceProgress {
            settled: self.finished + settled,
            total: lengths.map(|lengths| self.finished + lengths),
        }
    }

    /// How many partitions are tracked.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// Whether no partition is tracked.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }
}

#[cfg(test)]
#[path = "commit_tracker_tests.rs"]
mod tests;
