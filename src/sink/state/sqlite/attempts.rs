//! What is kept of lanes against messages that end the process.

use rusqlite::{Connection, Row};

use super::super::LaneAttempt;
use super::{begin, commit, count, int};
use crate::edge::Point;
use crate::error::SinkError;

/// Stores rows, replacing those of the same lanes.
pub(super) fn note(conn: &Connection, job: &str, lanes: &[LaneAttempt]) -> Result<(), SinkError> {
    let tx = begin(conn)?;
    let mut write = tx.prepare_cached(
        "INSERT OR REPLACE INTO attempts
         (job, lane, floor, deaths, running, named_from, named_to, until, condemned)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for lane in lanes {
        write.execute((
            job,
            &lane.lane,
            int(lane.floor),
            lane.deaths,
            lane.running,
            lane.named.map(|(from, _)| int(from)),
            lane.named.map(|(_, to)| int(to)),
            int(lane.until),
            lane.condemned.map(int),
        ))?;
    }
    drop(write);
    commit(Point::StoreAttempts, tx)
}

/// The rows of a job, by lane.
pub(super) fn attempts(conn: &Connection, job: &str) -> Result<Vec<LaneAttempt>, SinkError> {
    let mut read = conn.prepare_cached(
        "SELECT lane, floor, deaths, running, named_from, named_to, until, condemned
         FROM attempts WHERE job = ?1 ORDER BY lane",
    )?;
    let rows = read.query_map([job], |row| {
        Ok(LaneAttempt {
            lane: row.get(0)?,
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
