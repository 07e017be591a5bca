//! What readers ask of a log, and a row as they see it: the same for every log.

use compact_str::CompactString;
use serde::{Serialize, Serializer};

use crate::event::{Kind, Millis};
use crate::key::Identity;

/// A filter; what is not set matches everything.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// The tenant.
    pub user: Option<String>,
    /// The batch.
    pub batch: Option<String>,
    /// The recipient: its id, or its address without regard to ASCII case.
    pub recipient: Option<String>,
    /// The provider's message id.
    pub message_id: Option<String>,
    /// What happened.
    pub kind: Option<Kind>,
    /// Who reported it.
    pub provider: Option<String>,
    /// Not before this time of the event (of its receipt, where it has none).
    pub from: Option<Millis>,
    /// Before this time.
    pub to: Option<Millis>,
    /// At most that many, the earliest first.
    pub limit: Option<usize>,
}

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
