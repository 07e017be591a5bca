//! Resend webhooks: `{type, created_at, data}`, delivered by Svix, whose message id is a header.
//!
//! Source: <https://resend.com/docs/dashboard/webhooks/event-types>. The event's time is the *top-level* `created_at`;
//! `data.created_at` is the message's. `svix-id` is the same in every attempt and every replay by hand.

use super::batch::{self, Element};
use super::finish::{Draft, Part};
use super::{Decoder, TimeKind, no_identity, status, times, whole_id};
use crate::event::{BounceClass, Kind, Reason};
use crate::json::{List, Text, Wanted, fields};

/// A retry posts the stored body again; only its headers differ.
pub(super) const DECODER: Decoder = Decoder {
    name: "resend",
    time: TimeKind::Fixed,
    join_id: whole_id,
    decode: |body, output| batch::one::<Item<'_>>(body, output, emit),
};

fields! {
    Item<'a> {
        event: Text<'a> = b"type",
        created_at: Text<'a> = b"created_at",
        data: Data<'a> = b"data",
    }
}

fields! {
    Data<'a> {
        message_id: Text<'a> = b"email_id",
        to: List<'a> = b"to",
        bounce: Bounce<'a> = b"bounce",
        ids: Wanted<'a> = b"tags",
    }
}

fields! {
    Bounce<'a> {
        class: Text<'a> = b"type",
        sub_class: Text<'a> = b"subType",
        message: Text<'a> = b"message",
        diagnostics: List<'a> = b"diagnosticCode",
    }
}

fn emit(item: &Item<'_>, element: &mut Element<'_, '_>) -> Result<(), Reason> {
    let (kind, bounce) = kind(item.event.bytes(), &item.data.bounce);
    let svix_id = element.header("svix-id").into_owned();
    let webhook_id = if svix_id.is_empty() {
        element.header("webhook-id").into_owned()
    } else {
        Text::default()
    };
    let own_key = [Part::Id(svix_id.or(&webhook_id).bytes())];
    let made_key = [
        Part::Id(item.event.bytes()),
        Part::Id(item.data.message_id.bytes()),
        Part::Id(item.created_at.bytes()),
    ];
    let nameless = item.data.message_id.is_empty() && item.created_at.is_empty();
    let has_id = !svix_id.or(&webhook_id).is_empty();
    if nameless && (!has_id || item.event.is_empty()) {
        return Err(no_identity());
    }
    let key = if has_id {
        own_key.as_slice()
    } else {
        made_key.as_slice()
    };
    element.emit(&Draft {
        kind,
        bounce,
        machine: false,
        time: times::parse(item.created_at.bytes()),
        message_id: item.data.message_id.bytes(),
        key,
        recipient: item.data.to.only().map_or(b"", Text::bytes),
        ids: &item.data.ids,
    })
}

fn kind(event: &[u8], bounce: &Bounce<'_>) -> (Kind, Option<BounceClass>) {
    let kind = match event {
        b"email.sent" => Kind::Sent,
        b"email.delivery_delayed" => Kind::Deferred,
        b"email.delivered" => Kind::Delivered,
        b"email.opened" => Kind::Opened,
        b"email.clicked" => Kind::Clicked,
        b"email.bounced" if is_suppressed(bounce) => Kind::Dropped,
        b"email.bounced" => return (Kind::Bounced, Some(bounce_class(bounce))),
        b"email.suppressed" => Kind::Dropped,
        b"email.complained" => Kind::Complained,
        b"email.failed" => Kind::Failed,
        _ => Kind::Other,
    };
    (kind, None)
}

/// Before `email.suppressed` existed, a suppressed address was reported as a bounce.
fn is_suppressed(bounce: &Bounce<'_>) -> bool {
    says(bounce, b"suppressed sending")
        || matches!(
            bounce.sub_class.bytes(),
            b"Suppressed" | b"OnAccountSuppressionList"
        )
}

/// Older payloads have a message and no type.
fn bounce_class(bounce: &Bounce<'_>) -> BounceClass {
    match bounce.class.bytes() {
        b"Permanent" => BounceClass::Hard,
        b"Transient" => BounceClass::Soft,
        b"" if says(bounce, b"hard bounce") => BounceClass::Hard,
        b"" if says(bounce, b"soft bounce") => BounceClass::Soft,
        b"" => {
            let answers = bounce.diagnostics.iter().map(Text::bytes);
            status::first_class(answers.chain([bounce.message.bytes()]))
        }
        _ => BounceClass::Undetermined,
    }
}

fn says(bounce: &Bounce<'_>, words: &[u8]) -> bool {
    memchr::memmem::find(bounce.message.bytes(), words).is_some()
}
