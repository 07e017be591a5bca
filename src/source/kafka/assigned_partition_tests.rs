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
    let mut partition = AssignedPartition::new(7, 10, false);
    for offset in offsets {
        assert!(partition.fetched(*offset, record(), NOW));
    }
    partition
}

#[test]
fn a_stopped_partition_takes_nothing() {
    let mut partition = filled(&[10, 11]);
    partition.stop();
    assert!(!partition.fetched(13, record(), NOW));
    assert_eq!(partition.next(), 10);
}

#[test]
fn a_gap_is_no_lag() {
    let mut partition = filled(&[10, 11]);
    partition.skip_to(50);
    assert_eq!(partition.lag(60), 10);
}

#[test]
fn a_refused_commit_is_sent_again() {
    let mut partition = filled(&[10, 11, 12]);
    partition.cut(3).unwrap();
    assert_eq!(partition.commit_due(), None);
    partition.set_committable(12);
    assert_eq!(partition.commit_due(), Some(12));
    partition.set_committable(13);
    assert_eq!(partition.commit_answered(12, false), 0);
    assert_eq!(partition.commit_due(), Some(13));
    assert_eq!(partition.commit_answered(13, true), 3);
    assert!(partition.is_committed() && !partition.is_open());
}

#[test]
fn a_chosen_start_is_committed_at_once() {
    let mut partition = AssignedPartition::new(0, 5, true);
    assert!(!partition.is_committed());
    assert_eq!(partition.commit_due(), Some(5));
    assert_eq!(partition.commit_answered(5, true), 0);
    assert!(partition.is_committed());
}

#[test]
fn a_renewed_commit_is_repeated_until_accepted() {
    let mut partition = filled(&[]);
    assert_eq!(partition.commit_due(), None);
    partition.renew_commit();
    assert_eq!(partition.commit_due(), Some(10));
    assert_eq!(partition.commit_answered(10, false), 0);
    assert_eq!(partition.commit_due(), Some(10));
    assert_eq!(partition.commit_answered(10, true), 0);
    assert_eq!(partition.commit_due(), None);
}

#[derive(Clone, Debug)]
enum Step {
    Fetch(u64),
    Cut(usize),
    Settle(usize),
    Commit,
    CommitAnswer(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4u64).prop_map(Step::Fetch),
        (1..5usize).prop_map(Step::Cut),
        (0..8usize).prop_map(Step::Settle),
        Just(Step::Commit),
        any::<bool>().prop_map(Step::CommitAnswer),
    ]
}

proptest! {
    /// Whatever settles in whatever order: commits only grow, never pass what is contiguously settled, and runs follow
    /// each other without gaps.
    #[test]
    fn only_the_settled_prefix_is_committed(steps in proptest::collection::vec(step(), 0..200)) {
        let mut partition = AssignedPartition::new(0, 5, false);
        let mut settled = SettledPrefix::starting_at(5);
        let (mut open, mut under_way, mut last, mut end) = (Vec::new(), None, 5, 5);
        for step in steps {
            match step {
                Step::Fetch(gap) => prop_assert!(partition.fetched(partition.next() + gap, record(), NOW)),
                Step::Cut(most) => if let Some(run) = partition.cut(most) {
                    prop_assert_eq!(run.start, end);
                    end = run.end;
                    open.push((run.start, run.end));
                },
                Step::Settle(at) if at < open.len() => {
                    let (start, end) = open.swap_remove(at);
                    settled.settle(start, end);
                    partition.set_committable(settled.offset());
                }
                Step::Settle(_) => {}
                Step::Commit => if under_way.is_none() && let Some(offset) = partition.commit_due() {
                    prop_assert!(offset > last && offset <= settled.offset());
                    under_way = Some(offset);
                },
                Step::CommitAnswer(is_accepted) => if let Some(offset) = under_way.take() {
                    partition.commit_answered(offset, is_accepted);
                    if is_accepted { last = offset; }
                },
            }
        }
    }
}
