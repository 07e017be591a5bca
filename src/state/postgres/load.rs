//! Loads: who has one open, and what becomes of those that died.
//!
//! Several processes may load at once. The session that began a load holds an advisory lock of it, so whoever can take that
//! lock knows that the load has died. Loads are numbered at their end, under a lock that is held until the commit:
//! whoever has read past a number has missed nothing below it.

use tokio_postgres::Row;

use super::super::{LoadId, LoadKind};
use super::class::bug;
use super::connect::{Connection, Lock};
use super::values::Stamp;
use crate::error::{Class, SinkError};
use crate::event::Millis;
use crate::failpoint::Failpoint;

/// The advisory locks of loads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Locks {
    /// Held while a load ends.
    pub(super) end: Lock,
    /// That of load 0, from which those of the others follow.
    pub(super) of: Lock,
}

impl Locks {
    /// The same arithmetic as for the lock of load 0.
    const fn load(&self, load: i64) -> Lock {
        Lock(self.of.0, self.of.1 + (load & 0x3fff_ffff) as i32)
    }
}

/// The loads that have not ended.
pub(super) async fn open_loads(connection: &Connection) -> Result<Vec<i64>, SinkError> {
    let read = "SELECT id FROM loads WHERE ended_at IS NULL ORDER BY id";
    let statement = connection.statement(read).await?;
    let rows = connection.client.query(&statement, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?)
}

/// Closes loads that died: their rows stand (events may be folded into them already), their `batches` rows do not, and they
/// seal nothing.
pub(super) async fn close_dead(connection: &Connection, locks: &Locks) -> Result<(), SinkError> {
    if open_loads(connection).await?.is_empty() {
        return Ok(());
    }
    connection.begin().await?;
    mark_dead(connection, locks).await?;
    connection.commit(Failpoint::StoreOpen).await
}

async fn mark_dead(connection: &Connection, locks: &Locks) -> Result<(), SinkError> {
    let mut dead = Vec::new();
    for load in open_loads(connection).await? {
        let Lock(class, object) = locks.load(load);
        let attempt = connection
            .statement("SELECT pg_try_advisory_xact_lock($1, $2)")
            .await?;
        let row = connection
            .client
            .query_one(&attempt, &[&class, &object])
            .await?;
        if row.try_get(0)? {
            dead.push(load);
        }
    }
    if dead.is_empty() {
        return Ok(());
    }
    connection.lock(locks.end).await?;
    for load in dead {
        tracing::info!(load, "a load that died is closed; it sealed nothing");
        end(connection, load, true, Millis::now()).await?;
    }
    Ok(())
}

/// Ends a load under the lock of ends: numbers it, or removes it where it brought nothing.
pub(super) async fn end(
    connection: &Connection,
    load: i64,
    died: bool,
    now: Millis,
) -> Result<(), SinkError> {
    for words in [
        "DELETE FROM load_batches WHERE load_id = $1",
        "DELETE FROM load_touched WHERE load_id = $1",
        "DELETE FROM loads WHERE id = $1 AND ended_at IS NULL AND accepted = 0",
    ] {
        let statement = connection.statement(words).await?;
        connection.client.execute(&statement, &[&load]).await?;
    }
    let words = "UPDATE loads SET ended_at = $2, died = $3, finish = (SELECT coalesce(max(finish), 0) + 1 FROM loads)
        WHERE id = $1 AND ended_at IS NULL";
    let statement = connection.statement(words).await?;
    connection
        .client
        .execute(&statement, &[&load, &Stamp(now), &died])
        .await?;
    Ok(())
}

/// Begins a load, closing those that died; `before` is one that this session has open and gives up.
pub(super) async fn begin_load(
    connection: &Connection,
    locks: &Locks,
    before: Option<LoadId>,
    kind: LoadKind,
) -> Result<LoadId, SinkError> {
    let kind = match kind {
        LoadKind::Full => "full",
        LoadKind::Increment => "increment",
    };
    connection.begin().await?;
    if let Some(load) = before {
        release(connection, locks.load(load.0)).await?;
    }
    mark_dead(connection, locks).await?;
    let insert = "INSERT INTO loads (kind, started_at) VALUES ($1, $2) RETURNING id";
    let statement = connection.statement(insert).await?;
    let row: Row = connection
        .client
        .query_one(&statement, &[&kind, &Stamp(Millis::now())])
        .await?;
    let load = LoadId(row.try_get(0)?);
    hold(connection, locks.load(load.0)).await?;
    connection.commit(Failpoint::StoreLoadBegin).await?;
    Ok(load)
}

/// Takes the lock of a load for this session.
pub(super) async fn hold(connection: &Connection, lock: Lock) -> Result<(), SinkError> {
    let statement = connection
        .statement("SELECT pg_try_advisory_lock($1, $2)")
        .await?;
    let row = connection
        .client
        .query_one(&statement, &[&lock.0, &lock.1])
        .await?;
    match row.try_get(0)? {
        true => Ok(()),
        false => Err(SinkError::new(
            "postgres",
            Class::Retry,
            "another process holds the lock of this load",
        )),
    }
}

/// Gives the lock of a load back.
async fn release(connection: &Connection, lock: Lock) -> Result<(), SinkError> {
    let statement = connection
        .statement("SELECT pg_advisory_unlock($1, $2)")
        .await?;
    connection
        .client
        .query_one(&statement, &[&lock.0, &lock.1])
        .await?;
    Ok(())
}

/// Gives the lock of a load that ended back.
pub(super) async fn ended(
    connection: &Connection,
    locks: &Locks,
    load: LoadId,
) -> Result<(), SinkError> {
    release(connection, locks.load(load.0)).await
}

/// What is said to a load that somebody else has closed meanwhile.
pub(super) fn closed() -> SinkError {
    bug(
        "the load was closed by another process while this one was cut off from the server; load again",
    )
}
