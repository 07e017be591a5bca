//! Loads, and what their end decides.

use super::super::{BatchRow, LoadId, LoadKind, LoadSummary, Loaded, Mapping, RecipientRow, RowId};
use super::{Batch, BatchName, Load, MemoryStore, Message, Recipient};
use crate::event::Millis;

impl MemoryStore {
    pub(super) fn load_one(&mut self, row: &RecipientRow) -> Loaded {
        let known = self.by_key.get(&(row.join, row.address)).copied();
        let known = known
            .and_then(|at| self.messages.get(at))
            .map(|m| m.mapping.clone());
        match known {
            Some(mapping) if mapping.row == row.row => {
                self.touch(row);
                Loaded::Known(mapping)
            }
            Some(_) => {
                if let Some(load) = &mut self.load {
                    load.contradictions += 1;
                }
                Loaded::Contradiction
            }
            None => Loaded::Accepted(self.accept(row)),
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
        if load.kind == LoadKind::Full {
            for name in &load.touched {
                self.seal(name, &mut summary, now, |batch| batch.seal_at_rows(now));
            }
        }
        summary.total_too_small = self.too_small(&load);
        summary
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
        let small = |batch: &&Batch| batch.total.is_some_and(|total| total < batch.recipients);
        let batches = names.into_iter().filter_map(|name| self.batches.get(name));
        batches.filter(small).count() as u64
    }
}

impl Batch {
    /// A row of a `batches` file decides from now on.
    fn take_row(&mut self, row: &BatchRow) {
        self.given = true;
        self.deadline = row.deadline;
        self.sealed_at = row.sealed_at.or(self.sealed_at);
        if row.total.is_some() {
            self.total = row.total;
        } else if self.sealed_at.is_some() {
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
