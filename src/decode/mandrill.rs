//! Mandrill (Mailchimp Transactional): a form whose field `mandrill_events` is a JSON array.
//!
//! Source: <https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/>. `_id` is the message's
//! id, the same for all its events. Sync events (reject and allow lists) have a `type` and no `event`.
//! Where a trimmed event has no id, the address stands in its place in the key.

use super::batch::{self, DecodeOutput, Element};
use super::finish::{Draft, Part};
use super::{Decoder, TimeKind, form, no_identity, times, whole_id};
use crate::event::{BounceClass, Kind, Reason};
use crate::json::{Text, Wanted, fields};

/// The key holds the time.
pub(super) const DECODER: Decoder = Decoder {
    name: "mandrill",
    time: TimeKind::Fixed,
    join_id: whole_id,
    decode,
};

const FIELD: &str = "mandrill_events";

fields! {
    Item<'a> {
        event: Text<'a> = b"event",
        id: Text<'a> = b"_id",
        timestamp: Text<'a> = b"ts",
        link: Text<'a> = b"url",
        message: Message<'a> = b"msg",
        sync: Text<'a> = b"type",
        action: Text<'a> = b"action",
        reject: Entry<'a> = b"reject",
        entry: Entry<'a> = b"entry",
    }
}

fields! {
    Message<'a> {
        id: Text<'a> = b"_id",
        email: Text<'a> = b"email",
        ids: Wanted<'a> = b"metadata",
    }
}

fields! { Entry<'a> { email: Text<'a> = b"email", } }

fn decode(body: &[u8], output: &mut DecodeOutput<'_>) -> Result<(), Reason> {
    let events = form::pairs(body).find(|(name, _)| name.as_ref() == FIELD.as_bytes());
    let (_, events) = events.ok_or_else(|| form::missing_field(FIELD))?;
    batch::each::<Item<'_>>(&events, output, |item, element| {
        if item.event.is_empty() && !item.sync.is_empty() {
            emit_sync(item, element)
        } else {
            emit(item, element)
        }
    })
}

fn emit(item: &Item<'_>, element: &mut Element<'_, '_>) -> Result<(), Reason> {
    let (kind, bounce) = kind(item.event.bytes());
    let message_id = item.id.or(&item.message.id).bytes();
    let email = item.message.email.bytes();
    let parts = [
        Part::Id(item.event.bytes()),
        if message_id.is_empty() {
            Part::Free(email)
        } else {
            Part::Id(message_id)
        },
        Part::Id(item.timestamp.bytes()),
        Part::Free(item.link.bytes()),
    ];
    if message_id.is_empty() && email.is_empty() {
        return Err(no_identity());
    }
    element.emit(&Draft {
        kind,
        bounce,
        machine: false,
        time: times::parse(item.timestamp.bytes()),
        message_id,
        key: if kind == Kind::Clicked {
            &parts
        } else {
            &parts[..3]
        },
        recipient: email,
        ids: &item.message.ids,
    })
}

fn emit_sync(item: &Item<'_>, element: &mut Element<'_, '_>) -> Result<(), Reason> {
    let email = item.reject.email.or(&item.entry.email).bytes();
    element.emit(&Draft {
        kind: Kind::Other,
        bounce: None,
        machine: false,
        time: times::parse(item.timestamp.bytes()),
        message_id: b"",
        key: &[
            Part::Id(item.sync.bytes()),
            Part::Id(item.action.bytes()),
            Part::Free(email),
            Part::Id(item.timestamp.bytes()),
        ],
        recipient: email,
        ids: &item.message.ids,
    })
}

fn kind(event: &[u8]) -> (Kind, Option<BounceClass>) {
    let kind = match event {
        b"send" => Kind::Sent,
        b"deferral" => Kind::Deferred,
        b"delivered" => Kind::Delivered,
        b"open" => Kind::Opened,
        b"click" => Kind::Clicked,
        b"hard_bounce" => return (Kind::Bounced, Some(BounceClass::Hard)),
        b"soft_bounce" => return (Kind::Bounced, Some(BounceClass::Soft)),
        b"reject" => Kind::Dropped,
        b"spam" => Kind::Complained,
        b"unsub" => Kind::Unsubscribed,
        _ => Kind::Other,
    };
    (kind, None)
}
