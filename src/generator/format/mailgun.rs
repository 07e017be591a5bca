//! Mailgun: one event a request, a signature beside it that covers nothing of it, and ids that are unique within a
//! day. The API answers message ids with angle brackets; senders keep them or not.

use super::super::names::{Host, Mail, Style};
use super::super::text::{Base64, Hex, Padded, UpperHex, WriteText, put};
use super::super::time::{CompactTime, IsoDate, Seconds};
use super::super::world::{Action, EventView};
use super::{Ids, LINK, ProviderFormat, Tags};

/// See the module.
pub struct Mailgun;

const FLAGS: &str = ",\"flags\":{\"is-routed\":false,\"is-authenticated\":true,\"is-system-test\":false,\"is-test-mode\":false}";
const CLIENT: &str = ",\"ip\":\"203.0.113.9\",\"geolocation\":{\"country\":\"US\",\"region\":\"CA\",\"city\":\"San Francisco\"},\"client-info\":{\"client-os\":\"Linux\",\"device-type\":\"desktop\",\"client-name\":\"Chrome\",\"client-type\":\"browser\",\"user-agent\":\"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.31 (KHTML, like Gecko) Chrome/26.0.1410.43 Safari/537.31\"}";

const ACCEPTED: &str = ",\"account\":{\"id\":\"1234567890303a4bd1f33898\"},\"domain\":{\"name\":\"sender.example.com\"},\"api-key-id\":\"12345678-87654321\",\"method\":\"HTTP\"";
const TEMPORARY: &str = ",\"certificate-verified\":true,\"mx-host\":\"smtp-in.example.com\",\"retry-seconds\":600,\"tls\":true,\"utf8\":true";

struct MailgunEventId<'a>(&'a EventView<'a>);

impl WriteText for MailgunEventId<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        Base64(self.0.draw(2), 21).put(out);
    }
}

impl ProviderFormat for Mailgun {
    fn name(&self) -> &'static str {
        "mailgun"
    }

    fn supports(&self, action: Action, _message: u32) -> bool {
        action != Action::MachineOpened
    }

    fn message_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        put!(out; CompactTime(v.message.sent_at), ".1.", UpperHex(v.message_draw(1), 16), "@sender.example.com");
    }

    fn sender_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        if v.message_in(2, 5) {
            return self.message_id(v, out);
        }
        out.push(b'<');
        self.message_id(v, out);
        out.push(b'>');
    }

    fn event(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        put!(out; "{\"signature\":{\"token\":\"", Hex(v.draw(3), 50), "\",\"timestamp\":\"", Seconds(v.at + 1_000), "\",\"signature\":\"", Hex(v.draw(4), 64),
            "\"},\"event-data\":{\"id\":\"", MailgunEventId(v), "\",\"timestamp\":", Seconds(v.at), ".", Padded(v.at.rem_euclid(1_000) as u64, 3), Padded((v.draw(6) % 1_000) as u64, 3),
            ",\"log-level\":\"info\",\"event\":\"", event_name(v.action), "\"");
        detail(v, out);
        put!(out; ",\"message\":{\"headers\":{");
        if !tracked(v.action) {
            put!(out; "\"to\":\"Somebody <", Mail(v.person, Style::Event), ">\",\"from\":\"Hookflow News <news@sender.example.com>\",\"subject\":\"Your March summary\",");
        }
        put!(out; "\"message-id\":\"");
        self.message_id(v, out);
        put!(out; "\"},\"attachments\":[],\"size\":4111}");
        if v.action != Action::Failed {
            put!(out; ",\"recipient\":\"", Mail(v.person, Style::Event), "\",\"recipient-domain\":\"", Host(v.person), "\"");
        }
        put!(out; ",\"campaigns\":[],\"tags\":[", Tags(v), "],\"user-variables\":{", Ids(v), "}}}");
    }

    fn key(&self, v: &EventView<'_>, _recipient: &[u8], out: &mut Vec<u8>) {
        put!(out; MailgunEventId(v), "|", IsoDate(v.at));
    }

    fn headers(&self, _v: &EventView<'_>, _received_at: i64, out: &mut Vec<u8>) {
        put!(out; "{\"content-type\":\"application/json\",\"user-agent\":\"mailgun/treq-20.4.1\"}");
    }
}

const fn tracked(action: Action) -> bool {
    matches!(
        action,
        Action::Opened | Action::MachineOpened | Action::Clicked | Action::Unsubscribed
    )
}

const fn event_name(action: Action) -> &'static str {
    match action {
        Action::Sent => "accepted",
        Action::Delivered => "delivered",
        Action::Opened | Action::MachineOpened => "opened",
        Action::Clicked => "clicked",
        Action::Deferred | Action::BouncedHard | Action::BouncedSoft | Action::Dropped => "failed",
        Action::Complained => "complained",
        Action::Unsubscribed => "unsubscribed",
        Action::Failed => "rejected",
        Action::Other => "list_member_uploaded",
    }
}

fn detail(v: &EventView<'_>, out: &mut Vec<u8>) {
    match v.action {
        Action::Deferred => failed("temporary", "generic", "452", "4.2.2", out),
        Action::BouncedHard => failed("permanent", "bounce", "550", "5.1.1", out),
        Action::BouncedSoft => failed("permanent", "old", "498", "", out),
        Action::Dropped => failed("permanent", "suppress-bounce", "605", "", out),
        Action::Failed => {
            put!(out; ",\"reject\":{\"reason\":\"Sandbox subdomains are for test purposes only.\",\"description\":\"\"}")
        }
        Action::Sent => put!(out; ACCEPTED),
        Action::Clicked => put!(out; ",\"url\":\"", LINK, "\""),
        Action::Delivered => {
            put!(out; ",\"delivery-status\":{\"tls\":true,\"mx-host\":\"smtp-in.example.com\",\"code\":250,\"description\":\"\",\"session-seconds\":0.4331989288330078,\"utf8\":true,\"attempt-no\":1,\"message\":\"OK\",\"certificate-verified\":true},\"storage\":{\"url\":\"https://se.api.mailgun.net/v3/domains/sender.example.com/messages/message_key\",\"key\":\"message_key\"}")
        }
        _ => {}
    }
    if tracked(v.action) {
        put!(out; CLIENT);
    } else {
        put!(out; FLAGS, ",\"envelope\":{\"transport\":\"smtp\",\"sender\":\"news@sender.example.com\",\"sending-ip\":\"192.0.2.54\",\"targets\":\"", Mail(v.person, Style::Event), "\"}");
    }
}

fn failed(severity: &str, reason: &str, code: &str, enhanced: &str, out: &mut Vec<u8>) {
    put!(out; ",\"severity\":\"", severity, "\",\"reason\":\"", reason, "\",\"delivery-status\":{\"attempt-no\":1,\"message\":\"not accepted\",\"code\":", code, ",\"enhanced-code\":\"", enhanced, "\",\"description\":\"\",\"session-seconds\":0", if severity == "temporary" { TEMPORARY } else { "" }, "}");
}
