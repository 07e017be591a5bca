//! Twilio: form fields, one status a request and each status once, no time at all. Ids travel in the callback's query.

use super::super::names::Phone;
use super::super::text::{Base64, Hex, Piece, Uuid, put};
use super::super::time::Minute;
use super::super::world::{Act, View};
use super::{Carrier, Format};

/// See the module.
pub struct Twilio;

struct Sid<'a>(&'a View<'a>);

impl Piece for Sid<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        put!(out; "SM", Hex(self.0.message_draw(1), 32));
    }
}

impl Format for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    fn tells(&self, act: Act, _message: u32) -> bool {
        use Act::{Delivered, Dropped, Failed, Opened, Other, Sent};
        matches!(act, Sent | Delivered | Failed | Dropped | Opened | Other)
    }

    fn once(&self, _act: Act) -> bool {
        true
    }

    fn carrier(&self) -> Carrier {
        Carrier::Form
    }

    fn sms(&self) -> bool {
        true
    }

    fn time_fixed(&self) -> bool {
        false
    }

    fn message_id(&self, v: &View<'_>, out: &mut Vec<u8>) {
        Sid(v).put(out);
    }

    fn event(&self, v: &View<'_>, out: &mut Vec<u8>) {
        let status = status(v);
        put!(out; "ApiVersion=2010-04-01&AccountSid=AC00000000000000000000000000000001&MessagingServiceSid=MG00000000000000000000000000000001&From=%2B15005550006&To=%2B", Phone(v.person),
            "&MessageSid=", Sid(v), "&SmsSid=", Sid(v), "&SmsStatus=", status, "&MessageStatus=", status);
        match status {
            "delivered" => put!(out; "&RawDlrDoneDate=", Minute(v.at)),
            "undelivered" => put!(out; "&ErrorCode=30003&RawDlrDoneDate=", Minute(v.at)),
            "failed" => {
                put!(out; "&ErrorCode=21610&ErrorMessage=Attempt+to+send+to+unsubscribed+recipient")
            }
            "read" => {
                put!(out; "&ChannelPrefix=whatsapp&ChannelInstallSid=XE00000000000000000000000000000001&EventType=READ")
            }
            _ => {}
        }
    }

    fn key(&self, v: &View<'_>, _recipient: &[u8], out: &mut Vec<u8>) {
        put!(out; Sid(v), "|", status(v));
    }

    fn occurred_at(&self, _v: &View<'_>) -> Option<i64> {
        None
    }

    fn headers(&self, v: &View<'_>, _received_at: i64, out: &mut Vec<u8>) {
        put!(out; "{\"content-type\":\"application/x-www-form-urlencoded; charset=UTF-8\",\"user-agent\":\"TwilioProxy/1.1\",\"i-twilio-idempotency-token\":\"", Uuid(v.draw(2)), "\",\"x-twilio-signature\":\"", Base64(v.draw(3), 27), "=\"}");
    }
}

fn status(v: &View<'_>) -> &'static str {
    match v.act {
        Act::Delivered => "delivered",
        Act::Failed if v.message_in(2, 4) => "failed",
        Act::Failed => "undelivered",
        Act::Dropped => "canceled",
        Act::Opened => "read",
        Act::Other => "queued",
        _ => "sent",
    }
}
