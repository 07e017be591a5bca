//! Vonage: delivery receipts of the SMS API for every other message, statuses of the Messages API for the rest; each
//! status once. Ids travel in the callback's query.

use super::super::names::{BatchId, Phone};
use super::super::text::{Hex, UpperHex, Uuid, WriteText, put};
use super::super::time::{IsoSeconds, Minute, Seconds, Sql};
use super::super::world::{Action, EventView};
use super::ProviderFormat;

/// See the module.
pub struct Vonage;

/// Whether the message went through the SMS API.
const fn receipt(message: u32) -> bool {
    message.is_multiple_of(2)
}

impl ProviderFormat for Vonage {
    fn name(&self) -> &'static str {
        "vonage"
    }

    fn supports(&self, action: Action, message: u32) -> bool {
        use Action::{Deferred, Delivered, Failed, Opened, Other, Sent};
        match action {
            Sent | Delivered | Failed => true,
            Deferred | Other => receipt(message),
            Opened => !receipt(message),
            _ => false,
        }
    }

    fn has_one_key(&self, _act: Action) -> bool {
        true
    }

    fn sms(&self) -> bool {
        true
    }

    fn time_fixed(&self) -> bool {
        false
    }

    fn message_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        if receipt(v.message_number) {
            put!(out; "0A", UpperHex(v.message_draw(1), 14))
        } else {
            Uuid(v.message_draw(1)).put(out)
        }
    }

    fn event(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        if receipt(v.message_number) {
            receipt_of(v, out)
        } else {
            status_of(v, out)
        }
    }

    fn key(&self, v: &EventView<'_>, _recipient: &[u8], out: &mut Vec<u8>) {
        self.message_id(v, out);
        if receipt(v.message_number) {
            let (status, code) = receipt_status(v.action);
            put!(out; "|", status, "|", code);
        } else {
            put!(out; "|", message_status(v.action));
        }
    }

    fn occurred_at(&self, v: &EventView<'_>) -> Option<i64> {
        Some(v.at.div_euclid(1_000) * 1_000)
    }

    fn headers(&self, _v: &EventView<'_>, _received_at: i64, out: &mut Vec<u8>) {
        put!(out; "{\"content-type\":\"application/json\"}");
    }
}

const fn receipt_status(action: Action) -> (&'static str, &'static str) {
    match action {
        Action::Sent => ("accepted", "0"),
        Action::Deferred => ("buffered", "0"),
        Action::Delivered => ("delivered", "0"),
        Action::Failed => ("expired", "2"),
        _ => ("unknown", "1"),
    }
}

const fn message_status(action: Action) -> &'static str {
    match action {
        Action::Delivered => "delivered",
        Action::Opened => "read",
        Action::Failed => "undeliverable",
        _ => "submitted",
    }
}

fn receipt_of(v: &EventView<'_>, out: &mut Vec<u8>) {
    let (status, code) = receipt_status(v.action);
    put!(out; "{\"msisdn\":\"", Phone(v.person), "\",\"to\":\"AcmeInc\",\"network-code\":\"23410\",\"messageId\":\"");
    Vonage.message_id(v, out);
    put!(out; "\",\"price\":\"0.03330000\",\"status\":\"", status, "\",\"scts\":\"", Minute(v.at + 3_600_000), "\",\"err-code\":\"", code,
        "\",\"api-key\":\"abcd1234\",\"client-ref\":\"", v.user, "/", BatchId(v.batch), "\",\"message-timestamp\":\"", Sql(v.at),
        "\",\"timestamp\":\"", Seconds(v.at), "\",\"nonce\":\"", Uuid(v.draw(2)), "\",\"sig\":\"", UpperHex(v.draw(3), 64), "\"}");
}

fn status_of(v: &EventView<'_>, out: &mut Vec<u8>) {
    put!(out; "{\"message_uuid\":\"", Uuid(v.message_draw(1)), "\",\"to\":\"", Phone(v.person), "\",\"from\":\"447700900001\",\"timestamp\":\"", IsoSeconds(v.at), "\",\"status\":\"", message_status(v.action), "\"");
    if v.action == Action::Failed {
        put!(out; ",\"error\":{\"type\":\"https://developer.vonage.com/api-errors/messages#1260\",\"title\":1260,\"detail\":\"Destination unreachable - The message could not be delivered to the phone number.\",\"instance\":\"", Hex(v.draw(4), 32), "\"}");
    }
    put!(out; ",\"usage\":{\"currency\":\"EUR\",\"price\":\"0.0333\"},\"client_ref\":\"", v.user, "/", BatchId(v.batch), "\",\"channel\":\"sms\",\"destination\":{\"network_code\":\"23410\"},\"sms\":{\"count_total\":\"2\"}}");
}
