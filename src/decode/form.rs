//! `application/x-www-form-urlencoded`: bodies, and the query of a URL.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::DecodeConfig;
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
    config: &DecodeConfig,
    mut field: impl FnMut(&[u8], Text<'a>),
) -> Result<(), Reason> {
    for (place, (name, value)) in pairs(form).enumerate() {
        if place >= config.elements_max {
            return Err(crate::json::Fault::Elements(config.elements_max).into());
        }
        if value.len() > config.string_bytes_max {
            return Err(crate::json::Fault::Long(config.string_bytes_max).into());
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
pub(super) fn ids_in_query<'a>(
    url: &'a str,
    config: &'a DecodeConfig,
) -> Result<Wanted<'a>, Reason> {
    let mut ids = Wanted::default();
    let query = query(url);
    let cursor = config.cursor(query);
    read(query, config, |name, value| ids.put(&cursor, name, value))?;
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
///
/// `form_urlencoded` would replace bytes that are no UTF-8, which must reach the event keys as they came.
fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'+', text).is_none() {
        return percent_decode(text).into();
    }
    let blank = |&byte: &u8| if byte == b'+' { b' ' } else { byte };
    let spaced: Vec<u8> = text.iter().map(blank).collect();
    match Cow::from(percent_decode(&spaced)) {
        Cow::Owned(decoded) => Cow::Owned(decoded),
        Cow::Borrowed(_) => Cow::Owned(spaced),
    }
}

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
