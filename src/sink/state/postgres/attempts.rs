//! What is kept of lanes against messages that end the process.

use tokio_postgres::Row;

use super::super::LaneAttempt;
use super::connect::Connection;
use super::values::{count, int};
use crate::edge::Point;
use crate::error::SinkError;

const WRITE: &str = "INSERT INTO attempts (job, lane, floor, deaths, running, named_from, named_to, until, condemned)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (job, lane) DO UPDATE SET floor = excluded.floor, deaths = excluded.deaths, running = excluded.running,
    named_from = excluded.named_from, named_to = excluded.named_to, until = excluded.until,
    condemned = excluded.condemned";

/// Stores rows, replacing those of the same lanes.
pub(super) async fn note(
    connection: &Connection,
    job: &str,
    lanes: &[LaneAttempt],
) -> Result<(), SinkError> {
    let mut sorted: Vec<&LaneAttempt> = lanes.iter().collect();
    sorted.sort_by(|a, b| a.lane.cmp(&b.lane));
    let statement = connection.statement(WRITE).await?;
    connection.begin().await?;
    for lane in sorted {
        let (from, to) = (lane.named.map(|n| int(n.0)), lane.named.map(|n| int(n.1)));
        let (floor, until) = (int(lane.floor), int(lane.until));
        let (deaths, condemned) = (i64::from(lane.deaths), lane.condemned.map(int));
        connection
            .client
            .execute(
                &statement,
                &[
                    &job,
                    &lane.lane,
                    &floor,
                    &deaths,
                    &lane.running,
                    &from,
                    &to,
                    &until,
                    &condemned,
                ],
            )
            .await?;
    }
    connection.commit(Point::StoreAttempts).await
}

/// The rows of a job, by lane.
pub(super) async fn attempts(
    connection: &Connection,
    job: &str,
) -> Result<Vec<LaneAttempt>, SinkError> {
    let read = r#"SELECT lane, floor, deaths, running, named_from, named_to, until, condemned
        FROM attempts WHERE job = $1 ORDER BY lane COLLATE "C""#;
    let statement = connection.statement(read).await?;
    let rows = connection.client.query(&statement, &[&job]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        found.push(LaneAttempt {
            lane: row.try_get(0)?,
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
