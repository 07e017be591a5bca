//! The state store in Postgres: how many events a second one connection makes durable, and what that costs the server.
//!
//! Needs `HOOKFLOW_POSTGRES_URL` (see `scripts/stack`); without it nothing is measured. Each line is a fresh schema.
//!
//! * `random` events: 100,000 recipients in 20 batches, new events about random ones, most of them alone in their batch;
//! * `mail`: the events of generated deliveries, several about one recipient at once (sent, delivered, opened), as they come. 100,000
//!   of them, or all of `HOOKFLOW_BENCH_DELIVERIES`, a folder that `hookflow generate` wrote (and then nothing else is measured, in
//!   one line that programs read: what the store's statements alone reach, without a dataflow in front of them). Batches hold
//!   `HOOKFLOW_BENCH_ROWS` events then (5,000);
//! * `keys alone`: an insert of keys, in the ledger's shape and nothing else.
//!
//! `HOOKFLOW_BENCH_LEDGER=20_000_000` measures once more on top of so many keys.
//!
//! Seen on 2026-11-25 (Postgres 15, two cores that were not quite idle, 1,000 / 5,000 / 10,000 events a batch): `random` 78,000 / 93,000 /
//! 103,000 events/s and 12.0 / 10.2 / 9.1 µs of the server's CPU an event; `mail` 96,000 / 131,000 / 141,000 and 9.2 / 6.9 / 6.5 µs. Before rows
//! of several flags were written by one narrow statement, and with a fifth of each page free instead of a third, in the same hour: `random`
//! 14.5 / 11.3 / 9.6 µs, `mail` 11.4 / 8.6 / 8.4 µs. A batch takes six statements between BEGIN and COMMIT, whatever its size: 0.0012 an
//! event at 5,000. All of them reach their rows through an index; what is sorted is what has to be locked in order.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark: it stops at the first error"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hookflow::state::postgres::PostgresStore;
use hookflow::state::{StateEvent, StateStore};

#[path = "state_world/deliveries.rs"]
mod deliveries;
#[path = "state_world/server.rs"]
mod server;
#[path = "state_world/mod.rs"]
mod state_world;

use server::{SCHEMA, Server, cpu_own};
use state_world::{event, load};

const SECONDS: Duration = Duration::from_secs(6);

/// What applying batches took.
#[derive(Default)]
struct Spent {
    events: usize,
    time: Duration,
    /// CPU of the server and of this process, seconds.
    cpu: (f64, f64),
    wal: i64,
}

impl Spent {
    /// Applies batches until there are none, or for some seconds.
    fn applying(
        server: &Server,
        store: &mut PostgresStore,
        batches: &mut dyn Iterator<Item = Vec<StateEvent>>,
        limit: Duration,
    ) -> Self {
        let (cpu, own, wal) = (server.backend_cpu(), cpu_own(), server.wal());
        let (mut spent, mut made) = (Self::default(), 0.0);
        while spent.time < limit {
            let making = cpu_own();
            let Some(batch) = batches.next() else { break };
            made += cpu_own() - making;
            let begun = Instant::now();
            store.apply(&batch).unwrap();
            spent.time += begun.elapsed();
            spent.events += batch.len();
        }
        spent.cpu = (server.backend_cpu() - cpu, cpu_own() - own - made);
        spent.wal = server.wal() - wal;
        spent
    }

    fn rate(&self) -> f64 {
        self.events as f64 / self.time.as_secs_f64()
    }

    fn micros(&self) -> (f64, f64) {
        let each = |cpu: f64| cpu * 1e6 / self.events as f64;
        (each(self.cpu.0), each(self.cpu.1))
    }

    fn print(&self, name: &str, size: usize, hot: i64) {
        let (server, client) = self.micros();
        println!(
            "{name:<22} {size:>6} a batch  {:>8.0} events/s  server {server:>5.1} us  client {client:>4.1} us  WAL {:>4} B an event  HOT {hot:>3} %",
            self.rate(),
            self.wal / self.events.max(1) as i64,
        );
    }
}

fn random(server: &Server, size: u64) {
    let mut store = server.fresh();
    let rows = load(&mut store);
    server.settle();
    let mut batches = (0..).map(|n| {
        (n * size..(n + 1) * size)
            .map(|n| event(n, &rows))
            .collect()
    });
    let spent = Spent::applying(server, &mut store, &mut batches, SECONDS);
    spent.print("random", size as usize, server.hot());
}

fn mail(server: &Server, folder: &Path, size: usize, ledger: u64) -> Spent {
    let mut store = server.fresh();
    let mut known = deliveries::load(&mut store, folder);
    let events = deliveries::events(folder, &mut known);
    preload(server, &events[0], ledger);
    server.settle();
    let mut batches = events.chunks(size).map(<[_]>::to_vec);
    Spent::applying(server, &mut store, &mut batches, Duration::MAX)
}

/// The statement of the ledger alone: what no design on one connection can pass.
fn keys_alone(server: &Server, size: u64) {
    server.run(&format!(
        "SET plan_cache_mode = force_generic_plan; DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA};
         CREATE TABLE {SCHEMA}.keys (bucket integer, identity text, PRIMARY KEY (bucket, identity))"
    ));
    let words = format!(
        "INSERT INTO {SCHEMA}.keys SELECT * FROM unnest($1::integer[], $2::text[]) ON CONFLICT DO NOTHING"
    );
    let (mut next, mut spent) = (0, Duration::ZERO);
    let statement = server
        .runtime
        .block_on(server.client.prepare(&words))
        .unwrap();
    while spent < SECONDS / 3 {
        let mut keys: Vec<(i32, String)> = (next..next + size)
            .map(|n: u64| ((n / 40_000) as i32, format!("{:016x}", state_world::mix(n))))
            .collect();
        keys.sort();
        let (buckets, texts): (Vec<i32>, Vec<String>) = keys.into_iter().unzip();
        next += size;
        let begun = Instant::now();
        let done = server
            .runtime
            .block_on(server.client.execute(&statement, &[&buckets, &texts]));
        done.unwrap();
        spent += begun.elapsed();
    }
    let rate = next as f64 / spent.as_secs_f64();
    println!("{:<22} {size:>6} a batch  {rate:>8.0} keys/s", "keys alone");
}

/// Keys of the month before that event.
fn preload(server: &Server, first: &StateEvent, keys: u64) {
    if keys == 0 {
        return;
    }
    let hour = first.bucket.0;
    server.run(&format!(
        "INSERT INTO {SCHEMA}.ledger (bucket, identity)
         SELECT {hour} - 719 + (n * 720 / {keys})::integer, gen_random_uuid() FROM generate_series(0, {keys}::bigint - 1) AS n"
    ));
}

/// On top of many keys.
fn large_ledger(server: &Server, keys: u64) {
    let mut store = server.fresh();
    let rows = load(&mut store);
    preload(server, &event(0, &rows), keys);
    server.settle();
    let mut batches = (0..).map(|n| {
        (n * 5_000..(n + 1) * 5_000)
            .map(|n| event(n, &rows))
            .collect()
    });
    let spent = Spent::applying(server, &mut store, &mut batches, SECONDS);
    spent.print("random, large ledger", 5_000, server.hot());
    let (keys, bytes) = server.ledger();
    let each = bytes as f64 / keys as f64;
    println!(
        "{:<22} {keys} keys, {each:.1} bytes each with the index",
        "ledger"
    );
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?.replace('_', "");
    Some(text.parse().ok().unwrap())
}

fn main() {
    let Ok(url) = std::env::var("HOOKFLOW_POSTGRES_URL") else {
        eprintln!("SKIPPED state_postgres: no POSTGRES (start one with scripts/stack)");
        return;
    };
    let server = Server::connect(&url);
    let ledger = setting("HOOKFLOW_BENCH_LEDGER").unwrap_or(0);
    if let Ok(folder) = std::env::var("HOOKFLOW_BENCH_DELIVERIES") {
        let size = setting("HOOKFLOW_BENCH_ROWS").unwrap_or(5_000);
        let spent = mail(&server, &PathBuf::from(folder), size, ledger);
        println!(
            "statements {:.0} events/s {:.1} us",
            spent.rate(),
            spent.micros().0
        );
        return;
    }
    for size in [1_000, 5_000, 10_000] {
        random(&server, size);
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = hookflow::generator::GeneratorConfig {
        deliveries: 100_000,
        ..Default::default()
    };
    let format = hookflow::generator::SnapshotFormat::default();
    hookflow::generator::write_to(folder.path(), settings, format, |_| {}).unwrap();
    for size in [1_000, 5_000, 10_000] {
        mail(&server, folder.path(), size, 0).print("mail", size, server.hot());
    }
    keys_alone(&server, 5_000);
    if ledger > 0 {
        large_ledger(&server, ledger);
    }
}
