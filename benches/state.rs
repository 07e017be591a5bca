//! The embedded state store: how many events a second one thread makes durable.
//!
//! 5,000 events a transaction, `synchronous = FULL`, 100,000 recipients in 20 batches, event time moving on by one hour
//! every 40,000 events. `apply/new` sees each event once, `apply/duplicates` only copies.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark: its macros make undocumented functions, and it stops at the first error"
)]

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hookflow::event::{Kind, Millis, Provider, User};
use hookflow::key::{AddressKey, Bucket, Identity, JoinKey, RowKey};
use hookflow::sink::state::sqlite::SqliteStore;
use hookflow::sink::state::{
    Effect, LoadKind, Loaded, RecipientRow, RowId, StateEvent, StateStore,
};

const RECIPIENTS: u64 = 100_000;
const EVENTS: u64 = 5_000;
const EVENTS_AN_HOUR: i64 = 40_000;
const START: i64 = 1_767_225_600_000;

/// A fixed, well-spread sequence: the benchmark is the same every time.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn row(n: u64) -> RecipientRow {
    let (user, provider) = (User::new("default"), Provider::new("ses"));
    let (batch_id, recipient_id) = (format!("batch-{:02}", n % 20), format!("r-{n}"));
    let (message_id, recipient) = (format!("0100018-{n:08x}"), format!("r{n}@example.org"));
    RecipientRow {
        join: JoinKey::of(&user, &provider, &message_id),
        address: AddressKey::of(&recipient),
        row: RowKey::of(&user, &batch_id, &recipient_id),
        user,
        provider,
        message_id,
        recipient,
        batch_id: batch_id.into(),
        recipient_id: recipient_id.into(),
        sent_at: None,
    }
}

fn load(store: &mut SqliteStore) -> Vec<RowId> {
    let load = store.begin_load(LoadKind::Full).unwrap();
    let rows: Vec<_> = (0..RECIPIENTS).map(row).collect();
    let mut ids = Vec::new();
    for chunk in rows.chunks(5_000) {
        for fate in store.load_recipients(load, chunk).unwrap() {
            let Loaded::Accepted(mapping) = fate else {
                unreachable!()
            };
            ids.push(mapping.row_id);
        }
    }
    store.finish_load(load).unwrap();
    ids
}

fn event(n: u64, rows: &[RowId]) -> StateEvent {
    let time = Millis(START + n as i64 * 3_600_000 / EVENTS_AN_HOUR);
    let kinds = [
        Kind::Sent,
        Kind::Delivered,
        Kind::Delivered,
        Kind::Opened,
        Kind::Opened,
        Kind::Clicked,
    ];
    let random = mix(n);
    StateEvent {
        identity: Identity((u128::from(random) << 64) | u128::from(n)),
        bucket: Bucket::of(Some(time)),
        kind: kinds[(random % 6) as usize],
        bounce_class: None,
        machine: false,
        time,
        effect: Effect::Apply(rows[(mix(random) % RECIPIENTS) as usize]),
    }
}

/// Times `iterations` transactions of events from `next` on.
fn run(store: &mut SqliteStore, rows: &[RowId], next: &mut u64, iterations: u64) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..iterations {
        let batch: Vec<_> = (*next..*next + EVENTS).map(|n| event(n, rows)).collect();
        *next += EVENTS;
        let begun = Instant::now();
        store.apply(&batch).unwrap();
        spent += begun.elapsed();
    }
    spent
}

/// Chunks of 5,000 new recipients, one message each, into a table that grows.
fn load_chunks(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let load = store.begin_load(LoadKind::Full).unwrap();
    let mut next = 0;
    let mut group = criterion.benchmark_group("state/sqlite/load");
    group
        .throughput(Throughput::Elements(EVENTS))
        .sample_size(10);
    group.bench_function("recipients", |bench| {
        bench.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                let rows: Vec<_> = (next..next + EVENTS).map(row).collect();
                next += EVENTS;
                let begun = Instant::now();
                store.load_recipients(load, &rows).unwrap();
                spent += begun.elapsed();
            }
            spent
        });
    });
    group.finish();
}

fn apply(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let rows = load(&mut store);
    let mut next = 0;
    let mut group = criterion.benchmark_group("state/sqlite/apply");
    group
        .throughput(Throughput::Elements(EVENTS))
        .sample_size(20);
    group.measurement_time(Duration::from_secs(15));
    group.bench_function("new", |bench| {
        bench.iter_custom(|iterations| run(&mut store, &rows, &mut next, iterations));
    });
    group.bench_function("duplicates", |bench| {
        bench.iter_custom(|iterations| {
            let stored = next - EVENTS;
            let copies = (0..iterations).map(|n| mix(n) % stored);
            copies
                .map(|mut from| run(&mut store, &rows, &mut from, 1))
                .sum()
        });
    });
    group.finish();
}

criterion_group!(benches, apply, load_chunks);
criterion_main!(benches);
