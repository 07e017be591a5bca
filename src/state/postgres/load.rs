//! Loads: who has one open, and what becomes of those that died.
//!
//! Several processes may load at once. The session that began a load holds an advisory lock of it, so whoever can take that
//! lock knows that the load has died. Loads are numbered at their end, under a lock that is held until the commit:
//! whoever has read past a number has missed nothing below it.

use tokio_postgres::Row;

use super::super::kernel::LoadEnding;
use super::super::{LoadId, LoadKind};
use super::class::bug;
use super::connect::StoreConnection;
use super::locks::LockPurpose;
use super::seal;
use super::values::Timestamptz;
use crate::error::{Class, SinkError};
use crate::event::Millis;
use crate::failpoint::Failpoint;

/// The loads that have not ended.
pub(super) async fn open_loads(connection: &StoreConnection) -> Result<Vec<i64>, SinkError> {
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
pub(super) async fn close_dead(connection: &StoreConnection) -> Result<(), SinkError> {
    if open_loads(connection).await?.is_empty() {
        return Ok(());
    }
    connection.begin().await?;
    mark_dead(connection).await?;
    connection.commit(Failpoint::StoreOpen).await
}

async fn mark_dead(connection: &StoreConnection) -> Result<(), SinkError> {
    let mut dead = Vec::new();
    for load in open_loads(connection).await? {
        if connection.try_lock(LockPurpose::Load(LoadId(load))).await? {
            dead.push(load);
        }
    }
    if dead.is_empty() {
        return Ok(());
    }
    let now = Millis::now();
    for load in &dead {
        tracing::info!(
            load,
            "a load whose process died is closed; it sealed nothing"
        );
        seal::seal(connection, LoadId(*load), LoadEnding::Died, now).await?;
    }
    connection.lock(LockPurpose::LoadEnd).await?;
    for load in dead {
        close(connection, LoadId(load), true, now).await?;
    }
    Ok(())
}

/// Numbers a load that ends, under the lock of ends, or removes it where it brought nothing.
pub(super) async fn close(
    connection: &StoreConnection,
    load: LoadId,
    died: bool,
    now: Millis,
) -> Result<(), SinkError> {
    for sql in [
        "DELETE FROM load_batches WHERE load_id = $1",
        "DELETE FROM load_touched WHERE load_id = $1",
        "DELETE FROM loads WHERE id = $1 AND ended_at IS NULL AND accepted = 0",
    ] {
        let statement = connection.statement(sql).await?;
        connection.client.execute(&statement, &[&load.0]).await?;
    }
    let sql = "UPDATE loads SET ended_at = $2, died = $3, finish = (SELECT coalesce(max(finish), 0) + 1 FROM loads)
        WHERE id = $1 AND ended_at IS NULL";
    let statement = connection.statement(sql).await?;
    connection
        .client
        .execute(&statement, &[&load.0, &Timestamptz(now), &died])
        .await?;
    Ok(())
}

/// Begins a load, closing those that died; `before` is one that this session has open and gives up.
pub(super) async fn begin_load(
    connection: &StoreConnection,
    before: Option<LoadId>,
    kind: LoadKind,
) -> Result<LoadId, SinkError> {
    connection.begin().await?;
    if let Some(load) = before {
        connection.release(LockPurpose::Load(load)).await?;
    }
    mark_dead(connection).await?;
    let insert = "INSERT INTO loads (kind, started_at) VALUES ($1, $2) RETURNING id";
    let statement = connection.statement(insert).await?;
    let row: Row = connection
        .client
        .query_one(&statement, &[&kind.name(), &Timestamptz(Millis::now())])
        .await?;
    let load = LoadId(row.try_get(0)?);
    hold(connection, load).await?;
    connection.commit(Failpoint::StoreLoadBegin).await?;
    Ok(load)
}

/// Takes the lock of a load for this session.
pub(super) async fn hold(connection: &StoreConnection, load: LoadId) -> Result<(), SinkError> {
    if connection.try_hold(LockPurpose::Load(load)).await? {
        return Ok(());
    }
    let message = "another process holds the lock of this load";
    Err(SinkError::new("postgres", Class::Retry, message))
}

/// The load was closed by another process.
pub(super) fn closed() -> SinkError {
    bug(
        "the load was closed by another process while this one was cut off from the server; load again",
    )
}
