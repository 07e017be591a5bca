use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::event::{Delivery, Headers, ReasonCode, Reject, Stage, User};
use crate::source::EnvelopeDefaults;
use crate::source::envelope::parse_line_of_any_provider;

const AT: Millis = Millis(1_700_000_000_123);

fn defaults(user: &str) -> EnvelopeDefaults {
    EnvelopeDefaults {
        user: User::new(user),
        provider: None,
        known: ["ses", "resend"].map(Provider::new).into(),
    }
}

fn fields(headers: &[(&str, &str)]) -> Fields {
    let mut writer = FieldsWriter::default();
    for (name, value) in headers {
        writer.add(name.as_bytes(), value.as_bytes());
    }
    writer.take()
}

fn on_subject(subject: &str, headers: &[(&str, &str)], body: &str) -> Message {
    Message {
        origin: Origin {
            partition: 3,
            offset: 5,
        },
        address: Address::Subject {
            subject: Bytes::copy_from_slice(subject.as_bytes()),
            skip: 2,
        },
        at: Some(AT),
        deliveries: 0,
        fields: fields(headers),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn on_topic(key: Option<&str>, provider: Option<&str>, headers: &[(&str, &str)]) -> Message {
    let address = Address::Topic {
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        provider: provider.map(Provider::new),
    };
    Message {
        address,
        ..on_subject("", headers, "")
    }
}

fn read(message: Message) -> Result<ParsedMessage, Box<Reject>> {
    parse(&message, &defaults("default"), 32)
}

fn names(parsed: &ParsedMessage) -> (&str, &str, bool) {
    let delivery = &parsed.delivery;
    (
        delivery.provider.as_str(),
        delivery.user.as_str(),
        parsed.differs,
    )
}

#[test]
fn what_no_header_says_comes_from_the_subject_and_the_broker() {
    let parsed = read(on_subject("webhooks.7.ses.a%2Eb", &[], "{}")).unwrap();
    assert_eq!(names(&parsed), ("ses", "a.b", false));
    let delivery = parsed.delivery;
    assert_eq!((&delivery.method[..], &delivery.url[..]), ("POST", ""));
    assert_eq!((delivery.received_at, &delivery.body[..]), (AT, &b"{}"[..]));
    let nameless = read(on_subject("webhooks.7.ses.%00", &[], "")).unwrap();
    assert_eq!(names(&nameless), ("ses", "default", false));
}

#[test]
fn headers_win_and_the_difference_is_seen() {
    let headers = [
        ("hookflow-provider", "resend"),
        ("HOOKFLOW-USER", "u-1"),
        ("Hookflow-Method", "PUT"),
        ("Hookflow-Url", "https://x?a=b"),
        ("Hookflow-Received-At", "2026-03-02T14:00:00.5Z"),
        ("Hookflow-Headers", r#"{"A":"b"}"#),
    ];
    let parsed = read(on_subject("webhooks.7.ses.u-1", &headers, "")).unwrap();
    assert_eq!(names(&parsed), ("resend", "u-1", true));
    let delivery = parsed.delivery;
    assert_eq!(
        (&delivery.method[..], &delivery.url[..]),
        ("PUT", "https://x?a=b")
    );
    assert_eq!(delivery.received_at.to_string(), "2026-03-02T14:00:00.500Z");
    assert_eq!(delivery.headers.get("a").as_deref(), Some("b"));
    let parsed = read(on_subject("webhooks.7.resend.u-1", &headers, "")).unwrap();
    assert!(!parsed.differs);
}

#[test]
fn a_key_names_both_where_it_begins_with_a_provider() {
    let cases = [
        (Some("ses|a|b"), None, ("ses", "a|b", false)),
        (Some("ses|"), None, ("ses", "default", false)),
        (
            Some("order-5"),
            Some("resend"),
            ("resend", "default", false),
        ),
        (Some("x|y"), Some("resend"), ("resend", "default", false)),
        (None, Some("resend"), ("resend", "default", false)),
    ];
    for (key, provider, expected) in cases {
        let parsed = read(on_topic(key, provider, &[])).unwrap();
        assert_eq!(names(&parsed), expected, "{key:?}");
    }
    let other = [("Hookflow-User", "c")];
    let parsed = read(on_topic(Some("ses|b"), None, &other)).unwrap();
    assert_eq!(names(&parsed), ("ses", "c", true));
    let named = [("Hookflow-Provider", "ses")];
    let parsed = read(on_topic(Some("x|y"), Some("resend"), &named)).unwrap();
    assert_eq!(names(&parsed), ("ses", "default", false));
}

#[test]
fn the_messages_encoding_wins_over_the_requests() {
    let cases = [
        (r#"{"content-Encoding":"br","a":"b"}"#, Some("gzip")),
        (r#"{ "a":"b" }"#, Some("gzip")),
        ("{ }", Some("gzip")),
        ("", Some("gzip")),
    ];
    for (original, expected) in cases {
        let headers = [("Hookflow-Headers", original), ("content-encoding", "gzip")];
        let parsed = read(on_subject("w.1.ses.u", &headers, "")).unwrap();
        let json = parsed.delivery.headers.as_json();
        let found = crate::json::field_ignoring_case(json, "Content-Encoding");
        assert_eq!(found.as_ref().and_then(|text| text.as_str()), expected);
        serde_json::from_slice::<serde_json::Value>(json).unwrap();
    }
}

#[test]
fn a_message_that_is_no_delivery_is_a_reject_that_holds_it() {
    let long = "123456789012345678901234567890123";
    let cases = [
        (on_subject("w.1", &[], "x"), ReasonCode::BadDelivery, ""),
        (
            on_subject("w.1.pigeon.u", &[], "coo"),
            ReasonCode::UnknownProvider,
            "pigeon",
        ),
        (
            on_subject("w.1.ses.%ff", &[], "x"),
            ReasonCode::BadDelivery,
            "ses",
        ),
        (
            on_subject("w.1.ses.a%00", &[], "x"),
            ReasonCode::BadDelivery,
            "ses",
        ),
        (on_subject("w.1.ses.u", &[], long), ReasonCode::Limit, "ses"),
        (
            on_subject("w.1.ses.u", &[("Hookflow-Received-At", "noon")], "x"),
            ReasonCode::BadDelivery,
            "ses",
        ),
        (
            on_topic(Some("x|y"), None, &[]),
            ReasonCode::BadDelivery,
            "",
        ),
    ];
    for (message, code, provider) in cases {
        let body = message.body.clone();
        let reject = read(message).unwrap_err();
        assert_eq!((reject.reason.code, reject.stage), (code, Stage::Source));
        assert_eq!((reject.raw, reject.received_at), (body, AT));
        assert_eq!(reject.provider.as_str(), provider);
    }
}

#[test]
fn reject_without_a_user_has_the_default_tenant() {
    let named = [("Hookflow-Provider", "pigeon")];
    let cases = [
        (on_subject("w.1.pigeon.%00", &[], "coo"), "default"),
        (on_subject("w.1.pigeon", &[], "coo"), "default"),
        (on_subject("w.1.pigeon.u", &[], "coo"), "u"),
        (on_topic(None, None, &named), "default"),
        (on_subject("w.1.ses.a%00", &[], "x"), ""),
    ];
    for (message, user) in cases {
        assert_eq!(read(message).unwrap_err().user.as_str(), user);
    }
}

#[test]
fn published_line_of_an_unknown_provider_keeps_its_names() {
    let line = Bytes::from_static(br#"{"provider":"pigeon","user":"u-1","body":"coo"}"#);
    let origin = Origin::default();
    let delivery = parse_line_of_any_provider(origin, &line, &defaults("default"), 32).unwrap();
    let headers = publish::headers(&delivery);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let mut message = on_topic(None, None, &headers);
    message.body = delivery.body.clone();
    let reject = read(message).unwrap_err();
    assert_eq!(reject.reason.code, ReasonCode::UnknownProvider);
    let names = (reject.provider.as_str(), reject.user.as_str());
    assert_eq!((names, &reject.raw[..]), (("pigeon", "u-1"), &b"coo"[..]));
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let headers = proptest::collection::btree_map("[a-z-]{1,8}", "\\PC{0,8}", 0..4);
    let encoding = proptest::option::of("gzip|identity|br");
    let names = (
        "ses|resend",
        "[^\0]{0,12}",
        "(PUT|POST)",
        "(/[a-z?=&é]{0,8})?",
    );
    (
        names,
        headers,
        encoding,
        0i64..4_000_000_000_000,
        any::<Vec<u8>>(),
    )
        .prop_map(
            |((provider, user, method, url), headers, encoding, at, body)| {
                let headers = headers.iter().map(|(name, value)| (&**name, &**value));
                let encoding = encoding.iter().map(|text| ("Content-Encoding", &**text));
                let pairs: Vec<_> = headers.chain(encoding).collect();
                Delivery {
                    origin: Origin {
                        partition: 3,
                        offset: 5,
                    },
                    provider: Provider::new(provider),
                    user: User::new(user),
                    method: method.into(),
                    url: url.into(),
                    headers: if pairs.is_empty() {
                        Headers::default()
                    } else {
                        Headers::from_pairs(pairs)
                    },
                    body: body.into(),
                    received_at: Millis(at),
                }
            },
        )
}

proptest! {
    #[test]
    fn reading_what_was_written_gives_it_back(delivery in delivery(), laned: bool) {
        let headers = publish::headers(&delivery);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        let subject = publish::subject(if laned { "webhooks.7" } else { "a.b" }, &delivery);
        let by_subject = on_subject(&subject, &headers, "");
        let by_key = on_topic(Some(&publish::key(&delivery)), None, &headers);
        for mut message in [by_subject, by_key] {
            message.body = delivery.body.clone();
            let parsed = parse(&message, &defaults(""), usize::MAX).unwrap();
            prop_assert_eq!(&parsed.delivery, &delivery);
            prop_assert!(!parsed.differs);
        }
    }
}
