//! SendGrid: arrays of flat objects, ids among the top-level keys. The sender knows a message by the part of
//! `sg_message_id` before `.filter` or `.recvd`, or by the whole of it.

use super::super::names::{Mail, Style};
use super::super::text::{Base64, Hex, WriteText, put};
use super::super::time::Seconds;
use super::super::world::{Action, EventView};
use super::{BROWSER, BodyFormat, Ids, LINK, ProviderFormat, Tags};

/// See the module.
pub struct SendGrid;

/// What the API call answered: one id for all its recipients.
struct ShortId<'a>(&'a EventView<'a>);

impl WriteText for ShortId<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        let draw = self.0.call_draw(1);
        match draw & 1 {
            0 => put!(out; Hex(draw >> 1, 11), ".dfd.", Hex(draw >> 60, 6)),
            _ => Base64(draw >> 1, 21).put(out),
        }
    }
}

impl ProviderFormat for SendGrid {
    fn name(&self) -> &'static str {
        "sendgrid"
    }

    fn supports(&self, action: Action, _message: u32) -> bool {
        action != Action::Failed
    }

    fn body_format(&self) -> BodyFormat {
        BodyFormat::Array
    }

    fn recipients_a_call(&self) -> u64 {
        4
    }

    fn message_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        let middle = match v.call_draw(1) & 1 {
            0 => ".filter0001.16648.5515E0B88.",
            _ => ".recvd-756b745b58-kmzbl-18-5F5FC76C-9.",
        };
        put!(out; ShortId(v), middle, u64::from(v.message.part));
    }

    fn sender_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        if v.message_in(4, 2) {
            self.message_id(v, out)
        } else {
            ShortId(v).put(out)
        }
    }

    fn event(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        put!(out; "{\"email\":\"", Mail(v.person, Style::Event), "\",\"timestamp\":", Seconds(v.at));
        if !matches!(
            v.action,
            Action::Opened | Action::MachineOpened | Action::Clicked
        ) {
            put!(out; ",\"smtp-id\":\"<14c5d75ce93.dfd.64b469@ismtpd-555>\"");
        }
        put!(out; ",\"event\":\"", event_name(v.action), "\",\"category\":[", Tags(v), "],\"sg_event_id\":\"");
        self.key(v, b"", out);
        put!(out; "\",\"sg_message_id\":\"");
        self.message_id(v, out);
        put!(out; "\"");
        detail(v, out);
        put!(out; ",", Ids(v), "}");
    }

    fn key(&self, v: &EventView<'_>, _recipient: &[u8], out: &mut Vec<u8>) {
        put!(out; Base64(v.draw(3), 21), "==");
    }

    fn occurred_at(&self, v: &EventView<'_>) -> Option<i64> {
        Some(v.at.div_euclid(1_000) * 1_000)
    }

    fn headers(&self, v: &EventView<'_>, received_at: i64, out: &mut Vec<u8>) {
        put!(out; "{\"content-type\":\"application/json;charset=utf-8\",\"user-agent\":\"SendGrid Event API\",\"x-twilio-email-event-webhook-timestamp\":\"", Seconds(received_at), "\",\"x-twilio-email-event-webhook-signature\":\"", Base64(v.draw(4) ^ received_at as u128, 94), "==\"}");
    }
}

const fn event_name(action: Action) -> &'static str {
    match action {
        Action::Sent | Action::Failed => "processed",
        Action::Deferred => "deferred",
        Action::Delivered => "delivered",
        Action::Opened | Action::MachineOpened => "open",
        Action::Clicked => "click",
        Action::BouncedHard | Action::BouncedSoft => "bounce",
        Action::Dropped => "dropped",
        Action::Complained => "spamreport",
        Action::Unsubscribed => "group_unsubscribe",
        Action::Other => "group_resubscribe",
    }
}

fn detail(v: &EventView<'_>, out: &mut Vec<u8>) {
    match v.action {
        Action::Sent | Action::Failed => {
            put!(out; ",\"pool\":{\"name\":\"marketing\",\"id\":210},\"send_at\":", Seconds(v.at - 10_000))
        }
        Action::Deferred => {
            put!(out; ",\"response\":\"400 try again later\",\"attempt\":\"5\",\"ip\":\"192.0.2.33\",\"domain\":\"example.com\"")
        }
        Action::Delivered => {
            put!(out; ",\"response\":\"250 2.0.0 OK ", Seconds(v.at), " m143si2210036ioe.159 - gsmtp \",\"ip\":\"192.0.2.33\",\"tls\":1")
        }
        Action::Opened => opened(",\"sg_machine_open\":false", out),
        Action::MachineOpened => opened(",\"sg_machine_open\":true", out),
        Action::Clicked => {
            put!(out; ",\"useragent\":\"", BROWSER, "\",\"ip\":\"203.0.113.9\",\"url\":\"", LINK, "\",\"url_offset\":{\"index\":0,\"type\":\"html\"}")
        }
        Action::BouncedHard => {
            put!(out; ",\"reason\":\"550 5.1.1 The email account that you tried to reach does not exist.\",\"status\":\"5.1.1\",\"type\":\"bounce\",\"bounce_classification\":\"Invalid Address\",\"ip\":\"192.0.2.33\",\"tls\":1")
        }
        Action::BouncedSoft => {
            put!(out; ",\"reason\":\"554 5.7.1 Service unavailable; client host blocked\",\"status\":\"5.7.1\",\"type\":\"blocked\",\"bounce_classification\":\"Reputation\",\"ip\":\"192.0.2.33\",\"tls\":0")
        }
        Action::Dropped => put!(out; ",\"reason\":\"Bounced Address\",\"status\":\"5.0.0\""),
        Action::Complained => {}
        Action::Unsubscribed | Action::Other => {
            put!(out; ",\"useragent\":\"", BROWSER, "\",\"ip\":\"203.0.113.9\",\"url\":\"https://www.example.com/\",\"asm_group_id\":10")
        }
    }
}

fn opened(machine: &str, out: &mut Vec<u8>) {
    put!(out; ",\"useragent\":\"", BROWSER, "\",\"ip\":\"203.0.113.9\",\"sg_content_type\":\"html\"", machine);
}
