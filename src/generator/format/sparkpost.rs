//! SparkPost: arrays of events wrapped twice, most numbers as strings. One transmission, and so one message id as the
//! sender knows it, has many recipients.

use super::super::names::{BatchId, Host, Mail, Style};
use super::super::text::{Base64, Hex, Padded, Uuid, WriteText, put};
use super::super::time::{Iso, Seconds};
use super::super::world::{Action, EventView};
use super::{BROWSER, BodyFormat, LINK, ProviderFormat, RecipientIds};

/// See the module.
pub struct SparkPost;

/// A number above 2^53 as text, or a UUID.
struct SparkpostEventId<'a>(&'a EventView<'a>);

impl WriteText for SparkpostEventId<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        let draw = self.0.draw(2);
        match draw & 3 {
            0 => Uuid(draw >> 2).put(out),
            _ => ((draw as u64 >> 2) | 1 << 61).put(out),
        }
    }
}

impl ProviderFormat for SparkPost {
    fn name(&self) -> &'static str {
        "sparkpost"
    }

    fn supports(&self, action: Action, _message: u32) -> bool {
        action != Action::MachineOpened
    }

    fn body_format(&self) -> BodyFormat {
        BodyFormat::Array
    }

    fn recipients_a_call(&self) -> u64 {
        40
    }

    fn message_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        put!(out; "6", Padded((v.call_draw(1) as u64) % 10_000_000_000_000_000, 16));
    }

    fn event(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        let (class, kind) = event_name(v.action);
        put!(out; "{\"msys\":{\"", class, "\":{\"type\":\"", kind, "\",\"campaign_id\":\"", BatchId(v.batch),
            "\",\"customer_id\":\"1\",\"delv_method\":\"esmtp\",\"event_id\":\"", SparkpostEventId(v),
            "\",\"friendly_from\":\"news@sender.example.com\",\"injection_time\":\"", Iso(v.message.sent_at),
            "\",\"ip_address\":\"192.0.2.61\",\"ip_pool\":\"marketing\",\"message_id\":\"", Hex(v.message_draw(3), 20),
            "\",\"msg_from\":\"bounces@sender.example.com\",\"msg_size\":\"1337\",\"num_retries\":\"0\",\"open_tracking\":true,\"click_tracking\":true,\"queue_time\":\"12\",\"rcpt_meta\":{",
            RecipientIds(v), "},\"rcpt_tags\":[\"monthly\"],\"rcpt_to\":\"", Mail(v.person, Style::Sender),
            "\",\"raw_rcpt_to\":\"", Mail(v.person, Style::Event), "\",\"rcpt_type\":\"to\",\"recipient_domain\":\"", Host(v.person), "\",\"routing_domain\":\"", Host(v.person),
            "\",\"sending_domain\":\"sender.example.com\",\"sending_ip\":\"192.0.2.60\",\"subaccount_id\":\"101\",\"subject\":\"Your March summary\",\"template_id\":\"templ-1234\",\"template_version\":\"1\",\"timestamp\":\"",
            Seconds(v.at), "\",\"transactional\":\"0\",\"transmission_id\":\"");
        self.message_id(v, out);
        put!(out; "\"");
        detail(v, out);
        put!(out; "}}}");
    }

    fn key(&self, v: &EventView<'_>, _recipient: &[u8], out: &mut Vec<u8>) {
        SparkpostEventId(v).put(out);
    }

    fn occurred_at(&self, v: &EventView<'_>) -> Option<i64> {
        Some(v.at.div_euclid(1_000) * 1_000)
    }

    fn headers(&self, v: &EventView<'_>, _received_at: i64, out: &mut Vec<u8>) {
        put!(out; "{\"content-type\":\"application/json\",\"authorization\":\"Basic ", Base64(7, 20), "\",\"x-messagesystems-batch-id\":\"", Uuid(v.draw(4)), "\"}");
    }

    fn control(&self, _number: u64, out: &mut Vec<u8>) -> bool {
        put!(out; "[{\"msys\":{}}]");
        true
    }
}

const fn event_name(action: Action) -> (&'static str, &'static str) {
    match action {
        Action::Sent => ("message_event", "injection"),
        Action::Deferred => ("message_event", "delay"),
        Action::Delivered => ("message_event", "delivery"),
        Action::Opened | Action::MachineOpened => ("track_event", "open"),
        Action::Clicked => ("track_event", "click"),
        Action::BouncedHard | Action::BouncedSoft => ("message_event", "bounce"),
        Action::Dropped => ("message_event", "policy_rejection"),
        Action::Complained => ("message_event", "spam_complaint"),
        Action::Unsubscribed => ("unsubscribe_event", "list_unsubscribe"),
        Action::Failed => ("gen_event", "generation_failure"),
        Action::Other => ("track_event", "initial_open"),
    }
}

fn detail(v: &EventView<'_>, out: &mut Vec<u8>) {
    match v.action {
        Action::Deferred => refused(
            "21",
            "454",
            "454 4.4.4 [internal] no MX or A for domain",
            out,
        ),
        Action::BouncedHard => refused(
            "10",
            "550",
            "550 5.1.1 ...@... Recipient address rejected: ...",
            out,
        ),
        Action::BouncedSoft => refused("22", "552", "552 5.2.2 Mailbox full", out),
        Action::Dropped => refused(
            "25",
            "554",
            "MAIL REFUSED - IP (a.b.c.d) is in black list",
            out,
        ),
        Action::Failed => {
            put!(out; ",\"error_code\":\"554\",\"raw_reason\":\"554 5.3.3 [internal] Error while rendering part html: ...\",\"reason\":\"554 5.3.3 [internal] Error while rendering part html: ...\",\"rcpt_subs\":{\"country\":\"US\"}")
        }
        Action::Complained => {
            put!(out; ",\"fbtype\":\"abuse\",\"report_by\":\"reports@isp.example.com\",\"report_to\":\"abuse@sender.example.com\",\"user_str\":\"Additional Example Information\"")
        }
        Action::Unsubscribed => put!(out; ",\"mailfrom\":\"", Mail(v.person, Style::Event), "\""),
        Action::Clicked => {
            put!(out; ",\"user_agent\":\"", BROWSER, "\",\"target_link_name\":\"Offers\",\"target_link_url\":\"", LINK, "\"")
        }
        Action::Opened | Action::MachineOpened | Action::Other => {
            put!(out; ",\"user_agent\":\"", BROWSER, "\",\"geo_ip\":{\"country\":\"US\",\"region\":\"MD\",\"city\":\"Columbia\",\"latitude\":39.1749,\"longitude\":-76.8375,\"zip\":21046,\"postal_code\":\"21046\"}")
        }
        Action::Sent | Action::Delivered => {}
    }
}

fn refused(class: &str, code: &str, reason: &str, out: &mut Vec<u8>) {
    put!(out; ",\"bounce_class\":\"", class, "\",\"error_code\":\"", code, "\",\"raw_reason\":\"", reason, "\",\"reason\":\"", reason, "\"");
}
