//! The content encoding of a body, undone within the body's limit.

use std::borrow::Cow;
use std::io::Read;

use crate::event::{Delivery, Reason, ReasonCode};
use crate::json;

/// The body as the provider wrote it. A compressed one is never unpacked beyond the limit.
pub(super) fn decode(delivery: &Delivery, bytes_max: usize) -> Result<Cow<'_, [u8]>, Reason> {
    within(delivery.body.len(), bytes_max)?;
    let headers = delivery.headers.as_json();
    let encoding = json::field_ignoring_case(headers, "content-encoding").unwrap_or_default();
    match encoding
        .bytes()
        .trim_ascii()
        .to_ascii_lowercase()
        .as_slice()
    {
        b"" | b"identity" => Ok(Cow::Borrowed(&delivery.body)),
        b"gzip" | b"x-gzip" => gunzip(&delivery.body, bytes_max).map(Cow::Owned),
        other => Err(unsupported(other)),
    }
}

fn gunzip(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Reason> {
    let mut text = Vec::new();
    let most = bytes_max as u64 + 1;
    let unpacked = flate2::read::MultiGzDecoder::new(body)
        .take(most)
        .read_to_end(&mut text);
    within(text.len(), bytes_max)?;
    match unpacked {
        Ok(_) => Ok(text),
        Err(_) => Err(Reason::new(
            ReasonCode::BadEncoding,
            "the body does not unpack as gzip, which its Content-Encoding names",
        )),
    }
}

fn within(bytes: usize, bytes_max: usize) -> Result<(), Reason> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Reason::new(
        ReasonCode::Limit,
        format!("the body is larger than the limit of {bytes_max} bytes (body)"),
    ))
}

/// Names the encoding only where it looks like one: what stands in a header is as untrusted as a body.
fn unsupported(encoding: &[u8]) -> Reason {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-, ".contains(byte);
    let name = match std::str::from_utf8(encoding) {
        Ok(name) if name.len() <= 32 && encoding.iter().all(plain) => name,
        _ => "of an unreadable name",
    };
    Reason::new(
        ReasonCode::BadEncoding,
        format!("the content encoding {name} is not supported, only gzip is"),
    )
}
