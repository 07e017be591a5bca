use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::event::Origin;
use crate::source::commit_tracker::SettledPrefix;

const NOW: Duration = Duration::ZERO;

fn record() -> Record {
    Record::Line(Origin::default(), Bytes::from_static(b"{}"))
}

fn filled(offsets: &[u64]) -> AssignedPartition {
    let mut partition = AssignedPartition::new(7, 10, Some(10));
    for offset in offsets {
        assert!(partition.arrived(*offset, record(), NOW));
    }
    partition
}

#[test]
fn offsets_without_a_message_belong_to_the_run_behind_them() {
    let mut partition = filled(&[12, 13, 20]);
    let first = partition.cut(2).unwrap();
    assert_eq!((first.start, first.end, first.records.len()), (10, 14, 2));
    let second = partition.cut(2).unwrap();
    assert_eq!((second.start, second.end), (14, 21));
    assert!(partition.cut(2).is_none());
    assert_eq!(partition.waiting(), (0, 0));
}

#[test]
fn a_gap_belongs_to_the_run_behind_it_and_what_waits_before_it_is_not_lost() {
    let mut partition = filled(&[10, 11]);
    partition.skip_to(50);
    assert_eq!(partition.behind(60), 10);
    assert!(!partition.arrived(49, record(), NOW));
    assert!(partition.arrived(50, record(), NOW));
    let before = partition.cut(2).unwrap();
    assert_eq!((before.start, before.end), (10, 12));
    let behind = partition.cut(2).unwrap();
    assert_eq!((behind.start, behind.end), (12, 51));
}

#[test]
fn a_message_is_taken_once() {
    let mut partition = filled(&[10, 11]);
    assert!(!partition.arrived(11, record(), NOW));
    assert!(partition.arrived(12, record(), NOW));
    partition.stop();
    assert!(!partition.arrived(13, record(), NOW));
    assert_eq!(partition.next(), 10);
}

#[test]
fn a_commit_that_does_not_stand_is_sent_again() {
    let mut partition = filled(&[10, 11, 12]);
    partition.cut(3).unwrap();
    assert_eq!(partition.commit(), None);
    partition.settled(12);
    assert_eq!(partition.commit(), Some(12));
    partition.settled(13);
    assert_eq!(partition.commit(), None);
    assert_eq!(partition.committed(12, false), 0);
    assert_eq!(partition.commit(), Some(13));
    assert_eq!(partition.committed(12, true), 0);
    assert_eq!(partition.committed(13, true), 3);
    assert!(partition.is_committed() && !partition.is_open());
}

#[test]
fn a_chosen_beginning_is_committed_at_once() {
    let mut partition = AssignedPartition::new(0, 5, None);
    assert!(!partition.is_committed());
    assert_eq!(partition.commit(), Some(5));
    assert_eq!(partition.committed(5, true), 0);
    assert!(partition.is_committed());
}

#[test]
fn what_is_committed_is_committed_once_more_when_it_is_asked_for() {
    let mut partition = filled(&[]);
    assert_eq!(partition.commit(), None);
    partition.renew();
    assert!(partition.is_committed(), "it is only renewed");
    assert_eq!(partition.commit(), Some(10));
    assert_eq!(partition.commit(), None);
    assert_eq!(partition.committed(10, false), 0);
    assert_eq!(partition.commit(), Some(10), "it did not stand");
    assert_eq!(partition.committed(10, true), 0);
    assert_eq!(partition.commit(), None);
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
        let mut partition = AssignedPartition::new(0, 5, Some(5));
        let mut water = SettledPrefix::starting_at(5);
        let (mut open, mut under_way, mut last, mut end) = (Vec::new(), None, 5, 5);
        for step in steps {
            match step {
                Step::Arrive(gap) => prop_assert!(partition.arrived(partition.next() + gap, record(), NOW)),
                Step::Cut(most) => if let Some(parcel) = partition.cut(most) {
                    prop_assert_eq!(parcel.start, end);
                    end = parcel.end;
                    open.push((parcel.start, parcel.end));
                },
                Step::Settle(at) if at < open.len() => {
                    let (start, end) = open.swap_remove(at);
                    water.settle(start, end);
                    partition.settled(water.offset());
                }
                Step::Settle(_) => {}
                Step::Commit => if let Some(upto) = partition.commit() {
                    prop_assert!(under_way.is_none() && upto > last && upto <= water.offset());
                    under_way = Some(upto);
                },
                Step::Answer(stands) => if let Some(upto) = under_way.take() {
                    partition.committed(upto, stands);
                    if stands { last = upto; }
                },
            }
        }
    }
}
