//! The `mail` object of an SES event, which is most of its bytes, and the id in it.

use super::super::names::{ARCHIVE, BatchId, Mail, RecipientId, Style};
use super::super::text::{Hex, Uuid, WriteText, put};
use super::super::time::Iso;
use super::super::world::{EventView, SecondAddress};

/// The id that SES gives a message.
pub struct MessageId<'a>(pub &'a EventView<'a>);

impl WriteText for MessageId<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        let draw = self.0.message_draw(1);
        put!(out; "0100018f", Hex(draw, 8), "-", Uuid(draw >> 3), "-000000");
    }
}

/// How much of a message SES reports.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Headers and tags.
    Full,
    /// Tags only.
    Brief,
    /// Headers, but no tags: an identity's notification.
    Notification,
}

/// The `mail` object.
pub struct MailObject<'a>(pub &'a EventView<'a>, pub Detail);

/// All addresses of a message, between these two pieces each and with that one between them.
pub struct Destination<'a>(pub &'a EventView<'a>, pub &'a str, pub &'a str);

impl WriteText for Destination<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        let Destination(v, quote, comma) = self;
        put!(out; *quote, Mail(v.person, Style::Event), *quote);
        match (v.message.second_address, v.second) {
            (SecondAddress::No, _) => {}
            (_, Some(second)) => put!(out; *comma, *quote, Mail(second, Style::Event), *quote),
            (_, None) => put!(out; *comma, *quote, ARCHIVE, *quote),
        }
    }
}

impl WriteText for MailObject<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        let MailObject(v, detail) = *self;
        put!(out; "{\"timestamp\":\"", Iso(v.message.sent_at), "\",\"source\":\"Hookflow News <news@sender.example.com>\",\"sourceArn\":\"arn:aws:ses:us-east-1:123456789012:identity/sender.example.com\"");
        if detail == Detail::Notification {
            put!(out; ",\"sourceIp\":\"192.0.2.10\",\"callerIdentity\":\"ses_user\"");
        }
        put!(out; ",\"sendingAccountId\":\"123456789012\",\"messageId\":\"", MessageId(v), "\",\"destination\":[", Destination(v, "\"", ","), "]");
        if detail != Detail::Brief {
            headers(v, out);
        }
        if detail != Detail::Notification {
            tags(v, out);
        }
        out.push(b'}');
    }
}

fn headers(v: &EventView<'_>, out: &mut Vec<u8>) {
    put!(out;
        ",\"headersTruncated\":false,\"headers\":[{\"name\":\"From\",\"value\":\"Hookflow News <news@sender.example.com>\"},{\"name\":\"To\",\"value\":\"",
        Destination(v, "", ", "),
        "\"},{\"name\":\"Subject\",\"value\":\"Your March summary\"},{\"name\":\"MIME-Version\",\"value\":\"1.0\"},{\"name\":\"Content-Type\",\"value\":\"multipart/alternative; boundary=\\\"----=_Part_7307378_1629847660.1516840721503\\\"\"}],\"commonHeaders\":{\"date\":\"Mon, 02 Mar 2026 14:05:45 +0000\",\"from\":[\"Hookflow News <news@sender.example.com>\"],\"to\":[",
        Destination(v, "\"", ","), "],\"messageId\":\"", MessageId(v), "\",\"subject\":\"Your March summary\"}");
}

fn tags(v: &EventView<'_>, out: &mut Vec<u8>) {
    put!(out; ",\"tags\":{\"ses:operation\":[\"SendRawEmail\"],\"ses:configuration-set\":[\"hookflow\"],\"ses:source-ip\":[\"192.0.2.10\"],\"ses:from-domain\":[\"sender.example.com\"],\"ses:caller-identity\":[\"ses_user\"],\"user_id\":[\"", v.user, "\"]");
    if v.batch.number.is_some() {
        put!(out; ",\"batch_id\":[\"", BatchId(v.batch), "\"]");
    }
    if v.ids() {
        put!(out; ",\"recipient_id\":[\"", RecipientId(v.person), "\"]");
    }
    out.push(b'}');
}
