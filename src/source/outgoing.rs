//! Messages that are published to a broker, for an edge's tests, demonstrations and measurements.

use bytes::Bytes;

use crate::event::Delivery;

/// One message to publish.
#[derive(Clone, Debug)]
pub struct OutgoingMessage {
    /// A broker that knows repetitions stores one message of each id.
    pub id: String,
    /// What it holds.
    pub content: OutgoingContent,
}

impl OutgoingMessage {
    /// A delivery.
    pub fn delivery(id: impl Into<String>, delivery: Delivery) -> Self {
        Self {
            id: id.into(),
            content: OutgoingContent::Delivery(Box::new(delivery)),
        }
    }

    /// Bytes that are no delivery.
    pub fn malformed(id: impl Into<String>, body: Bytes) -> Self {
        Self {
            id: id.into(),
            content: OutgoingContent::Malformed(body),
        }
    }
}

/// What an [`OutgoingMessage`] holds.
#[derive(Clone, Debug)]
pub enum OutgoingContent {
    /// A delivery.
    Delivery(Box<Delivery>),
    /// Bytes that are no delivery; they become a dead letter.
    Malformed(Bytes),
}

/// What was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Messages that the broker has confirmed.
    pub messages: u64,
    /// Those among them that it knew by their id already; none where it knows no ids.
    pub duplicates: Option<u64>,
}
