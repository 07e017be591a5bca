//! Amazon SES by SNS: an envelope whose `Message` is JSON in a string. Some messages come as notifications of an
//! identity, without tags; opens of messages with two addresses name nobody.

use super::super::names::{Mail, Style};
use super::super::text::{Escaped, Hex, Uuid, WriteText, put};
use super::super::time::Iso;
use super::super::world::{Action, EventView, SecondAddress};
use super::ses_mail::{Destination, Detail, MailObject, MessageId};
use super::{BROWSER, LINK, ProviderFormat};

/// See the module.
pub struct Ses;

const SUBJECT: &str = "\n  \"Subject\": \"Amazon SES Email Event Notification\",";

/// The id that SNS gives a message, one for all its copies.
struct SnsId<'a>(&'a EventView<'a>);

impl WriteText for SnsId<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        Uuid(self.0.draw(2)).put(out);
    }
}

impl ProviderFormat for Ses {
    fn name(&self) -> &'static str {
        "ses"
    }

    fn supports(&self, action: Action, _message: u32) -> bool {
        action != Action::MachineOpened
    }

    fn message_id(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        MessageId(v).put(out);
    }

    fn event(&self, v: &EventView<'_>, out: &mut Vec<u8>) {
        let mut message = Vec::with_capacity(3_000);
        message_of(v, &mut message);
        let (topic, subject) = if notified(v) {
            ("ses-notifications", "")
        } else {
            ("ses-events", SUBJECT)
        };
        put!(out;
            "{\n  \"Type\": \"Notification\",\n  \"MessageId\": \"", SnsId(v),
            "\",\n  \"TopicArn\": \"arn:aws:sns:us-east-1:123456789012:", topic,
            "\",", subject, "\n  \"Message\": \"",
            Escaped(&message), "\",\n  \"Timestamp\": \"", Iso(v.at + 231),
            "\",\n  \"SignatureVersion\": \"1\",\n  \"Signature\": \"", Hex(v.draw(3), 32),
            "==\",\n  \"SigningCertURL\": \"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0000000000000000000000000000example.pem\",\n  \"UnsubscribeURL\": \"https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:us-east-1:123456789012:",
            topic, ":2bcfbf39-05c3-41de-beaa-fcfcc21c8f55\"\n}\n");
    }

    fn key(&self, v: &EventView<'_>, recipient: &[u8], out: &mut Vec<u8>) {
        put!(out; SnsId(v), "|", recipient);
    }

    fn occurred_at(&self, v: &EventView<'_>) -> Option<i64> {
        match v.action {
            Action::Sent | Action::Failed => Some(v.message.sent_at),
            _ => Some(v.at),
        }
    }

    fn headers(&self, v: &EventView<'_>, _received_at: i64, out: &mut Vec<u8>) {
        put!(out; "{\"content-type\":\"text/plain; charset=UTF-8\",\"x-amz-sns-message-type\":\"Notification\",\"x-amz-sns-message-id\":\"", SnsId(v), "\",\"x-amz-sns-topic-arn\":\"arn:aws:sns:us-east-1:123456789012:ses-events\",\"user-agent\":\"Amazon Simple Notification Service Agent\"}");
    }

    fn control(&self, number: u64, out: &mut Vec<u8>) -> bool {
        put!(out; "{\"Type\":\"SubscriptionConfirmation\",\"MessageId\":\"", Uuid(u128::from(number)), "\",\"Token\":\"2336412f37fb687f5d51e6e241d0\",\"TopicArn\":\"arn:aws:sns:us-east-1:123456789012:ses-events\",\"Message\":\"You have chosen to subscribe to the topic arn:aws:sns:us-east-1:123456789012:ses-events.\\nTo confirm the subscription, visit the SubscribeURL included in this message.\",\"SubscribeURL\":\"https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription\",\"Timestamp\":\"2026-03-02T13:00:00.751Z\",\"SignatureVersion\":\"1\",\"Signature\":\"EXAMPLE==\",\"SigningCertURL\":\"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0000000000000000000000000000example.pem\"}");
        true
    }
}

/// Whether the identity publishes this event and not the configuration set.
fn notified(v: &EventView<'_>) -> bool {
    use Action::{BouncedHard, BouncedSoft, Complained, Delivered};
    let published = matches!(v.action, BouncedHard | BouncedSoft | Complained | Delivered);
    published && v.message.second_address == SecondAddress::No && v.message_in(7, 4)
}

fn message_of(v: &EventView<'_>, out: &mut Vec<u8>) {
    let (name, detail) = match (notified(v), v.action) {
        (true, _) => ("{\"notificationType\":\"", Detail::Notification),
        (false, Action::Deferred) => ("{\"eventType\":\"", Detail::Brief),
        (false, _) => ("{\"eventType\":\"", Detail::Full),
    };
    put!(out; name, event_type(v.action), "\",\"mail\":", MailObject(v, detail), ",");
    match v.action {
        Action::BouncedHard | Action::BouncedSoft | Action::Dropped => bounce(v, out),
        Action::Other | Action::Unsubscribed => subscription(v, out),
        _ => detail_of(v, out),
    }
    put!(out; "}\n");
}

const fn event_type(action: Action) -> &'static str {
    match action {
        Action::Sent => "Send",
        Action::Deferred => "DeliveryDelay",
        Action::Delivered => "Delivery",
        Action::Opened | Action::MachineOpened => "Open",
        Action::Clicked => "Click",
        Action::BouncedHard | Action::BouncedSoft | Action::Dropped => "Bounce",
        Action::Complained => "Complaint",
        Action::Unsubscribed | Action::Other => "Subscription",
        Action::Failed => "Reject",
    }
}

fn detail_of(v: &EventView<'_>, out: &mut Vec<u8>) {
    let at = Iso(v.at);
    let to = Mail(v.person, Style::Event);
    match v.action {
        Action::Deferred => {
            put!(out; "\"deliveryDelay\":{\"timestamp\":\"", at, "\",\"delayType\":\"TransientCommunicationFailure\",\"expirationTime\":\"", Iso(v.at + 50_400_819), "\",\"delayedRecipients\":[{\"emailAddress\":\"", to, "\",\"status\":\"4.4.1\",\"diagnosticCode\":\"smtp; 421 4.4.1 Unable to connect to remote host\"}]}");
        }
        Action::Delivered => delivery(v, out),
        Action::Opened | Action::MachineOpened => {
            put!(out; "\"open\":{\"ipAddress\":\"192.0.2.1\",\"timestamp\":\"", at, "\",\"userAgent\":\"", BROWSER, "\"}");
        }
        Action::Clicked => {
            put!(out; "\"click\":{\"ipAddress\":\"192.0.2.1\",\"link\":\"", LINK, "\",\"linkTags\":{\"campaign\":[\"spring\"],\"slot\":[\"hero\"]},\"timestamp\":\"", at, "\",\"userAgent\":\"", BROWSER, "\"}");
        }
        Action::Complained => {
            put!(out; "\"complaint\":{\"complainedRecipients\":[{\"emailAddress\":\"", to, "\"}],\"timestamp\":\"", at, "\",\"feedbackId\":\"", Uuid(v.draw(5)), "\",\"complaintSubType\":null,\"userAgent\":\"Amazon SES Mailbox Simulator\",\"complaintFeedbackType\":\"abuse\",\"arrivalDate\":\"", at, "\"}");
        }
        Action::Failed => put!(out; "\"reject\":{\"reason\":\"Bad content\"}"),
        _ => put!(out; "\"send\":{}"),
    }
}

/// Both recipients in one delivery, where there are two.
fn delivery(v: &EventView<'_>, out: &mut Vec<u8>) {
    put!(out; "\"delivery\":{\"timestamp\":\"", Iso(v.at), "\",\"processingTimeMillis\":3121,\"recipients\":[");
    match v.second {
        Some(_) => Destination(v, "\"", ",").put(out),
        None => put!(out; "\"", Mail(v.person, Style::Event), "\""),
    }
    put!(out; "],\"smtpResponse\":\"250 2.6.0 Message received\",\"reportingMTA\":\"a8-70.smtp-out.amazonses.com\",\"remoteMtaIp\":\"192.0.2.25\"}");
}

fn bounce(v: &EventView<'_>, out: &mut Vec<u8>) {
    let (kind, sub, status) = match v.action {
        Action::BouncedSoft => ("Transient", "MailboxFull", "5.2.2"),
        Action::Dropped => ("Permanent", "Suppressed", "5.1.1"),
        _ => ("Permanent", "General", "5.1.1"),
    };
    put!(out; "\"bounce\":{\"bounceType\":\"", kind, "\",\"bounceSubType\":\"", sub, "\",\"bouncedRecipients\":[{\"emailAddress\":\"", Mail(v.person, Style::Event), "\",\"action\":\"failed\",\"status\":\"", status, "\",\"diagnosticCode\":\"smtp; 550 ", status, " not accepted\"}],\"timestamp\":\"", Iso(v.at), "\",\"feedbackId\":\"", Uuid(v.draw(5)), "\",\"reportingMTA\":\"dsn; a8-70.smtp-out.amazonses.com\"}");
}

/// Opting out counts, opting in does not.
fn subscription(v: &EventView<'_>, out: &mut Vec<u8>) {
    let (all, new, old) = match v.action {
        Action::Unsubscribed => ("true", "OptOut", "OptIn"),
        _ => ("false", "OptIn", "OptOut"),
    };
    put!(out; "\"subscription\":{\"contactList\":\"Newsletter\",\"timestamp\":\"", Iso(v.at), "\",\"source\":\"UnsubscribeHeader\",\"newTopicPreferences\":{\"unsubscribeAll\":", all, ",\"topicSubscriptionStatus\":[{\"topicName\":\"Offers\",\"subscriptionStatus\":\"", new, "\"}]},\"oldTopicPreferences\":{\"unsubscribeAll\":false,\"topicSubscriptionStatus\":[{\"topicName\":\"Offers\",\"subscriptionStatus\":\"", old, "\"}]}}");
}
