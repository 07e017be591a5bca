//! The fold against a reference that keeps every event.

use proptest::prelude::*;

use super::super::flags::{Status, flag_of};
use super::*;
use crate::event::{BounceClass, Kind};

type SeenEvent = (Flag, Millis);

fn seen() -> impl Strategy<Value = SeenEvent> {
    (0..FLAG_COUNT, -5i64..50).prop_map(|(flag, at)| (Flag::ALL[flag], Millis(at)))
}

/// The naive reference: looks at the whole list for every question.
fn naive(events: &[SeenEvent]) -> RowState {
    let mut state = RowState::default();
    for flag in Flag::ALL {
        let times = || events.iter().filter(|(f, _)| *f == flag).map(|(_, at)| *at);
        if let (Some(first), Some(last)) = (times().min(), times().max()) {
            state.flags.0 |= 1 << flag as u16;
            state.first[flag.index()] = first;
            state.last[flag.index()] = last;
        }
    }
    state
}

fn fold(events: &[SeenEvent]) -> RowState {
    let mut state = RowState::default();
    for (flag, time) in events {
        state.add(*flag, *time);
    }
    state
}

proptest! {
    #[test]
    fn order_and_copies_change_nothing(
        events in proptest::collection::vec(seen(), 0..40),
        shuffled in any::<prop::sample::Index>(),
        copies in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut other = events.clone();
        if !events.is_empty() {
            other.rotate_left(shuffled.index(events.len()));
            other.reverse();
            other.extend(copies.iter().map(|at| events[at.index(events.len())]));
        }
        prop_assert_eq!(fold(&other), naive(&events));
    }

    #[test]
    fn splitting_changes_neither_state_nor_counters(
        events in proptest::collection::vec(seen(), 0..40),
        cut in 0usize..40,
    ) {
        let (left, right) = events.split_at(cut.min(events.len()));
        let mut state = RowState::default();
        let mut deltas = Deltas::default();
        for part in [left, right] {
            let before = state;
            state.merge(&fold(part));
            deltas.transition(Transition::between(before.flags, state.flags));
        }
        prop_assert_eq!(state, naive(&events));
        prop_assert_eq!(deltas.finished, u64::from(state.flags.finished()));
        for flag in Flag::ALL {
            prop_assert_eq!(deltas.unique[flag.index()], u64::from(state.flags.has(flag)));
        }
    }
}

#[test]
fn the_status_is_the_highest_flag() {
    let order = [
        Flag::Sent,
        Flag::Deferred,
        Flag::Dropped,
        Flag::Failed,
        Flag::BouncedSoft,
        Flag::Delivered,
        Flag::Opened,
        Flag::Clicked,
        Flag::BouncedHard,
        Flag::Unsubscribed,
        Flag::Complained,
    ];
    let mut flags = Flag::MachineOpened.bit();
    assert_eq!(flags.status(), Status::Pending);
    for (rank, flag) in order.into_iter().enumerate() {
        flags = flags.or(flag.bit());
        assert_eq!(flags.status() as usize, rank + 1);
        assert_eq!(flags.status().name(), flag.name());
    }
}

#[test]
fn a_machine_open_sets_its_own_flag_only() {
    assert_eq!(flag_of(Kind::Opened, None, true), Some(Flag::MachineOpened));
    assert!(!Flag::MachineOpened.bit().finished());
    assert_eq!(flag_of(Kind::Other, None, false), None);
    let undetermined = Some(BounceClass::Undetermined);
    assert_eq!(
        flag_of(Kind::Bounced, undetermined, false),
        Some(Flag::BouncedSoft)
    );
}
