//! The event log in ClickHouse: one table, idempotent by identity for ever.
//!
//! Contract, beyond that of [`EventLog`]:
//!
//! * **Idempotent by key.** The table is a `ReplacingMergeTree` whose sorting key and partition are made of fields that no copy
//!   of an event can differ in; readers take the row of the highest precedence (`FINAL`, or the view `<table>_exact`).
//! * **Durable.** An append returns when the server has synced the part and its folder (`fsync_after_insert`,
//!   `fsync_part_directory`), which is asked for by the table and checked at the start.
//! * **Retries are recognised** while this process lives: an insert bears a token made of what it holds. That only saves
//!   work; the key is what makes repeats harmless.
//! * **Settings are not trusted**: what matters is set with each query (`async_insert = 0` above all).
//! * One insert touches at most [`PARTITIONS_MAX`] partitions, however far apart the times of its events are.
//!
//! The order (user, hour, provider, kind, identity) serves what is asked most, a tenant's events of a time, and
//! keeps neighbours alike, which compresses. A call that is cut off by its deadline may have been carried out; the writer
//! repeats it with the same rows.

mod client;
mod encode;
mod pace;
mod query;
mod schema;
mod settings;

use std::time::{Duration, Instant};

use bytes::Bytes;
use clickhouse::error::Error;

pub use query::events;
pub use schema::{migrate, probe};
pub use settings::{Settings, is_name};

use self::client::Blocking;
use super::pace::Pace;
use super::{EventLog, LogRow};
use crate::clickhouse::class::sink_error;
use crate::edge::{self, Point};
use crate::error::{Fatal, SinkError};

/// Partitions that one insert may touch; the server refuses an insert over more than 100.
pub const PARTITIONS_MAX: usize = 50;

/// Bytes handed to the client at once; also the size of a compressed block.
const CHUNK: usize = 256 << 10;

/// How often the server is asked for its parts.
const LOOK: Duration = Duration::from_secs(1);

/// The log in a table.
pub struct ClickHouseLog {
    client: Blocking,
    settings: Settings,
    /// Makes the tokens of this process differ from those of others.
    run: [u8; 16],
    pace: Pace,
    looked: Option<Instant>,
    checked: bool,
}

impl ClickHouseLog {
    /// Opens the log. A server that cannot be reached is not an error yet: appends will say so until it can be.
    pub fn open(settings: Settings) -> Result<Self, Fatal> {
        let client = Blocking::new(&settings)?;
        let reached = edge::pass(Point::LogConnect, || schema::check(&client, &settings))?;
        if let Err(error) = &reached {
            tracing::warn!(%error, "the event log cannot be reached yet");
        }
        Ok(Self {
            client,
            settings,
            run: rand::random(),
            pace: Pace::default(),
            looked: None,
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
            Err(fatal) => {
                let class = crate::error::Class::Bug;
                return Err(SinkError::new("clickhouse", class, fatal.message));
            }
        }
        self.checked = true;
        Ok(())
    }

    fn insert(&self, rows: &[&LogRow]) -> Result<(), Error> {
        let sql = format!(
            "INSERT INTO {}.{} ({}) FORMAT RowBinary",
            self.settings.database,
            self.settings.table,
            encode::COLUMNS
        );
        let deadline = self.settings.call_timeout;
        let mut insert = self
            .client
            .client
            .insert_formatted_with(sql)
            .with_timeouts(Some(deadline), Some(deadline))
            .with_setting("insert_deduplication_token", self.token(rows))
            .with_setting("insert_deduplicate", "1")
            .with_setting("async_insert", "0")
            .with_setting("wait_for_async_insert", "1")
            .with_setting("max_partitions_per_insert_block", "100")
            .with_setting("max_execution_time", deadline.as_secs().max(1).to_string());
        self.client.call(async {
            let mut buffer = Vec::with_capacity(CHUNK + 4_096);
            for row in rows {
                encode::row(row, &mut buffer);
                if buffer.len() >= CHUNK {
                    insert
                        .send(Bytes::from(std::mem::take(&mut buffer)))
                        .await?;
                    buffer.reserve(CHUNK + 4_096);
                }
            }
            if !buffer.is_empty() {
                insert.send(buffer.into()).await?;
            }
            insert.end().await
        })
    }

    /// The same for the same rows in this process, and for nothing else.
    fn token(&self, rows: &[&LogRow]) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(&self.run);
        for row in rows {
            hash.update(&row.event.identity.to_bytes());
            hash.update(&encode::precedence(row).to_le_bytes());
        }
        hash.finalize().to_hex().to_string()
    }

    /// Asks for the number of parts now and then; a failure only leaves the pace as it was.
    fn look_at_parts(&mut self) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        let sql = format!(
            "SELECT count() FROM system.parts WHERE database = '{}' AND table = '{}' AND active",
            self.settings.database, self.settings.table
        );
        if let Ok(Some(parts)) = self.client.value::<u64>(&sql) {
            let wait = pace::wait_min(parts, self.settings.parts_max);
            self.pace.set(wait, parts);
        }
    }
}

impl EventLog for ClickHouseLog {
    fn append(&mut self, rows: &[LogRow]) -> Result<(), SinkError> {
        self.check()?;
        for rows in inserts(rows) {
            edge::pass(Point::LogInsert, || self.insert(&rows))
                .map_err(|error| sink_error(&error))?;
        }
        self.look_at_parts();
        Ok(())
    }

    fn pace(&self) -> Option<Pace> {
        Some(self.pace.clone())
    }
}

/// Rows grouped so that no insert touches too many partitions; usually one group, in the order given.
fn inserts(rows: &[LogRow]) -> Vec<Vec<&LogRow>> {
    let mut months: Vec<i32> = rows
        .iter()
        .map(|row| encode::month(row.event.bucket))
        .collect();
    let mut distinct = months.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() <= PARTITIONS_MAX {
        return match rows {
            [] => Vec::new(),
            rows => vec![rows.iter().collect()],
        };
    }
    let mut groups = vec![Vec::new(); distinct.len().div_ceil(PARTITIONS_MAX)];
    for (row, month) in rows.iter().zip(months.drain(..)) {
        let place = distinct.partition_point(|one| *one < month) / PARTITIONS_MAX;
        if let Some(group) = groups.get_mut(place) {
            group.push(row);
        }
    }
    groups
}
