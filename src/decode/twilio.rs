//! Twilio SMS status callbacks: a form, one status of one message.
//!
//! Source: <https://www.twilio.com/docs/messaging/guides/track-outbound-message-status>. New parameters may appear.
//! `To` may name a channel (`whatsapp:+…`) and is kept as it is. There are no ids of the sender's in the body; they
//! travel in the query of the callback URL.

use super::batch::DecodeOutput;
use super::finish::{Draft, Part};
use super::form::{self, first};
use super::{Decoder, TimeKind, no_identity, whole_id};
use crate::event::{Kind, Reason};
use crate::json::Text;

/// A callback bears no time: `RawDlrDoneDate` is the carrier's, in local minutes.
pub(super) const DECODER: Decoder = Decoder {
    name: "twilio",
    time: TimeKind::Free,
    join_id: whole_id,
    decode,
};

#[derive(Default)]
struct Item<'a> {
    message_sid: Text<'a>,
    message_status: Text<'a>,
    sms_sid: Text<'a>,
    sms_status: Text<'a>,
    to: Text<'a>,
}

fn decode(body: &[u8], output: &mut DecodeOutput<'_>) -> Result<(), Reason> {
    let item = read(body, output)?;
    let (id, status) = (
        item.message_sid.or(&item.sms_sid).bytes(),
        item.message_status.or(&item.sms_status).bytes(),
    );
    if id.is_empty() {
        return Err(no_identity());
    }
    let status = status.to_ascii_lowercase();
    let ids = form::ids_in_query(&output.delivery().url, output.config())?;
    output.whole(body).emit(&Draft {
        kind: kind(&status),
        bounce: None,
        machine: false,
        time: None,
        message_id: id,
        key: &[Part::Id(id), Part::Id(&status)],
        recipient: item.to.bytes(),
        ids: &ids,
    })
}

fn read<'a>(body: &'a [u8], output: &DecodeOutput<'_>) -> Result<Item<'a>, Reason> {
    let mut item = Item::default();
    form::read(body, output.config(), |name, value| match name {
        b"MessageSid" => first(&mut item.message_sid, value),
        b"MessageStatus" => first(&mut item.message_status, value),
        b"SmsSid" => first(&mut item.sms_sid, value),
        b"SmsStatus" => first(&mut item.sms_status, value),
        b"To" => first(&mut item.to, value),
        _ => {}
    })?;
    Ok(item)
}

/// SMS knows no bounce: `undelivered` and `failed` are both failures.
fn kind(status: &[u8]) -> Kind {
    match status {
        b"sent" => Kind::Sent,
        b"delivered" => Kind::Delivered,
        b"read" => Kind::Opened,
        b"canceled" => Kind::Dropped,
        b"undelivered" | b"failed" => Kind::Failed,
        _ => Kind::Other,
    }
}
