//! The operators' pure cores and the half join: cost per event.
//!
//! `cargo bench --bench operators`
#![allow(missing_docs, reason = "a bench is read as a whole")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hookflow::dedup::memory::Memory;
use hookflow::epoch::Epoch;
use hookflow::event::{Kind, Origin, Provider, User};
use hookflow::key::{AddressKey, Identity, JoinKey, RowKey, Shard};
use hookflow::quarantine::{Quarantine, WorkerQuarantine};
use hookflow::source::{PartitionIds, Record};
use hookflow::window::{Window, WindowConditions, WindowLimits};

fn identity(n: u64) -> Identity {
    Identity(u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn dedup(c: &mut Criterion) {
    let mut group = c.benchmark_group("dedup");
    group.throughput(Throughput::Elements(1_000));
    let mut memory = Memory::new(1 << 20, Duration::from_secs(600));
    let mut next = 0;
    group.bench_function("fresh keys, table full", |b| {
        b.iter(|| {
            for _ in 0..1_000 {
                next += 1;
                black_box(memory.first(identity(next), Duration::from_millis(next / 100)));
            }
        });
    });
    group.bench_function("duplicates", |b| {
        b.iter(|| {
            for n in 0..1_000 {
                black_box(memory.first(identity(next - n), Duration::from_millis(next / 100)));
            }
        });
    });
    group.finish();
    println!(
        "dedup: slowest step of 1,000 keys while all expire: {:?}",
        slowest_step()
    );
}

/// What this thread used: the machine may be busy with something else.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// The longest processor time for 1,000 keys over a life in which the table fills, overflows and expires as a whole.
fn slowest_step() -> Duration {
    let mut memory = Memory::new(1 << 20, Duration::from_secs(60));
    let mut slowest = Duration::ZERO;
    for step in 0..4_000u64 {
        let now = Duration::from_millis(step * 50 + if step > 3_000 { 600_000 } else { 0 });
        let started = processor_time();
        for n in 0..1_000 {
            black_box(memory.first(identity(step * 1_000 + n), now));
        }
        slowest = slowest.max(processor_time() - started);
    }
    assert!(
        slowest < Duration::from_millis(5),
        "a step took {slowest:?}"
    );
    slowest
}

fn window(c: &mut Criterion) {
    let limits = WindowLimits {
        rows_max: 10_000,
        bytes_max: 16 << 20,
        age_max: Duration::from_millis(200),
        eager: true,
    };
    let moment = WindowConditions {
        now: Duration::ZERO,
        sink_free: true,
        pressed: false,
        wait_min: Duration::ZERO,
    };
    let mut group = c.benchmark_group("window");
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("push and take 10,000 rows", |b| {
        b.iter_batched(
            || Window::new(limits),
            |mut window| {
                for n in 0..10_000u64 {
                    window.push(n, 100, Duration::ZERO);
                }
                window.take_if_due(moment)
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn keys(c: &mut Criterion) {
    let (provider, user) = (Provider::new("sendgrid"), User::new("u-1001"));
    let message = "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0";
    let mut group = c.benchmark_group("keys");
    group.throughput(Throughput::Elements(1));
    group.bench_function("identity", |b| {
        b.iter(|| {
            Identity::of(
                &provider,
                &user,
                Kind::Opened,
                black_box("FOTFFO0ecsBE-zxFXfs6WA=="),
            )
        });
    });
    group.bench_function("join", |b| {
        b.iter(|| JoinKey::of(&user, &provider, black_box(message)))
    });
    group.bench_function("address", |b| {
        b.iter(|| AddressKey::of(black_box("recipient@example.com")))
    });
    group.bench_function("row", |b| {
        b.iter(|| RowKey::of(&user, black_box("b-2026-03"), "r-77"))
    });
    group.bench_function("shard", |b| {
        b.iter(|| Shard::of(&provider, black_box(&user)))
    });
    group.finish();
}

/// What it costs to name records in the breadcrumb file while they are decoded.
fn quarantine(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for the breadcrumb file");
    let quarantine = Quarantine::open(folder.path(), "bench", 1);
    let mut worker = WorkerQuarantine::new(&quarantine, 0, PartitionIds::default());
    let line = |offset| {
        let origin = Origin {
            partition: 0,
            offset,
        };
        Record::Line(origin, "line".into())
    };
    let run: Vec<Record> = (0..512).map(line).collect();
    let mut group = c.benchmark_group("quarantine");
    group.throughput(Throughput::Elements(run.len() as u64));
    group.bench_function("name a run of 512 records", |b| {
        b.iter(|| {
            let mut rest = run.as_slice();
            while !rest.is_empty() {
                let named = worker.enter(0, rest);
                for record in &rest[..named] {
                    black_box(worker.is_poison(0, record));
                }
                rest = &rest[named..];
            }
            worker.leave(Epoch(0), false);
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = dedup, window, keys, quarantine
}
criterion_main!(benches);
