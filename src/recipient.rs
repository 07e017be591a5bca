//! Recipients and batches as nouns: what a snapshot says of them, and the mapping that a store made of it.
//!
//! Rows come from the snapshot or from the user's own tables, never from events. The state store judges each; the join's
//! arrangements are fed from what it committed.

use compact_str::CompactString;

use crate::event::{Millis, Provider, User};
use crate::key::{AddressKey, JoinKey, RowKey};

/// The store's own number of a state row; never reused, meaningless outside its store.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct RowId(pub i64);

/// The longest user and the longest batch id, in bytes. Together they are the key of a batch, and an entry of a Postgres index
/// holds about 2,700 bytes.
pub const BATCH_KEY_BYTES_MAX: usize = 1_024;

/// One accepted-or-not row of a recipient snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientRow {
    /// The tenant.
    pub user: User,
    /// The provider that carries the message.
    pub provider: Provider,
    /// The message id as given.
    pub message_id: String,
    /// Hash of (user, provider, join id of `message_id`).
    pub join: JoinKey,
    /// The address, lower-cased (ASCII).
    pub recipient: String,
    /// Its hash.
    pub address: AddressKey,
    /// The batch; empty for transactional mail.
    pub batch_id: CompactString,
    /// The recipient within the batch.
    pub recipient_id: CompactString,
    /// Hash of (user, batch_id, recipient_id).
    pub row: RowKey,
    /// When it was sent, if known.
    pub sent_at: Option<Millis>,
}

/// One row of a `batches` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRow {
    /// The batch.
    pub id: String,
    /// The tenant.
    pub user: User,
    /// How many recipients it has.
    pub total: Option<u64>,
    /// When the total became final; absent = not sealed.
    pub sealed_at: Option<Millis>,
    /// When it completes even if not all recipients finished.
    pub deadline: Option<Millis>,
}

/// A message mapping that the store holds: what the join's arrangements are fed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The tenant (routes the row to the shards of its events).
    pub user: User,
    /// The provider.
    pub provider: Provider,
    /// The key of the join.
    pub join: JoinKey,
    /// Whom.
    pub address: AddressKey,
    /// The state row.
    pub row_id: RowId,
    /// Its key.
    pub row: RowKey,
    /// Its batch.
    pub batch_id: CompactString,
    /// Its recipient id.
    pub recipient_id: CompactString,
    /// When it was sent, if known: what is old need not be held in memory.
    pub sent_at: Option<Millis>,
}

impl Mapping {
    /// The mapping that a row makes, once the store has numbered its state row.
    pub fn new(row: &RecipientRow, row_id: RowId) -> Self {
        Self {
            user: row.user.clone(),
            provider: row.provider.clone(),
            join: row.join,
            address: row.address,
            row_id,
            row: row.row,
            batch_id: row.batch_id.clone(),
            recipient_id: row.recipient_id.clone(),
            sent_at: row.sent_at,
        }
    }
}
