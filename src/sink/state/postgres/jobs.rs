//! How far the lanes of jobs are settled.

use super::super::Checkpoint;
use super::connect::Connection;
use super::values::{count, int};
use crate::edge::Point;
use crate::error::SinkError;

const WRITE: &str = r#"INSERT INTO checkpoints (job, lane, "offset", proof, finished)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::boolean[])
    ON CONFLICT (job, lane) DO UPDATE
    SET "offset" = excluded."offset", proof = excluded.proof, finished = excluded.finished"#;

/// Stores positions, replacing those of the same lanes; of several for one lane the last counts.
pub(super) async fn checkpoint(
    connection: &Connection,
    lanes: &[Checkpoint],
) -> Result<(), SinkError> {
    let mut last: Vec<&Checkpoint> = lanes.iter().rev().collect();
    last.sort_by(|a, b| (&a.job, &a.lane).cmp(&(&b.job, &b.lane)));
    last.dedup_by(|a, b| (&a.job, &a.lane) == (&b.job, &b.lane));
    let jobs: Vec<&str> = last.iter().map(|lane| lane.job.as_str()).collect();
    let names: Vec<&str> = last.iter().map(|lane| lane.lane.as_str()).collect();
    let offsets: Vec<i64> = last.iter().map(|lane| int(lane.offset)).collect();
    let proofs: Vec<&str> = last.iter().map(|lane| lane.proof.as_str()).collect();
    let finished: Vec<bool> = last.iter().map(|lane| lane.finished).collect();
    let statement = connection.statement(WRITE).await?;
    connection.begin().await?;
    let columns: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&jobs, &names, &offsets, &proofs, &finished];
    connection.client.execute(&statement, &columns).await?;
    connection.commit(Point::StoreCheckpoint).await
}

/// The positions of a job, by lane.
pub(super) async fn checkpoints(
    connection: &Connection,
    job: &str,
) -> Result<Vec<Checkpoint>, SinkError> {
    let read = r#"SELECT lane, "offset", proof, finished FROM checkpoints WHERE job = $1 ORDER BY lane COLLATE "C""#;
    let statement = connection.statement(read).await?;
    let rows = connection.client.query(&statement, &[&job]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        found.push(Checkpoint {
            job: job.to_owned(),
            lane: row.try_get(0)?,
            offset: count(&row, 1)?,
            proof: row.try_get(2)?,
            finished: row.try_get(3)?,
        });
    }
    Ok(found)
}
