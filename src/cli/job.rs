//! `run` and the demonstration: options to a [`JobRequest`], and a [`Summary`] to an exit code.

use super::args::{
    Common, DemoArgs, JobArgs, LiveArgs, ReplayArgs, SnapshotArgs, SummaryFormat, ThroughputArgs,
};
use super::environment::{Environment, load};
use super::output::Output;
use super::{confirm, files};
use crate::config::{Override, Plan, StateKind};
use crate::error::{Exit, Fatal};
use crate::event::Provider;
#[cfg(not(test))]
use crate::observe::logs;
use crate::observe::summary::{LoadProfile, Summary, SummaryEntry};
use crate::runtime::own_stores::OwnStores;
use crate::runtime::{self, Input, JobRequest, Rate, Sample, SinkMode, SnapshotFiles, TimeRange};
use crate::source::file::inputs;
use crate::source::replay::{ReplayRange, ReplayStart};

/// No command: sample data, replayed.
pub fn demo(
    common: &Common,
    args: &DemoArgs,
    env: &Environment,
    output: &mut Output<'_>,
) -> Result<Exit, Fatal> {
    let job = JobArgs {
        demo: args.clone(),
        ..JobArgs::default()
    };
    let request = request(common, &job, env, Input::Demo)?;
    confirm::fresh(&request, args.yes, output)?;
    finish(&run(request)?, args.summary, output)
}

/// `run live`.
pub fn live(
    common: &Common,
    args: &LiveArgs,
    env: &Environment,
    output: &mut Output<'_>,
) -> Result<Exit, Fatal> {
    let request = live_request(common, args, env)?;
    check_files(&request)?;
    confirm::fresh(&request, args.job.demo.yes, output)?;
    finish(&run(request)?, args.job.demo.summary, output)
}

pub(super) fn live_request(
    common: &Common,
    args: &LiveArgs,
    env: &Environment,
) -> Result<JobRequest, Fatal> {
    let input = if args.generator {
        Input::Generator(Sample {
            seed: args.seed,
            deliveries: args.deliveries,
            users: args.users,
            rate: args.rate,
        })
    } else {
        Input::Live {
            provider: args.provider.as_deref().map(provider),
        }
    };
    let mut request = request(common, &args.job, env, input)?;
    request.snapshot = snapshot(&args.snapshot);
    Ok(request)
}

/// `run replay`.
pub fn replay(
    common: &Common,
    args: &ReplayArgs,
    env: &Environment,
    output: &mut Output<'_>,
) -> Result<Exit, Fatal> {
    let request = replay_request(common, args, env)?;
    check_files(&request)?;
    confirm::fresh(&request, args.job.demo.yes, output)?;
    finish(&run(request)?, args.job.demo.summary, output)
}

pub(super) fn replay_request(
    common: &Common,
    args: &ReplayArgs,
    env: &Environment,
) -> Result<JobRequest, Fatal> {
    let input = if args.stream {
        Input::Replay(replay_range(args))
    } else {
        Input::Files {
            paths: args.files.clone(),
            provider: args.provider.as_deref().map(provider),
        }
    };
    let mut request = request(common, &args.job, env, input)?;
    if let Input::Replay(range) = request.input {
        drop(request.plan.connector().replay(range)?);
    }
    request.snapshot = snapshot(&args.snapshot);
    request.range = range(args)?;
    if args.dry_run {
        request.sinks = SinkMode::DryRun;
    }
    Ok(request)
}

fn replay_range(args: &ReplayArgs) -> ReplayRange {
    let start = match (args.since_sequence, args.since) {
        (Some(sequence), _) => ReplayStart::Offset(sequence),
        (None, Some(time)) => ReplayStart::Time(time),
        (None, None) => ReplayStart::Beginning,
    };
    ReplayRange {
        start,
        until: args.until,
    }
}

/// `run throughput`.
pub fn throughput(
    common: &Common,
    args: &ThroughputArgs,
    env: &Environment,
    output: &mut Output<'_>,
) -> Result<Exit, Fatal> {
    let input = Input::Generator(Sample {
        seed: args.seed,
        deliveries: Some(args.deliveries),
        users: args.users,
        rate: args.rate,
    });
    let mut request = request(common, &args.job, env, input)?;
    let own_stores = set_apart(&mut request, args.null_sinks)?;
    let report = match &args.json {
        Some(path) => path.clone(),
        None => request.plan.store_dir.join("report.json"),
    };
    let load = load_of(&request, args.rate);
    let mut summary = run(request)?;
    drop(own_stores);
    summary.load = Some(load);
    files::write(&report, &summary.to_json())?;
    let saved = report.display().to_string();
    summary
        .results
        .insert(0, SummaryEntry::new(saved, "this report, as JSON"));
    if args.job.demo.summary == SummaryFormat::Text {
        output.print(&format!("{}\n", summary.throughput_table()))?;
    }
    finish(&summary, args.job.demo.summary, output)
}

/// A measured load goes to a store of its own, which is new each time: among data that matter it would disturb them, and
/// what is known already is no load.
fn set_apart(request: &mut JobRequest, null_sinks: bool) -> Result<Option<OwnStores>, Fatal> {
    let plan = &mut request.plan;
    plan.store_dir = plan.store_dir.join("throughput");
    if null_sinks {
        request.sinks = SinkMode::Null;
        return Ok(None);
    }
    request.fresh = plan.state_store == StateKind::Sqlite;
    OwnStores::make(plan).map(Some)
}

/// Refuses a job over files that cannot be read, before it does anything.
fn check_files(request: &JobRequest) -> Result<(), Fatal> {
    let mut errors = Vec::new();
    if let Input::Files { paths, provider } = &request.input {
        let specs: Vec<String> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let inputs = inputs::expand(&specs, provider.is_some());
        errors.extend(
            inputs
                .iter()
                .filter_map(|input| files::check_input(input).err()),
        );
    }
    let snapshot = &request.snapshot;
    let tables = snapshot.recipients.iter().chain(&snapshot.batches);
    let tables = tables.chain(&snapshot.late);
    errors.extend(tables.filter_map(|path| files::check(path).err()));
    if errors.is_empty() {
        return Ok(());
    }
    let message = format!("{}; nothing was done", errors.join("\n"));
    Err(Fatal::new(Exit::Input, message))
}

fn load_of(request: &JobRequest, rate: Rate) -> LoadProfile {
    let plan = &request.plan;
    LoadProfile {
        deliveries_per_second: match rate {
            Rate::Max => None,
            Rate::PerSecond(rate) => Some(rate),
        },
        workers: plan.workers.get(),
        sinks: match request.sinks {
            SinkMode::Null => "nothing stored".to_owned(),
            _ => format!(
                "durable in {} and {}",
                plan.state_store.name(),
                plan.log_store.name()
            ),
        },
    }
}

fn run(request: JobRequest) -> Result<Summary, Fatal> {
    runtime::run(request)
}

fn request(
    common: &Common,
    args: &JobArgs,
    env: &Environment,
    input: Input,
) -> Result<JobRequest, Fatal> {
    let loaded = load(common, env, overrides(args))?;
    start_logs(&loaded.plan, env)?;
    for note in &loaded.notes {
        tracing::info!(name = note.name, value = note.value, "{}", note.effect);
    }
    let mut request = JobRequest::new(loaded.plan, input);
    request.name = args.name.clone();
    request.fresh = args.demo.fresh;
    request.quiet = args.demo.quiet;
    Ok(request)
}

/// Tests make several requests in one process, and logs can be started only once.
#[cfg(test)]
pub(super) fn start_logs(_plan: &Plan, _env: &Environment) -> Result<(), Fatal> {
    Ok(())
}

#[cfg(not(test))]
pub(super) fn start_logs(plan: &Plan, env: &Environment) -> Result<(), Fatal> {
    logs::start(&plan.logs, env.get("RUST_LOG").map(String::as_str))
}

fn overrides(args: &JobArgs) -> Vec<Override> {
    let workers = args.demo.workers.as_ref();
    let metrics = args.metrics.as_ref();
    let flags = [
        ("--workers", "job.workers", workers),
        ("--metrics", "metrics.listen", metrics),
        ("--max-outage", "job.max_outage", args.max_outage.as_ref()),
    ];
    flags
        .into_iter()
        .filter_map(|(flag, path, value)| {
            let value = value?.clone();
            Some(Override { flag, path, value })
        })
        .collect()
}

fn provider(name: &str) -> Provider {
    Provider::new(name.to_ascii_lowercase())
}

fn snapshot(args: &SnapshotArgs) -> SnapshotFiles {
    SnapshotFiles {
        recipients: args.snapshot.clone(),
        batches: args.batches.clone(),
        late: args.late_snapshot.clone(),
    }
}

fn range(args: &ReplayArgs) -> Result<TimeRange, Fatal> {
    match (args.from, args.to) {
        (Some(from), Some(to)) if from >= to => Err(Fatal::new(
            Exit::Usage,
            format!("--from {from} is not before --to {to}: no event lies between them"),
        )),
        (from, to) => Ok(TimeRange { from, to }),
    }
}

fn finish(
    summary: &Summary,
    format: SummaryFormat,
    output: &mut Output<'_>,
) -> Result<Exit, Fatal> {
    match format {
        SummaryFormat::Text => output.print(&summary.render())?,
        SummaryFormat::Json => output.print(&format!("{}\n", summary.to_json()))?,
    }
    Ok(exit_of(summary))
}

/// Dead letters alone are a failure, and so is an input that could not be read to its end.
pub(super) const fn exit_of(summary: &Summary) -> Exit {
    let good = summary.events + summary.control;
    let unreadable = !summary.unreadable.is_empty();
    if unreadable || (good == 0 && summary.dead_letters > 0) {
        Exit::Input
    } else {
        Exit::Done
    }
}
