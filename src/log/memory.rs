//! The log in memory: for tests, and the reference that the durable logs are compared with.
//!
//! Contract: rows live in a store that is shared by every log opened on it, so that "reopened after a crash" can be
//! said of it too. Failures are injected by a script of calls and by a set of identities that it refuses.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::{EventLog, LogRow};
use crate::error::{Class, SinkError};
use crate::key::Identity;

/// What a script lets happen to one call.
#[derive(Debug)]
pub enum InjectedFailure {
    /// The call goes through.
    Nothing,
    /// It fails, and wrote nothing.
    Before(SinkError),
    /// It writes everything, and then fails: the reply was lost.
    After(SinkError),
}

/// Decides the fate of each append; it is given the number of the call, from 0.
pub type Script = Box<dyn FnMut(u64) -> InjectedFailure + Send>;

/// The rows that logs opened on it share.
pub type LoggedRows = Arc<Mutex<Vec<LogRow>>>;

/// A log that keeps its rows in memory.
#[derive(Default)]
pub struct MemoryLog {
    rows: LoggedRows,
    script: Option<Script>,
    refused: HashSet<Identity>,
    calls: u64,
}

impl MemoryLog {
    /// A log over rows that may hold some already.
    pub fn open(rows: LoggedRows) -> Self {
        Self {
            rows,
            ..Self::default()
        }
    }

    /// Lets a script decide over each call.
    #[must_use]
    pub fn with_script(
        mut self,
        script: impl FnMut(u64) -> InjectedFailure + Send + 'static,
    ) -> Self {
        self.script = Some(Box::new(script));
        self
    }

    /// Refuses every append that holds one of these events, with [`Class::Data`].
    #[must_use]
    pub fn refusing(mut self, identities: impl IntoIterator<Item = Identity>) -> Self {
        self.refused.extend(identities);
        self
    }

    fn injected(&mut self) -> InjectedFailure {
        let call = self.calls;
        self.calls += 1;
        self.script
            .as_mut()
            .map_or(InjectedFailure::Nothing, |script| script(call))
    }

    fn store(&self, rows: &[LogRow]) {
        let mut held = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend_from_slice(rows);
    }
}

impl EventLog for MemoryLog {
    fn append(&mut self, rows: &[LogRow]) -> Result<(), SinkError> {
        let injected = self.injected();
        if let InjectedFailure::Before(error) = injected {
            return Err(error);
        }
        let refused = |row: &LogRow| self.refused.contains(&row.event.identity);
        if rows.iter().any(refused) {
            return Err(SinkError::new("memory", Class::Data, "a row is refused"));
        }
        self.store(rows);
        match injected {
            InjectedFailure::After(error) => Err(error),
            _ => Ok(()),
        }
    }

    fn compact(&mut self) -> Result<(), SinkError> {
        let exact = exact_view(&self.rows);
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = exact;
        Ok(())
    }
}

/// What readers see: each identity once, at its highest version, in the order of identities.
///
/// Of two rows of one version it takes the one that was received first.
pub fn exact_view(rows: &LoggedRows) -> Vec<LogRow> {
    let rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
    let mut best: BTreeMap<Identity, &LogRow> = BTreeMap::new();
    for row in rows.iter() {
        let held = best.entry(row.event.identity).or_insert(row);
        if rank(row) > rank(held) {
            *held = row;
        }
    }
    best.into_values().cloned().collect()
}

fn rank(row: &LogRow) -> (super::Version, std::cmp::Reverse<crate::event::Millis>) {
    (
        row.version,
        std::cmp::Reverse(row.event.delivery.received_at),
    )
}
