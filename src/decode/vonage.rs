//! Vonage: SMS delivery receipts (JSON, form, or the query of a GET, by account setting) and Messages API statuses.
//!
//! Source: <https://developer.vonage.com/en/messaging/sms/guides/delivery-receipts> and
//! <https://developer.vonage.com/en/api/messages>. In a receipt `msisdn` is the recipient and `to` the *sender*; all values
//! are text. `scts` is the carrier's local time and never read. Ids of the sender's travel in the callback URL's query.

use super::batch::{self, DecodeOutput, Element};
use super::finish::{Draft, Part};
use super::form::{self, first};
use super::{Decoder, TimeKind, no_identity, times, whole_id};
use crate::event::{Kind, Reason};
use crate::json::{Cursor, Fault, Read, Text, fields};

/// The key holds no time, and no page says that a repeated receipt bears the same.
pub(super) const DECODER: Decoder = Decoder {
    name: "vonage",
    time: TimeKind::Free,
    join_id: whole_id,
    decode,
};

fields! {
    Item<'a> {
        message_id: Text<'a> = b"messageId",
        recipient: Text<'a> = b"msisdn",
        error: Text<'a> = b"err-code",
        message_time: Text<'a> = b"message-timestamp",
        status: Text<'a> = b"status",
        uuid: Text<'a> = b"message_uuid",
        to: Number<'a> = b"to",
        time: Text<'a> = b"timestamp",
    }
}

/// A phone number, in the first version of the Messages API under `number`.
#[derive(Debug, Default)]
struct Number<'a>(Text<'a>);

impl<'a> Read<'a> for Number<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        if cursor.peek() != Some(b'{') {
            return Text::read(cursor).map(Self);
        }
        let mut number = Self::default();
        cursor.object(|cursor, key| {
            match key {
                b"number" => number.0 = Text::read(cursor)?,
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        Ok(number)
    }
}

fn decode(body: &[u8], output: &mut DecodeOutput<'_>) -> Result<(), Reason> {
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => batch::one::<Item<'_>>(body, output, emit),
        Some(_) => decode_form(body, output),
        None => decode_form(form::query(&output.delivery().url), output),
    }
}

fn decode_form(text: &[u8], output: &mut DecodeOutput<'_>) -> Result<(), Reason> {
    let mut item = Item::default();
    form::read(text, output.config(), |name, value| match name {
        b"messageId" => first(&mut item.message_id, value),
        b"msisdn" => first(&mut item.recipient, value),
        b"err-code" => first(&mut item.error, value),
        b"message-timestamp" => first(&mut item.message_time, value),
        b"status" => first(&mut item.status, value),
        _ => {}
    })?;
    emit(&item, &mut output.whole(text))
}

fn emit(item: &Item<'_>, element: &mut Element<'_, '_>) -> Result<(), Reason> {
    let is_receipt = item.uuid.is_empty();
    let (id, to, time) = if is_receipt {
        (&item.message_id, &item.recipient, &item.message_time)
    } else {
        (&item.uuid, &item.to.0, &item.time)
    };
    if id.is_empty() {
        return Err(no_identity());
    }
    let parts = [
        Part::Id(id.bytes()),
        Part::Id(item.status.bytes()),
        Part::Id(item.error.bytes()),
    ];
    let recipient = international(to.bytes());
    let ids = element.ids_in_query()?;
    element.emit(&Draft {
        kind: kind(&item.status.bytes().to_ascii_lowercase()),
        bounce: None,
        machine: false,
        time: times::parse(time.bytes()),
        message_id: id.bytes(),
        key: if is_receipt { &parts } else { &parts[..2] },
        recipient: &recipient,
        ids: &ids,
    })
}

/// Vonage writes numbers without their `+`.
fn international(number: &[u8]) -> Vec<u8> {
    let number = number.trim_ascii();
    let mut text = Vec::with_capacity(number.len() + 1);
    if number.first().is_some_and(u8::is_ascii_digit) {
        text.push(b'+');
    }
    text.extend_from_slice(number);
    text
}

/// Receipts and statuses share no word with two meanings, so one table serves both.
fn kind(status: &[u8]) -> Kind {
    match status {
        b"accepted" | b"submitted" => Kind::Sent,
        b"buffered" => Kind::Deferred,
        b"delivered" => Kind::Delivered,
        b"read" => Kind::Opened,
        b"expired" | b"failed" | b"rejected" | b"undeliverable" => Kind::Failed,
        _ => Kind::Other,
    }
}
