//! A message into a delivery, on the worker that took it.

use std::borrow::Cow;

use bytes::Bytes;
use compact_str::CompactString;
use sha2::{Digest, Sha256};

use super::fields::Values;
use super::subject::token_text;
use super::{Address, Field, Message};
use crate::event::{Delivery, Headers, Millis, Provider, Reason, ReasonCode, Reject, Stage, User};
use crate::json;
use crate::source::EnvelopeDefaults;

/// A message that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedMessage {
    /// What it says.
    pub delivery: Delivery,
    /// Its headers say otherwise than its subject or key; they won.
    pub differs: bool,
}

/// Reads one message. A reject names the provider and the tenant where the message does.
pub fn parse(
    message: &Message,
    defaults: &EnvelopeDefaults,
    body_bytes_max: usize,
) -> Result<ParsedMessage, Box<Reject>> {
    let values = message.fields.values();
    let names = names(message, &values, defaults);
    let headers = headers(&values);
    delivery(message, &values, &names, defaults, body_bytes_max)
        .map(|mut delivery| {
            delivery.headers = headers.clone();
            ParsedMessage {
                delivery,
                differs: names.differ,
            }
        })
        .map_err(|reason| reject(message, &names, defaults, headers, reason))
}

/// The dead letter of a message whose body is not to be read.
pub fn dead_letter(message: &Message, defaults: &EnvelopeDefaults, reason: Reason) -> Box<Reject> {
    let values = message.fields.values();
    let names = names(message, &values, defaults);
    reject(message, &names, defaults, headers(&values), reason)
}

/// The value of a field, which must be text.
fn value_text<'a>(values: &Values<'a>, field: Field) -> Result<&'a str, Reason> {
    text(values.get(field), field.name())
}

/// Whom a message names, unchecked.
struct Names<'a> {
    provider: Cow<'a, [u8]>,
    user: Cow<'a, [u8]>,
    differ: bool,
}

fn names<'a>(
    message: &'a Message,
    values: &Values<'a>,
    defaults: &'a EnvelopeDefaults,
) -> Names<'a> {
    let place = AddressedTenant::of(&message.address, defaults);
    let (provider, others) = chosen(values.get(Field::Provider), place.provider);
    let (user, other) = chosen(values.get(Field::User), place.user);
    let provider = match (&*provider, place.fallback.or(defaults.provider.as_ref())) {
        (b"", Some(fallback)) => Cow::Borrowed(fallback.as_str().as_bytes()),
        _ => provider,
    };
    Names {
        provider,
        user,
        differ: others || other,
    }
}

/// The header where it says something, else the place; and whether both say something and differ.
fn chosen<'a>(header: &'a [u8], place: Option<Cow<'a, [u8]>>) -> (Cow<'a, [u8]>, bool) {
    match (header, place) {
        (b"", place) => (place.unwrap_or_default(), false),
        (header, place) => {
            let differs = place.is_some_and(|place| *place != *header);
            (Cow::Borrowed(header), differs)
        }
    }
}

/// Whom a message's place at the broker names.
#[derive(Default)]
struct AddressedTenant<'a> {
    provider: Option<Cow<'a, [u8]>>,
    user: Option<Cow<'a, [u8]>>,
    /// The provider where nothing names one.
    fallback: Option<&'a Provider>,
}

impl<'a> AddressedTenant<'a> {
    fn of(address: &'a Address, defaults: &EnvelopeDefaults) -> Self {
        match address {
            Address::Subject { subject, skip } => Self::of_subject(subject, *skip),
            Address::Topic { key, provider } => Self {
                fallback: provider.as_ref(),
                ..Self::of_key(key.as_deref().unwrap_or_default(), defaults)
            },
        }
    }

    fn of_subject(subject: &'a [u8], skip: usize) -> Self {
        let mut tokens = subject.split(|byte| *byte == b'.').skip(skip);
        Self {
            provider: tokens.next().map(readable),
            user: tokens.next().map(readable),
            fallback: None,
        }
    }

    /// Keys belong to whoever publishes: one that does not begin with a provider of ours says nothing.
    fn of_key(key: &'a [u8], defaults: &EnvelopeDefaults) -> Self {
        let mut parts = key.splitn(2, |byte| *byte == b'|');
        let (Some(provider), Some(user)) = (parts.next(), parts.next()) else {
            return Self::default();
        };
        let ours = |known: &Provider| known.as_str().as_bytes() == provider;
        if !defaults.known.iter().any(ours) {
            return Self::default();
        }
        Self {
            provider: Some(provider.into()),
            user: Some(user.into()),
            fallback: None,
        }
    }
}

/// The text of a token. One that is no text equals no header, and is refused where it is needed.
fn readable(token: &[u8]) -> Cow<'_, [u8]> {
    match token_text(token) {
        Some(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
        Some(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
        None => Cow::Borrowed(b"\0"),
    }
}

fn delivery(
    message: &Message,
    values: &Values<'_>,
    names: &Names<'_>,
    defaults: &EnvelopeDefaults,
    body_bytes_max: usize,
) -> Result<Delivery, Reason> {
    let provider = match text(&names.provider, "provider")? {
        "" => return Err(bad("the message names no provider")),
        provider => Provider::new(provider),
    };
    if !defaults.knows(&provider) {
        return Err(Reason::new(
            ReasonCode::UnknownProvider,
            "the delivery names a provider that is not known",
        ));
    }
    if message.body.len() > body_bytes_max {
        let text = format!("the body is larger than the limit of {body_bytes_max} bytes (body)");
        return Err(Reason::new(ReasonCode::Limit, text));
    }
    let user = user(names, defaults)?;
    let method = match value_text(values, Field::Method)? {
        "" => CompactString::const_new("POST"),
        method => method.into(),
    };
    Ok(Delivery {
        origin: message.origin,
        provider,
        user,
        method,
        url: value_text(values, Field::Url)?.into(),
        headers: Headers::default(),
        body: message.body.clone(),
        received_at: received_at(message, value_text(values, Field::ReceivedAt)?)?,
    })
}

/// The tenant that the message names, else the default one.
fn user(names: &Names<'_>, defaults: &EnvelopeDefaults) -> Result<User, Reason> {
    match text(&names.user, "user")? {
        "" => Ok(defaults.user.clone()),
        user => Ok(User::new(user)),
    }
}

fn text<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, Reason> {
    let text = std::str::from_utf8(bytes).ok();
    let text = text.filter(|text| !text.contains('\0'));
    text.ok_or_else(|| bad(format!("{name} holds characters that cannot be stored")))
}

fn received_at(message: &Message, header: &str) -> Result<Millis, Reason> {
    if header.is_empty() {
        return Ok(message.at.unwrap_or_else(Millis::now));
    }
    Millis::parse_rfc3339(header).ok_or_else(|| bad("Hookflow-Received-At is no RFC 3339 time"))
}

/// The original request's headers. How the *message* is compressed stands before what the request's own headers say of
/// it, and the first of two equal names counts.
fn headers(values: &Values<'_>) -> Headers {
    let object = match values.get(Field::Headers) {
        object if object.starts_with(b"{") => values.keep(Field::Headers),
        _ => Bytes::new(),
    };
    let encoding = values.get(Field::ContentEncoding);
    if encoding.is_empty() {
        return Headers::from_json(object);
    }
    let said = json::field_ignoring_case(&object, "content-encoding");
    if said.is_some_and(|said| said.bytes() == encoding) {
        return Headers::from_json(object);
    }
    Headers::from_json(with_encoding(encoding, &object))
}

fn with_encoding(encoding: &[u8], object: &[u8]) -> Bytes {
    let encoding = serde_json::Value::from(String::from_utf8_lossy(encoding));
    let rest = object.strip_prefix(b"{").unwrap_or(b"}").trim_ascii_start();
    let comma = if rest == b"}" { "" } else { "," };
    let mut text = format!("{{\"content-encoding\":{encoding}{comma}").into_bytes();
    text.extend_from_slice(rest);
    text.into()
}

fn bad(text: impl Into<String>) -> Reason {
    Reason::new(ReasonCode::BadDelivery, text)
}

fn reject(
    message: &Message,
    names: &Names<'_>,
    defaults: &EnvelopeDefaults,
    headers: Headers,
    reason: Reason,
) -> Box<Reject> {
    let values = message.fields.values();
    let at = value_text(&values, Field::ReceivedAt).unwrap_or_default();
    Box::new(Reject {
        origin: message.origin,
        provider: Provider::new(text(&names.provider, "").unwrap_or_default()),
        user: user(names, defaults).unwrap_or_default(),
        stage: Stage::Source,
        index: 0,
        reason,
        raw: message.body.clone(),
        body_sha256: Sha256::digest(&message.body).into(),
        headers,
        received_at: received_at(message, at)
            .or_else(|_| received_at(message, ""))
            .unwrap_or_default(),
    })
}
