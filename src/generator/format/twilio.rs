//! Twilio: form fields, one status a request and each status once, no time at all. Ids travel in the callback's query.

use super::super::names::Phone;
use super::super::text::{Base64, Hex, Uuid, WriteText, put};
use super::super::time::Minute;
use super::super::world::{Action, EventView};
use super::{BodyFormat, ProviderFormat};

/// See the module.
pub struct Twilio;

struct Sid<'a>(&'a EventView<'a>);

impl WriteText for Sid<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        put!(out; "SM", Hex(self.0.message_draw(1), 32));
    }
}

impl ProviderFormat for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    fn supports(&self, action: Action, _message: u32) -> bool {
        use Action::{Delivered, Dropped, Failed, Opened, Other, Sent};
        matches!(action, Sent | Delivered | Failed | Dropped | Opened | Other)
    }

    fn has_one_key(&self, _act: Action) -> bool {
        true
    }

    fn body_format(&self) -> BodyFormat {
        BodyFormat::Form
    }

    fn sms(&self) -> bool {
        true
    }

    fn time_fixed(&self) -> bool {
        false
    }

    fn message_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        Sid(v).put(out);
    }

    fn event(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
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

    fn key(&self, v: &EventView<'_>, _recipient: &[u8], out: &mut Vec<u8>) {
        put!(out; Sid(v), "|", status(v));
    }

    fn occurred_at(&self, _v: &EventView<'_>) -> Option<i64> {
        None
    }

    fn headers(&self, v: &EventView<'_>, _received_at: i64, out: &mut Vec<u8>) {
        put!(out; "{\"content-type\":\"application/x-www-form-urlencoded; charset=UTF-8\",\"user-agent\":\"TwilioProxy/1.1\",\"i-twilio-idempotency-token\":\"", Uuid(v.draw(2)), "\",\"x-twilio-signature\":\"", Base64(v.draw(3), 27), "=\"}");
    }
}

fn status(v: &EventView<'_>) -> &'static str {
    match v.action {
        Action::Delivered => "delivered",
        Action::Failed if v.message_in(2, 4) => "failed",
        Action::Failed => "undelivered",
        Action::Dropped => "canceled",
        Action::Opened => "read",
        Action::Other => "queued",
        _ => "sent",
    }
}
