//! The arguments and their help: what a command is for, then examples.

mod query;
mod run;

pub use query::{
    BatchesArgs, DlqCommand, EventsArgs, ListArgs, PruneArgs, RecipientArgs, UnmatchedCommand,
};
pub use run::{
    DemoArgs, JobArgs, LiveArgs, ReplayArgs, SnapshotArgs, SummaryFormat, ThroughputArgs,
};

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::values;
use crate::runtime::Rate;

const EXAMPLES: &str = "\
Examples:
  hookflow                       generate sample data, replay it, show the result
  hookflow batches               the counters of every batch
  hookflow run replay --snapshot recipients.csv webhooks-*.jsonl.gz
                                 apply a history of webhooks; a repetition changes nothing
  hookflow run live < deliveries.jsonl
                                 apply deliveries as they arrive
  hookflow decode ses body.json  the events of one body
  hookflow config                every setting, its value and its source

Exit codes:
   0  done (dead letters included, the summary says so)
   1  a file cannot be read, the store is in use by another process, or there are dead letters only
   2  wrong usage, or a deletion that needs --yes
  70  no progress, or a panic: restart it
  75  not finished: drain deadline, outage limit or second signal; start it again to continue
  78  configuration, schema or password";

/// Turns webhooks of e-mail and SMS providers into exact state: what happened to each recipient, counters and completion of
/// each batch, and a log of every event.
///
/// Without a command it is a demonstration: on first use it generates sample data in the store's folder, then replays it.
#[derive(Debug, Parser)]
#[command(name = "hookflow", bin_name = "hookflow", version, after_long_help = EXAMPLES)]
pub struct Arguments {
    /// Options that every command takes.
    #[command(flatten)]
    pub common: Common,
    /// Options of the demonstration.
    #[command(flatten)]
    pub demo: DemoArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options that every command takes.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// A file of settings that differ from the defaults (see `hookflow config`).
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder of the embedded store [default: .hookflow]
    #[arg(long, global = true, value_name = "DIR")]
    pub store: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a job: live, a replay of history, or an experiment.
    #[command(subcommand)]
    Run(RunCommand),
    /// Create or check the tables of Postgres and ClickHouse, if they are in use; running it again changes nothing.
    Migrate,
    /// Create or check what a job needs at the broker that source.live names; running it again changes nothing.
    Setup,
    /// Publish deliveries from files to that broker, as an edge would: for tests, demonstrations and measurements.
    Publish(PublishArgs),
    /// Check the configuration, open what a job would open, and explain each variable of the replaced system.
    ///
    /// Mistakes in settings are reported all at once. Then the store (if it exists: its schema, and whether another process
    /// uses it), the servers of the stores and of the broker, the table of recipients and the metrics port of live jobs are
    /// opened. Nothing is written.
    Check,
    /// Print every setting in effect as TOML, with the source of each value.
    Config,
    /// Decode one body: print its events, or why it would be a dead letter.
    Decode(DecodeArgs),
    /// Write sample deliveries with their recipients and batches. Only a complete sample is overwritten.
    Generate(GenerateArgs),
    /// Load recipients and batches into the store; running members that share the store take them over.
    Load(LoadArgs),
    /// List events of the log, each once, at its highest version.
    Events(EventsArgs),
    /// Show everything about one recipient: by address, message id or recipient id.
    Recipient(RecipientArgs),
    /// List batches with their counters and completion.
    Batches(BatchesArgs),
    /// List the completions that fired.
    Completions(ListArgs),
    /// Events whose recipient is not known yet.
    #[command(subcommand)]
    Unmatched(UnmatchedCommand),
    /// Dead letters: what could not be taken, with its raw bytes and the reason.
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Delete ledger entries of old events; the state of recipients and batches stays.
    Prune(PruneArgs),
}

/// The kinds of job.
#[derive(Debug, Subcommand)]
pub enum RunCommand {
    /// Apply deliveries as they arrive (from standard input, a broker or a generator) until the input ends or a signal comes.
    Live(LiveArgs),
    /// Apply a history of deliveries from files; doing it again changes nothing.
    Replay(ReplayArgs),
    /// Measure the throughput of generated deliveries, in a store of its own.
    Throughput(ThroughputArgs),
}

/// What to publish.
#[derive(Args, Clone, Debug)]
pub struct PublishArgs {
    /// Files of deliveries, one JSON object a line, such as `hookflow generate` writes; .gz and .zst too.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How fast: messages a second, each when it is due, or max.
    #[arg(long, default_value = "max", value_parser = values::rate, value_name = "N|max")]
    pub rate: Rate,
}

/// One body to explain.
#[derive(Args, Clone, Debug)]
pub struct DecodeArgs {
    /// Whose format it is in: ses, sendgrid, mailgun, postmark, resend, sparkpost, mandrill, brevo, mailersend, twilio
    /// or vonage.
    pub provider: String,
    /// The file with the raw body of the request.
    pub body: PathBuf,
    /// JSON with the request's `method`, `url` and `headers`, or a map from file names to such.
    #[arg(long, value_name = "FILE")]
    pub request: Option<PathBuf>,
}

/// Sample data to write.
#[derive(Args, Clone, Debug)]
pub struct GenerateArgs {
    /// The same seed writes the same bytes.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// The folder to write to: deliveries, recipients and batches.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How many deliveries.
    #[arg(long, default_value = "200_000", value_parser = values::count, value_name = "N")]
    pub deliveries: u64,
    /// How many tenants they concern.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub users: u32,
    /// Maximum number of events in one request, of providers that batch them.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub array_events: u64,
}

/// What to load: files, or else the table of the settings.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  hookflow load recipients.csv --batches batches.csv
  hookflow load --whole campaign-77.jsonl.gz
  hookflow load --config hookflow.toml         the table that [recipients] names, from the last cursor on

For a fleet: load once, then start members without --snapshot. An embedded store can be loaded only while no job uses it;
with Postgres, running members take over new rows within recipients.poll_interval.")]
pub struct LoadArgs {
    /// Recipients: CSV or JSONL, plain, .gz or .zst. Without any file: the table that `[recipients]` of the settings names.
    #[arg(value_name = "FILES")]
    pub files: Vec<PathBuf>,
    /// Batches: CSV or JSONL with id, user, total, sealed_at, deadline.
    #[arg(long, value_name = "FILE")]
    pub batches: Option<PathBuf>,
    /// The files contain all recipients of every batch in them: seal each batch at its number of recipients.
    #[arg(long, requires = "files")]
    pub whole: bool,
    /// Show no progress.
    #[arg(long)]
    pub quiet: bool,
}
