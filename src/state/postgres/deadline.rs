//! Deadlines: a sealed batch completes when its time is up, finished or not.

use super::batches;
use super::connect::StoreConnection;
use super::values::Timestamptz;
use crate::error::SinkError;
use crate::event::Millis;
use crate::failpoint::Failpoint;

const DUE: &str = "SELECT id FROM batches
    WHERE deadline <= $1 AND completed_at IS NULL AND deadline IS NOT NULL AND sealed_at IS NOT NULL ORDER BY id";

/// Completes what is due; where all recipients finished as well, that is the cause.
pub(super) async fn judge(connection: &StoreConnection, now: Millis) -> Result<u64, SinkError> {
    let statement = connection.statement(DUE).await?;
    let rows = connection
        .client
        .query(&statement, &[&Timestamptz(now)])
        .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let due = rows.iter().map(|row| row.try_get(0));
    let due: Vec<i64> = due.collect::<Result<_, _>>()?;
    connection.begin().await?;
    let fired = batches::fire(connection, &due, now).await?;
    connection.commit(Failpoint::StoreDeadline).await?;
    Ok(fired)
}
