//! One event in normal form.

use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::key::{AddressKey, Bucket, Identity, JoinKey, Shard};
use super::{BounceClass, Delivery, Kind, Millis};

/// Ids that the sender put into the payload. Together with the user they are the key of a state row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PayloadIds {
    /// The batch; empty for transactional mail.
    pub batch_id: CompactString,
    /// The recipient within the batch.
    pub recipient_id: CompactString,
}

impl PayloadIds {
    /// About how many bytes of memory they hold.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.batch_id.len() + self.recipient_id.len()
    }
}

/// One fact about one message, normalised. See `decode` for how each provider's payload becomes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What makes two copies of this event one event. Stable for ever.
    pub identity: Identity,
    /// The delivery that carried it: provider, user, receive time and raw bytes.
    pub delivery: Arc<Delivery>,
    /// Its place among the events decoded from that delivery.
    pub index: u32,
    /// The logical shard of (provider, user).
    pub shard: Shard,
    /// What happened.
    pub kind: Kind,
    /// How final a bounce is; only with [`Kind::Bounced`].
    pub bounce_class: Option<BounceClass>,
    /// The provider itself says that a machine opened it.
    pub machine: bool,
    /// The hour of the event's *fixed* time; [`Bucket::NONE`] where its time is free or absent.
    pub bucket: Bucket,
    /// When it happened, if the payload holds a plausible time.
    pub occurred_at: Option<Millis>,
    /// The provider's message id, verbatim without angle brackets.
    pub message_id: CompactString,
    /// The provider-specific key of the event; hashed into `identity`.
    pub event_key: CompactString,
    /// The address, case kept; absent if the event does not say who.
    pub recipient: Option<CompactString>,
    /// The sender's own ids, if the payload carries both. The events of one element share them.
    pub ids: Option<Arc<PayloadIds>>,
    /// Hash of (user, provider, join id): the key of the recipient join.
    pub join: JoinKey,
    /// Hash of the lower-cased address, where there is one.
    pub address: Option<AddressKey>,
    /// The event's slice of the body: always for [`Kind::Other`], for the rest by a setting. It shares the memory of the body
    /// where it can, and the events of one element share it.
    pub raw: Option<Bytes>,
}

impl Event {
    /// The time that the fold uses: when it happened, else when this copy was received.
    pub fn time(&self) -> Millis {
        self.occurred_at.unwrap_or(self.delivery.received_at)
    }

    /// About how many bytes a row of this event holds, without its delivery. Shared values count in full: a writer copies
    /// them for every row.
    pub fn weight(&self) -> usize {
        self.own_bytes() + self.shared_bytes()
    }

    /// About how many bytes of memory only this event holds.
    pub fn own_bytes(&self) -> usize {
        let recipient = self.recipient.as_ref().map_or(0, CompactString::len);
        size_of::<Self>() + self.message_id.len() + self.event_key.len() + recipient
    }

    /// About how many bytes of memory it shares with the other events of its element.
    pub fn shared_bytes(&self) -> usize {
        let raw = self.raw.as_ref().map_or(0, Bytes::len);
        self.ids.as_ref().map_or(0, |ids| ids.bytes()) + raw
    }
}
