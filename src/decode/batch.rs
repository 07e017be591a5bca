//! From a body to its elements: what is emitted, what is rejected, and with which raw bytes.
//!
//! Contract: an element counts as a whole; where reading or finishing it fails, none of its events stay.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::finish::{self, Draft};
use super::{Decoded, Decoder, Options, bad_shape, form};
use crate::event::{Delivery, Reason, ReasonCode, Reject, Stage};
use crate::json::{Cursor, Read, Text, Wanted, field_ignoring_case};
use crate::key::Shard;

/// Where the events and rejects of one delivery go.
pub(super) struct Output<'o> {
    delivery: &'o Arc<Delivery>,
    options: &'o Options,
    decoder: Option<&'static Decoder>,
    shard: Shard,
    out: &'o mut Decoded,
    first_event: usize,
    first_reject: usize,
    sha256: Option<[u8; 32]>,
}

/// Where the events of one element go.
pub(super) struct Element<'e, 'o> {
    output: &'e mut Output<'o>,
    raw: &'e [u8],
    /// The bytes of text in the events emitted so far.
    held: usize,
}

/// The events of one element may together hold this many times the body's limit: one long id with thousands of
/// recipients would else fill the memory.
const HELD_FACTOR: usize = 4;

impl<'o> Output<'o> {
    pub(super) fn new(
        delivery: &'o Arc<Delivery>,
        options: &'o Options,
        out: &'o mut Decoded,
    ) -> Self {
        Self {
            delivery,
            options,
            decoder: None,
            shard: Shard::of(&delivery.provider, &delivery.user),
            first_event: out.events.len(),
            first_reject: out.rejects.len(),
            out,
            sha256: None,
        }
    }

    pub(super) fn set_decoder(&mut self, decoder: &'static Decoder) {
        self.decoder = Some(decoder);
    }

    pub(super) fn delivery(&self) -> &'o Delivery {
        self.delivery
    }

    pub(super) fn options(&self) -> &'o Options {
        self.options
    }

    /// The text of a header of the delivery; empty if there is none.
    pub(super) fn header(&self, name: &str) -> Text<'o> {
        let headers = self.delivery.headers.as_json();
        field_ignoring_case(headers, name).unwrap_or_default()
    }

    /// The element that is the whole body.
    pub(super) fn whole<'e>(&'e mut self, raw: &'e [u8]) -> Element<'e, 'o> {
        Element {
            output: self,
            raw,
            held: 0,
        }
    }

    /// Refuses the whole body as received, and takes back what was emitted of it.
    pub(super) fn reject_whole(&mut self, reason: Reason) {
        self.out.events.truncate(self.first_event);
        self.out.rejects.truncate(self.first_reject);
        let raw = self.delivery.body.clone();
        self.reject(0, raw, reason);
    }

    fn reject(&mut self, index: u32, raw: Bytes, reason: Reason) {
        let delivery = self.delivery;
        let body_sha256 = *self
            .sha256
            .get_or_insert_with(|| Sha256::digest(&delivery.body).into());
        self.out.rejects.push(Reject {
            origin: delivery.origin,
            provider: delivery.provider.clone(),
            user: delivery.user.clone(),
            stage: Stage::Decode,
            index,
            reason,
            raw,
            body_sha256,
            headers: delivery.headers.clone(),
            received_at: delivery.received_at,
        });
    }
}

impl<'o> Element<'_, 'o> {
    /// Finishes a draft and emits it.
    pub(super) fn emit(&mut self, draft: &Draft<'_>) -> Result<(), Reason> {
        let output = &mut *self.output;
        let index = (output.out.events.len() - output.first_event) as u32;
        let place = finish::Place {
            delivery: output.delivery,
            decoder: output.decoder,
            shard: output.shard,
            index,
            raw: self.raw,
            keep_raw: output.options.keep_raw,
        };
        let event = finish::finish(draft, &place)?;
        self.held += event.message_id.len() + event.event_key.len();
        self.held += event.raw.as_deref().map_or(0, <[u8]>::len);
        let most = output.options.body_bytes_max.saturating_mul(HELD_FACTOR);
        if self.held > most {
            return Err(too_much(most));
        }
        output.out.events.push(event);
        Ok(())
    }

    /// The text of a header of the delivery; empty if there is none.
    pub(super) fn header(&self, name: &str) -> Text<'o> {
        self.output.header(name)
    }

    /// The sender's own ids among the query parameters of the URL that was called.
    pub(super) fn ids_in_query(&self) -> Result<Wanted<'o>, Reason> {
        form::ids_in_query(&self.output.delivery.url, self.output.options)
    }

    /// What steers decoding.
    pub(super) fn options(&self) -> &'o Options {
        self.output.options
    }
}

fn too_much(bytes: usize) -> Reason {
    Reason::new(
        ReasonCode::Limit,
        format!("the events of one element hold more than {bytes} bytes (a multiple of body)"),
    )
}

/// Reads a body that is an array of elements, or one element alone.
pub(super) fn each<'a, 'o: 'a, T: Read<'a>>(
    body: &'a [u8],
    output: &mut Output<'o>,
    emit: impl Fn(&T, &mut Element<'_, '_>) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let mut cursor = output.options.cursor(body);
    if cursor.peek() != Some(b'[') {
        return one(body, output, emit);
    }
    let mut index = 0;
    cursor.array(|cursor| {
        one_of_many(cursor, output, index, &emit)?;
        index += 1;
        Ok(())
    })?;
    Ok(cursor.end()?)
}

/// Reads a body that is one element. An empty array is a ping.
pub(super) fn one<'a, 'o: 'a, T: Read<'a>>(
    body: &'a [u8],
    output: &mut Output<'o>,
    emit: impl Fn(&T, &mut Element<'_, '_>) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let mut cursor = output.options.cursor(body);
    let start = match cursor.peek() {
        Some(b'{') => cursor.at(),
        Some(b'[') => return no_elements(&mut cursor),
        _ => {
            cursor.skip()?;
            cursor.end()?;
            return Err(bad_shape("the body is neither an object nor an array"));
        }
    };
    let item = T::read(&mut cursor)?;
    let raw = cursor.since(start);
    cursor.end()?;
    emit(&item, &mut output.whole(raw))
}

fn no_elements(cursor: &mut Cursor<'_>) -> Result<(), Reason> {
    let mut elements = 0;
    cursor.array(|cursor| {
        elements += 1;
        cursor.skip()
    })?;
    cursor.end()?;
    match elements {
        0 => Ok(()),
        _ => Err(bad_shape("an array where this provider sends one object")),
    }
}

/// Fails only where the rest of the array cannot be found.
fn one_of_many<'a, T: Read<'a>>(
    cursor: &mut Cursor<'a>,
    output: &mut Output<'_>,
    index: u32,
    emit: impl Fn(&T, &mut Element<'_, '_>) -> Result<(), Reason>,
) -> Result<(), crate::json::Fault> {
    let first = cursor.peek();
    let (start, depth, events) = (cursor.at(), cursor.depth(), output.out.events.len());
    let done = match first {
        Some(b'{') => T::read(cursor).map_err(Reason::from).and_then(|item| {
            let raw = cursor.since(start);
            emit(&item, &mut output.whole(raw))
        }),
        _ => Err(bad_shape("the element is not an object")),
    };
    if let Err(reason) = done {
        output.out.events.truncate(events);
        cursor.skip_from(start, depth)?;
        output.reject(index, Bytes::copy_from_slice(cursor.since(start)), reason);
    }
    Ok(())
}
