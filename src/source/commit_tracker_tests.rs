use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn range(partition: u32, start: u64, end: u64) -> OffsetRange {
    OffsetRange {
        partition,
        start,
        end,
    }
}

fn begun() -> CommitTracker {
    let mut tracker = CommitTracker::default();
    tracker.begin(0, "a".into(), 0, Some(30));
    tracker
}

#[test]
fn settling_twice_or_nothing_moves_nothing() {
    let mut settled = SettledPrefix::starting_at(5);
    assert!(settled.settle(5, 9));
    assert!(!settled.settle(5, 9));
    assert!(!settled.settle(9, 9));
    assert!(!settled.settle(77, 80));
    assert_eq!(settled.offset(), 9);
}

#[test]
fn a_gap_holds_the_commit_back() {
    let mut tracker = begun();
    tracker.settle(&[range(0, 10, 20), range(0, 20, 30)]);
    assert_eq!(tracker.take_commits(), []);
    tracker.settle(&[range(0, 0, 10)]);
    assert_eq!(tracker.take_commits()[0].commit.offset, 30);
    assert_eq!(tracker.take_commits(), []);
}

#[test]
fn a_partition_is_finished_when_it_ended_and_is_settled() {
    let mut tracker = begun();
    tracker.end(0, 10);
    assert_eq!(tracker.take_commits(), []);
    tracker.settle(&[range(0, 0, 10)]);
    assert!(tracker.take_commits()[0].is_finished);
}

#[test]
fn an_empty_partition_is_finished_at_once() {
    let mut tracker = begun();
    tracker.end(0, 0);
    let progress = tracker.progress();
    assert_eq!((progress.settled, progress.total), (0, Some(30)));
    assert!(tracker.take_commits()[0].is_finished);
    assert!(tracker.is_empty());
}

#[test]
fn ended_partitions_are_forgotten_and_still_count_as_progress() {
    let mut tracker = CommitTracker::default();
    for partition in 0..100 {
        tracker.begin(partition, String::new(), 0, None);
        tracker.settle(&[range(partition, 0, 7)]);
        tracker.end(partition, 7);
        assert_eq!(tracker.take_commits().len(), 1);
    }
    assert!(tracker.is_empty());
    assert_eq!(tracker.take_commits(), []);
    let all = SourceProgress {
        settled: 700,
        total: Some(700),
    };
    assert_eq!(tracker.progress(), all);
}

#[test]
fn what_settles_of_a_revoked_partition_is_never_committed() {
    let mut tracker = begun();
    tracker.settle(&[range(0, 0, 10)]);
    tracker.revoke(0);
    tracker.settle(&[range(0, 10, 20)]);
    assert_eq!(tracker.take_commits(), []);
    assert!(tracker.is_empty());
}

/// The naive model: every settled offset of every partition.
#[derive(Default)]
struct Model {
    settled: [BTreeSet<u64>; 3],
    end: [Option<u64>; 3],
    gone: [bool; 3],
}

impl Model {
    fn first_open(&self, partition: usize) -> u64 {
        let mut offsets = 0..;
        let open = offsets.find(|offset| !self.settled[partition].contains(offset));
        open.unwrap_or_default()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Settle(usize, usize),
    End(usize),
    Revoke(usize),
    Take,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..3usize, 0..20usize).prop_map(|(partition, run)| Step::Settle(partition, run)),
        1 => (0..3usize).prop_map(Step::End),
        1 => (0..3usize).prop_map(Step::Revoke),
        8 => Just(Step::Take),
    ]
}

proptest! {
    #[test]
    fn commits_are_the_first_open_offsets_of_a_naive_model(
        lengths in proptest::collection::vec(1..6u64, 20),
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let mut starts = vec![0];
        starts.extend(lengths.iter().scan(0, |at, length| { *at += length; Some(*at) }));
        let (mut tracker, mut model, mut last) = (CommitTracker::default(), Model::default(), [0; 3]);
        (0..3).for_each(|partition| tracker.begin(partition, String::new(), 0, None));
        for step in steps {
            match step {
                Step::Settle(partition, run) => {
                    tracker.settle(&[range(partition as u32, starts[run], starts[run + 1])]);
                    model.settled[partition].extend(starts[run]..starts[run + 1]);
                }
                Step::End(partition) => {
                    tracker.end(partition as u32, starts[20]);
                    model.end[partition] = Some(starts[20]);
                }
                Step::Revoke(partition) => {
                    tracker.revoke(partition as u32);
                    model.gone[partition] = true;
                }
                Step::Take => {
                    let taken = tracker.take_commits();
                    for (partition, last) in last.iter_mut().enumerate() {
                        let offset = model.first_open(partition);
                        let commit = taken.iter().find(|one| one.commit.partition == partition as u32);
                        let is_finished = model.end[partition] == Some(offset);
                        let expected = !model.gone[partition] && (offset > *last || is_finished);
                        prop_assert_eq!(commit.is_some(), expected);
                        if let Some(commit) = commit {
                            prop_assert_eq!((commit.commit.offset, commit.is_finished), (offset, is_finished));
                            *last = offset;
                            model.gone[partition] = is_finished;
                        }
                    }
                }
            }
        }
        prop_assert_eq!(tracker.len(), model.gone.iter().filter(|gone| !**gone).count());
    }
}
