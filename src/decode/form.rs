//! `application/x-www-form-urlencoded`: bodies, and the query of a URL.

use std::borrow::Cow;

use super::Options;
use crate::event::{Reason, ReasonCode};
use crate::json::{Text, Wanted};

/// The pairs of a form, decoded one at a time.
pub(super) fn pairs(form: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    let trimmed = form.trim_ascii();
    let parts = trimmed.split(|&byte| byte == b'&');
    parts.filter(|part| !part.is_empty()).map(|part| {
        let at = memchr::memchr(b'=', part).unwrap_or(part.len());
        let value = part.get(at + 1..).unwrap_or_default();
        (unescape(&part[..at]), unescape(value))
    })
}

/// Gives every pair to `field`, within the limits on their number and length.
pub(super) fn read<'a>(
    form: &'a [u8],
    options: &Options,
    mut field: impl FnMut(&[u8], Text<'a>),
) -> Result<(), Reason> {
    for (place, (name, value)) in pairs(form).enumerate() {
        if place >= options.elements_max {
            return Err(crate::json::Fault::Elements(options.elements_max).into());
        }
        if value.len() > options.string_bytes_max {
            return Err(crate::json::Fault::Long(options.string_bytes_max).into());
        }
        field(&name, Text::new(value));
    }
    Ok(())
}

/// Puts `value` into a field that is still absent: of repeated parameters the first counts.
pub(super) fn first<'a>(field: &mut Text<'a>, value: Text<'a>) {
    if !field.is_present() {
        *field = value;
    }
}

/// The query of a URL; empty if it has none.
pub(super) fn query(url: &str) -> &[u8] {
    let url = url.split('#').next().unwrap_or_default();
    url.split_once('?')
        .map_or(&[], |(_, query)| query.as_bytes())
}

/// The sender's own ids among the query parameters of the URL that was called.
pub(super) fn ids_in_query<'a>(url: &'a str, options: &'a Options) -> Result<Wanted<'a>, Reason> {
    let mut ids = Wanted::default();
    let query = query(url);
    let cursor = options.cursor(query);
    read(query, options, |name, value| ids.put(&cursor, name, value))?;
    Ok(ids)
}

/// Whether a body looks like a form (or several parts) and not like JSON.
pub(super) fn is_form(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    body.starts_with(b"--")
        || (!matches!(body.first(), Some(b'{' | b'[')) && memchr::memchr(b'=', body).is_some())
}

/// Why a body without the field that carries everything is refused.
pub(super) fn missing_field(name: &str) -> Reason {
    Reason::new(
        ReasonCode::BadShape,
        format!("the form has no field {name}"),
    )
}

/// `+` is a blank and `%XX` a byte; a `%` that no two hex digits follow stays.
fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr2(b'%', b'+', text) else {
        return Cow::Borrowed(text);
    };
    let mut bytes = text.to_vec();
    let mut length = first;
    let mut rest = &text[first..];
    for slot in &mut bytes[first..] {
        let [byte, after @ ..] = rest else { break };
        rest = after;
        *slot = match (byte, escaped(after)) {
            (b'%', Some(decoded)) => {
                rest = &after[2..];
                decoded
            }
            (b'+', _) => b' ',
            _ => *byte,
        };
        length += 1;
    }
    bytes.truncate(length);
    Cow::Owned(bytes)
}

#[inline]
fn escaped(after: &[u8]) -> Option<u8> {
    let [high, low, ..] = after else { return None };
    let (high, low) = (HEX[usize::from(*high)], HEX[usize::from(*low)]);
    (high | low < 16).then_some(high << 4 | low)
}

/// The value of every hex digit, 255 for what is none.
const HEX: [u8; 256] = {
    let mut table = [255; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        table[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_and_broken_ones_stay() {
        let pairs: Vec<_> = pairs(b"a=1+2&b=%2B%zz%4&&c&=d\n").collect();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let shown: Vec<_> = pairs.iter().map(|(n, v)| (text(n), text(v))).collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            shown,
            [
                pair("a", "1 2"),
                pair("b", "+%zz%4"),
                pair("c", ""),
                pair("", "d")
            ]
        );
    }

    #[test]
    fn a_url_without_query_has_no_ids() {
        assert_eq!(query("https://example.com/a#b?c"), b"");
        assert_eq!(query("https://example.com/a?b=c#d"), b"b=c");
    }
}
