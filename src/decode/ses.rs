//! Amazon SES through SNS: an envelope whose `Message` is a JSON string, or with raw delivery the event alone.
//!
//! Source: <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html> (`eventType`) and
//! <https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html> (`notificationType`). One event may cover several
//! recipients and becomes one event each; opens and clicks do not say who. A suppressed address is reported as a
//! bounce or a complaint, and is neither.

use super::batch::{self, Element};
use super::finish::{Draft, Part, address_part};
use super::{Decoder, TimeKind, bad_shape, no_identity, status, times, whole_id};
use crate::event::{BounceClass, Kind, Reason};
use crate::json::{Cursor, Document, Fault, List, Read, Text, Wanted, fields};

/// SNS retries the stored message.
pub(super) const DECODER: Decoder = Decoder {
    name: "ses",
    time: TimeKind::Fixed,
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
        bounced: SesRecipients<'a> = b"bouncedRecipients",
        complained: SesRecipients<'a> = b"complainedRecipients",
        delayed: SesRecipients<'a> = b"delayedRecipients",
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

fields! {
    SesRecipient<'a> {
        address: Text<'a> = b"emailAddress",
        status: Text<'a> = b"status",
        diagnostic: Text<'a> = b"diagnosticCode",
    }
}

#[derive(Debug, Default)]
struct SesRecipients<'a>(Vec<SesRecipient<'a>>);

impl<'a> Read<'a> for SesRecipients<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        let mut list = Self::default();
        cursor.array(|cursor| {
            list.0.push(SesRecipient::read(cursor)?);
            Ok(())
        })?;
        Ok(list)
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
    let mut cursor = element.config().cursor(message);
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
    let message_id = item.mail.message_id.bytes();
    if message_id.is_empty() && (sns_id.is_empty() || event_type.is_empty()) {
        return Err(no_identity());
    }
    let own_key = [Part::Id(sns_id), Part::Recipient];
    let made_key = [
        Part::Id(event_type),
        Part::Id(message_id),
        Part::Recipient,
        Part::Id(facts.time),
    ];
    let draft = Draft {
        kind: facts.kind,
        bounce: None,
        machine: false,
        time: times::parse(facts.time),
        message_id,
        key: if sns_id.is_empty() {
            &made_key
        } else {
            &own_key
        },
        recipient: b"",
        ids: &item.mail.ids,
    };
    emit_each(&draft, &facts.addressees(item), element)
}

/// Emits the draft for each addressee, or once without.
fn emit_each(
    draft: &Draft<'_>,
    addressees: &[Addressee<'_>],
    element: &mut Element<'_, '_>,
) -> Result<(), Reason> {
    let shared = element.shared_values(draft)?;
    let nobody = [Addressee::default()];
    let addressees = if addressees.is_empty() {
        &nobody
    } else {
        addressees
    };
    addressees.iter().try_for_each(|to| {
        let draft = Draft {
            recipient: to.address,
            bounce: to.bounce,
            ..*draft
        };
        element.emit_sharing(&shared, &draft)
    })
}

/// Whom an event concerns.
#[derive(Clone, Copy, Default)]
struct Addressee<'i> {
    address: &'i [u8],
    bounce: Option<BounceClass>,
}

/// What the type of an event decides.
struct Facts<'i> {
    kind: Kind,
    time: &'i [u8],
    to: Concerned<'i>,
}

/// Which recipients an event concerns.
enum Concerned<'i> {
    /// All that the message went to.
    All,
    /// Nobody by name: it is known only if the message had one recipient.
    Unnamed,
    /// Those of a list of addresses.
    Listed(&'i List<'i>),
    /// Those of a list with details; of bounces, with the class that SES gives to all of them.
    Detailed(&'i SesRecipients<'i>, Option<BounceClass>),
}

impl<'i> Facts<'i> {
    fn addressees(&self, item: &'i Envelope<'_>) -> Vec<Addressee<'i>> {
        let destination = &item.mail.destination;
        match &self.to {
            Concerned::All => destination.iter().map(Addressee::of).collect(),
            Concerned::Unnamed => destination.only().map(Addressee::of).into_iter().collect(),
            Concerned::Listed(list) => list.iter().map(Addressee::of).collect(),
            Concerned::Detailed(list, class) => {
                let named = list.0.iter().filter(|one| !one.address.is_empty());
                let mut all: Vec<_> = named.map(|one| one.addressee(*class)).collect();
                if all.is_empty() {
                    all.push(Addressee {
                        bounce: class.or(Some(BounceClass::Undetermined)),
                        ..Addressee::default()
                    });
                }
                all
            }
        }
    }
}

impl<'i> Addressee<'i> {
    fn of(address: &'i Text<'_>) -> Self {
        Self {
            address: address_part(address.bytes()),
            bounce: None,
        }
    }
}

impl SesRecipient<'_> {
    /// Without a class of SES's, what the receiving server answered decides.
    fn addressee(&self, class: Option<BounceClass>) -> Addressee<'_> {
        let answered = || status::first_class([self.status.bytes(), self.diagnostic.bytes()]);
        Addressee {
            bounce: Some(class.unwrap_or_else(answered)),
            ..Addressee::of(&self.address)
        }
    }
}

fn facts<'i>(item: &'i Envelope<'_>, event_type: &[u8], sns_time: &'i [u8]) -> Facts<'i> {
    let detail = &item.detail;
    let (mail_time, time) = (item.mail.timestamp.bytes(), detail.timestamp.bytes());
    let facts = |kind, time, to| Facts { kind, time, to };
    match event_type {
        b"Send" => facts(Kind::Sent, mail_time, Concerned::All),
        b"Reject" | b"Rendering Failure" => facts(Kind::Failed, mail_time, Concerned::All),
        b"Delivery" => facts(Kind::Delivered, time, Concerned::Listed(&detail.recipients)),
        b"DeliveryDelay" => {
            let to = Concerned::Detailed(&detail.delayed, None);
            facts(Kind::Deferred, time, to)
        }
        b"Complaint" => {
            let to = Concerned::Detailed(&detail.complained, None);
            facts(complaint(detail), time, to)
        }
        b"Bounce" => {
            let (kind, class) = bounce(detail);
            facts(kind, time, Concerned::Detailed(&detail.bounced, class))
        }
        b"Open" => facts(Kind::Opened, time, Concerned::Unnamed),
        b"Click" => facts(Kind::Clicked, time, Concerned::Unnamed),
        b"Subscription" => facts(subscription(detail), time, Concerned::Unnamed),
        _ => facts(Kind::Other, sns_time, Concerned::Unnamed),
    }
}

/// What a bounce is, and the class that SES gives it. Without one, each recipient's status decides.
fn bounce(bounce: &Detail<'_>) -> (Kind, Option<BounceClass>) {
    if is_suppressed(bounce.bounce_sub_type.bytes()) {
        return (Kind::Dropped, None);
    }
    let class = match bounce.bounce_type.bytes() {
        b"Permanent" => Some(BounceClass::Hard),
        b"Transient" => Some(BounceClass::Soft),
        b"Undetermined" => Some(BounceClass::Undetermined),
        _ => None,
    };
    (Kind::Bounced, class)
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
    if change.new_topics.none.is_true() || left_topic {
        Kind::Unsubscribed
    } else {
        Kind::Other
    }
}
