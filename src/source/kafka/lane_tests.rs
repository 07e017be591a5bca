use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::event::Origin;
use crate::source::low_water::LowWater;

const NOW: Duration = Duration::ZERO;

fn record() -> Record {
    Record::Line(Origin::default(), Bytes::from_static(b"{}"))
}

fn filled(offsets: &[u64]) -> Lane {
    let mut lane = Lane::new(7, 10, Some(10));
    for offset in offsets {
        assert!(lane.arrived(*offset, record(), NOW));
    }
    lane
}

#[test]
fn offsets_without_a_message_belong_to_the_run_behind_them() {
    let mut lane = filled(&[12, 13, 20]);
    let first = lane.cut(2).unwrap();
    assert_eq!((first.start, first.end, first.records.len()), (10, 14, 2));
    let second = lane.cut(2).unwrap();
    assert_eq!((second.start, second.end), (14, 21));
    assert!(lane.cut(2).is_none());
    assert_eq!(lane.waiting(), (0, 0));
}

#[test]
fn a_gap_belongs_to_the_run_behind_it_and_what_waits_before_it_is_not_lost() {
    let mut lane = filled(&[10, 11]);
    lane.skip_to(50);
    assert_eq!(lane.behind(60), 10);
    assert!(!lane.arrived(49, record(), NOW));
    assert!(lane.arrived(50, record(), NOW));
    let before = lane.cut(2).unwrap();
    assert_eq!((before.start, before.end), (10, 12));
    let behind = lane.cut(2).unwrap();
    assert_eq!((behind.start, behind.end), (12, 51));
}

#[test]
fn a_message_is_taken_once() {
    let mut lane = filled(&[10, 11]);
    assert!(!lane.arrived(11, record(), NOW));
    assert!(lane.arrived(12, record(), NOW));
    lane.stop();
    assert!(!lane.arrived(13, record(), NOW));
    assert_eq!(lane.next(), 10);
}

#[test]
fn a_commit_that_does_not_stand_is_sent_again() {
    let mut lane = filled(&[10, 11, 12]);
    lane.cut(3).unwrap();
    assert_eq!(lane.commit(), None);
    lane.settled(12);
    assert_eq!(lane.commit(), Some(12));
    lane.settled(13);
    assert_eq!(lane.commit(), None);
    assert_eq!(lane.committed(12, false), 0);
    assert_eq!(lane.commit(), Some(13));
    assert_eq!(lane.committed(12, true), 0);
    assert_eq!(lane.committed(13, true), 3);
    assert!(lane.is_committed() && !lane.is_open());
}

#[test]
fn a_chosen_beginning_is_committed_at_once() {
    let mut lane = Lane::new(0, 5, None);
    assert!(!lane.is_committed());
    assert_eq!(lane.commit(), Some(5));
    assert_eq!(lane.committed(5, true), 0);
    assert!(lane.is_committed());
}

#[test]
fn what_is_committed_is_committed_once_more_when_it_is_asked_for() {
    let mut lane = filled(&[]);
    assert_eq!(lane.commit(), None);
    lane.renew();
    assert!(lane.is_committed(), "it is only renewed");
    assert_eq!(lane.commit(), Some(10));
    assert_eq!(lane.commit(), None);
    assert_eq!(lane.committed(10, false), 0);
    assert_eq!(lane.commit(), Some(10), "it did not stand");
    assert_eq!(lane.committed(10, true), 0);
    assert_eq!(lane.commit(), None);
}

#[derive(Clone, Debug)]
enum Step {
    Arrive(u64),
    Cut(usize),
    Settle(usize),
    Commit,
    Answer(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4u64).prop_map(Step::Arrive),
        (1..5usize).prop_map(Step::Cut),
        (0..8usize).prop_map(Step::Settle),
        Just(Step::Commit),
        any::<bool>().prop_map(Step::Answer),
    ]
}

proptest! {
    /// Whatever settles in whatever order: commits only grow, never pass what is contiguously settled, and parcels follow
    /// each other without gaps.
    #[test]
    fn only_contiguous_floors_are_committed(steps in proptest::collection::vec(step(), 0..200)) {
        let mut lane = Lane::new(0, 5, Some(5));
        let mut water = LowWater::starting_at(5);
        let (mut open, mut under_way, mut last, mut end) = (Vec::new(), None, 5, 5);
        for step in steps {
            match step {
                Step::Arrive(gap) => prop_assert!(lane.arrived(lane.next() + gap, record(), NOW)),
                Step::Cut(most) => if let Some(parcel) = lane.cut(most) {
                    prop_assert_eq!(parcel.start, end);
                    end = parcel.end;
                    open.push((parcel.start, parcel.end));
                },
                Step::Settle(at) if at < open.len() => {
                    let (start, end) = open.swap_remove(at);
                    water.settle(start, end);
                    lane.settled(water.floor());
                }
                Step::Settle(_) => {}
                Step::Commit => if let Some(upto) = lane.commit() {
                    prop_assert!(under_way.is_none() && upto > last && upto <= water.floor());
                    under_way = Some(upto);
                },
                Step::Answer(stands) => if let Some(upto) = under_way.take() {
                    lane.committed(upto, stands);
                    if stands { last = upto; }
                },
            }
        }
    }
}
