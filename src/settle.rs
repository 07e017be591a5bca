//! Frontier → positions → source: what may be remembered of each lane.
//!
//! Timely's progress tracking is the acknowledgement protocol. Each worker closes, in its [`Ledger`], the epochs below the
//! frontier behind all sinks; their positions come here, from all workers, and [`Lanes`] turns them into one
//! contiguous prefix a lane. Filtered, duplicate, unmatched and dead-lettered events settle by the same rule.
//!
//! [`Lanes`] is pure. Contract: [`Lanes::floor_changes`] never names a position above an unsettled one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::epoch::Epoch;
use crate::source::Notice;
use crate::source::ledger::{Closed, Ledger, Position};
use crate::source::low_water::LowWater;

/// What one worker's frontier closed; nothing if that is nothing.
pub fn closed(ledger: &mut Ledger, frontier: Option<Epoch>, now: Duration) -> Option<Closed> {
    let closed = ledger.close_before(frontier, now);
    (!closed.positions.is_empty()).then_some(closed)
}

/// How far a lane is settled, to be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The lane's number.
    pub lane: u32,
    /// The lane's name.
    pub name: String,
    /// Everything before it is settled.
    pub offset: u64,
    /// The lane is settled to its end.
    pub finished: bool,
}

#[derive(Debug, Default)]
struct Lane {
    name: String,
    began: u64,
    length: Option<u64>,
    end: Option<u64>,
    water: LowWater,
    remembered: Option<(u64, bool)>,
}

impl Lane {
    fn finished(&self) -> bool {
        self.end.is_some_and(|end| self.water.floor() >= end)
    }

    fn offset(&self) -> u64 {
        #[cfg(feature = "faults")]
        if crate::edge::faults::wrong(crate::edge::faults::Wrong::AcknowledgeMaximum) {
            return self.water.maximum();
        }
        self.water.floor()
    }
}

/// How far all lanes together are, for progress bars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Settled, in the lanes' own units (bytes for files).
    pub settled: u64,
    /// The sum of the lanes' lengths, as far as they are known.
    pub total: Option<u64>,
}

/// The lanes of a run.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: BTreeMap<u32, Lane>,
    failures: Vec<String>,
    restarts: Vec<String>,
}

impl Lanes {
    /// The source told something of a lane.
    pub fn told(&mut self, notice: Notice) {
        match notice {
            Notice::Begins {
                lane,
                name,
                offset,
                length,
            } => {
                let begun = Lane {
                    name,
                    began: offset,
                    length,
                    water: LowWater::starting_at(offset),
                    ..Lane::default()
                };
                self.lanes.insert(lane, begun);
            }
            Notice::Ended { lane, offset } => {
                if let Some(lane) = self.lanes.get_mut(&lane) {
                    lane.end = Some(offset);
                }
            }
            Notice::Restarted { reason, .. } => self.restarts.push(reason),
            Notice::Failed { reason, .. } => self.failures.push(reason),
        }
    }

    /// A worker's frontier closed these positions.
    pub fn settle(&mut self, positions: &[Position]) {
        for position in positions {
            if let Some(lane) = self.lanes.get_mut(&position.lane) {
                lane.water.settle(position.start, position.end);
            }
        }
    }

    /// Lanes whose floor moved, or that were finished, since this was asked last.
    pub fn floor_changes(&mut self) -> Vec<Floor> {
        let mut changes = Vec::new();
        for (number, lane) in &mut self.lanes {
            let now = (lane.offset(), lane.finished());
            if lane.remembered != Some(now) && (now.1 || now.0 > lane.began) {
                lane.remembered = Some(now);
                changes.push(Floor {
                    lane: *number,
                    name: lane.name.clone(),
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
            .lanes
            .values()
            .map(|lane| lane.length.or(lane.end))
            .collect();
        Progress {
            settled: self.lanes.values().map(|lane| lane.water.floor()).sum(),
            total: lengths.map(|lengths| lengths.iter().sum()),
        }
    }

    /// Whether everything that was handed out is settled.
    pub fn all_finished(&self) -> bool {
        self.lanes.values().all(Lane::finished)
    }

    /// Sentences about lanes that were read from their start although part of them was settled.
    pub fn restarts(&self) -> &[String] {
        &self.restarts
    }

    /// Sentences about lanes that could not be read.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(start: u64, end: u64) -> Position {
        Position {
            lane: 0,
            start,
            end,
        }
    }

    fn begun() -> Lanes {
        let mut lanes = Lanes::default();
        lanes.told(Notice::Begins {
            lane: 0,
            name: "a".into(),
            offset: 0,
            length: Some(30),
        });
        lanes
    }

    #[test]
    fn a_gap_holds_the_floor_back() {
        let mut lanes = begun();
        lanes.settle(&[position(10, 20), position(20, 30)]);
        assert_eq!(lanes.floor_changes(), []);
        lanes.settle(&[position(0, 10)]);
        assert_eq!(lanes.floor_changes()[0].offset, 30);
        assert_eq!(lanes.floor_changes(), []);
    }

    #[test]
    fn a_lane_is_finished_when_it_ended_and_is_settled() {
        let mut lanes = begun();
        lanes.told(Notice::Ended {
            lane: 0,
            offset: 10,
        });
        assert!(!lanes.all_finished());
        lanes.settle(&[position(0, 10)]);
        assert!(lanes.floor_changes()[0].finished && lanes.all_finished());
    }

    #[test]
    fn an_empty_lane_is_finished_at_once() {
        let mut lanes = begun();
        lanes.told(Notice::Ended { lane: 0, offset: 0 });
        assert!(lanes.floor_changes()[0].finished);
        assert_eq!(
            lanes.progress(),
            Progress {
                settled: 0,
                total: Some(30)
            }
        );
    }
}
