//! Looking things up: mappings, late matches, the whole state.

use std::ops::Bound;

use super::{Batch, BatchName, Message, Recipient, ReferenceStore};
use hookflow::event::{Delivery, Event};
use hookflow::key::{AddressKey, JoinKey, RowKey};
use hookflow::state::view::{BatchView, CompletionView, Export, RecipientView};
use hookflow::state::{LateMatch, Mapping, MappingCursor, RowId};

impl ReferenceStore {
    pub(super) fn page_of_mappings(
        &self,
        mut after: MappingCursor,
        limit: usize,
    ) -> (Vec<Mapping>, MappingCursor) {
        let open = self.open_load();
        let mut page: Vec<Mapping> = Vec::new();
        let start = after.message;
        let behind = (1i64..)
            .zip(&self.messages)
            .filter(|(number, message)| *number > start && message.load != open);
        for (number, message) in behind {
            let inside = page.last().is_some_and(|m| m.join == message.mapping.join);
            if page.len() >= limit && !inside {
                break;
            }
            after.message = number;
            page.push(message.mapping.clone());
        }
        (page, after)
    }

    pub(super) fn late_match(&self, event: &Event) -> Option<LateMatch> {
        let row_id = self.named_row(event).or_else(|| self.mapped_row(event))?;
        let row = self.rows.get(&row_id)?;
        let mut event = event.clone();
        event.delivery = std::sync::Arc::new(Delivery {
            origin: event.delivery.origin,
            provider: event.delivery.provider.clone(),
            user: event.delivery.user.clone(),
            received_at: event.delivery.received_at,
            ..Delivery::default()
        });
        Some(LateMatch {
            event,
            row_id,
            batch_id: row.batch_id.as_str().into(),
            recipient_id: row.recipient_id.as_str().into(),
        })
    }

    fn named_row(&self, event: &Event) -> Option<RowId> {
        let ids = event.ids.as_ref()?;
        let key = RowKey::of(&event.delivery.user, &ids.batch_id, &ids.recipient_id);
        let id = *self.row_ids.get(&key)?;
        (self.rows.get(&id)?.load != self.open_load()).then_some(id)
    }

    fn mapped_row(&self, event: &Event) -> Option<RowId> {
        let message = match event.address {
            Some(address) => self
                .messages
                .get(*self.by_key.get(&(event.join, address))?)?,
            None => self.only_message(event.join)?,
        };
        (message.load != self.open_load()).then_some(message.mapping.row_id)
    }

    fn only_message(&self, join: JoinKey) -> Option<&Message> {
        let from = Bound::Included((join, AddressKey(0)));
        let to = Bound::Included((join, AddressKey(u128::MAX)));
        let mut few = self.by_key.range((from, to));
        match (few.next(), few.next()) {
            (Some((_, at)), None) => self.messages.get(*at),
            _ => None,
        }
    }

    pub(super) fn whole(&self) -> Export {
        let mut recipients: Vec<RecipientView> = self.rows.values().map(recipient).collect();
        recipients.sort_by_cached_key(|row| {
            let (user, batch, id) = (&row.user, &row.batch_id, &row.recipient_id);
            (user.clone(), batch.clone(), id.clone())
        });
        let mut completions: Vec<CompletionView> = self.completions().collect();
        completions.sort_by_cached_key(|c| (c.user.clone(), c.batch_id.clone(), c.generation));
        Export {
            recipients,
            batches: self.batches.iter().map(batch).collect(),
            completions,
            dropped_before: self.dropped_before.0,
        }
    }

    fn completions(&self) -> impl Iterator<Item = CompletionView> {
        self.outbox.iter().map(|(completion, at)| CompletionView {
            user: completion.user.to_string(),
            batch_id: completion.batch_id.clone(),
            generation: completion.generation,
            cause: completion.cause.clone(),
            completed_at: completion.completed_at,
            delivered_at: *at,
        })
    }
}

fn recipient(row: &Recipient) -> RecipientView {
    RecipientView {
        user: row.user.to_string(),
        batch_id: row.batch_id.clone(),
        recipient_id: row.recipient_id.clone(),
        status: row.state.flags.status().name(),
        flags: RecipientView::spans(&row.state),
        messages: Vec::new(),
    }
}

fn batch((name, batch): (&BatchName, &Batch)) -> BatchView {
    BatchView {
        user: name.0.to_string(),
        batch_id: name.1.clone(),
        total: batch.total,
        sealed_at: batch.sealed_at,
        deadline: batch.deadline,
        generation: batch.generation,
        recipients: batch.recipients,
        finished: batch.counters.finished,
        unique: BatchView::by_flag(&batch.counters.unique),
        totals: batch.counters.totals,
        completed_at: batch.completed.map(|(at, _)| at),
        cause: batch.completed.map(|(_, cause)| cause.to_owned()),
    }
}
