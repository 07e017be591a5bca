//! Every sample, broken in every way: nothing panics, limits hold, and what a copy cannot change changes no identity.

use std::sync::LazyLock;

use hookflow::decode::{DecodeConfig, Decoded};
use hookflow::event::{Delivery, Event, Headers, Kind, Millis, Reject};
use hookflow::key::{Bucket, Identity};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::decode_fixtures::{Sample, decode_with, samples};

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(samples);

/// Small, so that mutated samples reach them.
fn options(keep_raw: bool) -> DecodeConfig {
    DecodeConfig {
        body_bytes_max: 8_000,
        depth_max: 32,
        elements_max: 50,
        string_bytes_max: 500,
        keep_raw,
        ..DecodeConfig::default()
    }
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Truncate(Index),
    Drop(Index, usize),
    Repeat(Index, usize, usize),
    Splice(Index, Index, Index, usize),
    Nest(Index, &'static str, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<Index>;
    let openings = prop::sample::select(vec![
        "[", "{\"a\":", "\\u", "\\", "\"", "%5B", "null", "1e9", "\0",
    ]);
    prop_oneof![
        4 => (index(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        1 => index().prop_map(Damage::Truncate),
        2 => (index(), 1..40usize).prop_map(|(at, length)| Damage::Drop(at, length)),
        2 => (index(), 1..200usize, 1..60usize).prop_map(|(at, length, times)| Damage::Repeat(at, length, times)),
        3 => (index(), index(), index(), 1..200usize).prop_map(|(at, sample, from, length)| Damage::Splice(at, sample, from, length)),
        2 => (index(), openings, 1..200usize).prop_map(|(at, text, times)| Damage::Nest(at, text, times)),
    ]
}

fn cut(bytes: &[u8], at: usize, length: usize) -> Vec<u8> {
    bytes[at..(at + length).min(bytes.len())].to_vec()
}

fn apply(body: &mut Vec<u8>, damage: &Damage) {
    if body.is_empty() {
        return;
    }
    let size = body.len();
    match damage {
        Damage::Flip(at, byte) => body[at.index(size)] ^= byte,
        Damage::Truncate(at) => body.truncate(at.index(size)),
        Damage::Drop(at, length) => {
            let at = at.index(size);
            body.drain(at..(at + length).min(size));
        }
        Damage::Repeat(at, length, times) => {
            let at = at.index(size);
            let chunk = cut(body, at, *length).repeat(*times);
            body.splice(at..at, chunk);
        }
        Damage::Splice(at, sample, from, length) => {
            let other = &sample.get(&SAMPLES[..]).delivery.body;
            let chunk = cut(other, from.index(other.len()), *length);
            let at = at.index(size);
            body.splice(at..at, chunk);
        }
        Damage::Nest(at, text, times) => {
            let at = at.index(size);
            body.splice(at..at, text.repeat(*times).into_bytes());
        }
    }
}

fn check_event(event: &Event, keep_raw: bool) {
    let part = 3 * options(false).string_bytes_max;
    assert!(event.event_key.len() <= 5 * (part + 1) && !event.event_key.contains('\0'));
    assert!(event.message_id.len() <= part && !event.message_id.contains('\0'));
    let address = event.recipient.as_deref().unwrap_or("none");
    assert!(!address.is_empty() && address.len() <= part + 1 && !address.contains('\0'));
    assert_eq!(event.address.is_some(), event.recipient.is_some());
    assert_eq!(event.bounce_class.is_some(), event.kind == Kind::Bounced);
    assert!(!event.machine || event.kind == Kind::Opened);
    assert_eq!(
        event.occurred_at.and_then(Millis::plausible),
        event.occurred_at
    );
    assert!(event.bucket == Bucket::NONE || event.bucket == Bucket::of(event.occurred_at));
    assert_eq!(event.raw.is_some(), keep_raw || event.kind == Kind::Other);
    if let Some(ids) = &event.ids {
        assert!(!ids.recipient_id.is_empty() && !ids.recipient_id.contains('\0'));
    }
}

fn check_reject(reject: &Reject, delivery: &Delivery) {
    assert!(reject.raw.len() <= delivery.body.len());
    assert!(reject.reason.text.len() < 200);
    assert_eq!(reject.headers, delivery.headers);
}

fn identities(decoded: &Decoded) -> Vec<(Identity, Bucket)> {
    decoded
        .events
        .iter()
        .map(|event| (event.identity, event.bucket))
        .collect()
}

fn check(delivery: Delivery, keep_raw: bool) {
    let options = options(keep_raw);
    let decoded = decode_with(delivery.clone(), &options);
    for (index, event) in decoded.events.iter().enumerate() {
        assert_eq!(event.index as usize, index);
        check_event(event, keep_raw);
    }
    for reject in &decoded.rejects {
        check_reject(reject, &delivery);
    }
    let again = decode_with(delivery, &options);
    assert_eq!(
        (&again.events, &again.rejects),
        (&decoded.events, &decoded.rejects)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_samples_neither_panic_nor_pass_the_limits(
        damages in prop::collection::vec(damage(), 1..4),
        keep_raw in any::<bool>(),
    ) {
        for sample in SAMPLES.iter() {
            let mut body = sample.delivery.body.to_vec();
            damages.iter().for_each(|damage| apply(&mut body, damage));
            let delivery = Delivery { body: body.into(), ..sample.delivery.clone() };
            check(delivery, keep_raw);
        }
    }

    #[test]
    fn a_body_of_another_provider_does_no_harm(from in any::<Index>(), to in any::<Index>()) {
        let (from, to) = (from.get(&SAMPLES[..]), to.get(&SAMPLES[..]));
        let provider = to.delivery.provider.clone();
        check(Delivery { provider, ..from.delivery.clone() }, true);
    }

    #[test]
    fn copies_differ_in_receive_time_headers_and_signature_and_are_one_event(
        received_at in any::<i64>(),
        value in "[ -~]{0,20}",
    ) {
        for sample in SAMPLES.iter() {
            let first = decode_with(sample.delivery.clone(), &DecodeConfig::default());
            let mut copy = sample.delivery.clone();
            copy.received_at = Millis(received_at);
            copy.headers = other_headers(&copy.headers, &value);
            copy.body = other_signature(&copy.body);
            let second = decode_with(copy, &DecodeConfig::default());
            prop_assert_eq!(identities(&first), identities(&second), "{}", sample.file);
        }
    }

    #[test]
    fn a_retry_an_hour_later_lands_in_the_same_place(hours in 1..100i64) {
        for sample in SAMPLES.iter() {
            let mut copy = sample.delivery.clone();
            copy.received_at = Millis(copy.received_at.0 + hours * 3_600_000);
            let first = decode_with(sample.delivery.clone(), &DecodeConfig::default());
            let second = decode_with(copy, &DecodeConfig::default());
            prop_assert_eq!(identities(&first), identities(&second));
        }
    }
}

/// Keeps what names the event, changes every other header and adds one.
fn other_headers(headers: &Headers, value: &str) -> Headers {
    let ids = ["svix-id", "x-amz-sns-message-id"];
    let pairs: Vec<_> = headers.pairs();
    let changed = pairs.iter().map(|(name, old)| {
        let kept = ids.contains(&name.as_str());
        (name.as_str(), if kept { old.as_str() } else { value })
    });
    Headers::from_pairs(changed.chain([("x-attempt", value)]))
}

/// Changes the signatures that travel in bodies (Mailgun, SNS, Vonage).
fn other_signature(body: &[u8]) -> bytes::Bytes {
    let Ok(text) = std::str::from_utf8(body) else {
        return bytes::Bytes::copy_from_slice(body);
    };
    let mut text = text.to_owned();
    for name in [
        "\"token\": \"",
        "\"Signature\": \"",
        "\"sig\": \"",
        "\"nonce\": \"",
    ] {
        text = text.replace(name, &format!("{name}X"));
    }
    text.into()
}

#[test]
fn free_times_give_no_place_even_if_a_copy_bears_another() {
    for sample in SAMPLES
        .iter()
        .filter(|s| ["vonage", "mailersend"].contains(&s.provider))
    {
        let text = String::from_utf8(sample.delivery.body.to_vec()).unwrap();
        let later = text.replace("T14:", "T15:").replace(" 14:", " 15:");
        let copy = Delivery {
            body: later.into(),
            ..sample.delivery.clone()
        };
        let first = decode_with(sample.delivery.clone(), &DecodeConfig::default());
        let second = decode_with(copy, &DecodeConfig::default());
        assert_eq!(identities(&first), identities(&second), "{}", sample.file);
        assert!(
            first
                .events
                .iter()
                .all(|event| event.bucket == Bucket::NONE)
        );
    }
}
