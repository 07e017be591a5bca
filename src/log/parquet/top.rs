//! The earliest events that a query found so far.
//!
//! Contract: it holds at most `keep` events. Every event whose best row lies before [`Top::cutoff`] is held, once
//! [`Top::verify`] has seen every row: what was pushed out lies at or after the cutoff.

use std::collections::{BTreeSet, HashMap};

use super::chunk::Rank;
use crate::error::SinkError;
use crate::log::LoggedEvent;

/// The place of an event in the answer: its time, then its identity.
pub(super) type EventPosition = (i64, u128);

struct TopEntry {
    rank: Rank,
    place: EventPosition,
    /// None once a better row of the event turned out not to match.
    event: Option<LoggedEvent>,
}

/// The earliest events, each at its best row.
pub(super) struct Top {
    keep: usize,
    held: HashMap<u128, TopEntry>,
    order: BTreeSet<EventPosition>,
    cutoff: Option<EventPosition>,
}

impl Top {
    pub(super) fn new(keep: usize) -> Self {
        Self {
            keep,
            held: HashMap::new(),
            order: BTreeSet::new(),
            cutoff: None,
        }
    }

    /// Where the answer ends to be complete; none if nothing was pushed out.
    pub(super) const fn cutoff(&self) -> Option<EventPosition> {
        self.cutoff
    }

    /// Offers a row that matches.
    pub(super) fn offer(
        &mut self,
        place: EventPosition,
        rank: Rank,
        read: impl FnOnce() -> Result<LoggedEvent, SinkError>,
    ) -> Result<(), SinkError> {
        match self.held.get(&place.1) {
            Some(held) if held.rank >= rank => return Ok(()),
            None if self.cutoff.is_some_and(|cutoff| place >= cutoff) => return Ok(()),
            _ => {}
        }
        let event = Some(read()?);
        let held = TopEntry { rank, place, event };
        if let Some(old) = self.held.insert(place.1, held) {
            self.order.remove(&old.place);
        }
        self.order.insert(place);
        self.trim();
        Ok(())
    }

    fn trim(&mut self) {
        while self.order.len() > self.keep {
            let Some(last) = self.order.pop_last() else {
                return;
            };
            self.held.remove(&last.1);
            self.cutoff = Some(self.cutoff.map_or(last, |cutoff| cutoff.min(last)));
        }
    }

    /// Whether a row is a better one of an event that is held.
    pub(super) fn is_better(&self, identity: u128, rank: Rank) -> bool {
        self.held
            .get(&identity)
            .is_some_and(|held| rank > held.rank)
    }

    /// Takes a better row: the event if it matches, none if it does not.
    pub(super) fn verify(&mut self, place: EventPosition, rank: Rank, event: Option<LoggedEvent>) {
        if let Some(held) = self.held.get_mut(&place.1) {
            *held = TopEntry { rank, place, event };
        }
    }

    /// The events before the cutoff, in order.
    pub(super) fn into_events(self) -> Vec<LoggedEvent> {
        let cutoff = self.cutoff;
        let known = |held: &TopEntry| cutoff.is_none_or(|cutoff| held.place < cutoff);
        let mut found: Vec<TopEntry> = self.held.into_values().filter(known).collect();
        found.sort_unstable_by_key(|held| held.place);
        found.into_iter().filter_map(|held| held.event).collect()
    }
}
