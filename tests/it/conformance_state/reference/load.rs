//! Loads, and what their end decides.

use super::{Batch, BatchName, Load, Message, Recipient, ReferenceStore};
use hookflow::event::Millis;
use hookflow::state::{
    BatchRow, LoadId, LoadKind, LoadOutcome, LoadSummary, Mapping, RecipientRow, RowId,
};

impl ReferenceStore {
    pub(super) fn load_one(&mut self, row: &RecipientRow) -> LoadOutcome {
        let known = self.by_key.get(&(row.join, row.address)).copied();
        let known = known
            .and_then(|at| self.messages.get(at))
            .map(|m| m.mapping.clone());
        match known {
            Some(mapping) if mapping.row == row.row => {
                self.touch(row);
                LoadOutcome::Known(mapping)
            }
            Some(_) => {
                if let Some(load) = &mut self.load {
                    load.contradictions += 1;
                }
                LoadOutcome::Contradiction
            }
            None => LoadOutcome::Accepted(self.accept(row)),
        }
    }

    fn accept(&mut self, row: &RecipientRow) -> Mapping {
        self.touch(row);
        let mapping = Mapping {
            user: row.user.clone(),
            provider: row.provider.clone(),
            join: row.join,
            address: row.address,
            row_id: self.state_row(row),
            row: row.row,
            batch_id: row.batch_id.clone(),
            recipient_id: row.recipient_id.clone(),
            sent_at: row.sent_at,
        };
        self.by_key
            .insert((row.join, row.address), self.messages.len());
        self.messages.push(Message {
            mapping: mapping.clone(),
            load: self.open_load(),
        });
        mapping
    }

    /// Notes that the load brought a row of this batch, making the batch if it is new.
    fn touch(&mut self, row: &RecipientRow) {
        if row.batch_id.is_empty() {
            return;
        }
        let name = (row.user.clone(), row.batch_id.to_string());
        self.batches.entry(name.clone()).or_default();
        if let Some(load) = &mut self.load {
            load.touched.insert(name);
        }
    }

    fn state_row(&mut self, row: &RecipientRow) -> RowId {
        if let Some(id) = self.row_ids.get(&row.row) {
            return *id;
        }
        let id = RowId(self.rows.len() as i64 + 1);
        self.row_ids.insert(row.row, id);
        let recipient = Recipient {
            user: row.user.clone(),
            batch_id: row.batch_id.to_string(),
            recipient_id: row.recipient_id.to_string(),
            state: Default::default(),
            load: self.open_load(),
        };
        let name = (recipient.user.clone(), recipient.batch_id.clone());
        if let Some(batch) = self.batches.get_mut(&name) {
            batch.recipients += 1;
        }
        self.rows.insert(id, recipient);
        id
    }

    pub(super) fn finish(&mut self, load: LoadId) -> LoadSummary {
        let Some(load) = self.load.take_if(|open| open.id == load.0) else {
            return LoadSummary::default();
        };
        let mut summary = LoadSummary {
            contradictions: load.contradictions,
            ..LoadSummary::default()
        };
        let now = Millis::now();
        for (name, row) in &load.given {
            self.seal(name, &mut summary, now, |batch| batch.take_row(row));
        }
        for name in load
            .touched
            .iter()
            .filter(|name| !load.given.contains_key(*name))
        {
            if load.kind == LoadKind::Full {
                self.seal(name, &mut summary, now, |batch| batch.seal_at_rows(now));
            } else {
                self.seal(name, &mut summary, now, Batch::follow_rows);
            }
        }
        summary.total_too_small = self.too_small(&load);
        summary
    }

    /// A load that died seals nothing, but derived totals follow its rows.
    pub(super) fn close_dead_load(&mut self) {
        if let Some(dead) = self.load.take() {
            let (mut summary, now) = (LoadSummary::default(), Millis::now());
            for name in &dead.touched {
                self.seal(name, &mut summary, now, Batch::follow_rows);
            }
        }
    }

    fn seal(
        &mut self,
        name: &BatchName,
        summary: &mut LoadSummary,
        now: Millis,
        change: impl FnOnce(&mut Batch),
    ) {
        let batch = self.batches.entry(name.clone()).or_default();
        let before = batch.sealed_total();
        change(batch);
        if batch.sealed_total().is_none() || batch.sealed_total() == before {
            return;
        }
        batch.generation += 1;
        batch.completed = None;
        let all = batch.all_finished();
        summary.sealed += 1;
        summary.completed += u64::from(all && self.fire(name, "all", now));
    }

    fn too_small(&self, load: &Load) -> u64 {
        let mut names: Vec<&BatchName> = load.touched.iter().chain(load.given.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let small = |batch: &&Batch| {
            batch.given && batch.total.is_some_and(|total| total < batch.recipients)
        };
        let batches = names.into_iter().filter_map(|name| self.batches.get(name));
        batches.filter(small).count() as u64
    }
}

impl Batch {
    /// A row of a `batches` file decides from now on.
    fn take_row(&mut self, row: &BatchRow) {
        self.deadline = row.deadline;
        self.sealed_at = row.sealed_at.or(self.sealed_at);
        self.given = row.total.is_some() || self.sealed_at.is_none();
        if row.total.is_some() {
            self.total = row.total;
        } else if self.sealed_at.is_some() {
            self.total = Some(self.recipients);
        }
    }

    fn follow_rows(&mut self) {
        if !self.given && self.sealed_at.is_some() {
            self.total = Some(self.recipients);
        }
    }

    fn seal_at_rows(&mut self, now: Millis) {
        if !self.given {
            self.total = Some(self.recipients);
            self.sealed_at = self.sealed_at.or(Some(now));
        }
    }
}
