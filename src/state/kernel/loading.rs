//! One chunk of a load: which rows the store accepts.
//!
//! The first accepted mapping of a (message, address) stands. Within a chunk rows are judged in their order.

use std::collections::{HashMap, HashSet};

use crate::error::{Class, SinkError};
use crate::key::{AddressKey, JoinKey, RowKey};
use crate::state::{LoadOutcome, Mapping, RecipientRow, RowId};

/// Which message to which address.
pub(in crate::state) type MessageKey = (JoinKey, AddressKey);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    New,
    /// Exactly that mapping is stored, or came earlier in the chunk.
    Known,
    /// The message and address belong to another row.
    Contradiction,
}

/// A chunk of recipient rows, judged against the mappings that are stored.
pub(in crate::state) struct JudgedChunk<'a> {
    rows: &'a [RecipientRow],
    fates: Vec<Fate>,
    /// The rows whose mappings are new, in the order of the chunk.
    pub(in crate::state) accepted: Vec<&'a RecipientRow>,
    /// State rows that exist, as far as stored mappings lead to them.
    known: HashMap<RowKey, RowId>,
    pub(in crate::state) contradictions: u64,
}

impl<'a> JudgedChunk<'a> {
    /// `mapped` are the stored mappings of the chunk's messages and addresses.
    pub(in crate::state) fn of(
        rows: &'a [RecipientRow],
        mapped: &HashMap<MessageKey, (RowId, RowKey)>,
    ) -> Self {
        let mut first: HashMap<MessageKey, RowKey> = HashMap::new();
        let mut judged = Self {
            rows,
            fates: Vec::with_capacity(rows.len()),
            accepted: Vec::new(),
            known: mapped.values().map(|(id, key)| (*key, *id)).collect(),
            contradictions: 0,
        };
        for row in rows {
            let message = (row.join, row.address);
            let stored = mapped.get(&message).map(|(_, key)| *key);
            let fate = match stored.or_else(|| first.get(&message).copied()) {
                Some(key) if key == row.row => Fate::Known,
                Some(_) => Fate::Contradiction,
                None => Fate::New,
            };
            if fate == Fate::New {
                first.insert(message, row.row);
                judged.accepted.push(row);
            }
            judged.contradictions += u64::from(fate == Fate::Contradiction);
            judged.fates.push(fate);
        }
        judged
    }

    /// The batches (user and id) of all rows that are not refused: sorted, each once, without transactional mail.
    pub(in crate::state) fn batches(&self) -> Vec<(&'a str, &'a str)> {
        let mut names: Vec<_> = self
            .rows
            .iter()
            .zip(&self.fates)
            .filter(|(row, fate)| **fate != Fate::Contradiction && !row.batch_id.is_empty())
            .map(|(row, _)| (row.user.as_str(), row.batch_id.as_str()))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The accepted rows, each state row once, in the order of the chunk.
    pub(in crate::state) fn state_rows(&self) -> Vec<&'a RecipientRow> {
        let mut seen = HashSet::new();
        let mut rows = self.accepted.clone();
        rows.retain(|row| seen.insert(row.row));
        rows
    }

    /// What became of each row, in the order of the chunk. `ids` are the numbers of the accepted rows' state rows.
    pub(in crate::state) fn outcomes(
        &self,
        ids: &HashMap<RowKey, RowId>,
    ) -> Result<Vec<LoadOutcome>, SinkError> {
        let mapping = |row: &RecipientRow| {
            let id = ids.get(&row.row).or_else(|| self.known.get(&row.row));
            id.map(|id| Mapping::new(row, *id)).ok_or_else(|| {
                let message = "a state row that was just written is missing";
                SinkError::new("state", Class::Bug, message)
            })
        };
        let outcome = |(row, fate): (&RecipientRow, &Fate)| {
            Ok(match fate {
                Fate::New => LoadOutcome::Accepted(mapping(row)?),
                Fate::Known => LoadOutcome::Known(mapping(row)?),
                Fate::Contradiction => LoadOutcome::Contradiction,
            })
        };
        self.rows.iter().zip(&self.fates).map(outcome).collect()
    }
}
