//! The calls behind the commands that read stores: one function each, and nowhere else.
//!
//! Each answers with the store's views as JSON objects; filters that a store does not know are applied by the caller.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

use super::args::{EventsArgs, GenerateArgs, PruneArgs};
use crate::config::{LogKind, Plan};
use crate::error::{Exit, Fatal};
use crate::generator::{GeneratorConfig, SnapshotFormat, is_complete, write_to};
use crate::log::clickhouse;
use crate::log::parquet::events as logged;
use crate::log::{EventFilter, LoggedEvent};
use crate::runtime::store::{log_dir, open_state, read_state};
use crate::state::Prune;
use crate::state::view::DeadLetterView;

/// Rows for people or programs.
pub type Rows = Result<Vec<Value>, Fatal>;

/// Ledger rows that one transaction of `prune` drops.
const PRUNED_AT_ONCE: u32 = 50_000;

/// `generate`: writes the sample and returns a sentence about it. Only a complete sample is overwritten.
pub fn generate(what: &GenerateArgs) -> Result<String, Fatal> {
    if let Some(file) = would_overwrite(&what.out) {
        let message = format!(
            "{} exists and is no complete sample of `hookflow generate`: name another folder, or delete the file",
            file.display()
        );
        return Err(Fatal::new(Exit::Input, message));
    }
    let settings = GeneratorConfig {
        seed: what.seed,
        deliveries: what.deliveries,
        users: what.users,
        array_events_max: what.array_events,
        ..GeneratorConfig::default()
    };
    let written =
        write_to(&what.out, settings, SnapshotFormat::Jsonl, |_| {}).map_err(|error| {
            Fatal::new(
                Exit::Input,
                format!("{} cannot be written: {error}", what.out.display()),
            )
        })?;
    Ok(format!(
        "{}: {} deliveries, {} recipients at first, {} later, {} batches, and a journal of what is true",
        what.out.display(),
        written.totals.deliveries,
        written.snapshot_rows,
        written.late_rows,
        written.batch_rows,
    ))
}

/// A file in the folder that the sample would overwrite, unless the folder holds a complete sample.
fn would_overwrite(folder: &Path) -> Option<PathBuf> {
    let names = [
        "deliveries",
        "snapshot",
        "snapshot-late",
        "batches",
        "journal",
    ];
    let mut files = names
        .iter()
        .map(|name| folder.join(format!("{name}.jsonl")));
    files.find(|file| !is_complete(folder) && file.exists())
}

/// `events`: the exact view of the log, with every filter and the limit applied.
pub fn events(plan: &Plan, what: &EventsArgs) -> Rows {
    let filter = EventFilter {
        user: what.list.user.clone(),
        batch: what.batch.clone(),
        recipient: what.recipient.clone(),
        message_id: what.message.clone(),
        kind: what.kind,
        provider: what.provider.clone(),
        from: what.from,
        to: what.to,
        limit: usize::try_from(what.list.limit).ok(),
    };
    values(read_log(plan, &filter)?)
}

/// `recipient`: state rows that the needle names.
pub fn recipient(plan: &Plan, needle: &str) -> Rows {
    values(read_state(plan)?.recipient(needle)?)
}

/// The events behind a row of [`recipient`], the earliest first: those logged for it, and those about its messages and addresses
/// that were logged before it was known and are not matched yet.
pub fn recipient_events(plan: &Plan, row: &Value, limit: usize) -> Result<Vec<Value>, Fatal> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let user = text(&row["user"]);
    let matched = EventFilter {
        user: user.clone(),
        batch: text(&row["batch_id"]),
        recipient: text(&row["recipient_id"]),
        limit: Some(limit),
        ..EventFilter::default()
    };
    let mut events = read_log(plan, &matched)?;
    for message in row["messages"].as_array().into_iter().flatten() {
        let unmatched = EventFilter {
            user: user.clone(),
            batch: Some(String::new()),
            recipient: text(&message["recipient"]),
            message_id: text(&message["message_id"]),
            provider: text(&message["provider"]),
            limit: Some(limit),
            ..EventFilter::default()
        };
        events.extend(read_log(plan, &unmatched)?);
    }
    events.sort_by_key(|event| (event.time(), event.identity));
    events.dedup_by_key(|event| event.identity);
    events.truncate(limit);
    values(events)
}

fn read_log(plan: &Plan, filter: &EventFilter) -> Result<Vec<LoggedEvent>, Fatal> {
    Ok(match plan.log_store {
        LogKind::Parquet => logged(&log_dir(&plan.store_dir), filter)?,
        LogKind::ClickHouse => clickhouse::events(&plan.clickhouse, filter)?,
    })
}

/// `batches`: all batches with their counters.
pub fn batches(plan: &Plan) -> Rows {
    values(read_state(plan)?.batches()?)
}

/// `completions`: all of the outbox.
pub fn completions(plan: &Plan) -> Rows {
    values(read_state(plan)?.completions()?)
}

/// `unmatched list`: the parked events, oldest first.
pub fn unmatched(plan: &Plan, limit: u64) -> Rows {
    values(read_state(plan)?.unmatched(limit)?)
}

/// `dlq list`: dead letters without their raw bytes.
pub fn dead_letters(plan: &Plan, limit: u64) -> Rows {
    values(read_state(plan)?.dead_letters(limit)?)
}

/// `dlq show`: one dead letter with `headers`, `raw_text` (if it is UTF-8) and `raw_base64`.
pub fn dead_letter(plan: &Plan, id: &str) -> Result<Option<Value>, Fatal> {
    let found = read_state(plan)?.dead_letter(id)?;
    found.map(|letter| with_raw(&letter)).transpose()
}

fn with_raw(letter: &DeadLetterView) -> Result<Value, Fatal> {
    let mut shown = value(letter)?;
    let raw = letter.raw.as_deref().unwrap_or_default();
    if let Value::Object(fields) = &mut shown {
        if let Ok(text) = std::str::from_utf8(raw) {
            fields.insert("raw_text".into(), text.into());
        }
        fields.insert("raw_base64".into(), STANDARD.encode(raw).into());
    }
    Ok(shown)
}

/// `prune`: how many ledger entries were forgotten.
pub fn prune(plan: &Plan, what: &PruneArgs) -> Result<u64, Fatal> {
    let asked = Prune {
        before: what.before,
        no_time_stored_before: what.no_time_before,
        dead_letters_before: None,
    };
    let pruned = open_state(plan)?.prune(&asked, PRUNED_AT_ONCE)?;
    Ok(pruned.ledger + pruned.no_time)
}

fn values(views: Vec<impl Serialize>) -> Rows {
    views.iter().map(value).collect()
}

fn value(view: &impl Serialize) -> Result<Value, Fatal> {
    let unprintable =
        |error| Fatal::new(Exit::Internal, format!("a row cannot be printed: {error}"));
    serde_json::to_value(view).map_err(unprintable)
}
