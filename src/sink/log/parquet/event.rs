//! A row as readers see it.

use compact_str::CompactString;
use serde::{Serialize, Serializer};

use super::chunk::Chunk;
use super::schema::Column;
use crate::error::SinkError;
use crate::event::Millis;
use crate::key::Identity;

/// One event of the log. As JSON: identity in hex, times in RFC 3339, raw bytes as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoggedEvent {
    /// What makes copies one event.
    #[serde(serialize_with = "displayed")]
    pub identity: Identity,
    /// 0 while its recipient was unknown, then 1.
    pub version: i32,
    /// Who reported it.
    pub provider: CompactString,
    /// The tenant.
    pub user: CompactString,
    /// What happened.
    pub kind: CompactString,
    /// How final a bounce is.
    pub bounce_class: Option<CompactString>,
    /// A machine opened it, as the provider says.
    pub machine: bool,
    /// The provider's message id.
    pub message_id: CompactString,
    /// The provider-specific key of the event.
    pub event_key: CompactString,
    /// The address, if the event says whose.
    pub recipient: Option<CompactString>,
    /// When it happened, if it says so.
    #[serde(serialize_with = "displayed_if_any")]
    pub occurred_at: Option<Millis>,
    /// When this copy was received.
    #[serde(serialize_with = "displayed")]
    pub received_at: Millis,
    /// The batch; empty if unknown or none.
    pub batch_id: CompactString,
    /// The recipient within the batch; empty if unknown.
    pub recipient_id: CompactString,
    /// The event's slice of the body, where it was kept.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub raw: Option<Vec<u8>>,
}

impl LoggedEvent {
    /// When it happened, else when it was received.
    pub fn time(&self) -> Millis {
        self.occurred_at.unwrap_or(self.received_at)
    }

    /// Reads a row of a chunk with all its columns.
    pub(super) fn read(chunk: &mut Chunk<'_>, row: usize) -> Result<Self, SinkError> {
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

fn displayed<S: Serializer>(
    value: &impl std::fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn displayed_if_any<S: Serializer>(
    value: &Option<Millis>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

fn as_text<S: Serializer>(value: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(bytes) => serializer.serialize_str(&String::from_utf8_lossy(bytes)),
        None => serializer.serialize_none(),
    }
}
