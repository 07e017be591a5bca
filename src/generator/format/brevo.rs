//! Brevo: one flat object a request, message ids in angle brackets, an `id` that is none of the event, and four times of
//! which one is local.

use super::super::names::{Mail, Style};
use super::super::text::{Escaped, Padded, put};
use super::super::time::{Minute, Seconds, Sql};
use super::super::world::{Act, View};
use super::{Format, LINK, RecipientIds, Tags};

/// See the module.
pub struct Brevo;

impl Format for Brevo {
    fn name(&self) -> &'static str {
        "brevo"
    }

    fn tells(&self, _act: Act, _message: u32) -> bool {
        true
    }

    fn message_id(&self, v: &View<'_>, out: &mut Vec<u8>) {
        let number = v.message_draw(1) as u64 % 1_000_000_000_000_000;
        put!(out; "20", Minute(v.message.sent_at), ".", Padded(number, 15), "@smtp-relay.mailin.fr");
    }

    fn sender_id(&self, v: &View<'_>, out: &mut Vec<u8>) {
        out.push(b'<');
        self.message_id(v, out);
        out.push(b'>');
    }

    fn event(&self, v: &View<'_>, out: &mut Vec<u8>) {
        let (mut custom, mut tags) = (Vec::with_capacity(96), Vec::with_capacity(64));
        put!(&mut custom; "{", RecipientIds(v), "}");
        put!(&mut tags; "[", Tags(v), "]");
        put!(out; "{\"id\":814119,\"email\":\"", Mail(v.person, Style::Event), "\",\"message-id\":\"");
        self.sender_id(v, out);
        put!(out; "\",\"date\":\"", Sql(v.at + 3_600_000), "\",\"tags\":", tags.as_slice(), ",\"tag\":\"", Escaped(&tags),
            "\",\"event\":\"", event_name(v.act), "\",\"subject\":\"Your March summary\",\"sending_ip\":\"192.0.2.77\",\"X-Mailin-custom\":\"", Escaped(&custom),
            "\",\"template_id\":22,\"ts_event\":", Seconds(v.at), ",\"ts\":", Seconds(v.at), ",\"ts_epoch\":", v.at);
        match v.act {
            Act::Opened => put!(out; ",\"link\":\"\""),
            Act::Clicked => put!(out; ",\"link\":\"", LINK, "\""),
            Act::BouncedHard => {
                put!(out; ",\"reason\":\"550-5.1.1 The email account that you tried to reach does not exist. Please try\\n 550-5.1.1 double-checking the recipient's email address - gsmtp\"")
            }
            Act::BouncedSoft => {
                put!(out; ",\"reason\":\"undefined Unable to find MX of domain no-mx.example.com\"")
            }
            Act::Dropped => put!(out; ",\"reason\":\"blocked : due to unsubscribed user\""),
            Act::Deferred => {
                put!(out; ",\"reason\":\"421 4.7.0 Temporary rate limit, try again later\"")
            }
            Act::Unsubscribed => put!(out; ",\"is_returnpath\":true"),
            _ => put!(out; ",\"reason\":\"sent\""),
        }
        out.push(b'}');
    }

    fn key(&self, v: &View<'_>, recipient: &[u8], out: &mut Vec<u8>) {
        put!(out; event_name(v.act), "|");
        self.message_id(v, out);
        put!(out; "|", recipient, "|", v.at);
        if v.act == Act::Clicked {
            put!(out; "|", LINK);
        }
    }

    fn headers(&self, _v: &View<'_>, _received_at: i64, out: &mut Vec<u8>) {
        put!(out; "{\"content-type\":\"application/json\",\"authorization\":\"Bearer example-token\",\"user-agent\":\"SendinBlue Webhook\"}");
    }
}

const fn event_name(act: Act) -> &'static str {
    match act {
        Act::Sent => "request",
        Act::Deferred => "deferred",
        Act::Delivered => "delivered",
        Act::Opened => "opened",
        Act::MachineOpened => "proxy_open",
        Act::Clicked => "click",
        Act::BouncedHard => "hard_bounce",
        Act::BouncedSoft => "soft_bounce",
        Act::Dropped => "blocked",
        Act::Complained => "spam",
        Act::Unsubscribed => "unsubscribed",
        Act::Failed => "error",
        Act::Other => "list_addition",
    }
}
