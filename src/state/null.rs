//! A store that knows recipients, in memory, and keeps nothing else: for measuring the dataflow without its sinks.

use super::sqlite::SqliteStore;
use super::view::Export;
use super::{
    Applied, BatchRow, Checkpoint, Effect, LatePage, LoadId, LoadKind, LoadOutcome, LoadSummary,
    Mapping, MappingCursor, Outcome, Prune, Pruned, RecipientRow, StateEvent, StateStore,
};
use crate::error::{Fatal, SinkError};
use crate::event::{Millis, Reject};
use crate::key::{Bucket, Identity};

/// Calls every event new and forgets it.
#[derive(Debug)]
pub struct NullStore {
    recipients: SqliteStore,
}

impl NullStore {
    /// A store without recipients.
    pub fn new() -> Result<Self, Fatal> {
        let recipients = SqliteStore::in_memory()?;
        Ok(Self { recipients })
    }
}

impl StateStore for NullStore {
    fn apply(&mut self, events: &[StateEvent]) -> Result<Applied, SinkError> {
        let outcome = |event: &StateEvent| match event.effect {
            Effect::Apply(_) => Outcome::Applied,
            Effect::LogOnly => Outcome::LoggedOnly,
            Effect::Park(_) => Outcome::Unmatched,
        };
        Ok(Applied {
            outcomes: events.iter().map(outcome).collect(),
            ..Applied::default()
        })
    }

    fn write_dead_letters(&mut self, _rejects: &[Reject]) -> Result<(), SinkError> {
        Ok(())
    }

    fn begin_load(&mut self, kind: LoadKind) -> Result<LoadId, SinkError> {
        self.recipients.begin_load(kind)
    }

    fn load_recipients(
        &mut self,
        load: LoadId,
        rows: &[RecipientRow],
    ) -> Result<Vec<LoadOutcome>, SinkError> {
        self.recipients.load_recipients(load, rows)
    }

    fn load_batches(&mut self, load: LoadId, rows: &[BatchRow]) -> Result<(), SinkError> {
        self.recipients.load_batches(load, rows)
    }

    fn finish_load(&mut self, load: LoadId) -> Result<LoadSummary, SinkError> {
        self.recipients.finish_load(load)
    }

    fn mappings(
        &mut self,
        after: MappingCursor,
        limit: usize,
    ) -> Result<(Vec<Mapping>, MappingCursor), SinkError> {
        self.recipients.mappings(after, limit)
    }

    fn late_matches(&mut self, _after: Identity, _rows: usize) -> Result<LatePage, SinkError> {
        Ok(LatePage::default())
    }

    fn parked(&mut self) -> Result<u64, SinkError> {
        Ok(0)
    }

    fn unpark(&mut self, _identities: &[Identity]) -> Result<(), SinkError> {
        Ok(())
    }

    fn judge_deadlines(&mut self, _now: Millis) -> Result<u64, SinkError> {
        Ok(0)
    }

    fn checkpoint(&mut self, _partitions: &[Checkpoint]) -> Result<(), SinkError> {
        Ok(())
    }

    fn checkpoints(&mut self, _job: &str) -> Result<Vec<Checkpoint>, SinkError> {
        Ok(Vec::new())
    }

    fn known(&mut self, events: &[(Bucket, Identity)]) -> Result<Vec<bool>, SinkError> {
        Ok(vec![false; events.len()])
    }

    fn prune(&mut self, _what: &Prune, _rows_max: u32) -> Result<Pruned, SinkError> {
        Ok(Pruned::default())
    }

    fn drop_dead_letters(&mut self, _before: Millis, _rows_max: u32) -> Result<u64, SinkError> {
        Ok(0)
    }

    fn export(&mut self) -> Result<Export, SinkError> {
        self.recipients.export()
    }
}
