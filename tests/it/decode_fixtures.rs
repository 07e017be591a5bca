//! The samples of every provider: bodies, the requests that carried them, and what is expected of each.

use std::path::PathBuf;
use std::sync::Arc;

use hookflow::decode::{self, DecodeConfig, Decoded, print};
use hookflow::event::{Delivery, Event, Origin, Provider, ReasonCode, Reject, User};
use serde_json::{Map, Value};

/// One body with the request that carried it.
pub struct Sample {
    pub provider: &'static str,
    pub file: String,
    pub delivery: Delivery,
    pub expected: Value,
}

fn read(provider: &str, file: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let path = root.join(provider).join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn object(provider: &str, file: &str) -> Map<String, Value> {
    serde_json::from_slice(&read(provider, file)).unwrap()
}

/// Every sample of every provider in the registry.
pub fn samples() -> Vec<Sample> {
    let mut all = Vec::new();
    for provider in decode::providers() {
        let requests = object(provider, "_requests.json");
        for (file, expected) in object(provider, "_expected.json") {
            let body = read(provider, &file).into();
            let request = requests[&file].to_string();
            let mut delivery = print::request_from_json(provider, &request, body).unwrap();
            delivery.user = User::new("tenant");
            delivery.origin = Origin {
                partition: 1,
                offset: 7,
            };
            all.push(Sample {
                provider,
                file,
                delivery,
                expected,
            });
        }
    }
    all
}

/// Decodes a delivery on its own.
pub fn decode(delivery: Delivery) -> Decoded {
    decode_with(delivery, &DecodeConfig::default())
}

/// Decodes a delivery on its own, with options.
pub fn decode_with(delivery: Delivery, options: &DecodeConfig) -> Decoded {
    let mut out = Decoded::default();
    decode::decode(&Arc::new(delivery), options, &mut out);
    out
}

/// A delivery of `body` and nothing else.
pub fn delivery(provider: &str, body: &str) -> Delivery {
    Delivery {
        provider: Provider::new(provider),
        user: User::new("tenant"),
        body: bytes::Bytes::copy_from_slice(body.as_bytes()),
        ..Delivery::default()
    }
}

/// The events of a body that holds nothing bad.
pub fn events(provider: &str, body: &str) -> Vec<Event> {
    let decoded = decode(delivery(provider, body));
    assert_eq!(decoded.rejects, [], "{body}");
    decoded.events
}

/// The one event of a body.
pub fn event(provider: &str, body: &str) -> Event {
    let mut events = events(provider, body);
    assert_eq!(events.len(), 1, "{body}");
    events.remove(0)
}

/// What is bad in a delivery.
pub fn rejects(delivery: Delivery) -> Vec<Reject> {
    decode(delivery).rejects
}

/// Why a body is refused as a whole.
pub fn code(provider: &str, body: &str) -> ReasonCode {
    let decoded = decode(delivery(provider, body));
    assert!(decoded.events.is_empty(), "{body}");
    assert_eq!(decoded.rejects.len(), 1, "{body}");
    decoded.rejects[0].reason.code
}

#[test]
fn every_sample_gives_exactly_the_expected_events() {
    let samples = samples();
    for sample in &samples {
        let decoded = decode(sample.delivery.clone());
        let name = format!("{}/{}", sample.provider, sample.file);
        assert_eq!(decoded.rejects, [], "{name}");
        assert_eq!(print::to_json(&decoded.events), sample.expected, "{name}");
    }
    assert_eq!(samples.len(), 136);
}
