//! How many rows a second the event log takes on one core, and what a query costs.
//!
//! `cargo bench --bench log`
#![allow(missing_docs, reason = "criterion's macros make functions without")]
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot write has nothing to say"
)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hookflow::log::EventFilter;
use hookflow::log::parquet::{Encoder, ParquetLog, events};
use hookflow::log::{EventLog, LogRow};

#[path = "log_rows/mod.rs"]
mod log_rows;

use log_rows::{noise, row};

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
    let message = EventFilter {
        message_id: Some(noise(40_000)),
        ..EventFilter::default()
    };
    group.bench_function("one message", |b| {
        b.iter(|| assert_eq!(events(dir.path(), &message).unwrap().len(), 3));
    });
    let batch = EventFilter {
        batch: Some("batch-3".to_owned()),
        limit: Some(100),
        ..EventFilter::default()
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
