//! Which parked rows a write deletes, and which events it parks.
//!
//! Parked events are not in the ledger. Whoever applies an event deletes its parked copy in the same transaction.

use std::collections::HashSet;

use super::ledger::LedgerVerdict;
use crate::event::Event;
use crate::key::Identity;
use crate::state::{Effect, StateEvent};

/// One event to be parked: its first copy in the write, where that is, and how many copies there are.
pub(in crate::state) struct ParkRequest<'a> {
    pub(in crate::state) event: &'a Event,
    pub(in crate::state) index: usize,
    pub(in crate::state) copies: u64,
}

/// What a write does to the parked table, in the order of identities.
pub(in crate::state) struct Parking<'a> {
    /// Every identity of the write, and whether a parked copy of it is to be deleted.
    pub(in crate::state) touched: Vec<(Identity, bool)>,
    /// To be parked, where the ledger does not hold them.
    pub(in crate::state) requests: Vec<ParkRequest<'a>>,
}

impl<'a> Parking<'a> {
    pub(in crate::state) fn of(events: &'a [StateEvent], verdicts: &[LedgerVerdict]) -> Self {
        Self {
            touched: touched(events),
            requests: requests(events, verdicts),
        }
    }
}

fn touched(events: &[StateEvent]) -> Vec<(Identity, bool)> {
    let is_applied = |event: &StateEvent| !matches!(event.effect, Effect::Park(_));
    let mut all: Vec<_> = events
        .iter()
        .map(|event| (event.identity, is_applied(event)))
        .collect();
    // Of an event that comes both ways the applied copy decides; it sorts last.
    all.sort_unstable();
    all.reverse();
    all.dedup_by_key(|(identity, _)| *identity);
    all.reverse();
    all
}

fn requests<'a>(events: &'a [StateEvent], verdicts: &[LedgerVerdict]) -> Vec<ParkRequest<'a>> {
    // Late events are applied without a trace in the ledger.
    let late: HashSet<Identity> = events
        .iter()
        .zip(verdicts)
        .filter(|(_, verdict)| **verdict == LedgerVerdict::Late)
        .map(|(event, _)| event.identity)
        .collect();
    let mut all: Vec<(&Event, usize)> = events
        .iter()
        .enumerate()
        .filter_map(|(index, event)| match &event.effect {
            Effect::Park(parked) if !late.contains(&event.identity) => Some((&**parked, index)),
            _ => None,
        })
        .collect();
    all.sort_unstable_by_key(|(event, index)| (event.identity, *index));
    all.chunk_by(|a, b| a.0.identity == b.0.identity)
        .filter_map(|copies| {
            let (event, index) = *copies.first()?;
            let copies = copies.len() as u64;
            Some(ParkRequest {
                event,
                index,
                copies,
            })
        })
        .collect()
}
