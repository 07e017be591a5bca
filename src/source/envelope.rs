//! A delivery as one line of JSON: `provider`, `user`, `received_at`, `method`, `url`, `headers`, and the body as text
//! (`body`) or as base64 (`body_base64`).
//!
//! Contract: a line becomes a delivery or one reject with the line as its raw bytes; nothing else is lost. The line is
//! read once; the headers, and a body without escapes, stay slices of it.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use compact_str::CompactString;
use sha2::{Digest, Sha256};

use super::EnvelopeDefaults;
use crate::event::{
    Delivery, Headers, Millis, Origin, Provider, Reason, ReasonCode, Reject, Stage, User,
};
use crate::json::{Cursor, Document, Limits, Raw, Read, Text, fields};

fields! {
    Envelope<'a> {
        provider: Text<'a> = b"provider",
        user: Text<'a> = b"user",
        received_at: Text<'a> = b"received_at",
        method: Text<'a> = b"method",
        url: Text<'a> = b"url",
        headers: Raw<'a> = b"headers",
        body: Document<'a> = b"body",
        body_base64: Document<'a> = b"body_base64",
    }
}

/// Bounds the line's own nesting; the body within it is bounded when it is decoded.
const LIMITS: Limits = Limits {
    depth: 128,
    ..Limits::NONE
};

/// Reads one line. A reject names the provider and the tenant where the line does.
pub fn parse_line(
    origin: Origin,
    line: &Bytes,
    defaults: &EnvelopeDefaults,
    body_bytes_max: usize,
) -> Result<Delivery, Box<Reject>> {
    let is_known = |provider: &Provider| defaults.knows(provider);
    parse(origin, line, defaults, body_bytes_max, is_known)
}

/// [`parse_line`] for a publisher, which leaves it to the consumer to know the provider.
pub fn parse_line_of_any_provider(
    origin: Origin,
    line: &Bytes,
    defaults: &EnvelopeDefaults,
    body_bytes_max: usize,
) -> Result<Delivery, Box<Reject>> {
    parse(origin, line, defaults, body_bytes_max, |_| true)
}

fn parse(
    origin: Origin,
    line: &Bytes,
    defaults: &EnvelopeDefaults,
    body_bytes_max: usize,
    is_known: impl Fn(&Provider) -> bool,
) -> Result<Delivery, Box<Reject>> {
    let mut envelope = match read(line) {
        Ok(envelope) => envelope,
        Err(reason) => {
            let user = User::default();
            return Err(reject(origin, line, &Envelope::default(), user, reason));
        }
    };
    let delivery = body(line, &mut envelope, body_bytes_max)
        .and_then(|body| delivery(origin, line, &envelope, body, defaults))
        .and_then(|delivery| {
            if is_known(&delivery.provider) {
                Ok(delivery)
            } else {
                Err(unknown_provider())
            }
        });
    delivery.map_err(|reason| {
        let user = user(&envelope, defaults).unwrap_or_default();
        reject(origin, line, &envelope, user, reason)
    })
}

/// The dead letter of a line that is not to be read: neither its provider nor its tenant is known.
pub fn dead_letter(origin: Origin, line: &Bytes, reason: Reason) -> Box<Reject> {
    reject(origin, line, &Envelope::default(), User::default(), reason)
}

fn read(line: &Bytes) -> Result<Envelope<'_>, Reason> {
    let mut cursor = Cursor::new(line, LIMITS);
    if cursor.peek() != Some(b'{') {
        return Err(bad("the line is no JSON object"));
    }
    let envelope = Envelope::read(&mut cursor).and_then(|envelope| {
        cursor.end()?;
        Ok(envelope)
    });
    envelope.map_err(|fault| bad(format!("the line is {fault}")))
}

fn delivery(
    origin: Origin,
    line: &Bytes,
    envelope: &Envelope<'_>,
    body: Bytes,
    defaults: &EnvelopeDefaults,
) -> Result<Delivery, Reason> {
    let provider = match (text(&envelope.provider, "provider")?, &defaults.provider) {
        ("", None) => return Err(bad("the line names no provider")),
        ("", Some(provider)) => provider.clone(),
        (provider, _) => Provider::new(provider),
    };
    let method = match text(&envelope.method, "method")? {
        "" => CompactString::const_new("POST"),
        method => method.into(),
    };
    Ok(Delivery {
        origin,
        provider,
        user: user(envelope, defaults)?,
        method,
        url: text(&envelope.url, "url")?.into(),
        headers: headers(line, envelope),
        body,
        received_at: received_at(envelope)?,
    })
}

/// The tenant that the envelope names, else the default one.
fn user(envelope: &Envelope<'_>, defaults: &EnvelopeDefaults) -> Result<User, Reason> {
    match text(&envelope.user, "user")? {
        "" => Ok(defaults.user.clone()),
        user => Ok(User::new(user)),
    }
}

fn text<'e>(field: &'e Text<'_>, name: &str) -> Result<&'e str, Reason> {
    let text = field.as_str().filter(|text| !text.contains('\0'));
    text.ok_or_else(|| bad(format!("{name} holds characters that cannot be stored")))
}

/// The object's own slice of the line; anything but an object means no headers.
fn headers(line: &Bytes, envelope: &Envelope<'_>) -> Headers {
    match envelope.headers.0 {
        object @ [b'{', ..] => Headers::from_json(line.slice_ref(object)),
        _ => Headers::default(),
    }
}

fn received_at(envelope: &Envelope<'_>) -> Result<Millis, Reason> {
    if envelope.received_at.is_empty() {
        return Ok(Millis::now());
    }
    let at = envelope
        .received_at
        .as_str()
        .and_then(Millis::parse_rfc3339);
    at.ok_or_else(|| bad("received_at is no RFC 3339 time"))
}

/// Takes the body out of the envelope.
fn body(line: &Bytes, envelope: &mut Envelope<'_>, bytes_max: usize) -> Result<Bytes, Reason> {
    let plain = envelope.body.0.is_present();
    let body = if plain || !envelope.body_base64.0.is_present() {
        body_text(line, std::mem::take(&mut envelope.body.0))
    } else {
        body_base64(envelope.body_base64.0.bytes())?
    };
    if body.len() > bytes_max {
        let text = format!("the body is larger than the limit of {bytes_max} bytes (body)");
        return Err(Reason::new(ReasonCode::Limit, text));
    }
    Ok(body)
}

fn body_text(line: &Bytes, body: Text<'_>) -> Bytes {
    match body.into_cow() {
        Cow::Borrowed(slice) => line.slice_ref(slice),
        Cow::Owned(bytes) => bytes.into(),
    }
}

/// With or without padding.
fn body_base64(text: &[u8]) -> Result<Bytes, Reason> {
    let bytes = if text.ends_with(b"=") {
        STANDARD.decode(text)
    } else {
        STANDARD_NO_PAD.decode(text)
    };
    let bytes = bytes.map_err(|_| bad("body_base64 is no base64"))?;
    Ok(bytes.into())
}

fn bad(text: impl Into<String>) -> Reason {
    Reason::new(ReasonCode::BadDelivery, text)
}

fn unknown_provider() -> Reason {
    Reason::new(
        ReasonCode::UnknownProvider,
        "the delivery names a provider that is not known",
    )
}

fn reject(
    origin: Origin,
    line: &Bytes,
    envelope: &Envelope<'_>,
    user: User,
    reason: Reason,
) -> Box<Reject> {
    Box::new(Reject {
        origin,
        provider: Provider::new(text(&envelope.provider, "").unwrap_or_default()),
        user,
        stage: Stage::Source,
        index: 0,
        reason,
        raw: line.clone(),
        body_sha256: Sha256::digest(line).into(),
        headers: headers(line, envelope),
        received_at: received_at(envelope).unwrap_or_else(|_| Millis::now()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults(user: &str) -> EnvelopeDefaults {
        EnvelopeDefaults {
            user: User::new(user),
            provider: None,
            known: [Provider::new("ses")].into(),
        }
    }

    fn parse(line: &str) -> Result<Delivery, Box<Reject>> {
        let defaults = defaults("default");
        let line = Bytes::copy_from_slice(line.as_bytes());
        parse_line(
            Origin {
                partition: 3,
                offset: 5,
            },
            &line,
            &defaults,
            32,
        )
    }

    #[test]
    fn a_line_becomes_a_delivery() {
        let delivery = parse(
            r#"{"provider":"ses","user":"u-1","received_at":"2026-03-02T14:00:00.1239Z","method":"PUT",
            "url":"https://x?a=b","headers":{"A":"b"},"body":"{\"a\":\"\u00e9\\n\"}\r\n"}"#,
        )
        .unwrap();
        assert_eq!(
            delivery.origin,
            Origin {
                partition: 3,
                offset: 5
            }
        );
        assert_eq!(
            (delivery.provider.as_str(), delivery.user.as_str()),
            ("ses", "u-1")
        );
        assert_eq!(
            (&delivery.method[..], &delivery.url[..]),
            ("PUT", "https://x?a=b")
        );
        assert_eq!(delivery.headers.get("a").as_deref(), Some("b"));
        assert_eq!(delivery.body, "{\"a\":\"é\\n\"}\r\n");
        assert_eq!(delivery.received_at.to_string(), "2026-03-02T14:00:00.123Z");
    }

    #[test]
    fn what_is_missing_comes_from_the_defaults() {
        for line in [
            r#"{"provider":"ses"}"#,
            r#"{"provider":"ses","user":"","headers":null}"#,
        ] {
            let delivery = parse(line).unwrap();
            assert_eq!(delivery.user.as_str(), "default");
            assert_eq!((&delivery.method[..], delivery.body.len()), ("POST", 0));
            assert!(delivery.received_at > Millis::EARLIEST);
            assert_eq!(delivery.headers, Headers::default());
        }
    }

    #[test]
    fn a_body_may_be_base64_with_or_without_padding() {
        for body in ["/w==", "/w"] {
            let line = format!(r#"{{"provider":"ses","body_base64":"{body}"}}"#);
            assert_eq!(parse(&line).unwrap().body, [0xff].as_slice());
        }
    }

    #[test]
    fn a_line_that_is_no_delivery_is_a_reject_that_holds_it() {
        let lines = [
            ("", ReasonCode::BadDelivery, ""),
            ("nonsense", ReasonCode::BadDelivery, ""),
            (r#"["provider"]"#, ReasonCode::BadDelivery, ""),
            (r#"{"provider":"ses""#, ReasonCode::BadDelivery, ""),
            (r#"{"provider":"ses"} x"#, ReasonCode::BadDelivery, ""),
            (r#"{"user":"u","body":""}"#, ReasonCode::BadDelivery, ""),
            (
                r#"{"provider":"pigeon","body":"coo"}"#,
                ReasonCode::UnknownProvider,
                "pigeon",
            ),
            (
                r#"{"provider":"ses","body_base64":"?"}"#,
                ReasonCode::BadDelivery,
                "ses",
            ),
            (
                r#"{"provider":"ses","received_at":"noon"}"#,
                ReasonCode::BadDelivery,
                "ses",
            ),
            (r#"{"provider":"\ud800"}"#, ReasonCode::BadDelivery, ""),
            (
                r#"{"provider":"ses","body":"123456789012345678901234567890123"}"#,
                ReasonCode::Limit,
                "ses",
            ),
        ];
        for (line, code, provider) in lines {
            let reject = parse(line).unwrap_err();
            assert_eq!(
                (reject.reason.code, reject.stage),
                (code, Stage::Source),
                "{line}"
            );
            assert_eq!(reject.raw, line, "{line}");
            assert_eq!(reject.provider.as_str(), provider, "{line}");
            let sha256: [u8; 32] = Sha256::digest(line).into();
            assert_eq!(reject.body_sha256, sha256);
        }
    }

    #[test]
    fn reject_without_a_user_has_the_default_tenant() {
        let cases = [
            (r#"{"provider":"pigeon","body":"coo"}"#, "default"),
            (r#"{"provider":"pigeon","user":"","body":"coo"}"#, "default"),
            (r#"{"provider":"pigeon","user":"u","body":"coo"}"#, "u"),
            (r#"{"provider":"pigeon","user":"\u0000"}"#, ""),
            ("nonsense", ""),
        ];
        for (line, user) in cases {
            assert_eq!(parse(line).unwrap_err().user.as_str(), user, "{line}");
        }
    }

    #[test]
    fn headers_and_a_plain_body_are_slices_of_the_line() {
        let line = Bytes::from_static(br#"{"provider":"ses","headers":{"a":"b"},"body":"abc"}"#);
        let delivery = parse_line(Origin::default(), &line, &defaults(""), 32).unwrap();
        let within = |part: &[u8]| line.as_ptr_range().contains(&part.as_ptr());
        assert!(within(&delivery.body) && within(delivery.headers.as_json()));
    }
}
