//! Pruning: whole partitions where a day is over, bounded range deletes elsewhere; each step a transaction of its own.
//!
//! Before a ledger row of an hour goes, the hour behind it is stored as `dropped_before`, in the same transaction: from then
//! on events below it raise no totals. Only what is really dropped moves it. A step holds the lock that every batch of
//! events shares, so no batch judges by a floor that is about to rise.

use super::super::{Prune, Pruned};
use super::connect::StoreConnection;
use super::ledger::hour;
use super::locks::LockPurpose;
use super::partitions::{self, LedgerDay};
use super::values::{Key, Timestamptz, count};
use crate::error::SinkError;
use crate::event::Millis;
use crate::failpoint::Failpoint;
use crate::key::Bucket;

/// Drops what is asked, at most `rows_max` rows a transaction where it is not a whole day.
pub(super) async fn prune(
    connection: &StoreConnection,
    what: &Prune,
    rows_max: u32,
) -> Result<Pruned, SinkError> {
    let (step, rows_max) = (rows_max.max(1), i64::from(rows_max.max(1)));
    let mut pruned = Pruned::default();
    if let Some(before) = what.before {
        let before = hour(Bucket::of(Some(before)));
        for day in partitions::days(connection).await? {
            if day.end() <= before {
                pruned.ledger += drop_day(connection, day).await?;
            }
        }
        pruned.ledger += hours(connection, before, rows_max).await?;
    }
    if let Some(before) = what.no_time_stored_before {
        pruned.no_time = no_time(connection, before, rows_max).await?;
    }
    if let Some(before) = what.dead_letters_before {
        pruned.dead_letters = dead_letters(connection, before, step).await?;
    }
    Ok(pruned)
}

/// Drops one partition. It is counted before the lock is taken, which writers wait for.
async fn drop_day(connection: &StoreConnection, day: LedgerDay) -> Result<u64, SinkError> {
    let table = day.table();
    let read = format!("SELECT count(*) FROM {table}");
    let rows = count(&connection.client.query_one(&read, &[]).await?, 0)?;
    connection.begin().await?;
    connection.lock(LockPurpose::LedgerFloor).await?;
    let words = format!(
        "UPDATE meta SET dropped_before = greatest(dropped_before, (SELECT max(bucket) + 1 FROM {table}));
         DROP TABLE {table}"
    );
    connection.client.batch_execute(&words).await?;
    connection.commit(Failpoint::StorePrune).await?;
    Ok(rows)
}

/// The highest hour below a limit that has rows, and the deletion of the lowest rows up to an hour.
const HIGHEST: &str = "SELECT max(bucket) FROM ledger WHERE bucket > 0 AND bucket < $1";
const RAISE: &str = "UPDATE meta SET dropped_before = greatest(dropped_before, $1)";
const DELETE: &str = "DELETE FROM ledger AS l USING (
        SELECT bucket, identity FROM ledger WHERE bucket > 0 AND bucket <= $1
        ORDER BY bucket, identity LIMIT $2) AS old
    WHERE l.bucket = old.bucket AND l.identity = old.identity";

async fn hours(connection: &StoreConnection, before: i32, rows_max: i64) -> Result<u64, SinkError> {
    let mut dropped = 0;
    loop {
        connection.begin().await?;
        connection.lock(LockPurpose::LedgerFloor).await?;
        let row = connection.client.query_one(HIGHEST, &[&before]).await?;
        let Some(highest) = row.try_get::<_, Option<i32>>(0)? else {
            connection.roll_back().await?;
            return Ok(dropped);
        };
        connection.client.execute(RAISE, &[&(highest + 1)]).await?;
        dropped += connection
            .client
            .execute(DELETE, &[&highest, &rows_max])
            .await?;
        connection.commit(Failpoint::StorePrune).await?;
    }
}

/// Bucket 0 goes by the date of storing; it is walked in the order of its key, one bounded range after the other.
async fn no_time(
    connection: &StoreConnection,
    before: Millis,
    rows_max: i64,
) -> Result<u64, SinkError> {
    let range_end = "SELECT identity FROM (SELECT identity FROM ledger
        WHERE bucket = 0 AND identity >= $1 ORDER BY identity LIMIT $2) AS range ORDER BY identity DESC LIMIT 1";
    let delete = "DELETE FROM ledger
        WHERE bucket = 0 AND identity >= $1 AND identity <= $2 AND stored < $3";
    let (mut from, mut dropped) = (Key(0), 0);
    loop {
        connection.begin().await?;
        let end = connection
            .client
            .query_opt(range_end, &[&from, &rows_max])
            .await?;
        let Some(end) = end else {
            connection.roll_back().await?;
            return Ok(dropped);
        };
        let end: Key = end.try_get(0)?;
        dropped += connection
            .client
            .execute(delete, &[&from, &end, &Timestamptz(before)])
            .await?;
        connection.commit(Failpoint::StorePrune).await?;
        let Some(next) = end.0.checked_add(1) else {
            return Ok(dropped);
        };
        from = Key(next);
    }
}

async fn dead_letters(
    connection: &StoreConnection,
    before: Millis,
    step: u32,
) -> Result<u64, SinkError> {
    let mut dropped = 0;
    loop {
        match drop_dead_letters(connection, before, step).await? {
            0 => return Ok(dropped),
            rows => dropped += rows,
        }
    }
}

/// Those that another member is dropping are left to it.
const DROP_DEAD_LETTERS: &str = "DELETE FROM dead_letters WHERE id = ANY (ARRAY(
    SELECT id FROM dead_letters WHERE last_seen < $1 ORDER BY last_seen LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// Drops the oldest dead letters last seen before a time, at most `rows_max`, in one transaction.
pub(super) async fn drop_dead_letters(
    connection: &StoreConnection,
    before: Millis,
    rows_max: u32,
) -> Result<u64, SinkError> {
    let statement = connection.statement(DROP_DEAD_LETTERS).await?;
    connection.begin().await?;
    let rows = connection
        .client
        .execute(&statement, &[&Timestamptz(before), &i64::from(rows_max)])
        .await?;
    connection.commit(Failpoint::StorePrune).await?;
    Ok(rows)
}
