//! Log rows for tests.

use std::sync::Arc;

use hookflow::event::{BounceClass, Delivery, Event, Kind, Millis, Provider, User};
use hookflow::key::{AddressKey, Bucket, Identity, JoinKey, Shard};
use hookflow::log::{LogRow, Version};

/// 2026-03-02T00:00:00Z.
pub const DAY: i64 = 1_772_409_600_000;

/// The row of event number `n`: the same for every copy, but for its version and the time of receipt.
pub fn row(n: u64, version: Version) -> LogRow {
    received(n, version, DAY + 1_000_000 + n as i64)
}

/// The same, received at that time.
pub fn received(n: u64, version: Version, received_at: i64) -> LogRow {
    let delivery = Delivery {
        provider: Provider::new(if n.is_multiple_of(2) {
            "ses"
        } else {
            "sendgrid"
        }),
        user: User::new(format!("user-{}", n % 3)),
        received_at: Millis(received_at),
        ..Delivery::default()
    };
    let matched = version == Version::Matched;
    LogRow {
        event: event(n, delivery),
        version,
        batch_id: if matched {
            format!("b-{}", n % 4)
        } else {
            String::new()
        }
        .into(),
        recipient_id: if matched {
            format!("r-{}", n % 10)
        } else {
            String::new()
        }
        .into(),
    }
}

fn event(n: u64, delivery: Delivery) -> Event {
    let kind = Kind::ALL[n as usize % Kind::ALL.len()];
    let event_key = format!("key-{n}-\u{fc}");
    let occurred_at =
        (!n.is_multiple_of(5)).then_some(Millis(DAY + (n as i64 * 7_919) % 86_400_000));
    let address = format!("Person{}@example.com", n % 10);
    Event {
        identity: Identity::of(&delivery.provider, &delivery.user, kind, &event_key),
        shard: Shard::of(&delivery.provider, &delivery.user),
        join: JoinKey::of(&delivery.user, &delivery.provider, "m"),
        delivery: Arc::new(delivery),
        index: 0,
        kind,
        bounce_class: (kind == Kind::Bounced).then_some(BounceClass::Soft),
        machine: n.is_multiple_of(7),
        bucket: Bucket::of(occurred_at),
        occurred_at,
        message_id: format!("m-{}", n % 20).into(),
        event_key: event_key.into(),
        address: Some(AddressKey::of(&address)),
        recipient: (!n.is_multiple_of(6)).then(|| address.into()),
        ids: None,
        raw: (kind == Kind::Other).then(|| b"{\"other\":1}".to_vec().into()),
    }
}

/// Rows of events `from` up to `to`.
pub fn rows(from: u64, to: u64, version: Version) -> Vec<LogRow> {
    (from..to).map(|n| row(n, version)).collect()
}
