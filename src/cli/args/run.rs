//! The arguments of `run` and of the demonstration.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::values;
use crate::event::Millis;
use crate::runtime::Rate;

/// How the summary is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SummaryFormat {
    /// Aligned lines for people.
    #[default]
    Text,
    /// One JSON object for programs.
    Json,
}

/// Options of the demonstration.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct DemoArgs {
    /// Delete what the embedded store holds and start anew: state, event log, completions. At a terminal: only with
    /// --yes, unless the store holds nothing but the sample.
    #[arg(long)]
    pub fresh: bool,
    /// Confirm what --fresh deletes.
    #[arg(long, requires = "fresh")]
    pub yes: bool,
    /// Worker threads [default: one for each core, at most 8]
    #[arg(long, value_name = "N")]
    pub workers: Option<String>,
    /// How the summary is printed.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub summary: SummaryFormat,
    /// Show no progress.
    #[arg(long)]
    pub quiet: bool,
}

/// Options of every job.
#[derive(Args, Clone, Debug, Default)]
pub struct JobArgs {
    /// The options that the demonstration takes too.
    #[command(flatten)]
    pub demo: DemoArgs,
    /// The name of the job: a run resumes an unfinished run of the same name [default: a fingerprint of files, filters and store]
    #[arg(long = "job", value_name = "NAME")]
    pub name: Option<String>,
    /// Exit with 75 if a sink is out for this long, such as 10m (a full disk is an outage too) [default: wait for ever]
    #[arg(long, value_name = "TIME")]
    pub max_outage: Option<String>,
    /// Serve /metrics, /healthz and /readyz here, such as 127.0.0.1:9464, or "none".
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<String>,
}

/// Recipients and batches of the deliveries.
#[derive(Args, Clone, Debug, Default)]
pub struct SnapshotArgs {
    /// Recipients: CSV or JSONL with user, provider, message_id, recipient, batch_id, recipient_id. May be repeated.
    #[arg(long, value_name = "FILE")]
    pub snapshot: Vec<PathBuf>,
    /// Batches: CSV or JSONL with id, user, total, sealed_at, deadline.
    #[arg(long, value_name = "FILE")]
    pub batches: Option<PathBuf>,
    /// Recipients that are loaded after all deliveries, to show how parked events are matched.
    #[arg(long, value_name = "FILE")]
    pub late_snapshot: Option<PathBuf>,
}

/// `run live`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  tail -f deliveries.jsonl | hookflow run live --snapshot recipients.csv
  hookflow run live --generator --rate 5_000
  curl -s 127.0.0.1:9464/readyz")]
pub struct LiveArgs {
    /// Options of every job.
    #[command(flatten)]
    pub job: JobArgs,
    /// Whom the deliveries concern.
    #[command(flatten)]
    pub snapshot: SnapshotArgs,
    /// Generate deliveries instead of reading the configured source.
    #[arg(long)]
    pub generator: bool,
    /// The rate of the generator: deliveries a second, or max.
    #[arg(long, default_value = "1_000", value_parser = values::rate, value_name = "N|max")]
    pub rate: Rate,
    /// How many deliveries the generator makes [default: no end]
    #[arg(long, value_parser = values::count, value_name = "N", requires = "generator")]
    pub deliveries: Option<u64>,
    /// The generator's seed.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// How many tenants the generator's deliveries concern.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub users: u32,
    /// The provider of deliveries that name none.
    #[arg(long, value_name = "PROVIDER", conflicts_with = "generator")]
    pub provider: Option<String>,
}

/// `run replay`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  hookflow run replay --snapshot recipients.csv --batches batches.csv 2026-03-*.jsonl.gz
  hookflow run replay --dry-run --from 2026-03-01 --to 2026-04-01 --snapshot recipients.csv history/*.jsonl
  hookflow run replay --provider ses --snapshot recipients.csv bodies/ses/

A stopped job continues where it was. A finished job reads everything again and changes nothing. A file that cannot be read
is named before anything is done.")]
pub struct ReplayArgs {
    /// Options of every job.
    #[command(flatten)]
    pub job: JobArgs,
    /// Whom the deliveries concern.
    #[command(flatten)]
    pub snapshot: SnapshotArgs,
    /// Only events from this time on.
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub from: Option<Millis>,
    /// Only events before this time.
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub to: Option<Millis>,
    /// Print the exact counts of what would happen, and write nothing.
    #[arg(long, conflicts_with = "fresh")]
    pub dry_run: bool,
    /// The provider of deliveries that name none; needed for folders of bodies.
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    /// Files of deliveries, one JSON object a line (.jsonl, .gz, .zst), or folders of bodies.
    #[arg(required_unless_present = "stream", value_name = "FILES")]
    pub files: Vec<PathBuf>,
    /// Instead of files: what the stream (NATS) or the topics (Kafka) of source.live hold at the start. Live consumers are not disturbed.
    #[arg(long, conflicts_with_all = ["files", "provider"])]
    pub stream: bool,
    /// With --stream: only messages that were stored at this time or later.
    #[arg(long, value_parser = values::time, value_name = "TIME", requires = "stream", conflicts_with = "since_sequence")]
    pub since: Option<Millis>,
    /// With --stream: only messages from this sequence on (NATS).
    #[arg(long, value_name = "N", requires = "stream")]
    pub since_sequence: Option<u64>,
    /// With --stream: only messages that were stored before this time.
    #[arg(long, value_parser = values::time, value_name = "TIME", requires = "stream")]
    pub until: Option<Millis>,
}

/// `run throughput`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  hookflow run throughput --deliveries 1_000_000
  hookflow run throughput --rate 20_000 --deliveries 600_000 --json report.json
  hookflow run throughput --null-sinks      the dataflow alone, nothing is stored

The load goes to an embedded store of its own, in the folder \"throughput\" of the store's folder, which is emptied each time.
A configuration with Postgres or ClickHouse is refused: the load would be mixed with their data. Without a rate the
deliveries are generated first (of more than a million, the first million); with a rate, meanwhile, by a thread that is
not counted. Latency counts from when a delivery was due.")]
pub struct ThroughputArgs {
    /// Options of every job.
    #[command(flatten)]
    pub job: JobArgs,
    /// The rate: deliveries a second, or max.
    #[arg(long, default_value = "max", value_parser = values::rate, value_name = "N|max")]
    pub rate: Rate,
    /// How many deliveries.
    #[arg(long, default_value = "1_000_000", value_parser = values::count, value_name = "N")]
    pub deliveries: u64,
    /// How many tenants they concern.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub users: u32,
    /// The generator's seed.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Store nothing: measure the dataflow alone.
    #[arg(long)]
    pub null_sinks: bool,
    /// Where the report is saved, as JSON [default: throughput/report.json in the store's folder]
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}
