//! Bytes → events: one file per provider.
//!
//! Owns: what each provider's payload means (kinds, ids, keys, recipients, times), and the limits on hostile input.
//! Leaves to others: signatures, duplicates, and who the recipient is.
//!
//! Contract of [`decode`]:
//! * pure: the same delivery gives the same events for ever, but for the copy's own `received_at`;
//! * total: no input panics, and everything ends as events, as rejects, or as nothing (a control message);
//! * one bad element of an array is one reject with its own slice, the rest goes on; where the body itself is broken,
//!   it is one reject and gives no events;
//! * a reject names what is wrong, the place and the limit, and never repeats payload text.
//!
//! Adding a provider: one file here that holds a `DECODER`, its name in the `registry!` line below, and its samples
//! under `tests/fixtures`.

mod batch;
mod encoding;
mod finish;
mod form;
pub mod operator;
mod poison;
pub mod print;
mod status;
mod times;
mod waiting;

use std::sync::Arc;

use crate::event::{Delivery, Event, Reason, ReasonCode, Reject};
use crate::json::{Cursor, Limits};

use batch::DecodeOutput;

macro_rules! registry {
    ($($provider:ident),* $(,)?) => {
        $(mod $provider;)*
        /// Every provider, in the order in which they are listed.
        const DECODERS: &[Decoder] = &[$($provider::DECODER,)*];
    };
}

registry! { ses, sendgrid, mailgun, postmark, resend, sparkpost, mandrill, brevo, mailersend, twilio, vonage }

/// What a provider's file says of it.
struct Decoder {
    /// The name in envelopes and identities.
    name: &'static str,
    /// Whether two copies of one event always bear the same time.
    time: TimeKind,
    /// The message id as the sender knows it.
    join_id: fn(&str) -> &str,
    /// Reads a body (decoded from its content encoding) and emits its events.
    decode: fn(&[u8], &mut DecodeOutput<'_>) -> Result<(), Reason>,
}

/// Whether the time of an event may place it: a copy with another time would be another place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TimeKind {
    /// A retry is the stored body, or the event key holds the time.
    Fixed,
    /// A copy could bear another time, or there is none.
    Free,
}

/// What bounds and steers decoding.
#[derive(Clone, Debug)]
pub struct DecodeConfig {
    /// Largest body, before and after decompression, in bytes.
    pub body_bytes_max: usize,
    /// Deepest nesting of JSON.
    pub depth_max: usize,
    /// Most elements of one body.
    pub elements_max: usize,
    /// Longest string that a field may hold, in bytes.
    pub string_bytes_max: usize,
    /// The name under which senders put the recipient's id into the payload.
    pub recipient_id_name: String,
    /// The name under which senders put the batch's id into the payload.
    pub batch_id_name: String,
    /// Keep every event's raw slice for the log, not only that of kinds that are `other`.
    pub keep_raw: bool,
}

impl Default for DecodeConfig {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            depth_max: 128,
            elements_max: 10_000,
            string_bytes_max: 1 << 20,
            recipient_id_name: "recipient_id".into(),
            batch_id_name: "batch_id".into(),
            keep_raw: false,
        }
    }
}

impl DecodeConfig {
    fn cursor<'a>(&'a self, text: &'a [u8]) -> Cursor<'a> {
        let limits = Limits {
            depth: self.depth_max,
            elements: self.elements_max,
            string: self.string_bytes_max,
        };
        Cursor::new(text, limits).wanting([&self.recipient_id_name, &self.batch_id_name])
    }
}

/// What one delivery held. Both empty: a control message.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The good elements, in order.
    pub events: Vec<Event>,
    /// The bad ones, or the whole body.
    pub rejects: Vec<Reject>,
    /// About how many bytes of memory both hold beside their deliveries; what events share counts once.
    pub bytes: usize,
}

/// Decodes one delivery and appends what it held; never panics, whatever it holds.
pub fn decode(delivery: &Arc<Delivery>, config: &DecodeConfig, out: &mut Decoded) {
    let mut output = DecodeOutput::new(delivery, config, out);
    let done = match find(delivery.provider.as_str()) {
        Some(decoder) => read(decoder, &mut output),
        None => Err(Reason::new(
            ReasonCode::UnknownProvider,
            "the delivery names a provider that is not known",
        )),
    };
    if let Err(reason) = done {
        output.reject_whole(reason);
    }
}

fn read(decoder: &'static Decoder, output: &mut DecodeOutput<'_>) -> Result<(), Reason> {
    let (delivery, config) = (output.delivery(), output.config());
    let body = encoding::decode(delivery, config.body_bytes_max)?;
    output.set_decoder(decoder);
    (decoder.decode)(&body, output)
}

/// The id under which the *sender* knows the message of a provider: what the recipient join compares.
pub fn join_id<'a>(provider: &str, message_id: &'a str) -> &'a str {
    let message_id = finish::without_brackets(message_id);
    match find(provider) {
        Some(decoder) => (decoder.join_id)(message_id),
        None => message_id,
    }
}

/// The names of all providers, in the order of the registry.
pub fn providers() -> impl Iterator<Item = &'static str> {
    DECODERS.iter().map(|decoder| decoder.name)
}

fn find(provider: &str) -> Option<&'static Decoder> {
    DECODERS.iter().find(|decoder| decoder.name == provider)
}

/// The join id of providers whose senders know the message by its whole id.
fn whole_id(message_id: &str) -> &str {
    message_id
}

fn bad_shape(text: &str) -> Reason {
    Reason::new(ReasonCode::BadShape, text)
}

fn no_identity() -> Reason {
    Reason::new(
        ReasonCode::NoIdentity,
        "it has no field that tells this event from others of its kind",
    )
}

impl From<crate::json::Fault> for Reason {
    fn from(fault: crate::json::Fault) -> Self {
        let code = match fault {
            crate::json::Fault::Syntax(_) => ReasonCode::BadSyntax,
            _ => ReasonCode::Limit,
        };
        Reason::new(code, fault.to_string())
    }
}
