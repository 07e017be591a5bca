//! What is kept of partitions against messages that end the process.

use rusqlite::{Connection, Row};

use super::super::PartitionAttempt;
use super::{begin, commit, count, int};
use crate::error::SinkError;
use crate::failpoint::Failpoint;

/// Stores rows, replacing those of the same partitions.
pub(super) fn note(
    conn: &Connection,
    job: &str,
    partitions: &[PartitionAttempt],
) -> Result<(), SinkError> {
    let tx = begin(conn)?;
    let mut write = tx.prepare_cached(
        "INSERT OR REPLACE INTO attempts
         (job, partition, floor, deaths, running, named_from, named_to, until, condemned)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for partition in partitions {
        write.execute((
            job,
            &partition.partition,
            int(partition.floor),
            partition.deaths,
            partition.running,
            partition.named.map(|(from, _)| int(from)),
            partition.named.map(|(_, to)| int(to)),
            int(partition.until),
            partition.condemned.map(int),
        ))?;
    }
    drop(write);
    commit(Failpoint::StoreAttempts, tx)
}

/// The rows of a job, by partition.
pub(super) fn attempts(conn: &Connection, job: &str) -> Result<Vec<PartitionAttempt>, SinkError> {
    let mut read = conn.prepare_cached(
        "SELECT partition, floor, deaths, running, named_from, named_to, until, condemned
         FROM attempts WHERE job = ?1 ORDER BY partition",
    )?;
    let rows = read.query_map([job], |row| {
        Ok(PartitionAttempt {
            partition: row.get(0)?,
            floor: count(row, 1)?,
            deaths: row.get(2)?,
            running: row.get(3)?,
            named: position(row, 4)?.zip(position(row, 5)?),
            until: count(row, 6)?,
            condemned: position(row, 7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn position(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::unsigned_abs))
}
