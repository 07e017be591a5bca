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
use hookflow::state::sqlite::SqliteStore;
use hookflow::state::{LoadKind, RowId, StateStore};

#[path = "state_world/mod.rs"]
mod state_world;

use state_world::{event, load, mix, row};

const EVENTS: u64 = 5_000;

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
