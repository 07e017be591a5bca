//! Postmark webhooks: one object whose `RecordType` chooses the shape; a bounce is refined by its `Type`.
//!
//! Source: <https://postmarkapp.com/developer/webhooks/webhooks-overview>. `TypeCode` numbers differ between documents,
//! so only `Type` counts. An older bounce example has no `RecordType`.

use super::batch::{self, Element};
use super::finish::{Draft, Part};
use super::{Decoder, TimeKind, no_identity, times, whole_id};
use crate::event::{BounceClass, Kind, Reason};
use crate::json::{Text, Wanted, fields};

/// The key holds the time, or the id of a stored bounce record.
pub(super) const DECODER: Decoder = Decoder {
    name: "postmark",
    time: TimeKind::Fixed,
    join_id: whole_id,
    decode: |body, output| batch::each::<Item<'_>>(body, output, emit),
};

fields! {
    Item<'a> {
        record_type: Text<'a> = b"RecordType",
        id: Text<'a> = b"ID",
        bounce_type: Text<'a> = b"Type",
        message_id: Text<'a> = b"MessageID",
        recipient: Text<'a> = b"Recipient",
        email: Text<'a> = b"Email",
        delivered_at: Text<'a> = b"DeliveredAt",
        bounced_at: Text<'a> = b"BouncedAt",
        received_at: Text<'a> = b"ReceivedAt",
        changed_at: Text<'a> = b"ChangedAt",
        link: Text<'a> = b"OriginalLink",
        suppress: Text<'a> = b"SuppressSending",
        suppression: Text<'a> = b"SuppressionReason",
        ids: Wanted<'a> = b"Metadata",
    }
}

fn emit(item: &Item<'_>, element: &mut Element<'_, '_>) -> Result<(), Reason> {
    let record_type = record_type(item);
    let (kind, bounce) = kind(record_type, item);
    let recipient = item.recipient.or(&item.email).bytes();
    let time = time(record_type, item);
    let parts = [
        Part::Id(record_type),
        Part::Id(item.message_id.bytes()),
        Part::Free(recipient),
        Part::Id(time.bytes()),
        Part::Free(item.link.bytes()),
    ];
    let own_key = [Part::Id(record_type), Part::Id(item.id.bytes())];
    let has_own = matches!(record_type, b"Bounce" | b"SpamComplaint") && !item.id.is_empty();
    let key = match record_type {
        _ if has_own => own_key.as_slice(),
        _ if item.message_id.is_empty() && recipient.is_empty() => return Err(no_identity()),
        b"Click" => &parts,
        _ => &parts[..4],
    };
    element.emit(&Draft {
        kind,
        bounce,
        machine: false,
        time: times::parse(time.bytes()),
        message_id: item.message_id.bytes(),
        key,
        recipient,
        ids: &item.ids,
    })
}

fn record_type<'i>(item: &'i Item<'_>) -> &'i [u8] {
    let looks_bounced = !item.bounce_type.is_empty() && !item.bounced_at.is_empty();
    match item.record_type.bytes() {
        b"" if looks_bounced => b"Bounce",
        record_type => record_type,
    }
}

fn time<'i, 'a>(record_type: &[u8], item: &'i Item<'a>) -> &'i Text<'a> {
    match record_type {
        b"Delivery" => &item.delivered_at,
        b"Bounce" | b"SpamComplaint" => &item.bounced_at,
        b"Open" | b"Click" => &item.received_at,
        b"SubscriptionChange" => &item.changed_at,
        _ => {
            let known = item.delivered_at.or(&item.bounced_at);
            known.or(&item.received_at).or(&item.changed_at)
        }
    }
}

fn kind(record_type: &[u8], item: &Item<'_>) -> (Kind, Option<BounceClass>) {
    let kind = match record_type {
        b"Delivery" => Kind::Delivered,
        b"Open" => Kind::Opened,
        b"Click" => Kind::Clicked,
        b"SpamComplaint" => Kind::Complained,
        b"SubscriptionChange" if is_unsubscribe(item) => Kind::Unsubscribed,
        b"Bounce" => return bounce(item.bounce_type.bytes()),
        _ => Kind::Other,
    };
    (kind, None)
}

/// A change that follows a bounce or complaint only repeats that event, and `SuppressSending: false` re-activates.
fn is_unsubscribe(item: &Item<'_>) -> bool {
    item.suppress.is_true() && item.suppression.bytes() == b"ManualSuppression"
}

fn bounce(bounce_type: &[u8]) -> (Kind, Option<BounceClass>) {
    let kind = match bounce_type {
        b"HardBounce" | b"BadEmailAddress" => return bounced(BounceClass::Hard),
        b"SoftBounce" | b"Blocked" | b"SpamNotification" | b"VirusNotification"
        | b"DMARCPolicy" => return bounced(BounceClass::Soft),
        b"Unknown" => return bounced(BounceClass::Undetermined),
        b"Transient" | b"DnsError" => Kind::Deferred,
        b"ManuallyDeactivated" | b"Unconfirmed" => Kind::Dropped,
        b"SpamComplaint" => Kind::Complained,
        b"Unsubscribe" => Kind::Unsubscribed,
        b"SMTPApiError" | b"TemplateRenderingFailed" => Kind::Failed,
        _ => Kind::Other,
    };
    (kind, None)
}

fn bounced(class: BounceClass) -> (Kind, Option<BounceClass>) {
    (Kind::Bounced, Some(class))
}
