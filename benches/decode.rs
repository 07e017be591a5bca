//! Events decoded a second on one core: each provider over its samples, and the mix of all.

#![allow(clippy::disallowed_methods, reason = "benches touch files directly")]
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench may fail by panicking"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hookflow::decode::{self, Decoded, DecodeConfig, print};
use hookflow::event::Delivery;
use serde_json::Value;

/// The program's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn samples(provider: &str) -> Vec<Arc<Delivery>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folder = root.join(provider);
    let requests = std::fs::read(folder.join("_requests.json")).unwrap();
    let requests: BTreeMap<String, Value> = serde_json::from_slice(&requests).unwrap();
    let deliveries = requests.into_iter().map(|(file, request)| {
        let body = std::fs::read(folder.join(file)).unwrap().into();
        Arc::new(print::request_from_json(provider, &request.to_string(), body).unwrap())
    });
    deliveries.collect()
}

fn run(deliveries: &[Arc<Delivery>], options: &DecodeConfig, out: &mut Decoded) -> usize {
    out.events.clear();
    out.rejects.clear();
    for delivery in deliveries {
        decode::decode(delivery, options, out);
    }
    out.events.len()
}

fn bench(criterion: &mut Criterion, name: &str, deliveries: &[Arc<Delivery>]) {
    let (options, mut out) = (DecodeConfig::default(), Decoded::default());
    let events = run(deliveries, &options, &mut out) as u64;
    let bytes: usize = deliveries.iter().map(|delivery| delivery.body.len()).sum();
    println!(
        "{name}: {events} events, {} bytes an event",
        bytes as u64 / events
    );
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(events));
    group.bench_function(name, |bencher| {
        bencher.iter(|| run(black_box(deliveries), &options, &mut out));
    });
    group.finish();
}

fn all(criterion: &mut Criterion) {
    let mut mix = Vec::new();
    for provider in decode::providers() {
        let deliveries = samples(provider);
        bench(criterion, provider, &deliveries);
        mix.extend(deliveries);
    }
    bench(criterion, "mix", &mix);
}

criterion_group! {
    name = decoding;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = all
}
criterion_main!(decoding);
