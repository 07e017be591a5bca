//! Mailgun webhooks: `{"signature": …, "event-data": …}`, one event.
//!
//! Source: <https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads>. An event's id is unique
//! only within a day, so its key holds the UTC date. Legacy webhooks were forms; they are refused.

use super::batch::{self, DecodeOutput, Element};
use super::finish::{Draft, Part, address_part};
use super::{Decoder, TimeKind, bad_shape, form, no_identity, status, times, whole_id};
use crate::event::{BounceClass, Kind, Reason};
use crate::json::{Text, Wanted, fields};

/// A retry posts the stored event again.
pub(super) const DECODER: Decoder = Decoder {
    name: "mailgun",
    time: TimeKind::Fixed,
    join_id: whole_id,
    decode,
};

fields! { Body<'a> { event: Item<'a> = b"event-data", } }

fields! {
    Item<'a> {
        id: Text<'a> = b"id",
        timestamp: Text<'a> = b"timestamp",
        event: Text<'a> = b"event",
        severity: Text<'a> = b"severity",
        reason: Text<'a> = b"reason",
        recipient: Text<'a> = b"recipient",
        status: Status<'a> = b"delivery-status",
        message: Message<'a> = b"message",
        ids: Wanted<'a> = b"user-variables",
    }
}

fields! {
    Status<'a> {
        code: Text<'a> = b"code",
        enhanced_code: Text<'a> = b"enhanced-code",
        bounce_type: Text<'a> = b"bounce-type",
    }
}

fields! { Message<'a> { headers: MessageHeaders<'a> = b"headers", } }

fields! {
    MessageHeaders<'a> {
        id: Text<'a> = b"message-id",
        to: Text<'a> = b"to",
    }
}

fn decode(body: &[u8], output: &mut DecodeOutput<'_>) -> Result<(), Reason> {
    if form::is_form(body) {
        return Err(bad_shape(
            "a form body: Mailgun's legacy webhooks are not supported, use its JSON webhooks",
        ));
    }
    batch::one::<Body<'_>>(body, output, |body, element| emit(&body.event, element))
}

fn emit(item: &Item<'_>, element: &mut Element<'_, '_>) -> Result<(), Reason> {
    let (kind, bounce) = kind(item);
    let time = times::parse(item.timestamp.bytes());
    let date = times::date(time);
    let message_id = super::finish::bytes_without_brackets(item.message.headers.id.bytes());
    let recipient = recipient(item);
    let own_key = [Part::Id(item.id.bytes()), Part::Id(date.as_bytes())];
    let made_key = [
        Part::Id(item.event.bytes()),
        Part::Id(message_id),
        Part::Free(recipient),
        Part::Id(item.timestamp.bytes()),
    ];
    let key = if !item.id.is_empty() {
        own_key.as_slice()
    } else if message_id.is_empty() && recipient.is_empty() {
        return Err(no_identity());
    } else {
        made_key.as_slice()
    };
    element.emit(&Draft {
        kind,
        bounce,
        machine: false,
        time,
        message_id,
        key,
        recipient,
        ids: &item.ids,
    })
}

/// `rejected` has no `recipient`; the header says who if it names one address.
fn recipient<'i>(item: &'i Item<'_>) -> &'i [u8] {
    let header = item.message.headers.to.bytes();
    let one = memchr::memchr_iter(b'@', header).count() == 1;
    match item.recipient.bytes() {
        b"" if one => address_part(header),
        recipient => address_part(recipient),
    }
}

fn kind(item: &Item<'_>) -> (Kind, Option<BounceClass>) {
    let kind = match item.event.bytes() {
        b"accepted" => Kind::Sent,
        b"delivered" => Kind::Delivered,
        b"opened" => Kind::Opened,
        b"clicked" => Kind::Clicked,
        b"complained" => Kind::Complained,
        b"unsubscribed" => Kind::Unsubscribed,
        b"rejected" => Kind::Failed,
        b"failed" if item.severity.bytes() == b"temporary" => Kind::Deferred,
        b"failed" if is_suppressed(item) => Kind::Dropped,
        b"failed" => return (Kind::Bounced, Some(bounce_class(&item.status))),
        _ => Kind::Other,
    };
    (kind, None)
}

/// Mailgun did not try: earlier bounce, unsubscribe, complaint (605 to 607) or its own block list (625).
fn is_suppressed(item: &Item<'_>) -> bool {
    matches!(item.status.code.bytes(), b"605" | b"606" | b"607" | b"625")
        || item.reason.bytes().starts_with(b"suppress-")
}

/// `bounce-type` decides where present, else the SMTP code or the enhanced one. Without any, Mailgun gave up a message that
/// was only deferred.
fn bounce_class(status: &Status<'_>) -> BounceClass {
    match status.bounce_type.bytes() {
        b"hard" => BounceClass::Hard,
        b"soft" => BounceClass::Soft,
        _ => status::bounce_class(status.code.bytes())
            .or_else(|| status::bounce_class(status.enhanced_code.bytes()))
            .unwrap_or(BounceClass::Soft),
    }
}
