//! The two kinds of rows: recipients and batches, read from the cells of a file or table.

use super::SnapshotOptions;
use super::columns::{CellReader, ColumnNames, RowCells};
use crate::decode::join_id;
use crate::event::{Millis, Provider, User};
use crate::key::{AddressKey, JoinKey, RowKey};
use crate::recipient::{BatchRow, RecipientRow};

/// A kind of row that snapshot files and the sender's tables hold.
pub trait LoadableRow: Sized {
    /// The columns that it is read from.
    const COLUMNS: ColumnNames;

    /// Reads a row, or says why it is bad.
    fn read(cells: RowCells, options: &SnapshotOptions) -> Result<Self, String>;

    /// Whether both belong to one message, so that no chunk may end between them.
    fn is_same_message(&self, next: &Self) -> bool;

    /// When it was sent, if that is known.
    fn sent_at(&self) -> Option<Millis> {
        None
    }
}

/// A recipient as the sender gives it.
#[derive(Clone, Copy, Debug)]
pub struct GivenRow<'a> {
    /// The provider, in any case.
    pub provider: &'a str,
    /// The message id as the sender knows it, with or without angle brackets.
    pub message_id: &'a str,
    /// The address, in any case.
    pub recipient: &'a str,
    /// The tenant.
    pub user: &'a str,
    /// The batch; empty for transactional mail.
    pub batch_id: &'a str,
    /// The recipient within the batch.
    pub recipient_id: &'a str,
    /// When it was sent.
    pub sent_at: Option<Millis>,
}

impl RecipientRow {
    /// Normalises what was given and computes the keys.
    pub fn new(given: GivenRow<'_>) -> Self {
        let provider = Provider::new(given.provider.to_ascii_lowercase());
        let user = User::new(given.user);
        let message_id = without_brackets(given.message_id);
        let recipient = given.recipient.to_ascii_lowercase();
        Self {
            join: JoinKey::of(&user, &provider, join_id(provider.as_str(), message_id)),
            address: AddressKey::of(&recipient),
            row: RowKey::of(&user, given.batch_id, given.recipient_id),
            message_id: message_id.to_owned(),
            batch_id: given.batch_id.into(),
            recipient_id: given.recipient_id.into(),
            sent_at: given.sent_at,
            user,
            provider,
            recipient,
        }
    }
}

impl LoadableRow for RecipientRow {
    const COLUMNS: ColumnNames = ColumnNames {
        names: &[
            "provider",
            "message_id",
            "recipient",
            "user_id",
            "batch_id",
            "recipient_id",
            "sent_at",
        ],
        required: 6,
    };

    fn read(cells: RowCells, options: &SnapshotOptions) -> Result<Self, String> {
        let mut cells = CellReader::new(Self::COLUMNS, cells);
        Ok(Self::new(GivenRow {
            provider: &cells.required()?,
            message_id: &cells.required()?,
            recipient: &cells.required()?,
            user: user(cells.key()?, options).as_str(),
            batch_id: &cells.key()?.unwrap_or_default(),
            recipient_id: &cells.required()?,
            sent_at: cells.time()?,
        }))
    }

    fn is_same_message(&self, next: &Self) -> bool {
        self.join == next.join
    }

    fn sent_at(&self) -> Option<Millis> {
        self.sent_at
    }
}

impl LoadableRow for BatchRow {
    const COLUMNS: ColumnNames = ColumnNames {
        names: &["id", "user", "total", "sealed_at", "deadline"],
        required: 4,
    };

    fn read(cells: RowCells, options: &SnapshotOptions) -> Result<Self, String> {
        let mut cells = CellReader::new(Self::COLUMNS, cells);
        Ok(Self {
            id: cells.key()?.ok_or("id is empty")?,
            user: user(cells.key()?, options),
            total: cells.count()?,
            sealed_at: cells.time()?,
            deadline: cells.time()?,
        })
    }

    fn is_same_message(&self, _next: &Self) -> bool {
        false
    }
}

fn user(name: Option<String>, options: &SnapshotOptions) -> User {
    name.map_or_else(|| options.default_user.clone(), User::new)
}

/// A message id without the angle brackets of mail headers, as events have it.
fn without_brackets(message_id: &str) -> &str {
    let inner = message_id.strip_prefix('<');
    inner
        .and_then(|id| id.strip_suffix('>'))
        .unwrap_or(message_id)
}
