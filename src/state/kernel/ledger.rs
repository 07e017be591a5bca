//! Which events the ledger judges, and what its answer means for each of them.

use super::flags::flag_of;
use crate::key::{Bucket, Identity};
use crate::state::{Effect, Outcome, StateEvent};

/// The primary key of the ledger.
pub(in crate::state) type LedgerKey = (Bucket, Identity);

/// What the ledger says of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state) enum LedgerVerdict {
    /// It was not stored before; it is now.
    New,
    /// It was stored before, or is a copy of an earlier event of this write.
    Known,
    /// It is older than what was pruned: whether it is new is unknown, and it is not stored.
    Late,
    /// It is to be parked and does not enter the ledger.
    Unjudged,
}

/// Whether the ledger stores this event.
const fn enters_ledger(event: &StateEvent) -> bool {
    !matches!(event.effect, Effect::Park(_))
}

/// The ledger keys of one write, sorted, with the places of their events.
pub(in crate::state) struct LedgerKeys {
    keys: Vec<(LedgerKey, u32)>,
    events: usize,
}

impl LedgerKeys {
    pub(in crate::state) fn of(events: &[StateEvent]) -> Self {
        let mut keys: Vec<_> = (0u32..)
            .zip(events)
            .filter(|(_, event)| enters_ledger(event))
            .map(|(index, event)| ((event.bucket, event.identity), index))
            .collect();
        keys.sort_unstable();
        Self {
            keys,
            events: events.len(),
        }
    }

    /// Each key once, in order.
    pub(in crate::state) fn distinct(&self) -> Vec<LedgerKey> {
        let mut distinct: Vec<LedgerKey> = self.keys.iter().map(|(key, _)| *key).collect();
        distinct.dedup();
        distinct
    }

    /// The verdict on each event, in the order of the write. `inserted` are the keys that were not stored before, sorted;
    /// `dropped_before` is the hour below which keys may have been pruned.
    pub(in crate::state) fn verdicts(
        &self,
        dropped_before: Bucket,
        inserted: &[LedgerKey],
    ) -> Vec<LedgerVerdict> {
        let mut verdicts = vec![LedgerVerdict::Unjudged; self.events];
        let mut previous = None;
        for (key, index) in &self.keys {
            let first = previous.replace(key) != Some(key);
            verdicts[*index as usize] = if is_late(key.0, dropped_before) {
                LedgerVerdict::Late
            } else if first && inserted.binary_search(key).is_ok() {
                LedgerVerdict::New
            } else {
                LedgerVerdict::Known
            };
        }
        verdicts
    }
}

/// Whether keys of this hour may have been pruned. Events without a fixed time never are late.
pub(in crate::state) fn is_late(bucket: Bucket, dropped_before: Bucket) -> bool {
    bucket != Bucket::NONE && bucket < dropped_before
}

/// The outcomes as far as the ledger decides them; [`super::Parking`] and [`super::RowPatch::settle`] correct theirs.
pub(in crate::state) fn initial_outcomes(
    events: &[StateEvent],
    verdicts: &[LedgerVerdict],
) -> Vec<Outcome> {
    let outcome = |(event, verdict): (&StateEvent, &LedgerVerdict)| match verdict {
        LedgerVerdict::New if changes_a_row(event) => Outcome::Applied,
        LedgerVerdict::New => Outcome::LoggedOnly,
        _ => Outcome::Duplicate,
    };
    events.iter().zip(verdicts).map(outcome).collect()
}

fn changes_a_row(event: &StateEvent) -> bool {
    matches!(event.effect, Effect::Apply(_))
        && flag_of(event.kind, event.bounce_class, event.machine).is_some()
}
