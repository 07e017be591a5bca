//! Twilio SendGrid Event Webhook: an array of events of any messages.
//!
//! Source: <https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event>. Custom and unique arguments are
//! merged into the top level of an event; names are documented in lower case, but some examples capitalise them.

use super::batch::{self, Element};
use super::finish::{Draft, Part};
use super::{Decoder, TimeKind, no_identity, status, times};
use crate::event::{BounceClass, Kind, Reason};
use crate::json::{Text, Wanted, fields};

/// A retry posts the stored events again, `timestamp` and all.
pub(super) const DECODER: Decoder = Decoder {
    name: "sendgrid",
    time: TimeKind::Fixed,
    join_id,
    decode: |body, output| batch::each::<Item<'_>>(body, output, emit),
};

fields! {
    Item<'a> {
        event: Text<'a> = b"event",
        email: Text<'a> = b"email",
        timestamp: Text<'a> = b"timestamp",
        event_id: Text<'a> = b"sg_event_id",
        message_id: Text<'a> = b"sg_message_id",
        bounce_type: Text<'a> = b"type",
        status: Text<'a> = b"status",
        reason: Text<'a> = b"reason",
        machine: Text<'a> = b"sg_machine_open",
        unique_args: Wanted<'a> = b"unique_args",
        custom_args: Wanted<'a> = b"custom_args",
    } else top_level
}

fn emit(item: &Item<'_>, element: &mut Element<'_, '_>) -> Result<(), Reason> {
    let event = item.event.bytes().to_ascii_lowercase();
    let (kind, bounce) = kind(&event, item);
    let own_key = [Part::Id(item.event_id.bytes())];
    let made_key = [
        Part::Id(&event),
        Part::Free(item.email.bytes()),
        Part::Id(item.timestamp.bytes()),
        Part::Id(item.message_id.bytes()),
    ];
    let parts = [&item.email, &item.timestamp, &item.message_id];
    let key = if !item.event_id.is_empty() {
        own_key.as_slice()
    } else if parts.iter().all(|part| part.is_empty()) {
        return Err(no_identity());
    } else {
        made_key.as_slice()
    };
    element.emit(&Draft {
        kind,
        bounce,
        machine: item.machine.is_true(),
        time: times::parse(item.timestamp.bytes()),
        message_id: item.message_id.bytes(),
        key,
        recipient: item.email.bytes(),
        ids: ids(item),
    })
}

fn ids<'i, 'a>(item: &'i Item<'a>) -> &'i Wanted<'a> {
    let places = [&item.top_level, &item.custom_args, &item.unique_args];
    let found = places.into_iter().find(|ids| !ids.is_empty());
    found.unwrap_or(&item.top_level)
}

fn kind(event: &[u8], item: &Item<'_>) -> (Kind, Option<BounceClass>) {
    let kind = match event {
        b"processed" => Kind::Sent,
        b"deferred" => Kind::Deferred,
        b"delivered" => Kind::Delivered,
        b"open" => Kind::Opened,
        b"click" => Kind::Clicked,
        b"bounce" => return (Kind::Bounced, Some(bounce_class(item))),
        b"dropped" => Kind::Dropped,
        b"spamreport" => Kind::Complained,
        b"unsubscribe" | b"group_unsubscribe" => Kind::Unsubscribed,
        _ => Kind::Other,
    };
    (kind, None)
}

/// `type` decides; bounces without one have a status, or an answer that begins with one.
fn bounce_class(item: &Item<'_>) -> BounceClass {
    match item.bounce_type.bytes() {
        b"bounce" => BounceClass::Hard,
        b"blocked" | b"expired" => BounceClass::Soft,
        _ => status::first_class([item.status.bytes(), item.reason.bytes()]),
    }
}

/// The sender only ever saw `X-Message-Id`; events add the name of the machine that handled the recipient.
fn join_id(message_id: &str) -> &str {
    let added = |&dot: &usize| {
        let rest = &message_id.as_bytes()[dot + 1..];
        rest.starts_with(b"filter") || rest.starts_with(b"recvd")
    };
    let end = memchr::memchr_iter(b'.', message_id.as_bytes()).find(added);
    &message_id[..end.unwrap_or(message_id.len())]
}
