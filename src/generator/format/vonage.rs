//! Vonage: delivery receipts of the SMS API for every other message, statuses of the Messages API for the rest; each
//! status once. Ids travel in the callback's query.

use super::super::names::{BatchId, Phone};
use super::super::text::{Hex, Piece, UpperHex, Uuid, put};
use super::super::time::{IsoSeconds, Minute, Seconds, Sql};
use super::super::world::{Act, View};
use super::Format;

/// See the module.
pub struct Vonage;

/// Whether the message went through the SMS API.
const fn receipt(message: u32) -> bool {
    message.is_multiple_of(2)
}

impl Format for Vonage {
    fn name(&self) -> &'static str {
        "vonage"
    }

    fn tells(&self, act: Act, message: u32) -> bool {
        use Act::{Deferred, Delivered, Failed, Opened, Other, Sent};
        match act {
            Sent | Delivered | Failed => true,
            Deferred | Other => receipt(message),
            Opened => !receipt(message),
            _ => false,
        }
    }

    fn once(&self, _act: Act) -> bool {
        true
    }

    fn sms(&self) -> bool {
        true
    }

    fn time_fixed(&self) -> bool {
        false
    }

    fn message_id(&self, v: &View<'_>, out: &mut Vec<u8>) {
        match receipt(v.message_number) {
            true => put!(out; "0A", UpperHex(v.message_draw(1), 14)),
            false => Uuid(v.message_draw(1)).put(out),
        }
    }

    fn event(&self, v: &View<'_>, out: &mut Vec<u8>) {
        match receipt(v.message_number) {
            true => receipt_of(v, out),
            false => status_of(v, out),
        }
    }

    fn key(&self, v: &View<'_>, _recipient: &[u8], out: &mut Vec<u8>) {
        self.message_id(v, out);
        if receipt(v.message_number) {
            let (status, code) = receipt_status(v.act);
            put!(out; "|", status, "|", code);
        } else {
            put!(out; "|", message_status(v.act));
        }
    }

    fn occurred_at(&self, v: &View<'_>) -> Option<i64> {
        Some(v.at.div_euclid(1_000) * 1_000)
    }

    fn headers(&self, _v: &View<'_>, _received_at: i64, out: &mut Vec<u8>) {
        put!(out; "{\"content-type\":\"application/json\"}");
    }
}

const fn receipt_status(act: Act) -> (&'static str, &'static str) {
    match act {
        Act::Sent => ("accepted", "0"),
        Act::Deferred => ("buffered", "0"),
        Act::Delivered => ("delivered", "0"),
        Act::Failed => ("expired", "2"),
        _ => ("unknown", "1"),
    }
}

const fn message_status(act: Act) -> &'static str {
    match act {
        Act::Delivered => "delivered",
        Act::Opened => "read",
        Act::Failed => "undeliverable",
        _ => "submitted",
    }
}

fn receipt_of(v: &View<'_>, out: &mut Vec<u8>) {
    let (status, code) = receipt_status(v.act);
    put!(out; "{\"msisdn\":\"", Phone(v.person), "\",\"to\":\"AcmeInc\",\"network-code\":\"23410\",\"messageId\":\"");
    Vonage.message_id(v, out);
    put!(out; "\",\"price\":\"0.03330000\",\"status\":\"", status, "\",\"scts\":\"", Minute(v.at + 3_600_000), "\",\"err-code\":\"", code,
        "\",\"api-key\":\"abcd1234\",\"client-ref\":\"", v.user, "/", BatchId(v.batch), "\",\"message-timestamp\":\"", Sql(v.at),
        "\",\"timestamp\":\"", Seconds(v.at), "\",\"nonce\":\"", Uuid(v.draw(2)), "\",\"sig\":\"", UpperHex(v.draw(3), 64), "\"}");
}

fn status_of(v: &View<'_>, out: &mut Vec<u8>) {
    put!(out; "{\"message_uuid\":\"", Uuid(v.message_draw(1)), "\",\"to\":\"", Phone(v.person), "\",\"from\":\"447700900001\",\"timestamp\":\"", IsoSeconds(v.at), "\",\"status\":\"", message_status(v.act), "\"");
    if v.act == Act::Failed {
        put!(out; ",\"error\":{\"type\":\"https://developer.vonage.com/api-errors/messages#1260\",\"title\":1260,\"detail\":\"Destination unreachable - The message could not be delivered to the phone number.\",\"instance\":\"", Hex(v.draw(4), 32), "\"}");
    }
    put!(out; ",\"usage\":{\"currency\":\"EUR\",\"price\":\"0.0333\"},\"client_ref\":\"", v.user, "/", BatchId(v.batch), "\",\"channel\":\"sms\",\"destination\":{\"network_code\":\"23410\"},\"sms\":{\"count_total\":\"2\"}}");
}
