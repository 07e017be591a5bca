//! Counters of batches, and the edge at which one completes.

use std::fmt::Write as _;
use std::sync::LazyLock;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::super::kernel::{BatchDeltas, FLAG_COUNT, Flag};
use super::connect::StoreConnection;
use super::values::{Timestamptz, count, int};
use crate::error::SinkError;
use crate::event::Millis;

/// Columns that grow, behind the number of the batch.
const FIXED: [&str; 4] = ["finished", "opens", "clicks", "machine_opens"];

/// Locks batches in their order, adds to all counters, completes those that reach their total, sends those through the outbox,
/// and answers how many there were.
pub(super) static GROW: LazyLock<String> = LazyLock::new(|| {
    let names = || FIXED.into_iter().chain(Flag::ALL.map(Flag::name));
    let (mut set, mut arrays, mut columns) = (String::new(), String::new(), String::new());
    for (place, name) in (3..).zip(names()) {
        write!(set, "{name} = b.{name} + a.{name}, ").unwrap_or_default();
        write!(arrays, ", ${place}::bigint[]").unwrap_or_default();
        write!(columns, ", {name}").unwrap_or_default();
    }
    let edge =
        "b.completed_at IS NULL AND b.sealed_at IS NOT NULL AND b.finished + a.finished >= b.total";
    format!(
        "WITH locked AS MATERIALIZED (
            SELECT id, completed_at IS NULL AS waits FROM batches
            WHERE id = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE
        ), grown AS (
            UPDATE batches AS b SET {set}
            completed_at = CASE WHEN {edge} THEN $2 ELSE b.completed_at END,
            cause = CASE WHEN {edge} THEN 'all' ELSE b.cause END
            FROM unnest($1::bigint[]{arrays}) AS a (id{columns}) JOIN locked ON locked.id = a.id
            WHERE b.id = a.id
            RETURNING b.id, b.generation, b.cause, b.completed_at, locked.waits AND b.completed_at IS NOT NULL AS fired
        ), told AS (
            INSERT INTO outbox (batch, generation, cause, completed_at)
            SELECT id, generation, cause, completed_at FROM grown WHERE fired ORDER BY id
        )
        SELECT count(*) FILTER (WHERE fired) FROM grown"
    )
});

/// Adds to the counters of batches; returns how many completed.
pub(super) async fn grow(
    client: &Client,
    statement: &Statement,
    grown: &BatchDeltas,
    now: Millis,
) -> Result<u64, SinkError> {
    if grown.is_empty() {
        return Ok(0);
    }
    let ids: Vec<i64> = grown.keys().copied().collect();
    let mut growth: Vec<Vec<i64>> = vec![Vec::with_capacity(ids.len()); FIXED.len() + FLAG_COUNT];
    for deltas in grown.values() {
        let totals = &deltas.totals;
        let fixed = [
            deltas.finished,
            totals.opens,
            totals.clicks,
            totals.machine_opens,
        ];
        for (column, value) in growth
            .iter_mut()
            .zip(fixed.into_iter().chain(deltas.unique))
        {
            column.push(int(value));
        }
    }
    let now = Timestamptz(now);
    let mut columns: Vec<&(dyn ToSql + Sync)> = vec![&ids, &now];
    for column in &growth {
        columns.push(column);
    }
    let row = client.query_one(statement, &columns).await?;
    Ok(count(&row, 0)?)
}

/// Completes those of the given batches that are sealed, not complete yet, and due at `$2`: all recipients finished, or the
/// deadline passed. Writes the outbox. The conditions are checked again after each row is locked, because a load may
/// have moved the deadline meanwhile.
pub(super) const FIRE: &str = "WITH locked AS MATERIALIZED (
        SELECT id, coalesce(finished >= total, false) AS whole FROM batches
        WHERE id = ANY ($1::bigint[]) AND completed_at IS NULL AND sealed_at IS NOT NULL
        AND (finished >= total OR deadline <= $2)
        ORDER BY id FOR NO KEY UPDATE
    ), fired AS (
        UPDATE batches AS b SET completed_at = $2, cause = CASE WHEN whole THEN 'all' ELSE 'deadline' END
        FROM locked WHERE b.id = locked.id
        RETURNING b.id, b.generation, b.cause, b.completed_at
    ), told AS (
        INSERT INTO outbox (batch, generation, cause, completed_at)
        SELECT id, generation, cause, completed_at FROM fired ORDER BY id
    )
    SELECT count(*) FROM fired";

/// Completes those batches; returns how many fired.
pub(super) async fn fire(
    connection: &StoreConnection,
    batches: &[i64],
    now: Millis,
) -> Result<u64, SinkError> {
    let statement = connection.statement(FIRE).await?;
    let row = connection
        .client
        .query_one(&statement, &[&batches, &Timestamptz(now)])
        .await?;
    Ok(count(&row, 0)?)
}
