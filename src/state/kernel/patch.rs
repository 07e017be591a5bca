//! One patch for each state row of a write, and what it means for counters and outcomes.

use std::collections::BTreeMap;

use super::flags::{Flag, Flags, Status, flag_of};
use super::fold::{Deltas, EventTotals, RowState, Transition};
use super::ledger::LedgerVerdict;
use crate::state::{Applied, Effect, Outcome, RowId, StateEvent};

/// By how much each batch's counters grow, by the store's number of the batch.
pub(in crate::state) type BatchDeltas = BTreeMap<i64, Deltas>;

/// What one write does to one state row.
#[derive(Clone, Debug)]
pub(in crate::state) struct RowPatch {
    pub(in crate::state) row: RowId,
    /// The flags to set, each with its earliest and latest time.
    pub(in crate::state) state: RowState,
    /// Counted events that the ledger had not seen.
    totals: EventTotals,
    /// Events that are older than what was pruned: place in the write, and flag.
    late: Vec<(u32, Flag)>,
    #[cfg(feature = "faults")]
    last: Option<Flag>,
}

/// A state row before and after its patch.
#[derive(Clone, Copy, Debug)]
pub(in crate::state) struct RowChange {
    /// The store's number of its batch; none for transactional mail.
    pub(in crate::state) batch: Option<i64>,
    pub(in crate::state) before: Flags,
    pub(in crate::state) after: Flags,
    /// Flags or times changed.
    pub(in crate::state) written: bool,
}

/// The patches of a write, in the order of their rows.
pub(in crate::state) fn patches(
    events: &[StateEvent],
    verdicts: &[LedgerVerdict],
) -> Vec<RowPatch> {
    let mut hits: Vec<(RowId, u32, Flag)> = (0u32..)
        .zip(events.iter().zip(verdicts))
        .filter(|(_, (_, verdict))| reaches_a_row(**verdict))
        .filter_map(|(index, (event, _))| {
            let Effect::Apply(row) = event.effect else {
                return None;
            };
            let flag = flag_of(event.kind, event.bounce_class, event.machine)?;
            Some((row, index, flag))
        })
        .collect();
    hits.sort_unstable_by_key(|(row, index, _)| (*row, *index));
    let mut patches: Vec<RowPatch> = Vec::new();
    for (row, index, flag) in hits {
        if patches.last().is_none_or(|patch| patch.row != row) {
            patches.push(RowPatch::new(row));
        }
        let at = index as usize;
        if let Some(patch) = patches.last_mut() {
            patch.add(index, flag, &events[at], verdicts[at]);
        }
    }
    patches
}

fn reaches_a_row(verdict: LedgerVerdict) -> bool {
    #[cfg(feature = "faults")]
    if verdict == LedgerVerdict::Known && faults::counts_every_event() {
        return true;
    }
    matches!(verdict, LedgerVerdict::New | LedgerVerdict::Late)
}

impl RowPatch {
    fn new(row: RowId) -> Self {
        Self {
            row,
            state: RowState::default(),
            totals: EventTotals::default(),
            late: Vec::new(),
            #[cfg(feature = "faults")]
            last: None,
        }
    }

    fn add(&mut self, index: u32, flag: Flag, event: &StateEvent, verdict: LedgerVerdict) {
        self.state.add(flag, event.time);
        if verdict == LedgerVerdict::Late {
            self.late.push((index, flag));
        } else {
            self.totals.count(flag);
        }
        #[cfg(feature = "faults")]
        {
            self.last = Some(flag);
        }
    }

    /// The status to store with these flags.
    pub(in crate::state) fn status(&self, after: Flags) -> Status {
        #[cfg(feature = "faults")]
        if let (Some(last), true) = (self.last, faults::last_write_wins()) {
            return last.bit().status();
        }
        after.status()
    }

    /// Counts what the patch changed: counters of the row's batch, and the outcomes of late events. A late event is
    /// applied if it set a flag, and raises no total.
    pub(in crate::state) fn settle(
        &self,
        change: &RowChange,
        applied: &mut Applied,
        grown: &mut BatchDeltas,
    ) {
        let mut set = change.before;
        for (index, flag) in &self.late {
            applied.late_total_refused += 1;
            if !set.has(*flag) {
                applied.outcomes[*index as usize] = Outcome::Applied;
            }
            set = set.or(flag.bit());
        }
        applied.recipients_changed += u64::from(change.written);
        let mut deltas = Deltas {
            totals: self.totals,
            ..Deltas::default()
        };
        deltas.transition(Transition::between(change.before, change.after));
        if let (Some(batch), false) = (change.batch, deltas.is_empty()) {
            grown.entry(batch).or_default().add(&deltas);
        }
    }
}

/// Wrong designs that the oracle must catch.
#[cfg(feature = "faults")]
mod faults {
    use crate::failpoint::faults::{Wrong, wrong};

    /// Totals grow by each copy.
    pub(super) fn counts_every_event() -> bool {
        wrong(Wrong::CountEveryEvent)
    }

    /// The status is that of the last event of the row.
    pub(super) fn last_write_wins() -> bool {
        wrong(Wrong::LastWriteWins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Kind, Millis};
    use crate::key::{Bucket, Identity};

    fn event(row: i64, kind: Kind, time: i64) -> StateEvent {
        StateEvent {
            identity: Identity(time as u128),
            bucket: Bucket(1),
            kind,
            bounce_class: None,
            machine: false,
            time: Millis(time),
            effect: Effect::Apply(RowId(row)),
        }
    }

    #[test]
    fn patch_merges_flags_times_and_totals_of_its_row() {
        let events = [
            event(2, Kind::Clicked, 9),
            event(1, Kind::Opened, 5),
            event(2, Kind::Clicked, 3),
            event(2, Kind::Clicked, 1),
        ];
        let verdicts = [
            LedgerVerdict::New,
            LedgerVerdict::New,
            LedgerVerdict::New,
            LedgerVerdict::Known,
        ];
        let patches = patches(&events, &verdicts);
        assert_eq!(patches.iter().map(|p| p.row.0).collect::<Vec<_>>(), [1, 2]);
        let clicked = Flag::Clicked.index();
        let state = &patches[1].state;
        assert_eq!(
            (state.first[clicked], state.last[clicked]),
            (Millis(3), Millis(9))
        );
        assert_eq!(patches[1].totals.clicks, 2);
    }

    #[test]
    fn settle_counts_transitions_once_and_totals_always() {
        let events = [event(1, Kind::Opened, 5)];
        let patch = patches(&events, &[LedgerVerdict::New]).remove(0);
        let (mut applied, mut grown) = (Applied::default(), BatchDeltas::new());
        let opened = Flag::Opened.bit();
        for before in [Flags::default(), opened] {
            let change = RowChange {
                batch: Some(7),
                before,
                after: opened,
                written: before != opened,
            };
            patch.settle(&change, &mut applied, &mut grown);
        }
        let deltas = grown[&7];
        assert_eq!(deltas.unique[Flag::Opened.index()], 1);
        assert_eq!((deltas.finished, deltas.totals.opens), (1, 2));
        assert_eq!(applied.recipients_changed, 1);
    }

    #[test]
    fn late_event_is_applied_only_if_it_sets_a_flag() {
        let events = [event(1, Kind::Opened, 5), event(1, Kind::Opened, 6)];
        let verdicts = [LedgerVerdict::Late; 2];
        let patch = patches(&events, &verdicts).remove(0);
        let mut applied = Applied {
            outcomes: vec![Outcome::Duplicate; 2],
            ..Applied::default()
        };
        let change = RowChange {
            batch: Some(7),
            before: Flags::default(),
            after: Flag::Opened.bit(),
            written: true,
        };
        let mut grown = BatchDeltas::new();
        patch.settle(&change, &mut applied, &mut grown);
        assert_eq!(applied.outcomes, [Outcome::Applied, Outcome::Duplicate]);
        assert_eq!(applied.late_total_refused, 2);
        assert_eq!(grown[&7].totals.opens, 0);
    }
}
