//! Late matches: parked events whose recipient is known by now.
//!
//! A match is logged first (version 1, durably; repeating it is harmless), then one transaction applies the event and
//! deletes the parked row. It counts exactly as if it had just arrived. Nothing here looks at the arrangements: a
//! sweep asks the store, so no race between parking and loading can strand an event for longer than one pass.

use std::sync::Arc;

use crate::enrich::directory::Match;
use crate::error::SinkError;
use crate::failpoint::{self, Failpoint};
use crate::key::Identity;
use crate::log::{LogRow, Version};
use crate::metrics::{Counter, Gauge, Metrics};
use crate::sink::rows;
use crate::sink::writer::{LogHandle, StateHandle};
use crate::state::{LateMatch, Outcome, StateEvent};

/// Parked events of one look, and so at most of one transaction.
const CHUNK: usize = 5_000;

/// What a sweep needs.
#[derive(Clone)]
pub struct Sweeper {
    /// The store that parks and applies.
    pub state: StateHandle,
    /// The log.
    pub log: LogHandle,
    /// The job's counts.
    pub metrics: Arc<Metrics>,
}

impl Sweeper {
    /// Matches everything that can be matched now; how many events left the parked table.
    pub fn sweep(&self) -> Result<u64, SinkError> {
        let (mut next, mut matched) = (Some(Identity::default()), 0);
        while let Some(after) = next {
            let page = self
                .state
                .call_until_done(move |store| store.late_matches(after, CHUNK))?;
            next = page.next;
            matched += page.matches.len() as u64;
            if !page.matches.is_empty() {
                self.apply(page.matches)?;
            }
        }
        self.look()?;
        Ok(matched)
    }

    /// Shows how many events are parked.
    pub fn look(&self) -> Result<(), SinkError> {
        let parked = self.state.call_until_done(|store| store.parked())?;
        self.metrics.set(Gauge::Parked, parked);
        Ok(())
    }

    fn apply(&self, matches: Vec<LateMatch>) -> Result<(), SinkError> {
        let (events, log): (Vec<StateEvent>, Vec<LogRow>) =
            matches.into_iter().map(rows_of).unzip();
        self.log.append(log)?;
        let applied = failpoint::run(Failpoint::LateMatch, || {
            self.state
                .call_until_done(move |store| store.apply(&events))
        })?;
        let count = |what| {
            applied
                .outcomes
                .iter()
                .filter(|outcome| **outcome == what)
                .count() as u64
        };
        self.metrics
            .count(Counter::LateMatched, count(Outcome::Applied));
        self.metrics
            .count(Counter::RecipientsChanged, applied.recipients_changed);
        self.metrics.count(Counter::Completions, applied.completed);
        Ok(())
    }
}

fn rows_of(late: LateMatch) -> (StateEvent, LogRow) {
    let (delivery, index) = (late.event.delivery.origin, late.event.index);
    tracing::debug!(%delivery, index, "a recipient is known now");
    let found = Match {
        row: late.row_id,
        batch_id: late.batch_id,
        recipient_id: late.recipient_id,
    };
    let ((state, _), log) = rows::rows(late.event, Some(found));
    debug_assert_eq!(log.version, Version::Matched);
    (state, log)
}
