//! Brevo transactional webhooks: one flat object, or an array of them in batched mode.
//!
//! Source: <https://developers.brevo.com/docs/transactional-webhooks>. `id` is the webhook's, not the event's. `date` is in
//! the account's time zone and never read; `ts_epoch` is right, in milliseconds or, in some captures, in seconds.

use super::batch::{self, Element};
use super::finish::{Draft, Part, bytes_without_brackets};
use super::{Decoder, TimeKind, no_identity, times, whole_id};
use crate::event::{BounceClass, Kind, Millis, Reason};
use crate::json::{Text, Wanted, fields};

/// The key holds the time.
pub(super) const DECODER: Decoder = Decoder {
    name: "brevo",
    time: TimeKind::Fixed,
    join_id: whole_id,
    decode: |body, output| batch::each::<Item<'_>>(body, output, emit),
};

fields! {
    Item<'a> {
        event: Text<'a> = b"event",
        email: Text<'a> = b"email",
        message_id: Text<'a> = b"message-id",
        ts_epoch: Text<'a> = b"ts_epoch",
        ts_event: Text<'a> = b"ts_event",
        ts: Text<'a> = b"ts",
        link: Text<'a> = b"link",
        ids: Wanted<'a> = b"X-Mailin-custom",
    }
}

fn emit(item: &Item<'_>, element: &mut Element<'_, '_>) -> Result<(), Reason> {
    let (kind, bounce) = kind(item.event.bytes());
    let message_id = bytes_without_brackets(item.message_id.bytes());
    let time = time(item);
    let millis = time.map(|at| at.0.to_string()).unwrap_or_default();
    let parts = [
        Part::Id(item.event.bytes()),
        Part::Id(message_id),
        Part::Free(item.email.bytes()),
        Part::Id(millis.as_bytes()),
        Part::Free(item.link.bytes()),
    ];
    if message_id.is_empty() && item.email.is_empty() {
        return Err(no_identity());
    }
    element.emit(&Draft {
        kind,
        bounce,
        machine: matches!(item.event.bytes(), b"proxy_open" | b"unique_proxy_open"),
        time,
        message_id,
        key: if kind == Kind::Clicked {
            &parts
        } else {
            &parts[..4]
        },
        recipient: item.email.bytes(),
        ids: &item.ids,
    })
}

/// The first of the three that is a time at all.
fn time(item: &Item<'_>) -> Option<Millis> {
    let texts = [&item.ts_epoch, &item.ts_event, &item.ts];
    texts.iter().find_map(|text| times::epoch(text.bytes()))
}

fn kind(event: &[u8]) -> (Kind, Option<BounceClass>) {
    let kind = match event {
        b"request" => Kind::Sent,
        b"deferred" => Kind::Deferred,
        b"delivered" => Kind::Delivered,
        b"opened" | b"unique_opened" | b"proxy_open" | b"unique_proxy_open" => Kind::Opened,
        b"click" => Kind::Clicked,
        b"hard_bounce" | b"invalid_email" => return (Kind::Bounced, Some(BounceClass::Hard)),
        b"soft_bounce" => return (Kind::Bounced, Some(BounceClass::Soft)),
        b"blocked" => Kind::Dropped,
        b"spam" | b"complaint" => Kind::Complained,
        b"unsubscribed" | b"unsubscribe" => Kind::Unsubscribed,
        b"error" => Kind::Failed,
        _ => Kind::Other,
    };
    (kind, None)
}
