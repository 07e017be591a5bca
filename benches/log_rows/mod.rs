//! What the benchmarks of the event log write.
#![allow(dead_code, reason = "each benchmark uses some")]

use std::sync::Arc;

use hookflow::event::{Delivery, Event, Kind, Millis, Provider, User};
use hookflow::key::{AddressKey, Bucket, Identity, JoinKey, Shard};
use hookflow::log::{LogRow, Version};

const START: i64 = 1_772_409_600_000;

/// Random-looking hex digits, which no compressor can shorten below half.
pub fn noise(n: u64) -> String {
    blake3::hash(&n.to_le_bytes()).to_hex()[..44].to_owned()
}

/// A row with a key of about 100 bytes, a message id of 44 and an address of 30.
pub fn row(n: u64) -> LogRow {
    let delivery = Delivery {
        provider: Provider::new("sendgrid"),
        user: User::new(format!("tenant-{}", n % 50)),
        received_at: Millis(START + n as i64),
        ..Delivery::default()
    };
    let message_id = noise(n / 3);
    let kind = Kind::ALL[(n % 5) as usize];
    let event_key = format!("{}|{message_id}|{}", noise(n + 1), kind.name());
    let address = format!("recipient.{:08}@example.com", n / 3);
    let event = Event {
        identity: Identity::of(&delivery.provider, &delivery.user, kind, &event_key),
        shard: Shard::of(&delivery.provider, &delivery.user),
        join: JoinKey::of(&delivery.user, &delivery.provider, &message_id),
        index: 0,
        kind,
        bounce_class: None,
        machine: false,
        bucket: Bucket::of(Some(delivery.received_at)),
        occurred_at: Some(Millis(START + n as i64 - 1_500)),
        message_id: message_id.into(),
        event_key: event_key.into(),
        address: Some(AddressKey::of(&address)),
        recipient: Some(address.into()),
        ids: None,
        raw: None,
        delivery: Arc::new(delivery),
    };
    LogRow {
        event,
        version: Version::Matched,
        batch_id: format!("batch-{}", n % 20).into(),
        recipient_id: format!("r-{:08}", n / 3).into(),
    }
}
