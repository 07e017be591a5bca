//! The vocabulary of the tests.

use std::sync::Arc;

use hookflow::event::{Delivery, Event, Kind, Millis, Origin, PayloadIds, Provider, User};
use hookflow::key::{AddressKey, Bucket, Identity, JoinKey, Shard};
use timely::{CommunicationConfig, Config, WorkerConfig};

/// An event of `user` with that key, about that message and address.
pub fn event(user: &str, key: &str, message: &str, address: Option<&str>) -> Event {
    let (provider, user) = (Provider::new("ses"), User::new(user));
    Event {
        identity: Identity::of(&provider, &user, Kind::Opened, key),
        shard: Shard::of(&provider, &user),
        join: JoinKey::of(&user, &provider, message),
        delivery: Arc::new(Delivery {
            origin: Origin {
                partition: 1,
                offset: 2,
            },
            provider,
            user,
            received_at: Millis(1_772_460_000_000),
            body: "{}".into(),
            ..Delivery::default()
        }),
        index: 0,
        kind: Kind::Opened,
        bounce_class: None,
        machine: false,
        bucket: Bucket::NONE,
        occurred_at: None,
        message_id: message.into(),
        event_key: key.into(),
        recipient: address.map(Into::into),
        ids: None,
        address: address.map(AddressKey::of),
        raw: Some(bytes::Bytes::from_static(b"raw")),
    }
}

/// The same event with ids of the sender in its payload.
pub fn with_ids(mut event: Event, batch: &str, recipient: &str) -> Event {
    event.ids = Some(Arc::new(PayloadIds {
        batch_id: batch.into(),
        recipient_id: recipient.into(),
    }));
    event
}

/// Every way in which an operator must work: one worker, three, and two that serialise all that crosses between them.
pub fn ways() -> [(&'static str, usize, Config); 3] {
    let config = |communication| Config {
        communication,
        worker: WorkerConfig::default(),
    };
    [
        ("one worker", 1, config(CommunicationConfig::Thread)),
        ("three workers", 3, config(CommunicationConfig::Process(3))),
        (
            "two workers and serialisation",
            2,
            config(CommunicationConfig::ProcessBinary(2)),
        ),
    ]
}
