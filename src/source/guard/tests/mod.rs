mod lives;

use super::*;

fn kept(deaths: u32, running: bool, named: Option<(u64, u64)>) -> PartitionAttempt {
    PartitionAttempt {
        partition: "a".into(),
        floor: 10,
        deaths,
        running,
        named,
        until: 10,
        condemned: None,
    }
}

#[test]
fn nothing_is_handed_out_before_the_row_is_durable() {
    let mut guard = Guard::default();
    guard.begin(0, "a", 10, None);
    let waiting = |n: usize| 10 + n as u64;
    assert_eq!(guard.permit(0, 3, waiting), Permit::Wait);
    let rows = guard.to_write();
    assert!(rows[0].running);
    assert_eq!(guard.permit(0, 3, waiting), Permit::Wait);
    guard.written();
    assert_eq!(guard.permit(0, 3, waiting), Permit::Go(usize::MAX));
}

#[test]
fn an_end_that_was_told_counts_for_nothing() {
    for _ in 0..20 {
        let mut guard = Guard::default();
        guard.begin(0, "a", 10, Some(kept(0, true, None)));
        assert!(guard.is_suspicious());
        guard.begin(0, "a", 10, Some(kept(0, false, None)));
        assert!(!guard.is_suspicious());
    }
    let mut guard = Guard::default();
    guard.begin(0, "a", 10, None);
    guard.permit(0, 1, |_| 10);
    guard.to_write();
    guard.written();
    guard.end_all();
    assert!(!guard.to_write()[0].running);
    assert_eq!(guard.permit(0, 1, |_| 10), Permit::Wait);
}

#[test]
fn only_the_named_one_is_condemned_and_only_after_five_deaths() {
    let mut guard = Guard::default();
    guard.begin(0, "a", 10, Some(kept(4, true, Some((10, 11)))));
    assert!(matches!(
        guard.permit(0, 9, |n| 10 + n as u64),
        Permit::Wait
    ));
    assert_eq!(guard.to_write()[0].named, Some((10, 11)));
    guard.written();
    assert_eq!(guard.permit(0, 9, |n| 10 + n as u64), Permit::Go(1));

    guard.begin(0, "a", 10, Some(kept(5, true, Some((12, 13)))));
    // What settled before it was named, and whose settlement the broker does not know, goes first.
    assert_eq!(guard.permit(0, 9, |n| 10 + n as u64), Permit::Wait);
    guard.to_write();
    guard.written();
    assert_eq!(guard.permit(0, 9, |n| 10 + n as u64), Permit::Go(2));
    guard.handed_out(0, 12);
    assert_eq!(guard.permit(0, 7, |n| 12 + n as u64), Permit::Wait);
    guard.settled(0, 12);
    let mut permit = guard.permit(0, 7, |n| 12 + n as u64);
    if permit == Permit::Wait {
        guard.to_write();
        guard.written();
        permit = guard.permit(0, 7, |n| 12 + n as u64);
    }
    assert_eq!(permit, Permit::Condemned);
}

#[test]
fn the_gate_reads_after_the_lane_began_and_waits_for_its_rows() {
    let mut gate = Gate::open();
    gate.begin(3, "a", 7);
    assert_eq!(gate.permit(3, 1, |_| 7), Permit::Wait);
    assert_eq!(gate.permit(3, 1, |_| 7), Permit::Go(usize::MAX));
    gate.handed_out(3, 8);
    gate.end(&[3], std::time::Instant::now());
    assert_eq!(gate.permit(3, 1, |_| 8), Permit::Wait);
}

#[test]
fn a_death_is_kept_before_another_lane_hands_anything_out() {
    let mut guard = Guard::default();
    guard.begin(0, "a", 10, Some(kept(2, true, Some((10, 14)))));
    guard.begin(1, "b", 0, None);
    assert_eq!(guard.permit(1, 1, |_| 0), Permit::Wait);
    let rows = guard.to_write();
    let row = rows.iter().find(|row| row.partition == "a").unwrap();
    assert_eq!((row.deaths, row.running, row.until), (3, false, 14));
}

#[test]
fn what_comes_before_a_run_that_is_named_already_is_named_itself() {
    let mut guard = Guard::default();
    guard.begin(0, "a", 10, Some(kept(4, true, Some((12, 13)))));
    assert_eq!(guard.permit(0, 2, |n| 12 + n as u64), Permit::Wait);
    assert_eq!(guard.to_write()[0].named, Some((12, 13)));
    guard.written();
    assert_eq!(guard.permit(0, 3, |n| 11 + n as u64), Permit::Wait);
    assert_eq!(guard.to_write()[0].named, Some((11, 12)));
    guard.written();
    assert_eq!(guard.permit(0, 3, |n| 11 + n as u64), Permit::Go(1));
}

#[test]
fn what_is_told_twice_is_no_progress() {
    let mut guard = Guard::default();
    guard.begin(0, "a", 10, Some(kept(3, true, Some((10, 14)))));
    for _ in 0..20 {
        guard.settled(0, 10);
    }
    assert!(guard.is_suspicious());
    assert_eq!(guard.width(), 4);
}

/// Asks until it is answered.
fn permit(guard: &mut Guard, partition: u32, first: u64, waiting: usize) -> Permit {
    let position = |n: usize| first + n as u64;
    match guard.permit(partition, waiting, position) {
        Permit::Wait => {}
        permit => return permit,
    }
    guard.to_write();
    guard.written();
    guard.permit(partition, waiting, position)
}

#[test]
fn what_comes_late_goes_before_what_it_keeps_from_being_acknowledged() {
    let mut guard = Guard::default();
    let row = PartitionAttempt {
        until: 1_000,
        ..kept(5, true, Some((10, 11)))
    };
    guard.begin(0, "a", 10, Some(row));
    guard.begin(1, "b", 0, None);
    assert_eq!(permit(&mut guard, 0, 10, 9), Permit::Condemned);
    guard.handed_out(0, 11);
    guard.settled(0, 11);
    assert_eq!(permit(&mut guard, 0, 11, 8), Permit::Go(1));
    guard.handed_out(0, 12);
    assert_eq!(permit(&mut guard, 0, 8, 3), Permit::Wait);
    assert_eq!(permit(&mut guard, 1, 0, 1), Permit::Wait);
    guard.goes_on_from(0, 8);
    assert_eq!(permit(&mut guard, 0, 8, 3), Permit::Go(1));
    let row = guard.partitions[&0].row.clone();
    assert_eq!((row.named, row.running), (Some((8, 9)), true));
    guard.handed_out(0, 9);
    assert_eq!(permit(&mut guard, 1, 0, 1), Permit::Wait, "8 is in work");
    guard.settled(0, 12);
    assert_eq!(permit(&mut guard, 1, 0, 1), Permit::Go(1));
}

#[test]
fn suspect_lanes_have_every_second_turn_and_who_went_last_asks_last() {
    let mut guard = Guard::default();
    for partition in [1, 4, 7] {
        guard.begin(partition, "a", 0, None);
    }
    for partition in [2, 5] {
        guard.begin(partition, "a", 10, Some(kept(5, true, Some((10, 12)))));
    }
    let mut turns = Vec::new();
    for _ in 0..7 {
        let turn = guard.in_turn([7, 5, 4, 2, 1].into_iter());
        assert_eq!(turn.len(), 5);
        guard.handed_out(turn[0], 5);
        turns.push(turn[0]);
    }
    assert_eq!(turns, [2, 1, 5, 4, 2, 7, 5]);
}

#[test]
fn a_lane_that_pauses_is_not_accused_and_lets_others_go() {
    let mut guard = Guard::default();
    guard.begin(0, "a", 10, Some(kept(5, true, Some((10, 12)))));
    guard.begin(1, "b", 0, None);
    assert_eq!(permit(&mut guard, 0, 10, 9), Permit::Go(1));
    assert_eq!(guard.partitions[&0].row.named, Some((10, 11)));
    assert_eq!(permit(&mut guard, 1, 0, 1), Permit::Wait);
    guard.pauses(0);
    let row = &guard.partitions[&0].row;
    assert_eq!((row.named, row.running), (None, false));
    assert_eq!(permit(&mut guard, 1, 0, 1), Permit::Go(1));
}

#[test]
fn what_ends_the_process_before_a_condemned_one_is_found_first() {
    let mut row = PartitionAttempt {
        until: 1_000,
        condemned: Some(12),
        ..kept(5, false, None)
    };
    let mut seen = Vec::new();
    // 8 was a dead letter before, and comes again: the broker has forgotten.
    for _ in 0..3 {
        let mut guard = Guard::default();
        guard.begin(0, "a", 8, Some(row));
        seen.push(permit(&mut guard, 0, 8, 9));
        guard.handed_out(0, 9);
        row = guard.partitions[&0].row.clone();
    }
    assert_eq!(seen, [Permit::Go(4), Permit::Go(1), Permit::Condemned]);
}

/// Knows these rows, and takes all others.
#[derive(Debug)]
struct Rows(Vec<PartitionAttempt>, std::collections::VecDeque<Answer>);

impl AttemptStore for Rows {
    fn read(&mut self, _lanes: Vec<String>) {
        self.1.push_back(Answer::Kept(self.0.clone()));
    }

    fn write(&mut self, _rows: Vec<PartitionAttempt>) {
        self.1.push_back(Answer::Written);
    }

    fn answer(&mut self, _wait: std::time::Duration) -> Option<Answer> {
        self.1.pop_front()
    }
}

#[test]
fn a_lane_that_is_trusted_is_asked_again_when_another_one_is_suspect() {
    let suspect = kept(4, true, Some((10, 14)));
    let mut gate = Gate::new(Box::new(Rows(vec![suspect], Default::default())));
    gate.begin(0, "b", 0);
    assert_eq!(gate.permit(0, 1, |_| 0), Permit::Wait);
    assert_eq!(gate.permit(0, 1, |_| 0), Permit::Go(usize::MAX));
    gate.begin(1, "a", 10);
    gate.turn();
    assert!(gate.is_suspicious() && !gate.is_beginning());
    let mut permit = Permit::Wait;
    for _ in 0..3 {
        permit = gate.permit(0, 9, |n| n as u64);
    }
    assert!(
        matches!(permit, Permit::Go(count) if count <= 9),
        "{permit:?}"
    );
    gate.end_all();
    assert_eq!(gate.permit(0, 9, |n| n as u64), Permit::Wait);
}
