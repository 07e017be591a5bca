//! Queries over the Parquet log against a plain loop over the exact view.

use crate::memory_log::{LoggedRows, MemoryLog, exact_view};
use hookflow::event::{Kind, Millis};
use hookflow::log::parquet::{ParquetLog, events};
use hookflow::log::{EventFilter, LoggedEvent};
use hookflow::log::{EventLog, LogRow, Version};
use proptest::prelude::*;

use super::conformance::seen;
use super::rows::{DAY, received, row, rows};

fn naive(rows: &LoggedRows, filter: &EventFilter) -> Vec<LoggedEvent> {
    let mut found: Vec<LoggedEvent> = exact_view(rows).iter().map(seen).collect();
    found.retain(|event| matches(filter, event));
    found.sort_by_key(|event| (event.time(), event.identity));
    found.truncate(filter.limit.unwrap_or(usize::MAX));
    found
}

fn matches(filter: &EventFilter, event: &LoggedEvent) -> bool {
    let is =
        |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|text| text == found);
    let address = event.recipient.as_deref().unwrap_or_default();
    is(&filter.user, &event.user)
        && is(&filter.batch, &event.batch_id)
        && is(&filter.message_id, &event.message_id)
        && is(&filter.provider, &event.provider)
        && filter.kind.is_none_or(|kind| kind.name() == event.kind)
        && filter.recipient.as_ref().is_none_or(|wanted| {
            *wanted == event.recipient_id || wanted.eq_ignore_ascii_case(address)
        })
        && filter.from.is_none_or(|from| event.time() >= from)
        && filter.to.is_none_or(|to| event.time() < to)
}

fn some_row() -> impl Strategy<Value = LogRow> {
    (0u64..60, any::<bool>(), 0i64..100_000_000).prop_map(|(n, matched, at)| {
        let version = if matched {
            Version::Matched
        } else {
            Version::Unmatched
        };
        received(n, version, DAY + at)
    })
}

fn maybe(values: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    proptest::option::weighted(
        0.25,
        proptest::sample::select(values).prop_map(str::to_owned),
    )
}

prop_compose! {
    fn some_filter()(
        user in maybe(&["user-0", "user-1", "nobody"]),
        batch in maybe(&["b-0", "b-1", ""]),
        recipient in maybe(&["r-3", "person4@EXAMPLE.com", "PERSON9@example.com"]),
        message_id in maybe(&["m-3", "m-11"]),
        provider in maybe(&["ses", "sendgrid"]),
        kind in proptest::option::weighted(0.2, proptest::sample::select(&Kind::ALL[..])),
        from in proptest::option::weighted(0.3, DAY..DAY + 100_000_000),
        to in proptest::option::weighted(0.3, DAY..DAY + 100_000_000),
        limit in proptest::option::of(0usize..30),
    ) -> EventFilter {
        let (from, to) = (from.map(Millis), to.map(Millis));
        EventFilter { user, batch, recipient, message_id, kind, provider, from, to, limit }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_query_answers_like_a_plain_loop(
        appends in proptest::collection::vec(proptest::collection::vec(some_row(), 0..40), 0..8),
        filters in proptest::collection::vec(some_filter(), 8),
        compact in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut files = ParquetLog::open(dir.path()).unwrap();
        let shared = LoggedRows::default();
        let mut memory = MemoryLog::open(LoggedRows::clone(&shared));
        for rows in &appends {
            files.append(rows).unwrap();
            memory.append(rows).unwrap();
        }
        if compact {
            files.compact().unwrap();
        }
        for filter in &filters {
            prop_assert_eq!(events(dir.path(), filter).unwrap(), naive(&shared, filter));
        }
    }
}

#[test]
fn a_superseded_row_does_not_answer() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ParquetLog::open(dir.path()).unwrap();
    log.append(&rows(0, 50, Version::Unmatched)).unwrap();
    log.append(&rows(0, 49, Version::Matched)).unwrap();
    let unmatched = EventFilter {
        batch: Some(String::new()),
        limit: Some(3),
        ..EventFilter::default()
    };
    let found = events(dir.path(), &unmatched).unwrap();
    assert_eq!(found, [seen(&row(49, Version::Unmatched))]);
}

#[test]
fn chunks_beyond_the_first_are_read_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = ParquetLog::open(dir.path()).unwrap();
    log.append(&rows(0, 30_000, Version::Matched)).unwrap();
    let filter = EventFilter {
        message_id: Some("m-13".to_owned()),
        ..EventFilter::default()
    };
    assert_eq!(events(dir.path(), &filter).unwrap().len(), 1_500);
    let shared = LoggedRows::default();
    MemoryLog::open(LoggedRows::clone(&shared))
        .append(&[row(29_999, Version::Matched)])
        .unwrap();
    let last = exact_view(&shared).iter().map(seen).next().unwrap();
    let filter = EventFilter {
        from: Some(last.time()),
        user: Some("user-2".to_owned()),
        ..EventFilter::default()
    };
    assert!(events(dir.path(), &filter).unwrap().contains(&last));
}

#[test]
fn events_are_printed_as_json_for_people() {
    let event = seen(&row(3, Version::Matched));
    let json = serde_json::to_value(&event).unwrap();
    assert_eq!(json["identity"], event.identity.to_string());
    assert_eq!(json["occurred_at"], "2026-03-02T00:00:23.757Z");
    assert_eq!(json["kind"], "opened");
    assert!(json.get("raw").is_none());
}
