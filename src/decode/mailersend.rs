//! MailerSend webhooks: one object, the event under `data`.
//!
//! Source: <https://developers.mailersend.com/api/v1/webhooks.html>. `activity.opened_unique` and `activity.clicked_unique`
//! come in addition to the plain ones. A newer flat shape has `data.email` as text and `data.message_id`. Saving a
//! webhook sends `webhook.test`. There is no metadata, so no ids of the sender's.

use super::batch::{self, Element};
use super::finish::{Draft, Part};
use super::{Decoder, TimeKind, no_identity, times, whole_id};
use crate::event::{BounceClass, Kind, Reason};
use crate::json::{Cursor, Fault, Read, Text, Wanted, fields};

/// No page promises that a retry bears the same `created_at`, and the key does not hold it.
pub(super) const DECODER: Decoder = Decoder {
    name: "mailersend",
    time: TimeKind::Free,
    join_id: whole_id,
    decode: |body, output| batch::one::<Item<'_>>(body, output, emit),
};

fields! {
    Item<'a> {
        event: Text<'a> = b"type",
        created_at: Text<'a> = b"created_at",
        data: Data<'a> = b"data",
    }
}

fields! {
    Data<'a> {
        id: Text<'a> = b"id",
        created_at: Text<'a> = b"created_at",
        message_id: Text<'a> = b"message_id",
        email: Email<'a> = b"email",
    }
}

/// The message, or in the flat shape only the address.
#[derive(Debug, Default)]
struct Email<'a> {
    address: Text<'a>,
    nested: Nested<'a>,
}

impl<'a> Read<'a> for Email<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        let mut email = Self::default();
        match cursor.peek() {
            Some(b'{') => email.nested = Nested::read(cursor)?,
            _ => email.address = Text::read(cursor)?,
        }
        Ok(email)
    }
}

fields! {
    Nested<'a> {
        message: Message<'a> = b"message",
        recipient: Recipient<'a> = b"recipient",
    }
}

fields! { Message<'a> { id: Text<'a> = b"id", } }
fields! { Recipient<'a> { email: Text<'a> = b"email", } }

fn emit(item: &Item<'_>, element: &mut Element<'_, '_>) -> Result<(), Reason> {
    let (event, data) = (item.event.bytes(), &item.data);
    if event == b"webhook.test" {
        return Ok(());
    }
    let event = event.strip_prefix(b"activity.").unwrap_or(event);
    let (kind, bounce) = kind(event);
    let message_id = data.email.nested.message.id.or(&data.message_id).bytes();
    let recipient = data
        .email
        .nested
        .recipient
        .email
        .or(&data.email.address)
        .bytes();
    let time = data.created_at.or(&item.created_at).bytes();
    let parts = [
        Part::Id(event),
        Part::Id(if data.id.is_empty() {
            message_id
        } else {
            data.id.bytes()
        }),
        Part::Free(recipient),
        Part::Id(time),
    ];
    if data.id.is_empty() && message_id.is_empty() {
        return Err(no_identity());
    }
    element.emit(&Draft {
        kind,
        bounce,
        machine: false,
        time: times::parse(time),
        message_id,
        key: if data.id.is_empty() {
            &parts
        } else {
            &parts[..2]
        },
        recipient,
        ids: &Wanted::default(),
    })
}

fn kind(event: &[u8]) -> (Kind, Option<BounceClass>) {
    let kind = match event {
        b"sent" => Kind::Sent,
        b"deferred" => Kind::Deferred,
        b"delivered" => Kind::Delivered,
        b"opened" => Kind::Opened,
        b"clicked" => Kind::Clicked,
        b"hard_bounced" => return (Kind::Bounced, Some(BounceClass::Hard)),
        b"soft_bounced" => return (Kind::Bounced, Some(BounceClass::Soft)),
        b"spam_complaint" => Kind::Complained,
        b"unsubscribed" => Kind::Unsubscribed,
        _ => Kind::Other,
    };
    (kind, None)
}
