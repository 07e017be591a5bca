//! A state store in memory: the second opinion on every other store.
//!
//! Contract: that of [`StateStore`], but for durability. It shares only the fold with the other stores and is as plain as
//! possible: maps, loops, one event after the other.

mod apply;
mod load;
mod query;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hookflow::error::SinkError;
use hookflow::event::{Event, Millis, Reject, User};
use hookflow::key::{AddressKey, Bucket, Identity, JoinKey, RejectKey, RowKey};
use hookflow::state::kernel::{Deltas, RowState};
use hookflow::state::view::{DeadLetterView, Export};
use hookflow::state::{
    Applied, BatchRow, Checkpoint, Completion, LatePage, LoadId, LoadKind, LoadOutcome,
    LoadSummary, Mapping, MappingCursor, Prune, Pruned, RecipientRow, RowId, StateEvent,
    StateStore,
};

/// The name of a batch: tenant and id.
type BatchName = (User, String);

/// A store that lives as long as its value.
#[derive(Debug, Default)]
pub struct ReferenceStore {
    /// Every identity, with the time at which it was stored.
    ledger: BTreeMap<(Bucket, Identity), Millis>,
    dropped_before: Bucket,
    parked: BTreeMap<Identity, Event>,
    rows: BTreeMap<RowId, Recipient>,
    row_ids: HashMap<RowKey, RowId>,
    /// In the order of acceptance; the number of a mapping is its place, from 1.
    messages: Vec<Message>,
    by_key: BTreeMap<(JoinKey, AddressKey), usize>,
    batches: BTreeMap<BatchName, Batch>,
    outbox: Vec<(Completion, Option<Millis>)>,
    dead_letters: BTreeMap<RejectKey, DeadLetterView>,
    checkpoints: BTreeMap<(String, String), Checkpoint>,
    /// The load that has not ended.
    load: Option<Load>,
    loads: i64,
}

#[derive(Clone, Debug)]
struct Recipient {
    user: User,
    batch_id: String,
    recipient_id: String,
    state: RowState,
    load: i64,
}

#[derive(Clone, Debug)]
struct Message {
    mapping: Mapping,
    load: i64,
}

#[derive(Clone, Debug, Default)]
struct Batch {
    given: bool,
    total: Option<u64>,
    sealed_at: Option<Millis>,
    deadline: Option<Millis>,
    generation: u64,
    recipients: u64,
    counters: Deltas,
    completed: Option<(Millis, &'static str)>,
}

#[derive(Clone, Debug)]
struct Load {
    id: i64,
    kind: LoadKind,
    touched: BTreeSet<BatchName>,
    given: BTreeMap<BatchName, BatchRow>,
    contradictions: u64,
}

impl ReferenceStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The dead letters by their identity, raw bytes included.
    pub fn dead_letters(&self) -> Vec<DeadLetterView> {
        self.dead_letters.values().cloned().collect()
    }

    fn open_load(&self) -> i64 {
        self.load.as_ref().map_or(0, |load| load.id)
    }

    /// Completes a batch if it is sealed and not complete; the caller has judged that it is due.
    fn fire(&mut self, name: &BatchName, cause: &'static str, now: Millis) -> bool {
        let Some(batch) = self.batches.get_mut(name) else {
            return false;
        };
        if batch.sealed_at.is_none() || batch.completed.is_some() {
            return false;
        }
        batch.completed = Some((now, cause));
        let completion = Completion {
            user: name.0.clone(),
            batch_id: name.1.clone(),
            generation: batch.generation,
            cause: cause.to_owned(),
            completed_at: now,
        };
        self.outbox.push((completion, None));
        true
    }
}

impl Batch {
    fn all_finished(&self) -> bool {
        self.total
            .is_some_and(|total| self.counters.finished >= total)
    }

    /// The total that completion waits for, once it is final.
    fn sealed_total(&self) -> Option<u64> {
        self.sealed_at.and(self.total)
    }
}

impl StateStore for ReferenceStore {
    fn apply(&mut self, events: &[StateEvent]) -> Result<Applied, SinkError> {
        self.apply_batch(events)
    }

    fn write_dead_letters(&mut self, rejects: &[Reject]) -> Result<(), SinkError> {
        for reject in rejects {
            self.write_dead_letter(reject);
        }
        Ok(())
    }

    fn begin_load(&mut self, kind: LoadKind) -> Result<LoadId, SinkError> {
        self.close_dead_load();
        self.loads += 1;
        self.load = Some(Load {
            id: self.loads,
            kind,
            touched: BTreeSet::new(),
            given: BTreeMap::new(),
            contradictions: 0,
        });
        Ok(LoadId(self.loads))
    }

    fn load_recipients(
        &mut self,
        _load: LoadId,
        rows: &[RecipientRow],
    ) -> Result<Vec<LoadOutcome>, SinkError> {
        Ok(rows.iter().map(|row| self.load_one(row)).collect())
    }

    fn load_batches(&mut self, _load: LoadId, rows: &[BatchRow]) -> Result<(), SinkError> {
        if let Some(load) = &mut self.load {
            let named = |row: &BatchRow| ((row.user.clone(), row.id.clone()), row.clone());
            load.given.extend(rows.iter().map(named));
        }
        Ok(())
    }

    fn finish_load(&mut self, load: LoadId) -> Result<LoadSummary, SinkError> {
        Ok(self.finish(load))
    }

    fn mappings(
        &mut self,
        after: MappingCursor,
        limit: usize,
    ) -> Result<(Vec<Mapping>, MappingCursor), SinkError> {
        Ok(self.page_of_mappings(after, limit))
    }

    fn late_matches(&mut self, after: Identity, rows: usize) -> Result<LatePage, SinkError> {
        let mut behind = self.parked.range(after..).filter(|(id, _)| **id > after);
        let page: Vec<_> = behind.by_ref().take(rows).collect();
        let last = page.last().map(|(id, _)| **id);
        Ok(LatePage {
            matches: page
                .iter()
                .filter_map(|(_, event)| self.late_match(event))
                .collect(),
            next: last.filter(|_| behind.next().is_some()),
        })
    }

    fn parked(&mut self) -> Result<u64, SinkError> {
        Ok(self.parked.len() as u64)
    }

    fn unpark(&mut self, identities: &[Identity]) -> Result<(), SinkError> {
        self.parked
            .retain(|identity, _| !identities.contains(identity));
        Ok(())
    }

    fn judge_deadlines(&mut self, now: Millis) -> Result<u64, SinkError> {
        let due = |batch: &Batch| batch.deadline.is_some_and(|deadline| deadline <= now);
        let names: Vec<(BatchName, bool)> = self
            .batches
            .iter()
            .filter(|(_, batch)| due(batch))
            .map(|(name, batch)| (name.clone(), batch.all_finished()))
            .collect();
        let mut fired = 0;
        for (name, all) in names {
            let cause = if all { "all" } else { "deadline" };
            fired += u64::from(self.fire(&name, cause, now));
        }
        Ok(fired)
    }

    fn checkpoint(&mut self, partitions: &[Checkpoint]) -> Result<(), SinkError> {
        for partition in partitions {
            let key = (partition.job.clone(), partition.partition.clone());
            self.checkpoints.insert(key, partition.clone());
        }
        Ok(())
    }

    fn checkpoints(&mut self, job: &str) -> Result<Vec<Checkpoint>, SinkError> {
        let all = self.checkpoints.values();
        Ok(all
            .filter(|partition| partition.job == job)
            .cloned()
            .collect())
    }

    fn known(&mut self, events: &[(Bucket, Identity)]) -> Result<Vec<bool>, SinkError> {
        let held = |key: &(Bucket, Identity)| {
            self.ledger.contains_key(key) || self.parked.contains_key(&key.1)
        };
        Ok(events.iter().map(held).collect())
    }

    fn prune(&mut self, what: &Prune, _rows_max: u32) -> Result<Pruned, SinkError> {
        Ok(self.drop_old(what))
    }

    fn drop_dead_letters(&mut self, before: Millis, rows_max: u32) -> Result<u64, SinkError> {
        let old = self
            .dead_letters
            .iter()
            .filter(|(_, letter)| letter.last_seen < before);
        let keys: Vec<RejectKey> = old.map(|(key, _)| *key).take(rows_max as usize).collect();
        for key in &keys {
            self.dead_letters.remove(key);
        }
        Ok(keys.len() as u64)
    }

    fn export(&mut self) -> Result<Export, SinkError> {
        Ok(self.whole())
    }
}
