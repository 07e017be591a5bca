//! The state store in Postgres: how many events a second one connection makes durable, and what that costs the server.
//!
//! Needs `HOOKFLOW_POSTGRES_URL` (see `scripts/stack`); without it nothing is measured. Each line is a fresh schema with 100,000
//! recipients in 20 batches, then new events about random ones. `bare` is the ledger's statement alone, in the same shape.
//! `HOOKFLOW_BENCH_LEDGER=20000000` measures once more on top of so many keys.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark: it stops at the first error"
)]

use std::time::{Duration, Instant};

use hookflow::sink::state::RowId;
use hookflow::sink::state::StateStore;
use hookflow::sink::state::postgres::{PostgresStore, Settings, migrate};
use tokio_postgres::{Client, NoTls};

#[path = "state_world/mod.rs"]
mod state_world;

use state_world::{event, load};

const SECONDS: Duration = Duration::from_secs(6);
const SCHEMA: &str = "hookflow_bench";

struct Server {
    runtime: tokio::runtime::Runtime,
    client: Client,
    settings: Settings,
}

impl Server {
    fn connect(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        });
        let mut settings = Settings::plain(url, SCHEMA);
        settings.application_name = SCHEMA.into();
        Self {
            runtime,
            client,
            settings,
        }
    }

    fn run(&self, words: &str) {
        self.runtime
            .block_on(self.client.batch_execute(words))
            .unwrap();
    }

    fn number(&self, query: &str) -> i64 {
        let row = self.runtime.block_on(self.client.query_one(query, &[]));
        row.unwrap().get(0)
    }

    fn fresh(&self) -> (PostgresStore, Vec<RowId>) {
        self.run(&format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"));
        migrate(self.settings.clone()).unwrap();
        let mut store = PostgresStore::open(self.settings.clone()).unwrap();
        let rows = load(&mut store);
        self.run(&format!("VACUUM ANALYZE {SCHEMA}.recipients; "));
        self.run("CHECKPOINT");
        (store, rows)
    }

    /// CPU seconds of the backend that serves the store (0 where the server is on another machine).
    fn backend_cpu(&self) -> f64 {
        let query = format!(
            "SELECT coalesce(max(pid), 0)::bigint FROM pg_stat_activity WHERE application_name = '{SCHEMA}'"
        );
        cpu_of(self.number(&query))
    }
}

/// User and system time of a process, from its `stat`, in a clock of 100 ticks a second.
fn cpu_of(pid: i64) -> f64 {
    let Ok(file) = std::process::Command::new("cat")
        .arg(format!("/proc/{pid}/stat"))
        .output()
    else {
        return 0.0;
    };
    let text = String::from_utf8_lossy(&file.stdout).into_owned();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split(' ').collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(12) + ticks(13)) / 100.0
}

fn cpu_own() -> f64 {
    cpu_of(i64::from(std::process::id()))
}

/// Applies new events for some seconds in batches of `size`; prints one line.
fn measure(
    server: &Server,
    store: &mut PostgresStore,
    rows: &[RowId],
    next: &mut u64,
    size: u64,
    name: &str,
) {
    let wal = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
    let (cpu, own, written) = (server.backend_cpu(), cpu_own(), server.number(wal));
    let (mut spent, mut events, mut made) = (Duration::ZERO, 0, 0.0);
    while spent < SECONDS {
        let making = cpu_own();
        let batch: Vec<_> = (*next..*next + size).map(|n| event(n, rows)).collect();
        made += cpu_own() - making;
        *next += size;
        let begun = Instant::now();
        store.apply(&batch).unwrap();
        spent += begun.elapsed();
        events += size;
    }
    let per_event = |cpu: f64| cpu * 1e6 / events as f64;
    println!(
        "{name:<28} {size:>6} a batch  {:>8.0} events/s  server {:>5.1} us  client {:>5.1} us  WAL {:>4} B an event",
        events as f64 / spent.as_secs_f64(),
        per_event(server.backend_cpu() - cpu),
        per_event(cpu_own() - own - made),
        (server.number(wal) - written) / events as i64,
    );
}

/// The statement of the ledger alone: what no design on one connection can pass.
fn bare(server: &Server, size: u64) {
    server.run(
        "DROP TABLE IF EXISTS pg_temp.bare; CREATE TEMP TABLE probe (x int); DROP TABLE probe",
    );
    server.run(&format!(
        "SET plan_cache_mode = force_generic_plan; DROP TABLE IF EXISTS {SCHEMA}.bare;
         CREATE TABLE {SCHEMA}.bare (bucket integer, identity text, PRIMARY KEY (bucket, identity))"
    ));
    let words = format!(
        "INSERT INTO {SCHEMA}.bare SELECT * FROM unnest($1::integer[], $2::text[]) ON CONFLICT DO NOTHING"
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
    println!(
        "{:<28} {size:>6} a batch  {:>8.0} rows/s",
        "bare insert of keys",
        next as f64 / spent.as_secs_f64()
    );
}

fn main() {
    let Ok(url) = std::env::var("HOOKFLOW_POSTGRES_URL") else {
        eprintln!("SKIPPED state_postgres: no POSTGRES (start one with scripts/stack)");
        return;
    };
    let server = Server::connect(&url);
    for size in [1_000, 5_000, 10_000] {
        let (mut store, rows) = server.fresh();
        let mut next = 0;
        measure(&server, &mut store, &rows, &mut next, size, "new events");
    }
    bare(&server, 5_000);
    let (mut store, rows) = server.fresh();
    let mut next = 0;
    let keys: u64 = std::env::var("HOOKFLOW_BENCH_LEDGER").map_or(0, |n| n.parse().unwrap());
    while next < keys {
        let batch: Vec<_> = (next..next + 20_000).map(|n| event(n, &rows)).collect();
        next += 20_000;
        store.apply(&batch).unwrap();
    }
    if keys > 0 {
        server.run("CHECKPOINT");
        measure(
            &server,
            &mut store,
            &rows,
            &mut next,
            5_000,
            "on top of those keys",
        );
        let size = format!(
            "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = '{SCHEMA}.ledger'::regclass"
        );
        println!(
            "{:<28} {:>6.1} bytes a key with its index",
            "ledger",
            server.number(&size) as f64 / next as f64
        );
    }
    let hot = format!(
        "SELECT coalesce(100 * n_tup_hot_upd / nullif(n_tup_upd, 0), 0)::bigint FROM pg_stat_all_tables WHERE relid = '{SCHEMA}.recipients'::regclass"
    );
    measure(&server, &mut store, &rows, &mut next, 5_000, "again");
    server.run("SELECT pg_stat_force_next_flush()");
    println!(
        "{:<28} {:>6} % of updates were HOT",
        "recipients",
        server.number(&hot)
    );
    drop(store);
    server.run(&format!("DROP SCHEMA {SCHEMA} CASCADE"));
}
