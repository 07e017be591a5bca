//! The commands that read stores: a question to the [`backend`], its rows to a table.

use serde_json::Value;

use super::args::{
    BatchesArgs, Common, DlqCommand, EventsArgs, ListArgs, PruneArgs, RecipientArgs,
    UnmatchedCommand,
};
use super::environment::{Environment, load};
use super::output::Output;
use super::{backend, table};
use crate::config::Plan;
use crate::error::{Exit, Fatal};
use crate::observe::numbers::grouped;

/// (key of the row, title) of each list.
type Keys = &'static [(&'static str, &'static str)];

const EVENTS: Keys = &[
    ("occurred_at", "time"),
    ("received_at", "received"),
    ("provider", "provider"),
    ("user", "user"),
    ("kind", "kind"),
    ("batch_id", "batch"),
    ("recipient_id", "recipient"),
    ("message_id", "message"),
];
const RECIPIENT: Keys = &[
    ("user", "user"),
    ("batch_id", "batch"),
    ("recipient_id", "recipient"),
    ("status", "status"),
    ("flags", "flags"),
];
const HISTORY: Keys = &[
    ("occurred_at", "time"),
    ("received_at", "received"),
    ("kind", "kind"),
    ("bounce_class", "bounce"),
    ("machine", "machine"),
    ("provider", "provider"),
    ("message_id", "message"),
];
const BATCHES: Keys = &[
    ("user", "user"),
    ("batch_id", "batch"),
    ("total", "total"),
    ("finished", "finished"),
    ("unique.delivered", "delivered"),
    ("unique.opened", "opened"),
    ("unique.clicked", "clicked"),
    ("unique.bounced_hard", "hard"),
    ("unique.bounced_soft", "soft"),
    ("unique.complained", "complained"),
    ("unique.unsubscribed", "unsubscribed"),
    ("completed_at", "completed"),
    ("cause", "cause"),
];
const COMPLETIONS: Keys = &[
    ("user", "user"),
    ("batch_id", "batch"),
    ("generation", "generation"),
    ("cause", "cause"),
    ("completed_at", "completed"),
    ("delivered_at", "delivered"),
];
const UNMATCHED: Keys = &[
    ("parked_at", "parked"),
    ("provider", "provider"),
    ("user", "user"),
    ("kind", "kind"),
    ("message_id", "message"),
    ("occurred_at", "time"),
    ("attempts", "copies"),
    ("delivery", "delivery"),
];
const DEAD_LETTERS: Keys = &[
    ("id", "id"),
    ("stage", "stage"),
    ("reason_code", "reason"),
    ("provider", "provider"),
    ("user", "user"),
    ("attempts", "copies"),
    ("last_seen", "last seen"),
    ("delivery", "delivery"),
    ("reason", "why"),
];

type ShowResult = Result<Exit, Fatal>;

/// `events`.
pub fn events(
    common: &Common,
    what: &EventsArgs,
    env: &Environment,
    output: &mut Output<'_>,
) -> ShowResult {
    let rows = backend::events(&plan(common, env)?, what)?;
    list(EVENTS, &rows, &what.list, "no event is like that", output)
}

/// `recipient`.
pub fn recipient(
    common: &Common,
    what: &RecipientArgs,
    env: &Environment,
    output: &mut Output<'_>,
) -> ShowResult {
    let plan = plan(common, env)?;
    let mut rows = backend::recipient(&plan, &what.needle)?;
    narrow(&mut rows, &what.list);
    if what.list.json {
        for row in &mut rows {
            row["events"] = events_of(&plan, row, &what.list)?.into();
        }
    }
    let none = "no recipient has that address, message id or recipient id";
    let shown = list(RECIPIENT, &rows, &what.list, none, output)?;
    if !what.list.json {
        for row in &rows {
            let events = events_of(&plan, row, &what.list)?;
            output.print(&format!("\n{}\n", title(row)))?;
            list(
                HISTORY,
                &events,
                &what.list,
                "no event is logged yet",
                output,
            )?;
        }
    }
    Ok(shown)
}

/// The history of a recipient, the earliest event first.
fn events_of(plan: &Plan, row: &Value, what: &ListArgs) -> Result<Vec<Value>, Fatal> {
    let limit = usize::try_from(what.limit).unwrap_or(usize::MAX);
    backend::recipient_events(plan, row, limit)
}

/// What stands above the events of a recipient. Ids come from outside, so they are shown like cells of a table.
fn title(row: &Value) -> String {
    let text = |key: &str| table::cell(&row[key]);
    let (user, recipient) = (text("user"), text("recipient_id"));
    match row["batch_id"].as_str() {
        Some("") | None => format!("events of {recipient} ({user}, no batch)"),
        Some(_) => format!("events of {recipient} ({user}, batch {})", text("batch_id")),
    }
}

/// `batches`.
pub fn batches(
    common: &Common,
    what: &BatchesArgs,
    env: &Environment,
    output: &mut Output<'_>,
) -> ShowResult {
    let mut rows = backend::batches(&plan(common, env)?)?;
    rows.retain(|row| !what.open || row["completed_at"].is_null());
    narrow(&mut rows, &what.list);
    list(BATCHES, &rows, &what.list, "there is no such batch", output)
}

/// `completions`.
pub fn completions(
    common: &Common,
    what: &ListArgs,
    env: &Environment,
    output: &mut Output<'_>,
) -> ShowResult {
    let mut rows = backend::completions(&plan(common, env)?)?;
    narrow(&mut rows, what);
    list(COMPLETIONS, &rows, what, "no batch is complete", output)
}

/// `unmatched list`.
pub fn unmatched(
    common: &Common,
    what: &UnmatchedCommand,
    env: &Environment,
    output: &mut Output<'_>,
) -> ShowResult {
    let UnmatchedCommand::List(what) = what;
    let limit = limit_before(what, what.user.is_some());
    let mut rows = backend::unmatched(&plan(common, env)?, limit)?;
    narrow(&mut rows, what);
    list(UNMATCHED, &rows, what, "no event is parked", output)
}

/// `dlq`.
pub fn dead_letters(
    common: &Common,
    what: &DlqCommand,
    env: &Environment,
    output: &mut Output<'_>,
) -> ShowResult {
    let plan = plan(common, env)?;
    match what {
        DlqCommand::List { list: what, reason } => {
            let limit = limit_before(what, what.user.is_some() || reason.is_some());
            let mut rows = backend::dead_letters(&plan, limit)?;
            rows.retain(|row| {
                reason
                    .as_deref()
                    .is_none_or(|code| row["reason_code"] == code)
            });
            narrow(&mut rows, what);
            list(
                DEAD_LETTERS,
                &rows,
                what,
                "there are no dead letters",
                output,
            )
        }
        DlqCommand::Show { id, json } => match backend::dead_letter(&plan, id)? {
            Some(row) if *json => print(&format!("{row:#}\n"), output),
            Some(row) => print(&table::record(&row), output),
            None => {
                let message =
                    format!("there is no dead letter {id}; `hookflow dlq list` shows them");
                Err(Fatal::new(Exit::Input, message))
            }
        },
    }
}

/// `prune`.
pub fn prune(
    common: &Common,
    what: &PruneArgs,
    env: &Environment,
    output: &mut Output<'_>,
) -> ShowResult {
    let forgotten = backend::prune(&plan(common, env)?, what)?;
    let text = format!("{} ledger entries forgotten\n", grouped(forgotten));
    print(&text, output)
}

fn plan(common: &Common, env: &Environment) -> Result<Plan, Fatal> {
    Ok(load(common, env, Vec::new())?.plan)
}

/// What to ask a store for: everything, where a filter comes after it.
const fn limit_before(what: &ListArgs, filtered: bool) -> u64 {
    if filtered { u64::MAX } else { what.limit }
}

/// Keeps the rows of the tenant asked for, up to the limit.
fn narrow(rows: &mut Vec<Value>, what: &ListArgs) {
    rows.retain(|row| what.user.as_deref().is_none_or(|user| row["user"] == user));
    rows.truncate(usize::try_from(what.limit).unwrap_or(usize::MAX));
}

fn list(
    keys: Keys,
    rows: &[Value],
    what: &ListArgs,
    none: &str,
    output: &mut Output<'_>,
) -> ShowResult {
    if what.json {
        return print(&table::json_lines(rows), output);
    }
    if rows.is_empty() {
        output.say(none);
        return Ok(Exit::Done);
    }
    let answer = print(&table::render(&table::columns(keys), rows), output);
    if u64::try_from(rows.len()).is_ok_and(|shown| shown >= what.limit) {
        output.say(&format!(
            "the first {} are shown; --limit shows more",
            grouped(what.limit)
        ));
    }
    answer
}

fn print(text: &str, output: &mut Output<'_>) -> ShowResult {
    output.print(text)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_are_narrowed_to_the_tenant_and_the_limit() {
        let mut rows: Vec<Value> = (0..9)
            .map(|n| json!({ "user": format!("u{}", n % 2) }))
            .collect();
        let mut what = ListArgs {
            user: Some("u1".into()),
            limit: 3,
            json: false,
        };
        assert_eq!(limit_before(&what, true), u64::MAX);
        narrow(&mut rows, &what);
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|row| row["user"] == "u1"));
        what.user = None;
        what.limit = 1;
        narrow(&mut rows, &what);
        assert_eq!(rows.len(), 1);
    }
}
