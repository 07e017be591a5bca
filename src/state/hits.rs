//! From verdicts to folds: which events of a batch reach which state rows, and what each does there.
//!
//! Every store that judges with a ledger shares this, so that all of them count alike. Contract: pure; hits are in the order
//! of their rows, and within a row in the order of arrival.

use super::fold::{Deltas, Flag, RowState, Status, flag_of};
use super::{Applied, Effect, Outcome, RowId, StateEvent};

/// What the ledger says of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was not stored before; it is now.
    New,
    /// It was stored before.
    Known,
    /// It is older than what was pruned: nobody can tell, and it is not stored.
    Late,
    /// It is to be parked, so the ledger takes no note of it.
    Parking,
}

/// One event that reaches a row.
#[derive(Clone, Copy)]
pub(super) struct Hit {
    pub(super) row: RowId,
    pub(super) index: u32,
    pub(super) flag: Flag,
    pub(super) verdict: Verdict,
}

/// The events that touch rows, sorted by row and then by arrival.
pub(super) fn hits(events: &[StateEvent], verdicts: &[Verdict]) -> Vec<Hit> {
    let mut hits: Vec<Hit> = (0u32..)
        .zip(events)
        .zip(verdicts)
        .filter(|(_, verdict)| touches(**verdict))
        .filter_map(|((index, event), verdict)| {
            let Effect::Apply(row) = event.effect else {
                return None;
            };
            let flag = flag_of(event.kind, event.bounce_class, event.machine)?;
            let verdict = *verdict;
            Some(Hit {
                row,
                index,
                flag,
                verdict,
            })
        })
        .collect();
    hits.sort_unstable_by_key(|hit| (hit.row, hit.index));
    hits
}

fn touches(verdict: Verdict) -> bool {
    #[cfg(feature = "faults")]
    if verdict == Verdict::Known && faults::counts_every_event() {
        return true;
    }
    matches!(verdict, Verdict::New | Verdict::Late)
}

/// The outcomes as far as the ledger decides them; rows and parked events correct theirs.
pub(super) fn outcomes(events: &[StateEvent], verdicts: &[Verdict]) -> Vec<Outcome> {
    events
        .iter()
        .zip(verdicts)
        .map(|(event, verdict)| match verdict {
            Verdict::New if counts(event) => Outcome::Applied,
            Verdict::New => Outcome::LoggedOnly,
            Verdict::Known | Verdict::Late | Verdict::Parking => Outcome::Duplicate,
        })
        .collect()
}

fn counts(event: &StateEvent) -> bool {
    matches!(event.effect, Effect::Apply(_))
        && flag_of(event.kind, event.bounce_class, event.machine).is_some()
}

/// Folds one event into its row and counts it.
pub(super) fn fold_hit(
    hit: &Hit,
    events: &[StateEvent],
    state: &mut RowState,
    deltas: &mut Deltas,
    applied: &mut Applied,
) {
    let index = hit.index as usize;
    let changed = state.add(hit.flag, events[index].time);
    match hit.verdict {
        Verdict::Late => {
            applied.late_total_refused += 1;
            if changed {
                applied.outcomes[index] = Outcome::Applied;
            }
        }
        _ => deltas.totals.count(hit.flag),
    }
}

/// The status to store.
#[cfg(not(feature = "faults"))]
pub(super) fn written_status(state: &RowState, _group: &[Hit]) -> Status {
    state.flags.status()
}

#[cfg(feature = "faults")]
pub(super) use faults::written_status;

/// Wrong designs that the oracle must catch.
#[cfg(feature = "faults")]
mod faults {
    use super::{Hit, RowState, Status};
    use crate::failpoint::faults::{Wrong, wrong};

    /// Totals grow by each copy.
    pub(super) fn counts_every_event() -> bool {
        wrong(Wrong::CountEveryEvent)
    }

    /// The status is that of the last event of the row.
    pub(in crate::state) fn written_status(state: &RowState, group: &[Hit]) -> Status {
        match group.last() {
            Some(last) if wrong(Wrong::LastWriteWins) => last.flag.bit().status(),
            _ => state.flags.status(),
        }
    }
}
