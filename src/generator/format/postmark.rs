//! Postmark: one object a request, times with seven fraction digits and now and then another zone, numbers above 2^53
//! as ids of bounces. It reports no sending.

use super::super::names::{Mail, Style};
use super::super::text::{Uuid, WriteText, put};
use super::super::time::IsoFine;
use super::super::world::{Action, EventView};
use super::{BROWSER, Ids, LINK, ProviderFormat};

/// See the module.
pub struct Postmark;

const CLIENT: &str = "\"Client\":{\"Name\":\"Chrome 35.0.1916.153\",\"Company\":\"Google\",\"Family\":\"Chrome\"},\"OS\":{\"Name\":\"OS X 10.7 Lion\",\"Company\":\"Apple Computer, Inc.\",\"Family\":\"OS X 10\"},";
const GEO: &str = "\"Geo\":{\"CountryISOCode\":\"RS\",\"Country\":\"Serbia\",\"RegionISOCode\":\"VO\",\"Region\":\"Autonomna Pokrajina Vojvodina\",\"City\":\"Novi Sad\",\"Zip\":\"21000\",\"Coords\":\"45.2517,19.8369\",\"IP\":\"203.0.113.8\"},";

/// The time as Postmark writes it: the event key holds this very text.
struct Time<'a>(&'a EventView<'a>);

impl WriteText for Time<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        let v = self.0;
        let fine = (v.draw(2) % 10_000) as u64;
        if v.message_in(5, 3) {
            put!(out; IsoFine(v.at - 5 * 3_600_000, 4, fine), "-05:00")
        } else {
            put!(out; IsoFine(v.at, 4, fine), "Z")
        }
    }
}

/// The id of a bounce or complaint: above 2^53, below 2^63.
fn bounce_id(v: &EventView<'_>) -> u64 {
    (v.draw(4) as u64 >> 2) | 1 << 62
}

impl ProviderFormat for Postmark {
    fn name(&self) -> &'static str {
        "postmark"
    }

    fn supports(&self, action: Action, _message: u32) -> bool {
        !matches!(action, Action::Sent | Action::MachineOpened)
    }

    fn message_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        Uuid(v.message_draw(1)).put(out);
    }

    fn event(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        put!(out; "{\"Metadata\":{", Ids(v), "},\"RecordType\":\"", record_type(v.action), "\",\"MessageID\":\"");
        self.message_id(v, out);
        put!(out; "\",\"MessageStream\":\"outbound\",\"Tag\":\"monthly\",");
        let to = Mail(v.person, Style::Event);
        match v.action {
            Action::Delivered => {
                put!(out; "\"ServerID\":23,\"Recipient\":\"", to, "\",\"DeliveredAt\":\"", Time(v), "\",\"Details\":\"smtp;250 2.0.0 OK 1772460003 gsmtp\"}")
            }
            Action::Opened => {
                put!(out; "\"FirstOpen\":true,", CLIENT, "\"Platform\":\"WebMail\",\"UserAgent\":\"", BROWSER, "\",\"ReadSeconds\":5,", GEO, "\"ReceivedAt\":\"", Time(v), "\",\"Recipient\":\"", to, "\"}")
            }
            Action::Clicked => {
                put!(out; "\"ClickLocation\":\"HTML\",", CLIENT, "\"Platform\":\"Desktop\",\"UserAgent\":\"", BROWSER, "\",\"OriginalLink\":\"", LINK, "\",", GEO, "\"ReceivedAt\":\"", Time(v), "\",\"Recipient\":\"", to, "\"}")
            }
            Action::Unsubscribed => {
                put!(out; "\"ServerID\":23,\"ChangedAt\":\"", Time(v), "\",\"Recipient\":\"", to, "\",\"Origin\":\"Recipient\",\"SuppressSending\":true,\"SuppressionReason\":\"ManualSuppression\"}")
            }
            _ => bounce(v, out),
        }
    }

    fn key(&self, v: &EventView<'_>, recipient: &[u8], out: &mut Vec<u8>) {
        let record = record_type(v.action);
        if matches!(record, "Bounce" | "SpamComplaint") {
            return put!(out; record, "|", bounce_id(v));
        }
        put!(out; record, "|", Uuid(v.message_draw(1)), "|", recipient, "|", Time(v));
        if v.action == Action::Clicked {
            put!(out; "|", LINK);
        }
    }

    fn headers(&self, _v: &EventView<'_>, _received_at: i64, out: &mut Vec<u8>) {
        put!(out; "{\"content-type\":\"application/json\",\"authorization\":\"Basic aG9va2Zsb3c6ZXhhbXBsZQ==\",\"user-agent\":\"Postmark\"}");
    }
}

const fn record_type(action: Action) -> &'static str {
    match action {
        Action::Delivered => "Delivery",
        Action::Opened | Action::MachineOpened => "Open",
        Action::Clicked => "Click",
        Action::Complained => "SpamComplaint",
        Action::Unsubscribed => "SubscriptionChange",
        _ => "Bounce",
    }
}

fn bounce(v: &EventView<'_>, out: &mut Vec<u8>) {
    let (kind, code) = match v.action {
        Action::Deferred => ("Transient", "2"),
        Action::BouncedSoft => ("SoftBounce", "4096"),
        Action::Dropped => ("ManuallyDeactivated", "4006"),
        Action::Failed => ("SMTPApiError", "1000"),
        Action::Complained => ("SpamComplaint", "100001"),
        Action::Other => ("AutoResponder", "32"),
        _ => ("HardBounce", "1"),
    };
    put!(out; "\"ID\":", bounce_id(v), ",\"Type\":\"", kind, "\",\"TypeCode\":", code, ",\"Name\":\"", kind, "\",\"ServerID\":23,\"Description\":\"The server was unable to deliver your message (ex: unknown user, mailbox not found).\",\"Details\":\"smtp;550 5.1.1 not accepted\",\"Email\":\"", Mail(v.person, Style::Event), "\",\"From\":\"news@sender.example.com\",\"BouncedAt\":\"", Time(v), "\",\"DumpAvailable\":true,\"Inactive\":true,\"CanActivate\":true,\"Subject\":\"Your March summary\",\"Content\":\"<Full dump of bounce>\"}");
}
