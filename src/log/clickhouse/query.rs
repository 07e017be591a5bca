//! Reading the log: the exact view, filtered.
//!
//! The view is exact because `FINAL` takes the best row of each identity before anything is filtered. Two things keep it
//! cheap. Where a filter is about few rows in unknown places, they are searched for without `FINAL` first, and the view is made
//! of their users and hours only. And where there is a limit, the events are chosen by their keys, so that whole rows are read
//! of those alone.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;

use super::client::{Blocking, refused};
use super::settings::ClickHouseConfig;
use crate::error::Fatal;
use crate::event::Millis;
use crate::key::Identity;
use crate::log::{EventFilter, LoggedEvent};

/// How long a query may take: people can end it sooner.
const QUERY_MAX: Duration = Duration::from_secs(600);

/// What makes a row's place in the table, and in the end its event.
const KEY: &str = "user, bucket, provider, kind, identity";

const ORDER: &str = "ORDER BY ifNull(occurred_at, received_at), identity";

/// In the order of the fields of [`EventRow`].
const COLUMNS: &str = "identity, version, provider, user, kind, bounce_class, machine, message_id, event_key, recipient, \
                       occurred_at, received_at, batch_id, recipient_id, raw";

#[derive(Row, Deserialize)]
struct EventRow {
    identity: [u8; 16],
    version: u8,
    provider: String,
    user: String,
    kind: String,
    bounce_class: Option<String>,
    machine: bool,
    message_id: String,
    event_key: String,
    recipient: Option<String>,
    occurred_at: Option<i64>,
    received_at: i64,
    batch_id: String,
    recipient_id: String,
    /// Bytes as the provider sent them; they need not be text.
    raw: Option<Vec<u8>>,
}

impl From<EventRow> for LoggedEvent {
    fn from(found: EventRow) -> Self {
        Self {
            identity: Identity::from_bytes(found.identity),
            version: i32::from(found.version),
            provider: found.provider.into(),
            user: found.user.into(),
            kind: found.kind.into(),
            bounce_class: found.bounce_class.map(Into::into),
            machine: found.machine,
            message_id: found.message_id.into(),
            event_key: found.event_key.into(),
            recipient: found.recipient.map(Into::into),
            occurred_at: found.occurred_at.map(Millis),
            received_at: Millis(found.received_at),
            batch_id: found.batch_id.into(),
            recipient_id: found.recipient_id.into(),
            raw: found.raw,
        }
    }
}

/// The events that match, ordered by time (then identity), each once, at its highest version.
pub fn events(
    settings: &ClickHouseConfig,
    filter: &EventFilter,
) -> Result<Vec<LoggedEvent>, Fatal> {
    let client = Blocking::new(settings)?.within(QUERY_MAX);
    let table = format!("{}.{}", settings.database, settings.table);
    let (sql, texts) = statement(&table, filter);
    let query = texts.iter().fold(client.client.query(&sql), |query, text| {
        query.bind(text.as_str())
    });
    match client.call(query.fetch_all::<EventRow>()) {
        Ok(found) => Ok(found.into_iter().map(Into::into).collect()),
        Err(error) => Err(refused(&error)?.into()),
    }
}

/// The statement, and the texts for its question marks.
fn statement(table: &str, filter: &EventFilter) -> (String, Vec<String>) {
    let (conditions, mut texts) = conditions(filter);
    let mut matching = format!("FROM {table} FINAL WHERE {conditions}");
    let few_anywhere =
        filter.message_id.is_some() || filter.recipient.is_some() || filter.batch.is_some();
    if few_anywhere {
        matching.push_str(&format!(
            " AND (user, bucket) IN (SELECT DISTINCT user, bucket FROM {table} WHERE {conditions})"
        ));
        texts.extend_from_within(..);
    }
    let sql = match filter.limit {
        None => format!("SELECT {COLUMNS} {matching} {ORDER}"),
        Some(limit) => format!(
            "SELECT {COLUMNS} FROM {table} FINAL WHERE ({KEY}) IN (SELECT {KEY} {matching} {ORDER} LIMIT {limit}) {ORDER}"
        ),
    };
    (sql, texts)
}

/// What must hold of a row, and the texts for the question marks.
fn conditions(filter: &EventFilter) -> (String, Vec<String>) {
    let mut parts = vec!["1".to_owned()];
    let mut texts = Vec::new();
    let kind = filter.kind.map(|kind| kind.name().to_owned());
    for (column, wanted) in [
        ("user", &filter.user),
        ("batch_id", &filter.batch),
        ("message_id", &filter.message_id),
        ("provider", &filter.provider),
        ("kind", &kind),
    ] {
        if let Some(wanted) = wanted {
            parts.push(format!("{column} = ?"));
            texts.push(wanted.clone());
        }
    }
    if let Some(wanted) = &filter.recipient {
        parts.push("(recipient_id = ? OR lower(ifNull(recipient, '')) = ?)".to_owned());
        texts.extend([wanted.clone(), wanted.to_ascii_lowercase()]);
    }
    for (sign, bound) in [(">=", filter.from), ("<", filter.to)] {
        if let Some(bound) = bound {
            let time = "toUnixTimestamp64Milli(ifNull(occurred_at, received_at))";
            // Says nothing new, but the server finds rows by it: a bucket is the hour of the time, or 0.
            let hour = bound.0.div_euclid(3_600_000);
            let near = sign.trim_end_matches('=');
            parts.push(format!(
                "{time} {sign} {} AND (bucket = 0 OR bucket {near}= {hour})",
                bound.0
            ));
        }
    }
    (parts.join(" AND "), texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_mark_has_its_text() {
        let filter = EventFilter {
            user: Some("acme".into()),
            message_id: Some("m-1".into()),
            recipient: Some("Ada@example.org".into()),
            limit: Some(5),
            ..EventFilter::default()
        };
        let (sql, texts) = statement("d.events", &filter);
        assert_eq!(sql.matches('?').count(), texts.len());
        let once = ["acme", "m-1", "Ada@example.org", "ada@example.org"];
        assert_eq!(texts, [once, once].concat());
    }

    #[test]
    fn a_time_is_also_a_range_of_hours() {
        let filter = EventFilter {
            from: Some(Millis(7_200_001)),
            to: Some(Millis(10_800_000)),
            ..EventFilter::default()
        };
        let (conditions, texts) = conditions(&filter);
        assert!(texts.is_empty());
        assert!(conditions.contains(">= 7200001 AND (bucket = 0 OR bucket >= 2)"));
        assert!(conditions.contains("< 10800000 AND (bucket = 0 OR bucket <= 3)"));
    }
}
