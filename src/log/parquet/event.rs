//! Rows of a chunk as readers see them.

use compact_str::CompactString;

use super::chunk::FileChunk;
use super::schema::Column;
use crate::error::SinkError;
use crate::event::Millis;
use crate::key::Identity;
use crate::log::LoggedEvent;

impl LoggedEvent {
    /// Reads a row of a chunk with all its columns.
    pub(super) fn read(chunk: &mut FileChunk<'_>, row: usize) -> Result<Self, SinkError> {
        chunk.load(Column::ALL)?;
        let text = |column| CompactString::new(chunk.text(column, row));
        let text_if_any = |column| chunk.bytes(column, row).map(CompactString::from_utf8_lossy);
        Ok(Self {
            identity: Identity(chunk.identity(row)),
            version: chunk.version(row),
            provider: text(Column::Provider),
            user: text(Column::User),
            kind: text(Column::Kind),
            bounce_class: text_if_any(Column::BounceClass),
            machine: chunk.is_set(Column::Machine, row),
            message_id: text(Column::MessageId),
            event_key: text(Column::EventKey),
            recipient: text_if_any(Column::Recipient),
            occurred_at: chunk.time(Column::OccurredAt, row).map(Millis),
            received_at: Millis(chunk.time(Column::ReceivedAt, row).unwrap_or(0)),
            batch_id: text(Column::BatchId),
            recipient_id: text(Column::RecipientId),
            raw: chunk.bytes(Column::Raw, row).map(<[u8]>::to_vec),
        })
    }
}
