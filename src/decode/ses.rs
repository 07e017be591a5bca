//! Amazon SES through SNS: an envelope whose `Message` is a JSON string, or with raw delivery the event alone.
//!
//! Source: <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html> (`eventType`) and
//! <https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html> (`notificationType`). One event may cover several
//! recipients and becomes one event each; opens and clicks do not say who. A suppressed address is reported as a
//! bounce or a complaint, and is neither.

use super::batch::{self, Element};
use super::finish::{Draft, Part, address_part};
use super::{Decoder, Time, bad_shape, no_identity, times, whole_id};
use crate::event::{BounceClass, Kind, Reason};
use crate::json::{Cursor, Document, Fault, List, Read, Text, Wanted, fields};

/// SNS retries the stored message.
pub(super) const DECODER: Decoder = Decoder {
    name: "ses",
    time: Time::Fixed,
    join_id: whole_id,
    decode: |body, output| batch::one::<Envelope<'_>>(body, output, emit_envelope),
};

fields! {
    /// The SNS envelope, or with raw delivery the event in its place.
    Envelope<'a> {
        envelope_type: Text<'a> = b"Type",
        message_id: Text<'a> = b"MessageId",
        timestamp: Text<'a> = b"Timestamp",
        message: Document<'a> = b"Message",
        event_type: Text<'a> = b"eventType",
        notification_type: Text<'a> = b"notificationType",
        mail: Mail<'a> = b"mail",
        detail: Detail<'a> = b"bounce" | b"complaint" | b"delivery" | b"deliveryDelay" | b"open" | b"click"
            | b"subscription",
    }
}

fields! {
    Mail<'a> {
        timestamp: Text<'a> = b"timestamp",
        message_id: Text<'a> = b"messageId",
        destination: List<'a> = b"destination",
        ids: Wanted<'a> = b"tags",
    }
}

fields! {
    /// The object that is named after the event; each type has some of these.
    Detail<'a> {
        timestamp: Text<'a> = b"timestamp",
        bounce_type: Text<'a> = b"bounceType",
        bounce_sub_type: Text<'a> = b"bounceSubType",
        complaint_sub_type: Text<'a> = b"complaintSubType",
        feedback: Text<'a> = b"complaintFeedbackType",
        recipients: List<'a> = b"recipients",
        bounced: Recipients<'a> = b"bouncedRecipients",
        complained: Recipients<'a> = b"complainedRecipients",
        delayed: Recipients<'a> = b"delayedRecipients",
        new_topics: Topics<'a> = b"newTopicPreferences",
        old_topics: Topics<'a> = b"oldTopicPreferences",
    }
}

fields! {
    Topics<'a> {
        none: Text<'a> = b"unsubscribeAll",
        topics: TopicList<'a> = b"topicSubscriptionStatus",
    }
}

fields! {
    Topic<'a> {
        name: Text<'a> = b"topicName",
        status: Text<'a> = b"subscriptionStatus",
    }
}

fields! { Recipient<'a> { address: Text<'a> = b"emailAddress", } }

#[derive(Debug, Default)]
struct Recipients<'a>(List<'a>);

impl<'a> Read<'a> for Recipients<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        let mut list = List::default();
        cursor.array(|cursor| {
            list.push(Recipient::read(cursor)?.address);
            Ok(())
        })?;
        Ok(Self(list))
    }
}

#[derive(Debug, Default)]
struct TopicList<'a>(Vec<Topic<'a>>);

impl<'a> Read<'a> for TopicList<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        let mut list = Self::default();
        cursor.array(|cursor| {
            list.0.push(Topic::read(cursor)?);
            Ok(())
        })?;
        Ok(list)
    }
}

fn emit_envelope(envelope: &Envelope<'_>, element: &mut Element<'_, '_>) -> Result<(), Reason> {
    match envelope.envelope_type.bytes() {
        b"SubscriptionConfirmation" | b"UnsubscribeConfirmation" => return Ok(()),
        _ if envelope.message.0.is_present() => {}
        _ => {
            let id = element.header("x-amz-sns-message-id").into_owned();
            return emit(envelope, id.bytes(), b"", element);
        }
    }
    let message = envelope.message.0.bytes();
    if message.starts_with(b"Successfully validated SNS topic") {
        return Ok(());
    }
    let event = read_message(message, element)?;
    emit(
        &event,
        envelope.message_id.bytes(),
        envelope.timestamp.bytes(),
        element,
    )
}

fn read_message<'a, 'o: 'a>(
    message: &'a [u8],
    element: &Element<'_, 'o>,
) -> Result<Envelope<'a>, Reason> {
    let mut cursor = element.options().cursor(message);
    if cursor.peek() != Some(b'{') {
        return Err(bad_shape("the envelope's Message is no JSON object"));
    }
    let event = Envelope::read(&mut cursor)?;
    cursor.end()?;
    Ok(event)
}

/// Emits one event for each recipient, or one without.
fn emit(
    item: &Envelope<'_>,
    sns_id: &[u8],
    sns_time: &[u8],
    element: &mut Element<'_, '_>,
) -> Result<(), Reason> {
    let event_type = item.event_type.or(&item.notification_type).bytes();
    if event_type == b"AmazonSnsSubscriptionSucceeded" {
        return Ok(());
    }
    let facts = facts(item, event_type, sns_time);
    let mut recipients = facts
        .recipients
        .iter()
        .map(|text| address_part(text.bytes()));
    let only = item.mail.destination.only();
    let first = match facts.each {
        true => recipients.next(),
        false => only.map(|text| address_part(text.bytes())),
    };
    let message = Named { event_type, sns_id };
    emit_one(item, &facts, &message, first.unwrap_or_default(), element)?;
    match facts.each {
        true => recipients.try_for_each(|to| emit_one(item, &facts, &message, to, element)),
        false => Ok(()),
    }
}

/// What names the message within SNS and SES.
struct Named<'i> {
    event_type: &'i [u8],
    sns_id: &'i [u8],
}

fn emit_one(
    item: &Envelope<'_>,
    facts: &Facts<'_>,
    named: &Named<'_>,
    recipient: &[u8],
    element: &mut Element<'_, '_>,
) -> Result<(), Reason> {
    let message_id = item.mail.message_id.bytes();
    let own_key = [Part::Id(named.sns_id), Part::Free(recipient)];
    let made_key = [
        Part::Id(named.event_type),
        Part::Id(message_id),
        Part::Free(recipient),
        Part::Id(facts.time),
    ];
    let key = match named.sns_id.is_empty() {
        _ if message_id.is_empty() && named.event_type.is_empty() => return Err(no_identity()),
        false => own_key.as_slice(),
        true if message_id.is_empty() => return Err(no_identity()),
        true => made_key.as_slice(),
    };
    element.emit(&Draft {
        kind: facts.kind,
        bounce: facts.bounce,
        machine: false,
        time: times::parse(facts.time),
        message_id,
        key,
        recipient,
        ids: &item.mail.ids,
    })
}

/// What the type of an event decides.
struct Facts<'i> {
    kind: Kind,
    bounce: Option<BounceClass>,
    time: &'i [u8],
    /// Whether it happened to each of `recipients`; else it is known only if the message had one.
    each: bool,
    recipients: &'i List<'i>,
}

fn facts<'i>(item: &'i Envelope<'_>, event_type: &[u8], sns_time: &'i [u8]) -> Facts<'i> {
    let to_all = |kind| Facts {
        kind,
        bounce: None,
        time: item.mail.timestamp.bytes(),
        each: true,
        recipients: &item.mail.destination,
    };
    let detail = &item.detail;
    let time = detail.timestamp.bytes();
    let to_each = |kind, recipients| Facts {
        time,
        recipients,
        ..to_all(kind)
    };
    let unnamed = |kind, time| Facts {
        time,
        each: false,
        ..to_all(kind)
    };
    match event_type {
        b"Send" => to_all(Kind::Sent),
        b"Reject" | b"Rendering Failure" => to_all(Kind::Failed),
        b"Delivery" => to_each(Kind::Delivered, &detail.recipients),
        b"DeliveryDelay" => to_each(Kind::Deferred, &detail.delayed.0),
        b"Complaint" => to_each(complaint(detail), &detail.complained.0),
        b"Bounce" => {
            let (kind, bounce) = bounce(detail);
            Facts {
                bounce,
                ..to_each(kind, &detail.bounced.0)
            }
        }
        b"Open" => unnamed(Kind::Opened, time),
        b"Click" => unnamed(Kind::Clicked, time),
        b"Subscription" => unnamed(subscription(detail), time),
        _ => unnamed(Kind::Other, sns_time),
    }
}

fn bounce(bounce: &Detail<'_>) -> (Kind, Option<BounceClass>) {
    let class = match bounce.bounce_type.bytes() {
        _ if is_suppressed(bounce.bounce_sub_type.bytes()) => return (Kind::Dropped, None),
        b"Permanent" => BounceClass::Hard,
        b"Transient" => BounceClass::Soft,
        _ => BounceClass::Undetermined,
    };
    (Kind::Bounced, Some(class))
}

/// SES did not try.
fn is_suppressed(sub_type: &[u8]) -> bool {
    matches!(
        sub_type,
        b"Suppressed"
            | b"OnAccountSuppressionList"
            | b"OnTenantSuppressionList"
            | b"EmailValidationSuppressed"
            | b"UnsubscribedRecipient"
    )
}

fn complaint(complaint: &Detail<'_>) -> Kind {
    if complaint.complaint_sub_type.bytes() == b"OnAccountSuppressionList" {
        return Kind::Dropped;
    }
    match complaint.feedback.bytes() {
        b"not-spam" => Kind::Other,
        _ => Kind::Complained,
    }
}

/// An unsubscription leaves all topics, or one that was opted into; the rest are changes of preference.
fn subscription(change: &Detail<'_>) -> Kind {
    let was_in = |name: &[u8]| {
        let old = change.old_topics.topics.0.iter();
        old.filter(|topic| topic.name.bytes() == name)
            .any(|topic| topic.status.bytes() == b"OptIn")
    };
    let left_topic = change
        .new_topics
        .topics
        .0
        .iter()
        .any(|topic| topic.status.bytes() == b"OptOut" && was_in(topic.name.bytes()));
    match change.new_topics.none.is_true() || left_topic {
        true => Kind::Unsubscribed,
        false => Kind::Other,
    }
}
