//! Frontier → positions → source: what may be remembered of each partition.
//!
//! Timely's progress tracking is the acknowledgement protocol. Each worker closes, in its [`InFlight`], the epochs below the
//! frontier behind all sinks; their positions come here, from all workers, and [`Partitions`] turns them into one
//! contiguous prefix a partition. Filtered, duplicate, unmatched and dead-lettered events settle by the same rule.
//!
//! [`Partitions`] is pure. Contract: [`Partitions::floor_changes`] never names a position above an unsettled one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::epoch::Epoch;
use crate::source::PartitionEvent;
use crate::source::commit_tracker::CommitTracker;
use crate::source::in_flight::{Closed, InFlight, Position};

/// What one worker's frontier closed; nothing if that is nothing.
pub fn closed(ledger: &mut InFlight, frontier: Option<Epoch>, now: Duration) -> Option<Closed> {
    let closed = ledger.close_before(frontier, now);
    (!closed.positions.is_empty()).then_some(closed)
}

/// How far a partition is settled, to be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The partition's number.
    pub partition: u32,
    /// The partition's name.
    pub name: String,
    /// Everything before it is settled.
    pub offset: u64,
    /// The partition is settled to its end.
    pub finished: bool,
}

#[derive(Debug, Default)]
struct Partition {
    name: String,
    began: u64,
    length: Option<u64>,
    end: Option<u64>,
    water: CommitTracker,
    remembered: Option<(u64, bool)>,
}

impl Partition {
    fn finished(&self) -> bool {
        self.end.is_some_and(|end| self.water.floor() >= end)
    }

    fn offset(&self) -> u64 {
        #[cfg(feature = "faults")]
        if crate::failpoint::faults::wrong(crate::failpoint::faults::Wrong::AcknowledgeMaximum) {
            return self.water.maximum();
        }
        self.water.floor()
    }
}

/// How far all partitions together are, for progress bars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Settled, in the partitions' own units (bytes for files).
    pub settled: u64,
    /// The sum of the partitions' lengths, as far as they are known.
    pub total: Option<u64>,
}

/// The partitions of a run.
#[derive(Debug, Default)]
pub struct Partitions {
    partitions: BTreeMap<u32, Partition>,
    failures: Vec<String>,
    restarts: Vec<String>,
}

impl Partitions {
    /// The source told something of a partition.
    pub fn told(&mut self, notice: PartitionEvent) {
        match notice {
            PartitionEvent::Begins {
                partition,
                name,
                offset,
                length,
            } => {
                let begun = Partition {
                    name,
                    began: offset,
                    length,
                    water: CommitTracker::starting_at(offset),
                    ..Partition::default()
                };
                self.partitions.insert(partition, begun);
            }
            PartitionEvent::Ended { partition, offset } => {
                if let Some(partition) = self.partitions.get_mut(&partition) {
                    partition.end = Some(offset);
                }
            }
            PartitionEvent::Restarted { reason, .. } => self.restarts.push(reason),
            PartitionEvent::Failed { reason, .. } => self.failures.push(reason),
        }
    }

    /// A worker's frontier closed these positions.
    pub fn settle(&mut self, positions: &[Position]) {
        for position in positions {
            if let Some(partition) = self.partitions.get_mut(&position.partition) {
                partition.water.settle(position.start, position.end);
            }
        }
    }

    /// Partitions whose floor moved, or that were finished, since this was asked last.
    pub fn floor_changes(&mut self) -> Vec<Floor> {
        let mut changes = Vec::new();
        for (number, partition) in &mut self.partitions {
            let now = (partition.offset(), partition.finished());
            if partition.remembered != Some(now) && (now.1 || now.0 > partition.began) {
                partition.remembered = Some(now);
                changes.push(Floor {
                    partition: *number,
                    name: partition.name.clone(),
                    offset: now.0,
                    finished: now.1,
                });
            }
        }
        changes
    }

    /// How far it all is.
    pub fn progress(&self) -> Progress {
        let lengths: Option<Vec<u64>> = self
            .partitions
            .values()
            .map(|partition| partition.length.or(partition.end))
            .collect();
        Progress {
            settled: self
                .partitions
                .values()
                .map(|partition| partition.water.floor())
                .sum(),
            total: lengths.map(|lengths| lengths.iter().sum()),
        }
    }

    /// Whether everything that was handed out is settled.
    pub fn all_finished(&self) -> bool {
        self.partitions.values().all(Partition::finished)
    }

    /// Sentences about partitions that were read from their start although part of them was settled.
    pub fn restarts(&self) -> &[String] {
        &self.restarts
    }

    /// Sentences about partitions that could not be read.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(start: u64, end: u64) -> Position {
        Position {
            partition: 0,
            start,
            end,
        }
    }

    fn begun() -> Partitions {
        let mut partitions = Partitions::default();
        partitions.told(PartitionEvent::Begins {
            partition: 0,
            name: "a".into(),
            offset: 0,
            length: Some(30),
        });
        partitions
    }

    #[test]
    fn a_gap_holds_the_floor_back() {
        let mut partitions = begun();
        partitions.settle(&[position(10, 20), position(20, 30)]);
        assert_eq!(partitions.floor_changes(), []);
        partitions.settle(&[position(0, 10)]);
        assert_eq!(partitions.floor_changes()[0].offset, 30);
        assert_eq!(partitions.floor_changes(), []);
    }

    #[test]
    fn a_lane_is_finished_when_it_ended_and_is_settled() {
        let mut partitions = begun();
        partitions.told(PartitionEvent::Ended {
            partition: 0,
            offset: 10,
        });
        assert!(!partitions.all_finished());
        partitions.settle(&[position(0, 10)]);
        assert!(partitions.floor_changes()[0].finished && partitions.all_finished());
    }

    #[test]
    fn an_empty_lane_is_finished_at_once() {
        let mut partitions = begun();
        partitions.told(PartitionEvent::Ended {
            partition: 0,
            offset: 0,
        });
        assert!(partitions.floor_changes()[0].finished);
        assert_eq!(
            partitions.progress(),
            Progress {
                settled: 0,
                total: Some(30)
            }
        );
    }
}
