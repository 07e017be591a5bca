//! Mandrill: a form with one field, which holds a JSON array with escaped slashes; times are whole seconds, and no event
//! has an id of its own.

use super::super::names::{Mail, Style};
use super::super::text::{Base64, Hex, WriteText, put};
use super::super::time::Seconds;
use super::super::world::{Action, EventView};
use super::{BodyFormat, LINK, ProviderFormat, RecipientIds, Tags};

/// See the module.
pub struct Mandrill;

const ESCAPED_LINK: &str = "https:\\/\\/www.example.com\\/offers?id=42";
const CLIENT: &str = ",\"ip\":\"203.0.113.9\",\"location\":{\"country_short\":\"US\",\"country\":\"United States\",\"region\":\"Oklahoma\",\"city\":\"Oklahoma City\",\"latitude\":35.4675598145,\"longitude\":-97.5164337158,\"postal_code\":\"73101\",\"timezone\":\"-05:00\"},\"user_agent\":\"Mozilla\\/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit\\/537.36 (KHTML, like Gecko) Chrome\\/122.0.0.0 Safari\\/537.36\",\"user_agent_parsed\":{\"type\":\"Email Client\",\"ua_family\":\"Postbox\",\"ua_name\":\"Postbox 1.1.3\",\"ua_version\":\"1.1.3\",\"ua_url\":\"http:\\/\\/www.postbox-inc.com\\/\",\"ua_company\":\"Postbox, Inc.\",\"ua_company_url\":\"http:\\/\\/www.postbox-inc.com\\/\",\"os_family\":\"OS X\",\"os_name\":\"OS X 10.6 Snow Leopard\",\"os_url\":\"http:\\/\\/www.apple.com\\/osx\\/\",\"os_company\":\"Apple Computer, Inc.\",\"mobile\":false}";

struct Id<'a>(&'a EventView<'a>);

impl WriteText for Id<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        Hex(self.0.message_draw(1), 32).put(out);
    }
}

/// What was opened and clicked so far: at least this.
struct Engagement<'a>(&'a EventView<'a>);

impl WriteText for Engagement<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        let at = Seconds(self.0.at);
        match self.0.action {
            Action::Opened => put!(out; "\"opens\":[{\"ts\":", at, "}],\"clicks\":[],"),
            Action::Clicked => {
                put!(out; "\"opens\":[{\"ts\":", Seconds(self.0.at - 1_000), "}],\"clicks\":[{\"ts\":", at, ",\"url\":\"", ESCAPED_LINK, "\"}],");
            }
            _ => put!(out; "\"opens\":[],\"clicks\":[],"),
        }
    }
}

impl ProviderFormat for Mandrill {
    fn name(&self) -> &'static str {
        "mandrill"
    }

    fn supports(&self, action: Action, _message: u32) -> bool {
        !matches!(action, Action::MachineOpened | Action::Failed)
    }

    fn body_format(&self) -> BodyFormat {
        BodyFormat::FormArray
    }

    fn message_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        Id(v).put(out);
    }

    fn event(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        put!(out; "{\"event\":\"", event_name(v.action), "\",\"msg\":{\"ts\":", Seconds(v.message.sent_at),
            ",\"subject\":\"Your March summary\",\"email\":\"", Mail(v.person, Style::Event),
            "\",\"sender\":\"news@sender.example.com\",\"tags\":[", Tags(v), "],", Engagement(v), "\"state\":\"", state(v.action),
            "\",\"metadata\":{", RecipientIds(v), "},\"_id\":\"", Id(v), "\",\"_version\":\"exampleaaaaaaaaaaaaaaa\"");
        match v.action {
            Action::BouncedHard => {
                put!(out; ",\"bounce_description\":\"bad_mailbox\",\"bgtools_code\":10,\"diag\":\"smtp;550 5.1.1 The email account that you tried to reach does not exist.\"")
            }
            Action::BouncedSoft => {
                put!(out; ",\"bounce_description\":\"mailbox_full\",\"bgtools_code\":22,\"diag\":\"smtp;552 5.2.2 Over Quota\"")
            }
            Action::Deferred => {
                put!(out; ",\"smtp_events\":[{\"destination_ip\":\"192.0.2.25\",\"diag\":\"451 4.3.5 Temporarily unavailable, try again later.\",\"source_ip\":\"198.51.100.7\",\"ts\":", Seconds(v.at), ",\"type\":\"deferred\",\"size\":0}]")
            }
            _ => {}
        }
        put!(out; "},\"_id\":\"", Id(v), "\"");
        if matches!(v.action, Action::Opened | Action::Clicked) {
            put!(out; CLIENT);
        }
        if v.action == Action::Clicked {
            put!(out; ",\"url\":\"", ESCAPED_LINK, "\"");
        }
        put!(out; ",\"ts\":", Seconds(v.at), "}");
    }

    fn key(&self, v: &EventView<'_>, _recipient: &[u8], out: &mut Vec<u8>) {
        put!(out; event_name(v.action), "|", Id(v), "|", Seconds(v.at));
        if v.action == Action::Clicked {
            put!(out; "|", LINK);
        }
    }

    fn occurred_at(&self, v: &EventView<'_>) -> Option<i64> {
        Some(v.at.div_euclid(1_000) * 1_000)
    }

    fn headers(&self, v: &EventView<'_>, _received_at: i64, out: &mut Vec<u8>) {
        put!(out; "{\"content-type\":\"application/x-www-form-urlencoded\",\"user-agent\":\"Mandrill-Webhook/1.0\",\"x-mandrill-signature\":\"", Base64(v.draw(2), 27), "=\"}");
    }

    fn control(&self, _number: u64, out: &mut Vec<u8>) -> bool {
        put!(out; "mandrill_events=%5B%5D");
        true
    }
}

const fn event_name(action: Action) -> &'static str {
    match action {
        Action::Sent | Action::Failed => "send",
        Action::Deferred => "deferral",
        Action::Delivered => "delivered",
        Action::Opened | Action::MachineOpened => "open",
        Action::Clicked => "click",
        Action::BouncedHard => "hard_bounce",
        Action::BouncedSoft => "soft_bounce",
        Action::Dropped => "reject",
        Action::Complained => "spam",
        Action::Unsubscribed => "unsub",
        Action::Other => "forwarded",
    }
}

const fn state(action: Action) -> &'static str {
    match action {
        Action::Deferred => "deferred",
        Action::BouncedHard => "bounced",
        Action::BouncedSoft => "soft-bounced",
        Action::Dropped => "rejected",
        _ => "sent",
    }
}
