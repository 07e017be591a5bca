//! How far the partitions of jobs are settled.

use rusqlite::Connection;

use super::super::Checkpoint;
use super::{begin, commit, count, int};
use crate::error::SinkError;
use crate::failpoint::Failpoint;

/// Stores positions, replacing those of the same partitions.
pub(super) fn checkpoint(conn: &Connection, partitions: &[Checkpoint]) -> Result<(), SinkError> {
    let tx = begin(conn)?;
    let mut write = tx.prepare_cached(
        "INSERT OR REPLACE INTO checkpoints (job, partition, offset, proof, finished) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for partition in partitions {
        let offset = int(partition.offset);
        write.execute((
            &partition.job,
            &partition.partition,
            offset,
            &partition.proof,
            partition.finished,
        ))?;
    }
    drop(write);
    commit(Failpoint::StoreCheckpoint, tx)
}

/// The positions of a job, by partition.
pub(super) fn checkpoints(conn: &Connection, job: &str) -> Result<Vec<Checkpoint>, SinkError> {
    let mut read = conn.prepare_cached(
        "SELECT partition, offset, proof, finished FROM checkpoints WHERE job = ?1 ORDER BY partition",
    )?;
    let rows = read.query_map([job], |row| {
        Ok(Checkpoint {
            job: job.to_owned(),
            partition: row.get(0)?,
            offset: count(row, 1)?,
            proof: row.get(2)?,
            finished: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
