//! From a draft to an event: the one place where identities, keys and text that a store can hold are made.
//!
//! Contract: an identity that a store cannot hold (NUL, no UTF-8, a lone surrogate) refuses the element. In free text,
//! such as addresses and links, bad characters are replaced; keys are hashed from the bytes as they came.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;

use super::{Decoder, TimeKind};
use crate::event::{BounceClass, Delivery, Event, Kind, Millis, PayloadIds, Reason, ReasonCode};
use crate::json::Wanted;
use crate::key::{AddressKey, Bucket, Identity, JoinKey, Shard};

/// What a provider's file says of one event, borrowed from the body. Empty text is absent.
#[derive(Clone, Copy)]
pub(super) struct Draft<'d> {
    pub(super) kind: Kind,
    pub(super) bounce: Option<BounceClass>,
    pub(super) machine: bool,
    pub(super) time: Option<Millis>,
    pub(super) message_id: &'d [u8],
    /// The parts of the event key, joined with `|`.
    pub(super) key: &'d [Part<'d>],
    /// An address, alone or as `name <address>`.
    pub(super) recipient: &'d [u8],
    /// The sender's own ids: the recipient's, the batch's.
    pub(super) ids: &'d Wanted<'d>,
}

/// A part of an event key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'d> {
    /// Must be text that a store can hold.
    Id(&'d [u8]),
    /// Free text: stored with bad characters replaced, hashed as it came.
    Free(&'d [u8]),
    /// The recipient of the draft, as free text.
    Recipient,
}

/// What all events of one delivery have in common.
#[derive(Clone, Copy)]
pub(super) struct DeliveryContext<'p> {
    pub(super) delivery: &'p Arc<Delivery>,
    pub(super) decoder: Option<&'static Decoder>,
    pub(super) shard: Shard,
}

/// What the events of one element share: checked, hashed and copied once.
pub(super) struct SharedValues {
    message_id: CompactString,
    join: JoinKey,
    ids: Option<Arc<PayloadIds>>,
    raw: Option<Bytes>,
}

impl SharedValues {
    /// Takes the message id and the sender's ids from the draft of any event of the element.
    pub(super) fn new(
        draft: &Draft<'_>,
        context: &DeliveryContext<'_>,
        raw: Option<Bytes>,
    ) -> Result<Self, Reason> {
        let delivery = context.delivery;
        let message_id = without_brackets(id_text(draft.message_id, "the message id")?);
        let join_id = match context.decoder {
            Some(decoder) => (decoder.join_id)(message_id),
            None => message_id,
        };
        Ok(Self {
            join: JoinKey::of(&delivery.user, &delivery.provider, join_id),
            message_id: message_id.into(),
            ids: payload_ids(draft.ids)?.map(Arc::new),
            raw,
        })
    }

    /// About how many bytes of memory they hold.
    pub(super) fn bytes(&self) -> usize {
        let raw = self.raw.as_ref().map_or(0, Bytes::len);
        self.ids.as_ref().map_or(0, |ids| ids.bytes()) + raw
    }
}

/// Makes the event at place `index` of its delivery.
pub(super) fn finish(
    draft: &Draft<'_>,
    shared: &SharedValues,
    context: &DeliveryContext<'_>,
    index: u32,
) -> Result<Event, Reason> {
    let (provider, user) = (&context.delivery.provider, &context.delivery.user);
    let key = join(draft.key, draft.recipient)?;
    let address = Some(address_part(draft.recipient)).filter(|address| !address.is_empty());
    let occurred_at = draft.time.and_then(Millis::plausible);
    Ok(Event {
        identity: Identity::of(provider, user, draft.kind, &key),
        delivery: Arc::clone(context.delivery),
        index,
        shard: context.shard,
        kind: draft.kind,
        bounce_class: draft.bounce.filter(|_| draft.kind == Kind::Bounced),
        machine: draft.machine && draft.kind == Kind::Opened,
        bucket: bucket(context.decoder, occurred_at),
        occurred_at,
        join: shared.join,
        message_id: shared.message_id.clone(),
        event_key: stored_key(key),
        address: address.map(AddressKey::of),
        recipient: address.map(|address| free_text(address).into()),
        ids: shared.ids.clone(),
        raw: shared.raw.clone(),
    })
}

fn bucket(decoder: Option<&Decoder>, time: Option<Millis>) -> Bucket {
    match decoder {
        Some(decoder) if decoder.time == TimeKind::Fixed => Bucket::of(time),
        _ => Bucket::NONE,
    }
}

/// Both ids must be there; an empty batch id means transactional mail, an empty recipient id means nobody.
fn payload_ids(wanted: &Wanted<'_>) -> Result<Option<PayloadIds>, Reason> {
    let [recipient_id, batch_id] = &wanted.values;
    if recipient_id.is_empty() || !batch_id.is_present() {
        return Ok(None);
    }
    Ok(Some(PayloadIds {
        recipient_id: id_text(recipient_id.bytes(), "the recipient id in the payload")?.into(),
        batch_id: id_text(batch_id.bytes(), "the batch id in the payload")?.into(),
    }))
}

/// Joins the parts of an event key, as they came.
fn join(parts: &[Part<'_>], recipient: &[u8]) -> Result<Vec<u8>, Reason> {
    let length = parts.iter().map(|part| part.bytes(recipient).len() + 1);
    let mut key = Vec::with_capacity(length.sum());
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            key.push(b'|');
        }
        if let Part::Id(bytes) = part {
            id_text(bytes, "a part of the event key")?;
        }
        key.extend_from_slice(part.bytes(recipient));
    }
    Ok(key)
}

impl<'d> Part<'d> {
    fn bytes(&self, recipient: &'d [u8]) -> &'d [u8] {
        match self {
            Part::Id(bytes) | Part::Free(bytes) => bytes,
            Part::Recipient => recipient,
        }
    }
}

/// An event key as the stores hold it.
fn stored_key(key: Vec<u8>) -> CompactString {
    match String::from_utf8(key) {
        Ok(text) if !text.contains('\0') => text.into(),
        Ok(text) => free_text(text.as_bytes()).into(),
        Err(error) => free_text(error.as_bytes()).into(),
    }
}

/// Text that is an identity, or why it cannot be one.
fn id_text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, Reason> {
    match std::str::from_utf8(bytes) {
        Ok(text) if memchr::memchr(0, bytes).is_none() => Ok(text),
        _ => Err(Reason::new(
            ReasonCode::BadIdentity,
            format!(
                "{what} holds characters that cannot be stored (NUL, a lone surrogate, no UTF-8)"
            ),
        )),
    }
}

/// Text that people read, with characters that cannot be stored replaced.
fn free_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if memchr::memchr(0, bytes).is_none() => Cow::Borrowed(text),
        _ => Cow::Owned(String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")),
    }
}

/// The text without one leading `<` and one trailing `>`.
pub(super) fn without_brackets(text: &str) -> &str {
    let text = text.strip_prefix('<').unwrap_or(text);
    text.strip_suffix('>').unwrap_or(text)
}

/// [`without_brackets`] for text that is not checked yet.
pub(super) fn bytes_without_brackets(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"<").unwrap_or(text);
    text.strip_suffix(b">").unwrap_or(text)
}

/// The address of `address` or `name <address>`, without white space around it.
pub(super) fn address_part(text: &[u8]) -> &[u8] {
    let inner = match (memchr::memrchr(b'<', text), text.trim_ascii_end()) {
        (Some(open), [.., b'>']) => &text.trim_ascii_end()[open + 1..],
        _ => return text.trim_ascii(),
    };
    inner.strip_suffix(b">").unwrap_or(inner).trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_names() {
        assert_eq!(address_part(b"Alice <a@example.com>"), b"a@example.com");
        assert_eq!(address_part(b"\"<x>\" <A@example.com> "), b"A@example.com");
        assert_eq!(address_part(b" a@example.com\n"), b"a@example.com");
        assert_eq!(address_part(b">a<"), b">a<");
        assert_eq!(address_part(b"<>"), b"");
        assert_eq!(address_part(b""), b"");
    }

    #[test]
    fn one_bracket_goes_on_each_side() {
        assert_eq!(without_brackets("<<a>>"), "<a>");
        assert_eq!(without_brackets("a"), "a");
    }

    #[test]
    fn free_text_is_cleaned_and_identities_are_not() {
        assert_eq!(free_text(b"a\0\xed\xa0\x80b").chars().next(), Some('a'));
        assert!(!free_text(b"a\0b").contains('\0'));
        for bad in [b"a\0".as_slice(), b"\xed\xa0\x80"] {
            let reason = id_text(bad, "x").unwrap_err();
            assert_eq!(reason.code, ReasonCode::BadIdentity);
        }
    }

    #[test]
    fn an_event_key_joins_its_parts() {
        let parts = [Part::Id(b"a"), Part::Free(b"\0"), Part::Recipient];
        let key = join(&parts, b"r").unwrap();
        assert_eq!(key, b"a|\0|r");
        assert_eq!(stored_key(key), "a|\u{fffd}|r");
    }
}
