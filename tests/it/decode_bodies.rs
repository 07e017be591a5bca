//! What becomes of bodies: bad elements, broken bodies, limits, encodings, raw slices.

use std::io::Write;

use hookflow::decode::{self, DecodeConfig, Decoded};
use hookflow::event::{Delivery, Event, Headers, Kind, ReasonCode, Stage};
use sha2::{Digest, Sha256};

use crate::decode_fixtures::{code, decode, decode_with, delivery, event, events, rejects};

#[test]
fn one_bad_element_is_one_reject_with_its_slice() {
    let body = r#"[{"event":"open","sg_event_id":"a"}, 7 , {"no":"identity"},
        {"event":"open","sg_event_id":"\u0000"},{"event":"open","sg_event_id":"b"}]"#;
    let Decoded {
        events, rejects, ..
    } = decode(delivery("sendgrid", body));
    let indexes: Vec<_> = events.iter().map(|event| event.index).collect();
    assert_eq!(indexes, [0, 1]);
    let seen: Vec<_> = rejects
        .iter()
        .map(|r| (r.index, &r.raw[..], r.reason.code))
        .collect();
    assert_eq!(
        seen,
        [
            (1, b"7".as_slice(), ReasonCode::BadShape),
            (2, br#"{"no":"identity"}"#, ReasonCode::NoIdentity),
            (
                3,
                br#"{"event":"open","sg_event_id":"\u0000"}"#,
                ReasonCode::BadIdentity
            ),
        ]
    );
    let sha256: [u8; 32] = Sha256::digest(body).into();
    assert!(
        rejects
            .iter()
            .all(|r| r.body_sha256 == sha256 && r.stage == Stage::Decode)
    );
}

#[test]
fn a_broken_body_is_one_reject_and_gives_no_events() {
    let body = r#"[{"event":"open","sg_event_id":"a"},{"event":"open","#;
    let decoded = decode(delivery("sendgrid", body));
    assert!(decoded.events.is_empty());
    assert_eq!(
        (decoded.rejects.len(), decoded.rejects[0].raw.as_ref()),
        (1, body.as_bytes())
    );
    assert_eq!(decoded.rejects[0].reason.code, ReasonCode::BadSyntax);
    for body in ["", " ", "x", "[{}", "{}{}", "[1,]", "{\"a\" 1}", "nul"] {
        assert_eq!(code("sendgrid", body), ReasonCode::BadSyntax, "{body}");
    }
    assert_eq!(code("sendgrid", "7"), ReasonCode::BadShape);
}

#[test]
fn decoding_appends() {
    let mut out = Decoded::default();
    let good = std::sync::Arc::new(delivery(
        "sendgrid",
        r#"[{"event":"open","sg_event_id":"a"}]"#,
    ));
    let bad = std::sync::Arc::new(delivery("sendgrid", "x"));
    for delivery in [&good, &bad, &good] {
        decode::decode(delivery, &DecodeConfig::default(), &mut out);
    }
    assert_eq!(
        (out.events.len(), out.rejects.len(), out.events[1].index),
        (2, 1, 0)
    );
}

#[test]
fn neither_kind_nor_identity_is_a_reject_and_an_unknown_kind_is_not() {
    for provider in decode::providers() {
        let empty = match provider {
            "mandrill" => "mandrill_events=[{}]",
            _ => "{}",
        };
        assert_eq!(code(provider, empty), ReasonCode::NoIdentity, "{provider}");
    }
    let other = event("sendgrid", r#" [ {"event":"new","sg_event_id":"e"} ]"#);
    assert_eq!(
        (other.kind, other.raw.as_deref()),
        (
            Kind::Other,
            Some(br#"{"event":"new","sg_event_id":"e"}"#.as_slice())
        )
    );
}

#[test]
fn raw_slices_of_known_kinds_are_kept_only_if_asked_for() {
    let body = r#"[{"event":"open","sg_event_id":"e"}]"#;
    assert_eq!(event("sendgrid", body).raw, None);
    let options = DecodeConfig {
        keep_raw: true,
        ..DecodeConfig::default()
    };
    let kept = decode_with(delivery("sendgrid", body), &options)
        .events
        .remove(0);
    assert_eq!(
        kept.raw.as_deref(),
        Some(&body.as_bytes()[1..body.len() - 1])
    );
}

#[test]
fn what_no_store_can_hold_is_replaced_in_free_text() {
    let body = r#"[{"event":"open","sg_event_id":"e","email":"a\u0000\ud800@x.org"}]"#;
    let address = event("sendgrid", body).recipient.unwrap();
    assert!(
        address.starts_with("a\u{fffd}") && address.ends_with("@x.org") && !address.contains('\0')
    );
    let pair = r#"[{"event":"open","sg_event_id":"\ud83d\ude00é\/"}]"#;
    assert_eq!(event("sendgrid", pair).event_key, "😀é/");
}

#[test]
fn addresses_that_differ_in_bad_bytes_are_different_events() {
    let with_address = |address: &[u8]| {
        let mut body = br#"{"eventType":"Bounce","mail":{"messageId":"m"},"bounce":{"timestamp":"2026-03-02T14:00:00Z","bouncedRecipients":[{"emailAddress":""#.to_vec();
        body.extend_from_slice(address);
        body.extend_from_slice(br#"@example.com"}]}}"#);
        let mut raw = delivery("ses", "");
        raw.body = body.into();
        decode(raw).events.remove(0)
    };
    let (one, other) = (with_address(b"a\xff"), with_address(b"a\xfe"));
    assert_ne!(one.identity, other.identity);
    assert_ne!(one.address, other.address);
    assert_eq!(one.event_key, other.event_key);
    assert_eq!(one.recipient.as_deref(), Some("a\u{fffd}@example.com"));
}

#[test]
fn an_unknown_provider_is_a_reject() {
    let reject = rejects(delivery("pigeon", "coo")).remove(0);
    assert_eq!(reject.reason.code, ReasonCode::UnknownProvider);
    assert_eq!(
        (reject.provider.as_str(), &reject.raw[..]),
        ("pigeon", b"coo".as_slice())
    );
}

fn limited(change: impl Fn(&mut DecodeConfig), body: &str) -> Decoded {
    let mut options = DecodeConfig::default();
    change(&mut options);
    decode_with(delivery("sendgrid", body), &options)
}

#[test]
fn a_reject_names_the_limit_that_it_hit() {
    let one = r#"{"event":"open","sg_event_id":"e"}"#;
    let many = format!("[{}]", [one; 3].join(","));
    let cases = [
        (limited(|o| o.elements_max = 2, &many), "2 elements"),
        (limited(|o| o.body_bytes_max = 9, &many), "9 bytes (body)"),
        (
            limited(|o| o.string_bytes_max = 3, &many),
            "3 bytes (string)",
        ),
        (limited(|o| o.depth_max = 1, &many), "1 levels (depth)"),
    ];
    for (decoded, limit) in &cases {
        assert!(decoded.events.is_empty());
        assert!(!decoded.rejects.is_empty());
        for reject in &decoded.rejects {
            assert_eq!(reject.reason.code, ReasonCode::Limit);
            assert!(reject.reason.text.contains(limit), "{}", reject.reason.text);
        }
    }
    assert_eq!(limited(|o| o.elements_max = 3, &many).events.len(), 3);
}

#[test]
fn depth_is_bounded_before_it_can_hurt() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(
            r#"[{{"event":"open","sg_event_id":"e","x":{open}{close}}},{{"event":"open","sg_event_id":"f"}}]"#
        )
    };
    assert_eq!(events("sendgrid", &nested(126)).len(), 2);
    for depth in [127, 100_000] {
        let decoded = decode(delivery("sendgrid", &nested(depth)));
        assert_eq!((decoded.events.len(), decoded.rejects.len()), (1, 1));
        assert_eq!(decoded.rejects[0].reason.code, ReasonCode::Limit);
    }
    for provider in decode::providers().filter(|p| !["twilio", "mandrill"].contains(p)) {
        let reject = code(provider, &"[".repeat(1_000_000));
        assert!(
            matches!(reject, ReasonCode::Limit | ReasonCode::BadSyntax),
            "{provider}"
        );
    }
}

fn packed(text: &[u8], encoding: &str) -> Delivery {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(text).unwrap();
    let mut delivery = delivery("sendgrid", "");
    delivery.body = packer.finish().unwrap().into();
    delivery.headers = Headers::from_pairs([("content-ENCODING", encoding)]);
    delivery
}

#[test]
fn gzip_is_unpacked_and_gives_the_same_identities() {
    let body = r#"[{"event":"open","sg_event_id":"e"}]"#;
    let unpacked = decode(packed(body.as_bytes(), "GZip")).events.remove(0);
    assert_eq!(unpacked.identity, event("sendgrid", body).identity);
}

#[test]
fn a_bomb_a_stump_and_a_foreign_encoding_are_rejects_of_the_body_as_received() {
    let bomb = packed(&vec![b' '; 64 << 20], "gzip");
    let mut stump = packed(b"[]", "gzip");
    stump.body = stump.body.slice(..stump.body.len() - 9);
    let foreign = packed(b"[]", "br");
    for (delivery, code, word) in [
        (bomb, ReasonCode::Limit, "(body)"),
        (stump, ReasonCode::BadEncoding, "gzip"),
        (foreign, ReasonCode::BadEncoding, "br"),
    ] {
        let reject = rejects(delivery.clone()).remove(0);
        assert_eq!((reject.reason.code, &reject.raw), (code, &delivery.body));
        assert!(reject.reason.text.contains(word), "{}", reject.reason.text);
    }
}

#[test]
fn a_long_id_with_many_recipients_does_not_fill_the_memory() {
    let recipients = vec![r#"{"emailAddress":"a@x.org"}"#; 9_000].join(",");
    let message = format!(
        r#"{{"eventType":"Complaint","mail":{{"messageId":"{}"}},"complaint":{{"complaintFeedbackType":"not-spam",
        "complainedRecipients":[{recipients}]}}}}"#,
        "m".repeat(1 << 20)
    );
    let body = serde_json::json!({"MessageId": "s", "Message": message}).to_string();
    assert_eq!(code("ses", &body), ReasonCode::Limit);
}

/// A bounce of `recipients` addresses, whose sender's own recipient id is `id_bytes` long.
pub fn bounce_with_a_long_id(recipients: usize, id_bytes: usize) -> Delivery {
    let addresses: Vec<_> = (0..recipients)
        .map(|n| format!(r#"{{"emailAddress":"a{n}@x.org"}}"#))
        .collect();
    let message = format!(
        r#"{{"eventType":"Bounce","mail":{{"messageId":"m","tags":{{"recipient_id":["{}"],"batch_id":["b"]}}}},
        "bounce":{{"bounceType":"Permanent","bouncedRecipients":[{}]}}}}"#,
        "r".repeat(id_bytes),
        addresses.join(",")
    );
    delivery(
        "ses",
        &serde_json::json!({"MessageId": "s", "Message": message}).to_string(),
    )
}

#[test]
fn recipients_of_one_delivery_share_its_long_ids() {
    let decoded = decode(bounce_with_a_long_id(9_000, 600_000));
    assert_eq!(decoded.events.len(), 9_000);
    let ids = |event: &Event| event.ids.clone().unwrap();
    let first = ids(&decoded.events[0]);
    assert_eq!(
        (first.recipient_id.len(), first.batch_id.as_str()),
        (600_000, "b")
    );
    let address = first.recipient_id.as_ptr();
    assert!(
        decoded
            .events
            .iter()
            .all(|event| ids(event).recipient_id.as_ptr() == address)
    );
    assert!(decoded.bytes < 10 << 20, "{} bytes", decoded.bytes);
    assert!(
        decoded.bytes > 9_000 * size_of::<Event>() + 600_000,
        "all counts"
    );
}

#[test]
fn raw_slices_are_slices_of_the_delivery() {
    let other = delivery("sendgrid", r#"[{"event":"new","sg_event_id":"e"}]"#);
    let body = other.body.clone();
    let kept = decode(other).events.remove(0).raw.unwrap();
    assert!(body.as_ptr_range().contains(&kept.as_ptr()));
}
