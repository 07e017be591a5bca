//! From a body to its elements: what is emitted, what is rejected, and with which raw bytes.
//!
//! Contract: an element counts as a whole; where reading or finishing it fails, none of its events stay.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::finish::{self, DeliveryContext, Draft, SharedValues};
use super::{DecodeConfig, Decoded, Decoder, bad_shape, form};
use crate::event::{Delivery, Kind, Reason, ReasonCode, Reject, Stage};
use crate::json::{Cursor, Read, Text, Wanted, field_ignoring_case};
use crate::key::Shard;

/// Where the events and rejects of one delivery go.
pub(super) struct DecodeOutput<'o> {
    context: DeliveryContext<'o>,
    config: &'o DecodeConfig,
    out: &'o mut Decoded,
    /// What `out` held before this delivery.
    before: Mark,
    sha256: Option<[u8; 32]>,
}

/// How much a [`Decoded`] held at some moment.
#[derive(Clone, Copy)]
struct Mark {
    events: usize,
    rejects: usize,
    bytes: usize,
}

impl Mark {
    fn of(out: &Decoded) -> Self {
        Self {
            events: out.events.len(),
            rejects: out.rejects.len(),
            bytes: out.bytes,
        }
    }
}

/// Where the events of one element go.
pub(super) struct Element<'e, 'o> {
    output: &'e mut DecodeOutput<'o>,
    raw: &'e [u8],
    /// The bytes of text that the rows of the events emitted so far will hold.
    row_bytes: usize,
}

/// The rows of one element may together hold this many times the body's limit: one long id with thousands of
/// recipients would else fill the stores.
const ROW_BYTES_FACTOR: usize = 4;

/// What an event costs while it is in flight, beside itself: the rows that are made of it for the sinks.
const ROWS_OF_AN_EVENT: usize = 256;

impl<'o> DecodeOutput<'o> {
    pub(super) fn new(
        delivery: &'o Arc<Delivery>,
        config: &'o DecodeConfig,
        out: &'o mut Decoded,
    ) -> Self {
        Self {
            context: DeliveryContext {
                delivery,
                decoder: None,
                shard: Shard::of(&delivery.provider, &delivery.user),
            },
            config,
            before: Mark::of(out),
            out,
            sha256: None,
        }
    }

    pub(super) fn set_decoder(&mut self, decoder: &'static Decoder) {
        self.context.decoder = Some(decoder);
    }

    pub(super) fn delivery(&self) -> &'o Delivery {
        self.context.delivery
    }

    pub(super) fn config(&self) -> &'o DecodeConfig {
        self.config
    }

    /// The text of a header of the delivery; empty if there is none.
    pub(super) fn header(&self, name: &str) -> Text<'o> {
        let headers = self.delivery().headers.as_json();
        field_ignoring_case(headers, name).unwrap_or_default()
    }

    /// The element that is the whole body.
    pub(super) fn whole<'e>(&'e mut self, raw: &'e [u8]) -> Element<'e, 'o> {
        Element {
            output: self,
            raw,
            row_bytes: 0,
        }
    }

    /// Refuses the whole body as received, and takes back what was emitted of it.
    pub(super) fn reject_whole(&mut self, reason: Reason) {
        self.take_back(self.before);
        let raw = self.delivery().body.clone();
        self.reject(0, raw, reason);
    }

    fn take_back(&mut self, mark: Mark) {
        self.out.events.truncate(mark.events);
        self.out.rejects.truncate(mark.rejects);
        self.out.bytes = mark.bytes;
    }

    fn reject(&mut self, index: u32, raw: Bytes, reason: Reason) {
        let delivery = self.delivery();
        let body_sha256 = *self
            .sha256
            .get_or_insert_with(|| Sha256::digest(&delivery.body).into());
        let reject = Reject {
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
        };
        self.out.bytes += reject.weight();
        self.out.rejects.push(reject);
    }

    /// Part of the decoded body as bytes of its own: it shares the memory of the delivery's body where it lies in that.
    fn slice(&self, part: &[u8]) -> Bytes {
        let body = &self.delivery().body;
        let (outer, inner) = (body.as_ptr_range(), part.as_ptr_range());
        if outer.start <= inner.start && inner.end <= outer.end {
            body.slice_ref(part)
        } else {
            Bytes::copy_from_slice(part)
        }
    }
}

impl<'o> Element<'_, 'o> {
    /// Emits the one event of the element.
    pub(super) fn emit(&mut self, draft: &Draft<'_>) -> Result<(), Reason> {
        let shared = self.shared_values(draft)?;
        self.emit_sharing(&shared, draft)
    }

    /// What the events of this element share: the message id, the sender's ids and the raw slice. `draft` may be that of
    /// any of them.
    pub(super) fn shared_values(&mut self, draft: &Draft<'_>) -> Result<SharedValues, Reason> {
        let keep_raw = self.output.config.keep_raw || draft.kind == Kind::Other;
        let raw = keep_raw.then(|| self.output.slice(self.raw));
        let shared = SharedValues::new(draft, &self.output.context, raw)?;
        self.output.out.bytes += shared.bytes();
        Ok(shared)
    }

    /// Emits one of several events of the element.
    pub(super) fn emit_sharing(
        &mut self,
        shared: &SharedValues,
        draft: &Draft<'_>,
    ) -> Result<(), Reason> {
        let output = &mut *self.output;
        let index = (output.out.events.len() - output.before.events) as u32;
        let event = finish::finish(draft, shared, &output.context, index)?;
        self.row_bytes += event.message_id.len() + event.event_key.len();
        self.row_bytes += event.raw.as_ref().map_or(0, Bytes::len);
        let most = output
            .config
            .body_bytes_max
            .saturating_mul(ROW_BYTES_FACTOR);
        if self.row_bytes > most {
            return Err(too_much(most));
        }
        output.out.bytes += event.own_bytes() + ROWS_OF_AN_EVENT;
        output.out.events.push(event);
        Ok(())
    }

    /// The text of a header of the delivery; empty if there is none.
    pub(super) fn header(&self, name: &str) -> Text<'o> {
        self.output.header(name)
    }

    /// The sender's own ids among the query parameters of the URL that was called.
    pub(super) fn ids_in_query(&self) -> Result<Wanted<'o>, Reason> {
        form::ids_in_query(&self.output.delivery().url, self.output.config)
    }

    /// What bounds and steers decoding.
    pub(super) fn config(&self) -> &'o DecodeConfig {
        self.output.config
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
    output: &mut DecodeOutput<'o>,
    emit: impl Fn(&T, &mut Element<'_, '_>) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let mut cursor = output.config.cursor(body);
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
    output: &mut DecodeOutput<'o>,
    emit: impl Fn(&T, &mut Element<'_, '_>) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let mut cursor = output.config.cursor(body);
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
    if elements > 0 {
        return Err(bad_shape("an array where this provider sends one object"));
    }
    Ok(())
}

/// Fails only where the rest of the array cannot be found.
fn one_of_many<'a, T: Read<'a>>(
    cursor: &mut Cursor<'a>,
    output: &mut DecodeOutput<'_>,
    index: u32,
    emit: impl Fn(&T, &mut Element<'_, '_>) -> Result<(), Reason>,
) -> Result<(), crate::json::Fault> {
    let first = cursor.peek();
    let (start, depth, before) = (cursor.at(), cursor.depth(), Mark::of(output.out));
    let done = match first {
        Some(b'{') => T::read(cursor).map_err(Reason::from).and_then(|item| {
            let raw = cursor.since(start);
            emit(&item, &mut output.whole(raw))
        }),
        _ => Err(bad_shape("the element is not an object")),
    };
    if let Err(reason) = done {
        output.take_back(before);
        cursor.skip_from(start, depth)?;
        let raw = output.slice(cursor.since(start));
        output.reject(index, raw, reason);
    }
    Ok(())
}
