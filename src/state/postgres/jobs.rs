//! How far the partitions of jobs are settled.

use super::super::Checkpoint;
use super::connect::StoreConnection;
use super::values::{count, int};
use crate::error::SinkError;
use crate::failpoint::Failpoint;

const WRITE: &str = r#"INSERT INTO checkpoints (job, partition, "offset", proof, finished)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::boolean[])
    ON CONFLICT (job, partition) DO UPDATE
    SET "offset" = excluded."offset", proof = excluded.proof, finished = excluded.finished"#;

/// Stores positions, replacing those of the same partitions; of several for one partition the last counts.
pub(super) async fn checkpoint(
    connection: &StoreConnection,
    partitions: &[Checkpoint],
) -> Result<(), SinkError> {
    let mut last: Vec<&Checkpoint> = partitions.iter().rev().collect();
    last.sort_by(|a, b| (&a.job, &a.partition).cmp(&(&b.job, &b.partition)));
    last.dedup_by(|a, b| (&a.job, &a.partition) == (&b.job, &b.partition));
    let jobs: Vec<&str> = last
        .iter()
        .map(|partition| partition.job.as_str())
        .collect();
    let names: Vec<&str> = last
        .iter()
        .map(|partition| partition.partition.as_str())
        .collect();
    let offsets: Vec<i64> = last.iter().map(|partition| int(partition.offset)).collect();
    let proofs: Vec<&str> = last
        .iter()
        .map(|partition| partition.proof.as_str())
        .collect();
    let finished: Vec<bool> = last.iter().map(|partition| partition.finished).collect();
    let statement = connection.statement(WRITE).await?;
    connection.begin().await?;
    let columns: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&jobs, &names, &offsets, &proofs, &finished];
    connection.client.execute(&statement, &columns).await?;
    connection.commit(Failpoint::StoreCheckpoint).await
}

/// The positions of a job, by partition.
pub(super) async fn checkpoints(
    connection: &StoreConnection,
    job: &str,
) -> Result<Vec<Checkpoint>, SinkError> {
    let read = r#"SELECT partition, "offset", proof, finished FROM checkpoints WHERE job = $1 ORDER BY partition COLLATE "C""#;
    let statement = connection.statement(read).await?;
    let rows = connection.client.query(&statement, &[&job]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        found.push(Checkpoint {
            job: job.to_owned(),
            partition: row.try_get(0)?,
            offset: count(&row, 1)?,
            proof: row.try_get(2)?,
            finished: row.try_get(3)?,
        });
    }
    Ok(found)
}
