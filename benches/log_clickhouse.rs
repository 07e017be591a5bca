//! The event log in ClickHouse: how many rows a second one connection makes durable, and what that costs both sides.
//!
//! Needs `HOOKFLOW_CLICKHOUSE_URL` (see `scripts/stack`); without it nothing is measured. Every insert is synced. The server's
//! CPU holds its merges too, which are waited for; it is that of all its threads, and 0 where it is on another machine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark: it stops at the first error"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use hookflow::log::clickhouse::{ClickHouseConfig, ClickHouseLog, migrate};
use hookflow::log::{EventLog, LogRow};

#[path = "log_rows/mod.rs"]
mod log_rows;

const SECONDS: Duration = Duration::from_secs(8);
const DATABASE: &str = "hookflow_bench";

/// Answers a statement with text.
fn sql(url: &str, statement: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = clickhouse::Client::default()
            .with_url(url)
            .with_compression(clickhouse::Compression::None);
        let query = client.query_raw(statement);
        let mut answer = query.fetch_bytes("TabSeparated").unwrap();
        let bytes = answer.collect().await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap().trim().to_owned()
    })
}

/// User and system time of a process, in seconds, from its `stat`: a clock of 100 ticks a second.
fn cpu_of(pid: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    (ticks(12).unwrap_or(0.0) + ticks(13).unwrap_or(0.0)) / 100.0
}

/// The process that listens where the address points to, on this machine.
fn server_pid(url: &str) -> String {
    let port = url.rsplit(':').next().unwrap_or("");
    let found = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "ss -Hltnp 'sport = :{port}' | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p' | head -n 1"
        ))
        .output();
    found.map_or_else(
        |_| String::new(),
        |found| String::from_utf8_lossy(&found.stdout).trim().to_owned(),
    )
}

/// Waits until no merge of the table runs.
fn merged(url: &str) {
    let merges = format!("SELECT count() FROM system.merges WHERE database = '{DATABASE}'");
    let deadline = Instant::now() + Duration::from_secs(120);
    while sql(url, &merges) != "0" && Instant::now() < deadline {
        std::thread::yield_now();
    }
}

/// Inserts of `size` rows for some seconds; prints one line.
fn measure(url: &str, pid: &str, size: u64, compress: bool) {
    sql(url, &format!("DROP DATABASE IF EXISTS {DATABASE} SYNC"));
    let settings = ClickHouseConfig {
        compress,
        ..ClickHouseConfig::plain(url, DATABASE)
    };
    migrate(&settings).unwrap();
    let mut log = ClickHouseLog::open(settings).unwrap();
    let own = std::process::id().to_string();
    let (mut spent, mut next, mut inserts, mut own_cpu) = (Duration::ZERO, 0, 0, 0.0);
    let server = cpu_of(pid);
    while spent < SECONDS {
        let rows: Vec<LogRow> = (next..next + size).map(log_rows::row).collect();
        next += size;
        let (begun, cpu) = (Instant::now(), cpu_of(&own));
        log.append(&rows).unwrap();
        spent += begun.elapsed();
        own_cpu += cpu_of(&own) - cpu;
        inserts += 1;
    }
    merged(url);
    let per_row = |cpu: f64| cpu * 1e6 / next as f64;
    println!(
        "{size:>7} rows an insert, {}  {:>8.0} rows/s  {:>6.1} ms an insert  server {:>5.2} us  client {:>5.2} us a row  {} parts",
        if compress { "LZ4  " } else { "plain" },
        next as f64 / spent.as_secs_f64(),
        spent.as_secs_f64() * 1e3 / f64::from(inserts),
        per_row(cpu_of(pid) - server),
        per_row(own_cpu),
        sql(
            url,
            &format!("SELECT count() FROM system.parts WHERE active AND database = '{DATABASE}'")
        ),
    );
}

fn main() {
    let Ok(url) = std::env::var("HOOKFLOW_CLICKHOUSE_URL") else {
        println!("SKIPPED: no ClickHouse (HOOKFLOW_CLICKHOUSE_URL; scripts/stack starts one)");
        return;
    };
    let pid = server_pid(&url);
    for size in [100, 250, 1_000, 10_000, 100_000] {
        for compress in [true, false] {
            measure(&url, &pid, size, compress);
        }
    }
    sql(&url, &format!("DROP DATABASE IF EXISTS {DATABASE} SYNC"));
}
