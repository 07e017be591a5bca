//! MailerSend: one object a request, the event under `data`; nothing but tags to carry ids, so that its events are
//! only ever joined by message.

use super::super::names::{Mail, Style};
use super::super::text::{Hex, WriteText, put};
use super::super::time::IsoFine;
use super::super::world::{Action, EventView};
use super::{LINK, ProviderFormat, Tags};

/// See the module.
pub struct MailerSend;

impl ProviderFormat for MailerSend {
    fn name(&self) -> &'static str {
        "mailersend"
    }

    fn supports(&self, action: Action, _message: u32) -> bool {
        !matches!(
            action,
            Action::MachineOpened | Action::Dropped | Action::Failed
        )
    }

    fn time_fixed(&self) -> bool {
        false
    }

    fn carries_ids(&self) -> bool {
        false
    }

    fn message_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        Hex(v.message_draw(1), 24).put(out);
    }

    fn event(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        let name = event_name(v.action);
        let sent = v.message.sent_at;
        put!(out; "{\"type\":\"activity.", name, "\",\"domain_id\":\"yv69oxl5kl785kw2\",\"created_at\":\"", IsoFine(v.at + 14, 3, 0),
            "Z\",\"webhook_id\":\"2351ndgwr4zqx8ko\",\"url\":\"https://hooks.example.com/in/mailersend\",\"data\":{\"object\":\"activity\",\"id\":\"", Hex(v.draw(2), 24),
            "\",\"type\":\"", name, "\",\"created_at\":\"", IsoFine(v.at, 3, 0),
            "Z\",\"email\":{\"object\":\"email\",\"id\":\"", Hex(v.message_draw(3), 24), "\",\"created_at\":\"", IsoFine(sent, 3, 0),
            "Z\",\"from\":\"news@sender.example.com\",\"subject\":\"Your March summary\",\"status\":\"", status(v.action), "\",\"tags\":[", Tags(v),
            "],\"headers\":null,\"message\":{\"object\":\"message\",\"id\":\"");
        self.message_id(v, out);
        put!(out; "\",\"created_at\":\"", IsoFine(sent, 3, 0), "Z\"},\"recipient\":{\"object\":\"recipient\",\"id\":\"", Hex(v.message_draw(4), 24), "\",\"email\":\"", Mail(v.person, Style::Event), "\",\"created_at\":\"2026-02-20T18:25:29.162000Z\"}},\"morph\":");
        morph(v, out);
        put!(out; ",\"template_id\":\"0z76k5jg0o3yeg2d\"}}");
    }

    fn key(&self, v: &EventView<'_>, _recipient: &[u8], out: &mut Vec<u8>) {
        put!(out; event_name(v.action), "|", Hex(v.draw(2), 24));
    }

    fn headers(&self, v: &EventView<'_>, _received_at: i64, out: &mut Vec<u8>) {
        put!(out; "{\"content-type\":\"application/json\",\"signature\":\"", Hex(v.draw(5), 64), "\"}");
    }

    fn control(&self, _number: u64, out: &mut Vec<u8>) -> bool {
        put!(out; "{\"type\":\"webhook.test\",\"message\":\"This is a ping test message\",\"created_at\":\"2026-03-02T13:00:00.577080Z\"}");
        true
    }
}

const fn event_name(action: Action) -> &'static str {
    match action {
        Action::Sent | Action::Failed | Action::Dropped => "sent",
        Action::Deferred => "deferred",
        Action::Delivered => "delivered",
        Action::Opened | Action::MachineOpened => "opened",
        Action::Clicked => "clicked",
        Action::BouncedHard => "hard_bounced",
        Action::BouncedSoft => "soft_bounced",
        Action::Complained => "spam_complaint",
        Action::Unsubscribed => "unsubscribed",
        Action::Other => "opened_unique",
    }
}

const fn status(action: Action) -> &'static str {
    match action {
        Action::Sent => "sent",
        Action::Deferred => "queued",
        Action::BouncedHard | Action::BouncedSoft => "rejected",
        _ => "delivered",
    }
}

fn morph(v: &EventView<'_>, out: &mut Vec<u8>) {
    let at = IsoFine(v.at - 7, 3, 0);
    let id = Hex(v.draw(6), 24);
    match v.action {
        Action::Opened | Action::Other => {
            put!(out; "{\"object\":\"open\",\"id\":\"", id, "\",\"created_at\":\"", at, "Z\",\"ip\":\"203.0.113.9\"}")
        }
        Action::Clicked => {
            put!(out; "{\"object\":\"click\",\"id\":\"", id, "\",\"created_at\":\"", at, "Z\",\"ip\":\"203.0.113.9\",\"url\":\"", LINK, "\"}")
        }
        Action::BouncedHard | Action::BouncedSoft => {
            put!(out; "{\"object\":\"recipient_bounce\",\"reason\":\"Host or domain name not found\"}")
        }
        Action::Complained => put!(out; "{\"object\":\"spam_complaint\",\"reason\":null}"),
        Action::Unsubscribed => {
            put!(out; "{\"object\":\"recipient_unsubscribe\",\"reason\":\"option_3\",\"readable_reason\":\"I get too many emails\"}")
        }
        _ => put!(out; "null"),
    }
}
