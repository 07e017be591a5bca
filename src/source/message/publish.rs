//! A delivery into a message, for whoever publishes: an edge, a generator, a test.

use std::borrow::Cow;

use super::Field;
use super::subject::push_token;
use crate::event::Delivery;
use crate::json;

/// The headers of a delivery's message; its value is the raw body.
///
/// What a header cannot carry (line breaks and other control characters, blanks around a text) is left out where subject
/// or key say the same, and percent-encoded in an URL.
pub fn headers(delivery: &Delivery) -> Vec<(&'static str, Cow<'_, str>)> {
    let original = String::from_utf8_lossy(delivery.headers.as_json());
    let encoding = content_encoding(delivery);
    let url = if plain(&delivery.url) {
        Cow::Borrowed(&*delivery.url)
    } else {
        Cow::Owned(without_controls(&delivery.url))
    };
    let all = [
        (Field::Provider, Cow::Borrowed(delivery.provider.as_str())),
        (Field::User, Cow::Borrowed(delivery.user.as_str())),
        (Field::Method, Cow::Borrowed(&*delivery.method)),
        (Field::Url, url),
        (
            Field::ReceivedAt,
            Cow::Owned(delivery.received_at.to_string()),
        ),
        (Field::Headers, on_one_line(original)),
        (Field::ContentEncoding, Cow::Owned(encoding)),
    ];
    all.into_iter()
        .filter(|(_, value)| !value.is_empty() && plain(value))
        .map(|(field, value)| (field.name(), value))
        .collect()
}

/// The subject that a delivery is published to: `<prefix>.<provider>.<user>`.
pub fn subject(prefix: &str, delivery: &Delivery) -> String {
    let mut subject = String::with_capacity(prefix.len() + 48);
    subject.push_str(prefix);
    for token in [delivery.provider.as_str(), delivery.user.as_str()] {
        subject.push('.');
        push_token(&mut subject, token);
    }
    subject
}

/// The key of a delivery's message in Kafka: `<provider>|<user>`.
pub fn key(delivery: &Delivery) -> String {
    format!("{}|{}", delivery.provider, delivery.user)
}

fn content_encoding(delivery: &Delivery) -> String {
    let said = json::field_ignoring_case(delivery.headers.as_json(), "content-encoding");
    said.and_then(|said| said.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn plain(text: &str) -> bool {
    text.trim().len() == text.len() && !text.contains(char::is_control)
}

fn without_controls(url: &str) -> String {
    let mut plain = String::with_capacity(url.len());
    for c in url.trim().chars() {
        if c.is_control() {
            push_token(&mut plain, c.encode_utf8(&mut [0; 4]))
        } else {
            plain.push(c)
        }
    }
    plain
}

/// Line breaks within JSON can only stand between its tokens.
fn on_one_line(object: Cow<'_, str>) -> Cow<'_, str> {
    if plain(&object) {
        object
    } else {
        Cow::Owned(object.trim().replace(char::is_control, " "))
    }
}
