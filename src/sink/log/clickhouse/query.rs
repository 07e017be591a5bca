//! Reading the log: the exact view, filtered.

use clickhouse::Row;
use serde::Deserialize;

use super::client::{Blocking, refused};
use super::settings::Settings;
use crate::error::Fatal;
use crate::event::Millis;
use crate::key::Identity;
use crate::sink::log::{Filter, LoggedEvent};

#[derive(Row, Deserialize)]
struct Found {
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
    raw: Option<String>,
}

impl From<Found> for LoggedEvent {
    fn from(found: Found) -> Self {
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
            raw: found.raw.map(String::into_bytes),
        }
    }
}

/// The events that match, ordered by time (then identity), each once, at its highest version.
pub fn events(settings: &Settings, filter: &Filter) -> Result<Vec<LoggedEvent>, Fatal> {
    let client = Blocking::new(settings)?;
    let (conditions, texts) = conditions(filter);
    let limit = filter
        .limit
        .map_or_else(String::new, |limit| format!("LIMIT {limit}"));
    let sql = format!(
        "SELECT identity, version, provider, user, kind, bounce_class, machine, message_id, event_key, recipient, \
         occurred_at, received_at, batch_id, recipient_id, raw FROM {}.{} FINAL WHERE {conditions} \
         ORDER BY ifNull(occurred_at, received_at), identity {limit}",
        settings.database, settings.table
    );
    let query = texts.iter().fold(client.client.query(&sql), |query, text| {
        query.bind(text.as_str())
    });
    match client.call(query.fetch_all::<Found>()) {
        Ok(found) => Ok(found.into_iter().map(Into::into).collect()),
        Err(error) => Err(refused(&error)?.into()),
    }
}

/// The `WHERE` clause, and the texts for its question marks.
fn conditions(filter: &Filter) -> (String, Vec<String>) {
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
            parts.push(format!("{time} {sign} {}", bound.0));
        }
    }
    (parts.join(" AND "), texts)
}
