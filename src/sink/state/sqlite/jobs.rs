//! How far the lanes of jobs are settled.

use rusqlite::Connection;

use super::super::Checkpoint;
use super::{begin, commit, count, int};
use crate::edge::Point;
use crate::error::SinkError;

/// Stores positions, replacing those of the same lanes.
pub(super) fn checkpoint(conn: &Connection, lanes: &[Checkpoint]) -> Result<(), SinkError> {
    let tx = begin(conn)?;
    let mut write = tx.prepare_cached(
        "INSERT OR REPLACE INTO checkpoints (job, lane, offset, proof, finished) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for lane in lanes {
        let offset = int(lane.offset);
        write.execute((&lane.job, &lane.lane, offset, &lane.proof, lane.finished))?;
    }
    drop(write);
    commit(Point::StoreCheckpoint, tx)
}

/// The positions of a job, by lane.
pub(super) fn checkpoints(conn: &Connection, job: &str) -> Result<Vec<Checkpoint>, SinkError> {
    let mut read = conn.prepare_cached(
        "SELECT lane, offset, proof, finished FROM checkpoints WHERE job = ?1 ORDER BY lane",
    )?;
    let rows = read.query_map([job], |row| {
        Ok(Checkpoint {
            job: job.to_owned(),
            lane: row.get(0)?,
            offset: count(row, 1)?,
            proof: row.get(2)?,
            finished: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
