//! `hookflow load`: recipients into the store, once, and what came of it.

use std::fmt::Write;

use super::args::{Common, LoadArgs};
use super::environment::{Environment, load as configure};
use super::files;
use super::output::Output;
use crate::error::{Exit, Fatal};
use crate::observe::numbers::grouped;
use crate::runtime::{self, LoadReport, LoadRequest};

/// Loads the files or the table, and prints the result.
pub fn load(
    common: &Common,
    args: &LoadArgs,
    env: &Environment,
    output: &mut Output<'_>,
) -> Result<Exit, Fatal> {
    let plan = configure(common, env, Vec::new())?.plan;
    let unreadable: Vec<String> = args
        .files
        .iter()
        .chain(&args.batches)
        .filter_map(|path| files::check(path).err())
        .collect();
    if !unreadable.is_empty() {
        let message = format!("{}; nothing was loaded", unreadable.join("\n"));
        return Err(Fatal::new(Exit::Input, message));
    }
    super::job::start_logs(&plan, env)?;
    let report = runtime::load(&LoadRequest {
        plan,
        recipients: args.files.clone(),
        batches: args.batches.clone(),
        whole: args.whole,
        quiet: args.quiet,
    })?;
    output.print(&text(&report))?;
    let nothing_good = report.accepted + report.known == 0 && report.bad > 0;
    Ok(if nothing_good {
        Exit::Input
    } else {
        Exit::Done
    })
}

/// Aligned lines; zeros are left out, except for what was accepted.
fn text(report: &LoadReport) -> String {
    let summary = report.summary;
    let lines = [
        ("accepted", report.accepted, "recipients are new"),
        ("known", report.known, "were there already"),
        (
            "refused",
            report.contradictions,
            "contradict one that was accepted before",
        ),
        ("bad", report.bad, "rows could not be read"),
        (
            "old",
            report.old,
            "were sent too long ago (recipients.age_max)",
        ),
        ("sealed", summary.sealed, "batches"),
        ("completed", summary.completed, "batches"),
        (
            "too small",
            summary.total_too_small,
            "batches have a given total below their number of recipients",
        ),
    ];
    let mut text = String::new();
    for (name, count, what) in lines {
        if count > 0 || name == "accepted" {
            writeln!(text, "{name:<10} {:>12}  {what}", grouped(count)).unwrap_or_default();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_occur_is_left_out() {
        let report = LoadReport {
            bad: 1_200,
            ..LoadReport::default()
        };
        let text = text(&report);
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.contains("bad               1,200  rows could not be read"),
            "{text}"
        );
    }
}
