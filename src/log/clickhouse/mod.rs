//! The event log in ClickHouse: one table, idempotent by identity for ever.
//!
//! Contract, beyond that of [`EventLog`]:
//!
//! * **Idempotent by key.** The table is a `ReplacingMergeTree` whose sorting key and partition are made of fields that no copy
//!   of an event can differ in; readers take the row of the highest precedence (`FINAL`, or the view `<table>_exact`).
//! * **Durable.** An append returns when the server has synced the part and its folder (`fsync_after_insert`,
//!   `fsync_part_directory`), which is asked for by the table and checked at the start.
//! * **Retries are inserted again**, each with a deduplication token of its own: a server that dies between noting a token and
//!   making its part visible would take a retry with that token for a copy, and lose the rows. The key makes repeats harmless.
//! * **ClickHouseConfig are not trusted**: what matters is set with each query (`async_insert = 0` above all).
//! * One insert touches at most [`PARTITIONS_MAX`] partitions, however far apart the times of its events are.
//!
//! The order (user, hour, provider, kind, identity) serves what is asked most, a tenant's events of a time, and
//! keeps neighbours alike, which compresses. A call that is cut off by its deadline may have been carried out; the writer
//! repeats it with the same rows.

mod client;
mod connect;
mod encode;
mod insert;
mod pace;
mod query;
mod schema;
mod settings;

use std::time::{Duration, Instant};

pub use insert::PARTITIONS_MAX;
pub use query::events;
pub use schema::{drop_table, migrate, probe};
pub use settings::{ClickHouseConfig, is_name};

use self::client::Blocking;
use super::pace::LogPace;
use super::{EventLog, LogRow};
use crate::clickhouse::class::sink_error;
use crate::error::{Class, Fatal, SinkError};
use crate::failpoint::{self, Failpoint};

/// How often the server is asked for its parts.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long it may take to answer that: rows that are durable wait for it.
const POLL_MAX: Duration = Duration::from_millis(500);

/// The log in a table.
pub struct ClickHouseLog {
    client: Blocking,
    settings: ClickHouseConfig,
    pace: LogPace,
    parts_polled: Option<Instant>,
    checked: bool,
}

impl ClickHouseLog {
    /// Opens the log. A server that cannot be reached is not an error yet: appends will say so until it can be.
    pub fn open(settings: ClickHouseConfig) -> Result<Self, Fatal> {
        let client = Blocking::new(&settings)?;
        let reached = failpoint::run(Failpoint::LogConnect, || schema::check(&client, &settings))?;
        if let Err(error) = &reached {
            tracing::warn!(%error, "the event log cannot be reached yet");
        }
        Ok(Self {
            client,
            settings,
            pace: LogPace::default(),
            parts_polled: None,
            checked: reached.is_ok(),
        })
    }

    /// A server that could not be reached at the start is checked before the first append.
    fn check(&mut self) -> Result<(), SinkError> {
        if self.checked {
            return Ok(());
        }
        match schema::check(&self.client, &self.settings) {
            Ok(reached) => reached?,
            Err(fatal) => return Err(SinkError::new("clickhouse", Class::Bug, fatal.message)),
        }
        self.checked = true;
        Ok(())
    }

    /// Asks for the number of parts now and then; a failure only leaves the pace as it was.
    fn poll_parts(&mut self) {
        if self
            .parts_polled
            .is_some_and(|polled| polled.elapsed() < POLL_INTERVAL)
        {
            return;
        }
        self.parts_polled = Some(Instant::now());
        let sql = format!(
            "SELECT sum(parts), sum(parts - least(parts, {})) FROM (SELECT count() AS parts FROM system.parts \
             WHERE database = '{}' AND table = '{}' AND active GROUP BY partition_id)",
            pace::SETTLED,
            self.settings.database,
            self.settings.table
        );
        let query = self.client.client.query_raw(&sql);
        let counts = query.fetch_one::<(u64, u64)>();
        if let Ok((parts, unsettled)) = self.client.call_within(POLL_MAX, counts) {
            let wait = pace::wait_min(unsettled, self.settings.parts_max);
            self.pace.set(wait, parts);
        }
    }
}

impl EventLog for ClickHouseLog {
    fn append(&mut self, rows: &[LogRow]) -> Result<(), SinkError> {
        self.check()?;
        let until = Instant::now() + self.settings.call_timeout;
        for group in insert::groups(rows) {
            let left = until.saturating_duration_since(Instant::now());
            failpoint::run(Failpoint::LogInsert, || {
                insert::insert(&self.client, &self.settings, &group, left)
            })
            .map_err(|error| sink_error(&error))?;
        }
        self.poll_parts();
        Ok(())
    }

    fn pace(&self) -> Option<LogPace> {
        Some(self.pace.clone())
    }
}
