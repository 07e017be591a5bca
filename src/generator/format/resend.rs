//! Resend: one object a request; the event's id is only in the `svix-id` header, and each attempt is signed anew.

use super::super::names::{Mail, Style};
use super::super::text::{Base64, Uuid, WriteText, put};
use super::super::time::{Iso, IsoFine, Seconds};
use super::super::world::{Action, EventView};
use super::{BROWSER, Ids, LINK, ProviderFormat};

/// See the module.
pub struct Resend;

impl ProviderFormat for Resend {
    fn name(&self) -> &'static str {
        "resend"
    }

    fn supports(&self, action: Action, _message: u32) -> bool {
        !matches!(action, Action::MachineOpened | Action::Unsubscribed)
    }

    fn message_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        Uuid(v.message_draw(1)).put(out);
    }

    fn event(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        put!(out; "{\"type\":\"email.", event_name(v.action), "\",\"created_at\":\"", Iso(v.at),
            "\",\"data\":{\"broadcast_id\":\"8b146471-e88e-4322-86af-016cd36fd216\",\"created_at\":\"", IsoFine(v.message.sent_at, 3, 981), "+00:00\",\"email_id\":\"");
        self.message_id(v, out);
        put!(out; "\",\"from\":\"Hookflow News <news@sender.example.com>\",\"to\":[\"", Mail(v.person, Style::Event),
            "\"],\"subject\":\"Your March summary\",\"template_id\":\"43f68331-0622-4e15-8202-246a0388854b\",\"tags\":{", Ids(v), "}");
        detail(v, out);
        put!(out; "}}");
    }

    fn key(&self, v: &EventView<'_>, _recipient: &[u8], out: &mut Vec<u8>) {
        put!(out; "msg_2", Base64(v.draw(2), 21));
    }

    fn headers(&self, v: &EventView<'_>, received_at: i64, out: &mut Vec<u8>) {
        put!(out; "{\"content-type\":\"application/json\",\"user-agent\":\"Svix-Webhooks/1.62.0\",\"svix-id\":\"");
        self.key(v, b"", out);
        put!(out; "\",\"svix-timestamp\":\"", Seconds(received_at), "\",\"svix-signature\":\"v1,", Base64(v.draw(3) ^ received_at as u128, 43), "=\"}");
    }
}

const fn event_name(action: Action) -> &'static str {
    match action {
        Action::Sent => "sent",
        Action::Deferred => "delivery_delayed",
        Action::Delivered => "delivered",
        Action::Opened | Action::MachineOpened => "opened",
        Action::Clicked => "clicked",
        Action::BouncedHard | Action::BouncedSoft => "bounced",
        Action::Dropped => "suppressed",
        Action::Complained => "complained",
        Action::Failed => "failed",
        Action::Unsubscribed | Action::Other => "scheduled",
    }
}

fn detail(v: &EventView<'_>, out: &mut Vec<u8>) {
    match v.action {
        Action::BouncedHard => {
            put!(out; ",\"bounce\":{\"diagnosticCode\":[\"smtp; 550 5.1.1 user unknown\"],\"message\":\"The recipient's email provider sent a hard bounce message.\",\"subType\":\"General\",\"type\":\"Permanent\"}")
        }
        Action::BouncedSoft => {
            put!(out; ",\"bounce\":{\"diagnosticCode\":[\"smtp; 552 5.2.2 mailbox full\"],\"message\":\"The recipient's mailbox is full.\",\"subType\":\"MailboxFull\",\"type\":\"Transient\"}")
        }
        Action::Dropped => {
            put!(out; ",\"suppressed\":{\"diagnosticCode\":[],\"message\":\"Resend has suppressed sending to this address because it is on the account-level suppression list.\",\"reason\":\"previous_bounce\",\"type\":\"OnAccountSuppressionList\"}")
        }
        Action::Failed => put!(out; ",\"failed\":{\"reason\":\"reached_daily_quota\"}"),
        Action::Clicked => {
            put!(out; ",\"click\":{\"ipAddress\":\"203.0.113.9\",\"link\":\"", LINK, "\",\"timestamp\":\"", Iso(v.at), "\",\"userAgent\":\"", BROWSER, "\"}")
        }
        _ => {}
    }
}
