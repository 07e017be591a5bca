//! What the members left against what the embedded job made of the same deliveries.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use hookflow::event::Millis;
use hookflow::log::LoggedEvent;
use hookflow::state::view::Export;

/// By state row: the kinds of its events that bear no time of their own. Any copy's time of receipt is right for those.
type Timeless = BTreeMap<[String; 3], BTreeSet<String>>;

fn timeless(log: &[LoggedEvent]) -> Timeless {
    let mut timeless = Timeless::new();
    for event in log.iter().filter(|event| event.occurred_at.is_none()) {
        let row = [&event.user, &event.batch_id, &event.recipient_id];
        let kinds = timeless.entry(row.map(|text| text.to_string()));
        kinds.or_default().insert(event.kind.to_string());
    }
    timeless
}

/// Without the moments of this run and the times that may be any copy's; what else differs is wrong.
fn comparable(export: &Export, timeless: &Timeless) -> Export {
    let mut export = export.clone().comparable();
    for row in &mut export.recipients {
        let name = [&row.user, &row.batch_id, &row.recipient_id].map(Clone::clone);
        let Some(kinds) = timeless.get(&name) else {
            continue;
        };
        for (flag, span) in &mut row.flags {
            // The flags of a kind bear its name: bounced_soft, machine_opened.
            if kinds.iter().any(|kind| flag.contains(kind.as_str())) {
                (span.first, span.last) = (Millis(0), Millis(0));
            }
        }
    }
    for batch in &mut export.batches {
        batch.sealed_at = batch.sealed_at.map(|_| Millis(0));
    }
    export
}

/// One line an event, without what copies of it may differ in.
fn lines(events: &[LoggedEvent]) -> Vec<String> {
    let line = |event: &LoggedEvent| {
        let mut event = event.clone();
        event.received_at = Millis(0);
        format!("{event:?}")
    };
    let mut lines: Vec<String> = events.iter().map(line).collect();
    lines.sort();
    lines
}

fn texts(rows: &[impl Debug]) -> Vec<String> {
    rows.iter().map(|row| format!("{row:?}")).collect()
}

fn same(what: &str, served: &[String], embedded: &[String]) {
    let pairs = served.iter().zip(embedded);
    let different: Vec<_> = pairs.filter(|(a, b)| a != b).collect();
    let first = different.first();
    assert_eq!(first, None, "{what}: {} differ", different.len());
    assert_eq!(served.len(), embedded.len(), "{what}");
}

/// State and log are those of the embedded job.
pub fn equal(served: (&Export, &[LoggedEvent]), embedded: (&Export, &[LoggedEvent])) {
    let timeless = timeless(embedded.1);
    let [mine, theirs] = [served.0, embedded.0].map(|export| comparable(export, &timeless));
    same(
        "recipients",
        &texts(&mine.recipients),
        &texts(&theirs.recipients),
    );
    same("batches", &texts(&mine.batches), &texts(&theirs.batches));
    same("log", &lines(served.1), &lines(embedded.1));
}
