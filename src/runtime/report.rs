//! What a job says of itself at its end.

use super::input::connector;
use super::request::{Input, JobRequest, SinkMode};
use super::settlement::SourceReport;
use super::store::{log_dir, read_state};
use crate::config::{LogKind, Plan, StateKind};
use crate::error::Fatal;
use crate::observe::summary::{BatchChange, BatchLine, Summary, SummaryEntry};
use crate::state::view::{BatchView, Export, diff};

/// Said when a finished job is run again.
pub const FINISHED_BEFORE: &str = "this job was finished before: its history is read again from the start, and every event should be a duplicate";

/// Said when an unfinished job is run again.
pub const RESUMED: &str =
    "an earlier run of this job was not finished: it is resumed where it stopped";

/// How many batches a summary shows.
const BATCHES: usize = 3;

/// A job's name: the one that was given, or the fingerprint of (source, filters, store).
pub fn name(request: &JobRequest) -> String {
    if let Some(name) = &request.name {
        return name.clone();
    }
    let mut source = connector(request).identity();
    if let Input::Replay(range) = &request.input {
        source.push_str(&format!(" {range:?}"));
    }
    let store = match request.plan.state_store {
        StateKind::Sqlite => request.plan.store_dir.display().to_string(),
        StateKind::Postgres => format!("postgres {}", request.plan.postgres.schema),
    };
    let all = format!("{source}|{:?}|{store}", request.range);
    let mut name = blake3::hash(all.as_bytes()).to_hex().to_string();
    name.truncate(12);
    name
}

/// What distinguishes the members of a job, where settings do.
pub fn part(request: &JobRequest, job: &str) -> String {
    format!("{job} {}", connector(request).member())
}

/// Said when a job over real deliveries begins and no recipient is known.
pub const NO_RECIPIENTS: &str = "no recipients are known: nearly every event will be unmatched (parked until its recipient is loaded); \
                                 load them with `hookflow load` or --snapshot";

/// Said when a job was asked to stop before it read anything.
pub const STOPPED_BEFORE_READING: &str =
    "the job was asked to stop while it started: nothing was read, run it again";

/// What happened to the partitions.
pub fn partitions(summary: &mut Summary, source: SourceReport, stopped: bool) {
    summary.notes.extend(source.restarts);
    summary.unreadable = source.failures;
    if stopped {
        summary.notes.push(
            "the job was asked to stop: everything it read is settled, run it again for the rest"
                .into(),
        );
    }
    let unchanged = summary.events > 0 && summary.recipients_changed == 0 && summary.applied == 0;
    if unchanged && !stopped {
        summary
            .notes
            .push("nothing changed: every event was known already".into());
    }
}

/// What a dry run would have changed.
pub fn dry_run(summary: &mut Summary, before: &Export, after: &Export) {
    let changes = diff(before, after);
    summary.dry_run = true;
    summary.recipients_changed = changes.recipients_changed;
    summary.changes = changes
        .batches
        .iter()
        .map(|(old, new)| change(old.as_ref(), new))
        .collect();
    summary.notes.push("dry run: nothing was written".into());
}

fn change(old: Option<&BatchView>, new: &BatchView) -> BatchChange {
    let then = |name: &str| old.map_or(0, |old| counter(old, name));
    let names = new
        .unique
        .keys()
        .copied()
        .chain(["opens", "clicks", "machine_opens", "finished"]);
    let counters = names.map(|name| (name.to_owned(), then(name), counter(new, name)));
    BatchChange {
        user: new.user.clone(),
        batch_id: new.batch_id.clone(),
        counters: counters
            .filter(|(_, before, after)| before != after)
            .collect(),
    }
}

fn counter(batch: &BatchView, name: &str) -> u64 {
    match name {
        "opens" => batch.totals.opens,
        "clicks" => batch.totals.clicks,
        "machine_opens" => batch.totals.machine_opens,
        "finished" => batch.finished,
        flag => batch.unique.get(flag).copied().unwrap_or(0),
    }
}

fn log_place(plan: &Plan) -> SummaryEntry {
    match plan.log_store {
        LogKind::Parquet => SummaryEntry::new(
            log_dir(&plan.store_dir).join("day=*").display().to_string(),
            "the event log (Parquet)",
        ),
        LogKind::ClickHouse => SummaryEntry::new(
            format!("{}.{}", plan.clickhouse.database, plan.clickhouse.table),
            "the event log (ClickHouse)",
        ),
    }
}

/// The largest batches, where the results are, and the commands that show them.
pub fn results(summary: &mut Summary, request: &JobRequest) -> Result<(), Fatal> {
    if request.sinks != SinkMode::Durable {
        return Ok(());
    }
    let dir = &request.plan.store_dir;
    let mut batches = read_state(&request.plan)?.batches()?;
    batches.sort_by_key(|batch| std::cmp::Reverse(batch.recipients));
    summary.batches = batches.iter().take(BATCHES).map(line).collect();
    summary.results = vec![state_place(request), log_place(&request.plan)];
    let store = if dir.as_os_str() == ".hookflow" {
        String::new()
    } else {
        format!(" --store {}", dir.display())
    };
    let commands = [
        ("batches", "every batch with its counters"),
        ("recipient ID", "everything known of one recipient"),
        ("events --limit 20", "the event log"),
        ("completions", "batches that became complete"),
        ("unmatched list", "events whose recipient is not known yet"),
        ("dlq list", "dead letters"),
    ];
    let shown = commands
        .map(|(command, what)| SummaryEntry::new(format!("hookflow {command}{store}"), what));
    summary.look = shown.to_vec();
    Ok(())
}

fn state_place(request: &JobRequest) -> SummaryEntry {
    let plan = &request.plan;
    let (place, kind) = match plan.state_store {
        StateKind::Sqlite => (
            plan.store_dir.join("state.db").display().to_string(),
            "SQLite",
        ),
        StateKind::Postgres => (format!("schema {}", plan.postgres.schema), "Postgres"),
    };
    let holds = format!("recipients, batches, parked events, dead letters ({kind})");
    SummaryEntry::new(place, holds)
}

fn line(batch: &BatchView) -> BatchLine {
    let completed = batch
        .completed_at
        .map(|at| format!("{at} ({})", batch.cause.as_deref().unwrap_or("all")));
    BatchLine {
        user: batch.user.clone(),
        batch_id: batch.batch_id.clone(),
        total: batch.total,
        finished: batch.finished,
        delivered: counter(batch, "delivered"),
        opened: counter(batch, "opened"),
        clicked: counter(batch, "clicked"),
        bounced: counter(batch, "bounced_hard") + counter(batch, "bounced_soft"),
        complained: counter(batch, "complained"),
        unsubscribed: counter(batch, "unsubscribed"),
        completed,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::event::Millis;

    fn request(file: &str) -> JobRequest {
        let plan = crate::config::load(None, &Default::default(), &[])
            .unwrap()
            .plan;
        let input = Input::Files {
            paths: vec![PathBuf::from(file)],
            provider: None,
        };
        JobRequest::new(plan, input)
    }

    #[test]
    fn a_job_is_its_name_or_the_fingerprint_of_what_it_does() {
        let plain = name(&request("a.jsonl"));
        assert_eq!(name(&request("a.jsonl")), plain);
        assert_ne!(name(&request("b.jsonl")), plain);
        let mut filtered = request("a.jsonl");
        filtered.range.from = Some(Millis(1));
        assert_ne!(name(&filtered), plain);
        let mut elsewhere = request("a.jsonl");
        elsewhere.plan.store_dir = PathBuf::from("elsewhere");
        assert_ne!(name(&elsewhere), plain);
        let mut named = request("b.jsonl");
        named.name = Some("nightly".into());
        assert_eq!(name(&named), "nightly");
    }
}
