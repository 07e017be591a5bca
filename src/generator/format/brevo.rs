//! Brevo: one flat object a request, message ids in angle brackets, an `id` that is none of the event, and four times of
//! which one is local.

use super::super::names::{Mail, Style};
use super::super::text::{Escaped, Padded, put};
use super::super::time::{Minute, Seconds, Sql};
use super::super::world::{Action, EventView};
use super::{LINK, ProviderFormat, RecipientIds, Tags};

/// See the module.
pub struct Brevo;

impl ProviderFormat for Brevo {
    fn name(&self) -> &'static str {
        "brevo"
    }

    fn supports(&self, _act: Action, _message: u32) -> bool {
        true
    }

    fn message_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        let number = v.message_draw(1) as u64 % 1_000_000_000_000_000;
        put!(out; "20", Minute(v.message.sent_at), ".", Padded(number, 15), "@smtp-relay.mailin.fr");
    }

    fn sender_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        out.push(b'<');
        self.message_id(v, out);
        out.push(b'>');
    }

    fn event(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        let (mut custom, mut tags) = (Vec::with_capacity(96), Vec::with_capacity(64));
        put!(&mut custom; "{", RecipientIds(v), "}");
        put!(&mut tags; "[", Tags(v), "]");
        put!(out; "{\"id\":814119,\"email\":\"", Mail(v.person, Style::Event), "\",\"message-id\":\"");
        self.sender_id(v, out);
        put!(out; "\",\"date\":\"", Sql(v.at + 3_600_000), "\",\"tags\":", tags.as_slice(), ",\"tag\":\"", Escaped(&tags),
            "\",\"event\":\"", event_name(v.action), "\",\"subject\":\"Your March summary\",\"sending_ip\":\"192.0.2.77\",\"X-Mailin-custom\":\"", Escaped(&custom),
            "\",\"template_id\":22,\"ts_event\":", Seconds(v.at), ",\"ts\":", Seconds(v.at), ",\"ts_epoch\":", v.at);
        match v.action {
            Action::Opened => put!(out; ",\"link\":\"\""),
            Action::Clicked => put!(out; ",\"link\":\"", LINK, "\""),
            Action::BouncedHard => {
                put!(out; ",\"reason\":\"550-5.1.1 The email account that you tried to reach does not exist. Please try\\n 550-5.1.1 double-checking the recipient's email address - gsmtp\"")
            }
            Action::BouncedSoft => {
                put!(out; ",\"reason\":\"undefined Unable to find MX of domain no-mx.example.com\"")
            }
            Action::Dropped => put!(out; ",\"reason\":\"blocked : due to unsubscribed user\""),
            Action::Deferred => {
                put!(out; ",\"reason\":\"421 4.7.0 Temporary rate limit, try again later\"")
            }
            Action::Unsubscribed => put!(out; ",\"is_returnpath\":true"),
            _ => put!(out; ",\"reason\":\"sent\""),
        }
        out.push(b'}');
    }

    fn key(&self, v: &EventView<'_>, recipient: &[u8], out: &mut Vec<u8>) {
        put!(out; event_name(v.action), "|");
        self.message_id(v, out);
        put!(out; "|", recipient, "|", v.at);
        if v.action == Action::Clicked {
            put!(out; "|", LINK);
        }
    }

    fn headers(&self, _v: &EventView<'_>, _received_at: i64, out: &mut Vec<u8>) {
        put!(out; "{\"content-type\":\"application/json\",\"authorization\":\"Bearer example-token\",\"user-agent\":\"SendinBlue Webhook\"}");
    }
}

const fn event_name(action: Action) -> &'static str {
    match action {
        Action::Sent => "request",
        Action::Deferred => "deferred",
        Action::Delivered => "delivered",
        Action::Opened => "opened",
        Action::MachineOpened => "proxy_open",
        Action::Clicked => "click",
        Action::BouncedHard => "hard_bounce",
        Action::BouncedSoft => "soft_bounce",
        Action::Dropped => "blocked",
        Action::Complained => "spam",
        Action::Unsubscribed => "unsubscribed",
        Action::Failed => "error",
        Action::Other => "list_addition",
    }
}
