//! How many rows a second the event log takes on one core, and what a query costs.
//!
//! `cargo bench --bench log`
#![allow(missing_docs, reason = "criterion's macros make functions without")]
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot write has nothing to say"
)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hookflow::event::{Delivery, Event, Kind, Millis, Provider, User};
use hookflow::key::{AddressKey, Bucket, Identity, JoinKey, Shard};
use hookflow::sink::log::Filter;
use hookflow::sink::log::parquet::{Encoder, ParquetLog, events};
use hookflow::sink::log::{EventLog, LogRow, Version};

const START: i64 = 1_772_409_600_000;

/// Random-looking hex digits, which no compressor can shorten below half.
fn noise(n: u64) -> String {
    blake3::hash(&n.to_le_bytes()).to_hex()[..44].to_owned()
}

/// A row with a key of about 100 bytes, a message id of 44 and an address of 30.
fn row(n: u64) -> LogRow {
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

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("log/encode");
    group.sample_size(20);
    let encoder = Encoder::new().unwrap();
    for count in [1_000u64, 10_000, 50_000] {
        let rows: Vec<LogRow> = (0..count).map(row).collect();
        let bytes = encoder.rows(&rows).unwrap().len() as u64;
        eprintln!("log/encode {count}: {} bytes a row", bytes / count);
        group.throughput(Throughput::Elements(count));
        group.bench_with_input(BenchmarkId::from_parameter(count), &rows, |b, rows| {
            b.iter(|| black_box(encoder.rows(rows).unwrap().len()));
        });
    }
    group.finish();
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("log/append");
    group.sample_size(20);
    for count in [1_000u64, 10_000, 50_000] {
        let rows: Vec<LogRow> = (0..count).map(row).collect();
        let dir = tempfile::tempdir().unwrap();
        let mut log = ParquetLog::open(dir.path()).unwrap();
        group.throughput(Throughput::Elements(count));
        group.bench_with_input(BenchmarkId::from_parameter(count), &rows, |b, rows| {
            b.iter(|| log.append(rows).unwrap());
        });
    }
    group.finish();
}

fn read(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ParquetLog::open(dir.path()).unwrap();
    for part in 0..20 {
        let rows: Vec<LogRow> = (part * 10_000..(part + 1) * 10_000).map(row).collect();
        log.append(&rows).unwrap();
    }
    let mut group = c.benchmark_group("log/read 200000");
    group.sample_size(10);
    group.throughput(Throughput::Elements(200_000));
    let message = Filter {
        message_id: Some(noise(40_000)),
        ..Filter::default()
    };
    group.bench_function("one message", |b| {
        b.iter(|| assert_eq!(events(dir.path(), &message).unwrap().len(), 3));
    });
    let batch = Filter {
        batch: Some("batch-3".to_owned()),
        limit: Some(100),
        ..Filter::default()
    };
    group.bench_function("100 of a batch", |b| {
        b.iter(|| assert_eq!(events(dir.path(), &batch).unwrap().len(), 100));
    });
    group.bench_function("compact", |b| {
        b.iter_batched_ref(
            || small_files(20),
            |(_dir, log)| log.compact().unwrap(),
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn small_files(count: u64) -> (tempfile::TempDir, ParquetLog) {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ParquetLog::open(dir.path()).unwrap();
    for part in 0..count {
        let rows: Vec<LogRow> = (part * 10_000..(part + 1) * 10_000).map(row).collect();
        log.append(&rows).unwrap();
    }
    (dir, log)
}

criterion_group!(benches, encode, append, read);
criterion_main!(benches);
