//! SparkPost event webhooks: an array of `{"msys": {"<class>": {…}}}`.
//!
//! Source: <https://developers.sparkpost.com/api/webhooks/>. The kind is `type`, whatever the class is called. Many
//! numbers and times are strings. `initial_open` comes in addition to `open`. A validation ping is `[{"msys": {}}]`.

use super::batch::{self, Element};
use super::finish::{Draft, Part};
use super::{Decoder, TimeKind, no_identity, status, times, whole_id};
use crate::event::{BounceClass, Kind, Reason};
use crate::json::{Cursor, Fault, Read, Text, Wanted, fields};

/// A retry posts the stored batch again.
pub(super) const DECODER: Decoder = Decoder {
    name: "sparkpost",
    time: TimeKind::Fixed,
    join_id: whole_id,
    decode: |body, output| batch::each::<Envelope<'_>>(body, output, emit_envelope),
};

fields! { Envelope<'a> { system: System<'a> = b"msys", } }

/// The object under the one class name that an element has.
#[derive(Debug, Default)]
struct System<'a> {
    present: bool,
    item: Option<Item<'a>>,
}

impl<'a> Read<'a> for System<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Fault> {
        let mut system = Self {
            present: cursor.peek() == Some(b'{'),
            item: None,
        };
        cursor.object(|cursor, _class| {
            system.item = Some(Item::read(cursor)?);
            Ok(())
        })?;
        Ok(system)
    }
}

fields! {
    Item<'a> {
        event: Text<'a> = b"type",
        event_id: Text<'a> = b"event_id",
        message_id: Text<'a> = b"message_id",
        transmission_id: Text<'a> = b"transmission_id",
        timestamp: Text<'a> = b"timestamp",
        raw_recipient: Text<'a> = b"raw_rcpt_to",
        recipient: Text<'a> = b"rcpt_to",
        bounce_class: Text<'a> = b"bounce_class",
        error_code: Text<'a> = b"error_code",
        raw_reason: Text<'a> = b"raw_reason",
        ids: Wanted<'a> = b"rcpt_meta",
    }
}

fn emit_envelope(envelope: &Envelope<'_>, element: &mut Element<'_, '_>) -> Result<(), Reason> {
    match &envelope.system {
        System {
            item: Some(item), ..
        } => emit(item, element),
        System { present: true, .. } => Ok(()),
        System { present: false, .. } => Err(no_identity()),
    }
}

fn emit(item: &Item<'_>, element: &mut Element<'_, '_>) -> Result<(), Reason> {
    let (kind, bounce) = kind(item);
    let recipient = item.raw_recipient.or(&item.recipient).bytes();
    let own_key = [Part::Id(item.event_id.bytes())];
    let made_key = [
        Part::Id(item.event.bytes()),
        Part::Id(item.message_id.or(&item.transmission_id).bytes()),
        Part::Free(recipient),
        Part::Id(item.timestamp.bytes()),
    ];
    let nameless = item.message_id.or(&item.transmission_id).is_empty() && recipient.is_empty();
    let key = if !item.event_id.is_empty() {
        own_key.as_slice()
    } else if nameless {
        return Err(no_identity());
    } else {
        made_key.as_slice()
    };
    element.emit(&Draft {
        kind,
        bounce,
        machine: false,
        time: times::parse(item.timestamp.bytes()),
        message_id: item.transmission_id.or(&item.message_id).bytes(),
        key,
        recipient,
        ids: &item.ids,
    })
}

fn kind(item: &Item<'_>) -> (Kind, Option<BounceClass>) {
    let kind = match item.event.bytes() {
        b"injection" => Kind::Sent,
        b"delay" => Kind::Deferred,
        b"delivery" => Kind::Delivered,
        b"open" | b"amp_open" => Kind::Opened,
        b"click" | b"amp_click" => Kind::Clicked,
        b"bounce" | b"out_of_band" => return bounce(item),
        b"policy_rejection" | b"generation_rejection" => Kind::Dropped,
        b"spam_complaint" => Kind::Complained,
        b"list_unsubscribe" | b"link_unsubscribe" => Kind::Unsubscribed,
        b"generation_failure" => Kind::Failed,
        _ => Kind::Other,
    };
    (kind, None)
}

/// Classes: <https://support.sparkpost.com/docs/deliverability/bounce-classification-codes>.
fn bounce(item: &Item<'_>) -> (Kind, Option<BounceClass>) {
    let class = match item.bounce_class.bytes() {
        b"10" | b"25" | b"30" => BounceClass::Hard,
        b"" => status::first_class([item.error_code.bytes(), item.raw_reason.bytes()]),
        b"1" => BounceClass::Undetermined,
        b"90" => return (Kind::Unsubscribed, None),
        // Replies by machines, subscriptions, challenges.
        b"60" | b"80" | b"100" => return (Kind::Other, None),
        _ => BounceClass::Soft,
    };
    (Kind::Bounced, Some(class))
}
