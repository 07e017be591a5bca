//! The vocabulary of the suite.

use std::sync::Arc;

use super::reference::ReferenceStore;
use hookflow::event::{BounceClass, Delivery, Event, Kind, Millis, PayloadIds, Provider, User};
use hookflow::key::{AddressKey, Bucket, Identity, JoinKey, RowKey, Shard};
use hookflow::state::sqlite::SqliteStore;
use hookflow::state::view::{BatchView, RecipientView};
use hookflow::state::{
    BatchRow, Effect, LateMatch, LoadKind, LoadOutcome, LoadSummary, Mapping, Outcome,
    RecipientRow, RowId, StateEvent, StateStore,
};

use super::database::Database;

/// Ten o'clock on some day; all tests count seconds from here.
pub const TEN: Millis = Millis(1_772_445_600_000);

pub fn at(seconds: i64) -> Millis {
    Millis(TEN.0 + seconds * 1_000)
}

/// Runs a test on an empty store of each kind; on Postgres if the environment names a server.
pub fn on_every_store(test: impl Fn(&mut dyn StateStore)) {
    test(&mut ReferenceStore::new());
    let dir = tempfile::tempdir().unwrap();
    test(&mut SqliteStore::open(dir.path()).unwrap());
    if let Some(database) = Database::if_available() {
        test(&mut database.open());
    }
}

pub fn user() -> User {
    User::new("acme")
}

pub fn provider() -> Provider {
    Provider::new("ses")
}

/// A snapshot row.
pub fn row(batch: &str, recipient: &str, message: &str, address: &str) -> RecipientRow {
    RecipientRow {
        user: user(),
        provider: provider(),
        message_id: message.into(),
        join: JoinKey::of(&user(), &provider(), message),
        recipient: address.into(),
        address: AddressKey::of(address),
        batch_id: batch.into(),
        recipient_id: recipient.into(),
        row: RowKey::of(&user(), batch, recipient),
        sent_at: None,
    }
}

/// Recipients `r0..` of a batch, each with a message `<batch>-m0..` of its own.
pub fn rows(batch: &str, count: usize) -> Vec<RecipientRow> {
    (0..count)
        .map(|n| {
            let (recipient, message) = (format!("r{n}"), format!("{batch}-m{n}"));
            row(batch, &recipient, &message, &format!("r{n}@example.org"))
        })
        .collect()
}

pub fn batch_row(id: &str, total: Option<u64>, sealed: bool, deadline: Option<Millis>) -> BatchRow {
    BatchRow {
        id: id.into(),
        user: user(),
        total,
        sealed_at: sealed.then_some(TEN),
        deadline,
    }
}

/// A whole load.
pub fn load(
    store: &mut dyn StateStore,
    kind: LoadKind,
    rows: &[RecipientRow],
    batches: &[BatchRow],
) -> (Vec<LoadOutcome>, LoadSummary) {
    let load = store.begin_load(kind).unwrap();
    let fates = store.load_recipients(load, rows).unwrap();
    store.load_batches(load, batches).unwrap();
    (fates, store.finish_load(load).unwrap())
}

/// A full load of one batch; the numbers of its rows.
pub fn full(store: &mut dyn StateStore, batch: &str, count: usize) -> Vec<RowId> {
    let (fates, _) = load(store, LoadKind::Full, &rows(batch, count), &[]);
    fates.into_iter().map(|fate| mapping(fate).row_id).collect()
}

pub fn mapping(fate: LoadOutcome) -> Mapping {
    match fate {
        LoadOutcome::Accepted(mapping) | LoadOutcome::Known(mapping) => mapping,
        LoadOutcome::Contradiction => panic!("contradiction"),
    }
}

/// An event about a message; `key` makes it distinct.
pub fn event(key: &str, kind: Kind, message: &str, address: Option<&str>) -> Event {
    let delivery = Delivery {
        provider: provider(),
        user: user(),
        received_at: at(60),
        ..Delivery::default()
    };
    Event {
        identity: Identity::of(&provider(), &user(), kind, key),
        delivery: Arc::new(delivery),
        index: 3,
        shard: Shard::of(&provider(), &user()),
        kind,
        bounce_class: (kind == Kind::Bounced).then_some(BounceClass::Hard),
        machine: false,
        bucket: Bucket::of(Some(TEN)),
        occurred_at: Some(TEN),
        message_id: message.into(),
        event_key: key.into(),
        recipient: address.map(Into::into),
        ids: None,
        join: JoinKey::of(&user(), &provider(), message),
        address: address.map(AddressKey::of),
        raw: None,
    }
}

pub fn with_ids(mut event: Event, batch: &str, recipient: &str) -> Event {
    event.ids = Some(Arc::new(PayloadIds {
        batch_id: batch.into(),
        recipient_id: recipient.into(),
    }));
    event
}

pub fn with_effect(event: &Event, effect: Effect) -> StateEvent {
    StateEvent {
        identity: event.identity,
        bucket: event.bucket,
        kind: event.kind,
        bounce_class: event.bounce_class,
        machine: event.machine,
        time: event.time(),
        effect,
    }
}

pub fn park(event: &Event) -> StateEvent {
    with_effect(event, Effect::Park(Box::new(event.clone())))
}

/// An event that happened `seconds` after ten to a known row.
pub fn hit(key: &str, kind: Kind, seconds: i64, row: RowId) -> StateEvent {
    let mut event = event(key, kind, "", None);
    event.occurred_at = Some(at(seconds));
    event.bucket = Bucket::of(event.occurred_at);
    with_effect(&event, Effect::Apply(row))
}

pub fn outcomes(store: &mut dyn StateStore, events: &[StateEvent]) -> Vec<Outcome> {
    store.apply(events).unwrap().outcomes
}

pub fn outcome(store: &mut dyn StateStore, event: StateEvent) -> Outcome {
    outcomes(store, &[event]).remove(0)
}

pub fn batch(store: &mut dyn StateStore, id: &str) -> BatchView {
    let batches = store.export().unwrap().batches;
    batches.into_iter().find(|b| b.batch_id == id).unwrap()
}

pub fn recipient(store: &mut dyn StateStore, batch: &str, id: &str) -> RecipientView {
    let mut rows = store.export().unwrap().recipients.into_iter();
    rows.find(|r| r.batch_id == batch && r.recipient_id == id)
        .unwrap()
}

/// Applies every late match, as the sweeper does; returns how many were applied.
pub fn sweep(store: &mut dyn StateStore) -> usize {
    let (mut applied, mut next) = (0, Some(Identity(0)));
    while let Some(after) = next {
        let late = store.late_matches(after, 3).unwrap();
        next = late.next;
        let events: Vec<_> = late
            .matches
            .iter()
            .map(|found| with_effect(&found.event, Effect::Apply(found.row_id)))
            .collect();
        let done = outcomes(store, &events).into_iter();
        applied += done.filter(|outcome| *outcome == Outcome::Applied).count();
    }
    applied
}

/// Late matches of a store that holds only a few parked events.
pub fn late(store: &mut dyn StateStore) -> Vec<LateMatch> {
    store.late_matches(Identity(0), 10).unwrap().matches
}

/// Events of a few kinds over a few rows, some of them twice.
pub fn many(rows: &[RowId], count: u64, seed: u64) -> Vec<StateEvent> {
    let kinds = [
        Kind::Sent,
        Kind::Delivered,
        Kind::Opened,
        Kind::Clicked,
        Kind::Bounced,
    ];
    let mut state = seed;
    let mut next = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    (0..count)
        .map(|_| {
            let key = next(count);
            let (row, kind) = (key % rows.len() as u64, key % kinds.len() as u64);
            hit(
                &format!("k{key}"),
                kinds[kind as usize],
                key as i64,
                rows[row as usize],
            )
        })
        .collect()
}
