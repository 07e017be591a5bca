//! What could not be taken, and why.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Headers, Millis, Origin, Provider, User};

/// Where in its life a delivery or event was refused. Part of a dead letter's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// The line or message is no delivery.
    Source,
    /// The body, or one element of it, cannot be decoded.
    Decode,
    /// The state store refuses the event itself.
    State,
    /// Only the event log refuses it; the state is applied.
    Log,
}

impl Stage {
    /// The name used in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Source => "source",
            Stage::Decode => "decode",
            Stage::State => "state",
            Stage::Log => "log",
        }
    }
}

/// The kind of reason: a bounded set, used as a label and in summaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ReasonCode {
    /// The line or message is no delivery (no JSON, bad base64, no provider).
    BadDelivery,
    /// The envelope names a provider that hookflow does not know.
    UnknownProvider,
    /// The body's content encoding is not supported, or does not decode.
    BadEncoding,
    /// A limit was hit (body size, depth, elements, string length).
    Limit,
    /// The body is not valid JSON, form data or text.
    BadSyntax,
    /// The body is well-formed but not in the provider's shape.
    BadShape,
    /// It has neither a kind nor an identity.
    NoIdentity,
    /// A value cannot be stored where it would be an identity (NUL, lone surrogate).
    BadIdentity,
    /// A sink refused the row itself.
    Refused,
    /// The process died while this message was in work, again and again.
    Poison,
}

impl ReasonCode {
    /// The name used as a label.
    pub const fn name(self) -> &'static str {
        match self {
            ReasonCode::BadDelivery => "bad_delivery",
            ReasonCode::UnknownProvider => "unknown_provider",
            ReasonCode::BadEncoding => "bad_encoding",
            ReasonCode::Limit => "limit",
            ReasonCode::BadSyntax => "bad_syntax",
            ReasonCode::BadShape => "bad_shape",
            ReasonCode::NoIdentity => "no_identity",
            ReasonCode::BadIdentity => "bad_identity",
            ReasonCode::Refused => "refused",
            ReasonCode::Poison => "poison",
        }
    }
}

/// Why something was refused: a code for programs and a sentence for people.
///
/// The sentence never repeats payload text (it may hold addresses); it names fields, limits and positions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For programs.
    pub code: ReasonCode,
    /// For people.
    pub text: String,
}

impl Reason {
    /// A reason of that code.
    pub fn new(code: ReasonCode, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.text)
    }
}

/// What becomes one dead letter: the raw bytes, where they come from and why they were refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The delivery it belongs to.
    pub origin: Origin,
    /// Empty if unknown.
    pub provider: Provider,
    /// The tenant; empty if unknown.
    pub user: User,
    /// Where it was refused.
    pub stage: Stage,
    /// The element: its place in the raw array at decoding, among the decoded events afterwards; 0 for a whole body.
    pub index: u32,
    /// Why.
    pub reason: Reason,
    /// The whole body, or the slice of the one bad element.
    pub raw: Bytes,
    /// SHA-256 of the whole body.
    pub body_sha256: [u8; 32],
    /// The request's headers.
    pub headers: Headers,
    /// When the delivery was received.
    pub received_at: Millis,
}

impl Reject {
    /// About how many bytes of memory it holds; its headers are those of the delivery.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.reason.text.len() + self.raw.len()
    }
}
