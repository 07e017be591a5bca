//! What is kept of partitions against messages that end the process.

use tokio_postgres::Row;

use super::super::PartitionAttempt;
use super::connect::StoreConnection;
use super::values::{count, int};
use crate::error::SinkError;
use crate::failpoint::Failpoint;

const WRITE: &str = "INSERT INTO attempts (job, partition, floor, deaths, running, named_from, named_to, until, condemned)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (job, partition) DO UPDATE SET floor = excluded.floor, deaths = excluded.deaths, running = excluded.running,
    named_from = excluded.named_from, named_to = excluded.named_to, until = excluded.until,
    condemned = excluded.condemned";

/// Stores rows, replacing those of the same partitions.
pub(super) async fn note(
    connection: &StoreConnection,
    job: &str,
    partitions: &[PartitionAttempt],
) -> Result<(), SinkError> {
    let mut sorted: Vec<&PartitionAttempt> = partitions.iter().collect();
    sorted.sort_by(|a, b| a.partition.cmp(&b.partition));
    let statement = connection.statement(WRITE).await?;
    connection.begin().await?;
    for partition in sorted {
        let (from, to) = (
            partition.named.map(|n| int(n.0)),
            partition.named.map(|n| int(n.1)),
        );
        let (floor, until) = (int(partition.floor), int(partition.until));
        let (deaths, condemned) = (i64::from(partition.deaths), partition.condemned.map(int));
        connection
            .client
            .execute(
                &statement,
                &[
                    &job,
                    &partition.partition,
                    &floor,
                    &deaths,
                    &partition.running,
                    &from,
                    &to,
                    &until,
                    &condemned,
                ],
            )
            .await?;
    }
    connection.commit(Failpoint::StoreAttempts).await
}

/// The rows of a job, by partition.
pub(super) async fn attempts(
    connection: &StoreConnection,
    job: &str,
) -> Result<Vec<PartitionAttempt>, SinkError> {
    let read = r#"SELECT partition, floor, deaths, running, named_from, named_to, until, condemned
        FROM attempts WHERE job = $1 ORDER BY partition COLLATE "C""#;
    let statement = connection.statement(read).await?;
    let rows = connection.client.query(&statement, &[&job]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        found.push(PartitionAttempt {
            partition: row.try_get(0)?,
            floor: count(&row, 1)?,
            deaths: u32::try_from(count(&row, 2)?).unwrap_or(u32::MAX),
            running: row.try_get(3)?,
            named: position(&row, 4)?.zip(position(&row, 5)?),
            until: count(&row, 6)?,
            condemned: position(&row, 7)?,
        });
    }
    Ok(found)
}

fn position(row: &Row, column: usize) -> Result<Option<u64>, SinkError> {
    let stored: Option<i64> = row.try_get(column)?;
    Ok(stored.map(i64::unsigned_abs))
}
