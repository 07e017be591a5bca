//! Destructive options name what they delete. At a terminal they also need `--yes`.

use std::io::IsTerminal;

use super::args::PruneArgs;
use super::output::Output;
use crate::config::{LogKind, StateKind};
use crate::error::{Exit, Fatal};
use crate::runtime::{self, JobRequest};

/// Whether somebody can read a refusal and type the command again.
fn is_interactive() -> bool {
    std::io::stdin().is_terminal()
}

/// `--fresh`: names the files that will be deleted. The store that holds nothing but the sample needs no `--yes`.
pub fn fresh(request: &JobRequest, yes: bool, output: &mut Output<'_>) -> Result<(), Fatal> {
    let dir = &request.plan.store_dir;
    let is_embedded = request.plan.state_store == StateKind::Sqlite;
    let contents = runtime::store_contents(dir);
    if !request.fresh || !is_embedded || contents.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = contents
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let mut what = format!("--fresh deletes {}", names.join(", "));
    if request.plan.log_store == LogKind::ClickHouse {
        what.push_str("; the event log in ClickHouse stays");
    }
    let is_confirmed = yes || runtime::holds_only_sample(dir) || !is_interactive();
    decide(&what, is_confirmed, output)
}

/// `prune`: names what will be forgotten.
pub fn prune(args: &PruneArgs, output: &mut Output<'_>) -> Result<(), Fatal> {
    let parts = [
        (args.before, "events that happened"),
        (
            args.no_time_before,
            "events without a time that were stored",
        ),
    ];
    let named: Vec<String> = parts
        .iter()
        .filter_map(|(time, what)| Some(format!("{what} before {}", (*time)?)))
        .collect();
    let what = format!(
        "prune deletes the ledger entries of {}: later copies of these events raise no totals",
        named.join(" and of ")
    );
    decide(&what, args.yes || !is_interactive(), output)
}

fn decide(what: &str, is_confirmed: bool, output: &mut Output<'_>) -> Result<(), Fatal> {
    if is_confirmed {
        output.say(what);
        return Ok(());
    }
    let message = format!("{what}. Nothing was done: add --yes to confirm");
    Err(Fatal::new(Exit::Usage, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(is_confirmed: bool) -> (Result<(), Fatal>, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output {
            out: &mut out,
            err: &mut err,
        };
        let result = decide("--fresh deletes a/state.db", is_confirmed, &mut output);
        (result, String::from_utf8(err).unwrap())
    }

    #[test]
    fn deletion_is_named_and_refused_until_confirmed() {
        let (result, _) = decided(false);
        let fatal = result.unwrap_err();
        assert_eq!(fatal.exit, Exit::Usage);
        assert!(fatal.message.contains("a/state.db"), "{fatal:?}");
        assert!(fatal.message.contains("--yes"), "{fatal:?}");
        let (result, said) = decided(true);
        assert!(result.is_ok());
        assert!(said.contains("a/state.db"), "{said}");
    }
}
