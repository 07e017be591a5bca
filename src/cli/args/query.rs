//! The arguments of the commands that print results.

use clap::{Args, Subcommand};

use crate::cli::values;
use crate::event::{Kind, Millis};

/// What every list takes.
#[derive(Args, Clone, Debug, Default)]
pub struct ListArgs {
    /// Only this tenant.
    #[arg(long)]
    pub user: Option<String>,
    /// Maximum number of rows.
    #[arg(long, default_value = "50", value_parser = values::count, value_name = "N")]
    pub limit: u64,
    /// Print one JSON object a line, for programs.
    #[arg(long)]
    pub json: bool,
}

/// `events`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_long_help = "\
Examples:
  hookflow events --kind bounced --from 2026-03-01
  hookflow events --batch spring --json | jq .message_id")]
pub struct EventsArgs {
    /// What every list takes.
    #[command(flatten)]
    pub list: ListArgs,
    /// Only this provider.
    #[arg(long)]
    pub provider: Option<String>,
    /// Only this kind: sent, deferred, delivered, opened, clicked, bounced, dropped, complained, unsubscribed, failed or
    /// other.
    #[arg(long, value_parser = kind)]
    pub kind: Option<Kind>,
    /// Only this batch.
    #[arg(long, value_name = "ID")]
    pub batch: Option<String>,
    /// Only this recipient: an id or an address.
    #[arg(long, value_name = "ID")]
    pub recipient: Option<String>,
    /// Only this message.
    #[arg(long, value_name = "ID")]
    pub message: Option<String>,
    /// Only events from this time on.
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub from: Option<Millis>,
    /// Only events before this time.
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub to: Option<Millis>,
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::from_name(text)
        .ok_or_else(|| format!("the kinds are {}", Kind::ALL.map(Kind::name).join(", ")))
}

/// `recipient`.
#[derive(Args, Clone, Debug, Default)]
pub struct RecipientArgs {
    /// An address, a message id or a recipient id.
    pub needle: String,
    /// What every list takes.
    #[command(flatten)]
    pub list: ListArgs,
}

/// `batches`.
#[derive(Args, Clone, Debug, Default)]
pub struct BatchesArgs {
    /// What every list takes.
    #[command(flatten)]
    pub list: ListArgs,
    /// Only batches that are not complete.
    #[arg(long)]
    pub open: bool,
}

/// `unmatched`.
#[derive(Clone, Debug, Subcommand)]
pub enum UnmatchedCommand {
    /// List them, oldest first.
    List(ListArgs),
}

/// `dlq`.
#[derive(Clone, Debug, Subcommand)]
pub enum DlqCommand {
    /// List them by reason; raw bytes are not shown.
    List {
        /// What every list takes.
        #[command(flatten)]
        list: ListArgs,
        /// Only this reason, such as bad_syntax.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Show one with its headers and raw bytes. They may hold addresses.
    Show {
        /// Its id, as the list shows it.
        id: String,
        /// As JSON, the raw bytes in base64.
        #[arg(long)]
        json: bool,
    },
}

/// `prune`.
#[derive(Args, Clone, Debug, Default)]
pub struct PruneArgs {
    /// Delete ledger entries of events that happened before this time. Later copies of them raise no totals.
    #[arg(long, value_parser = values::time, value_name = "TIME", required_unless_present = "no_time_before")]
    pub before: Option<Millis>,
    /// Delete ledger entries of events without a trustworthy time that were stored before this time.
    #[arg(long, value_parser = values::time, value_name = "TIME")]
    pub no_time_before: Option<Millis>,
    /// Confirm the deletion; needed at a terminal.
    #[arg(long)]
    pub yes: bool,
}
