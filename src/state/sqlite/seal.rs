//! The end of a load: totals, seals and generations change here and nowhere else, in one transaction.
//!
//! * A `batches` row decides for its batch: its total (where it gives none but seals, the distinct state rows), its
//!   deadline, and whether it is sealed. A row that does not seal takes no seal back.
//! * A full load seals the batches it brought rows of, and which no `batches` row ever decided, at their distinct state rows.
//! * Sealing, and any change of a sealed total, raises the generation and clears the completion.
//! * A batch that is complete the moment it is sealed completes in the same transaction.

use rusqlite::{Connection, OptionalExtension, Row};

use super::super::standing::{Given, Standing, Wish};
use super::super::{LoadId, LoadSummary};
use super::{batches, begin, commit, load, millis};
use crate::error::SinkError;
use crate::event::Millis;
use crate::failpoint::Failpoint;

/// Ends a load. One that has ended already changes nothing.
pub(super) fn finish_load(conn: &Connection, load: LoadId) -> Result<LoadSummary, SinkError> {
    let tx = begin(conn)?;
    let Some((full, contradictions)) = open(&tx, load)? else {
        return Ok(LoadSummary::default());
    };
    let mut summary = LoadSummary {
        contradictions,
        ..LoadSummary::default()
    };
    let now = Millis::now();
    for (batch, given) in given(&tx, load)? {
        seal(&tx, batch, Wish::Given(given), now, &mut summary)?;
    }
    if full {
        for batch in undecided(&tx, load)? {
            seal(&tx, batch, Wish::AtStateRows, now, &mut summary)?;
        }
    }
    summary.total_too_small = too_small(&tx, load)?;
    end(&tx, load, now)?;
    commit(Failpoint::StoreLoadEnd, tx)?;
    Ok(summary)
}

/// Whether the load is a full one, and its contradictions; none if it is not open.
fn open(conn: &Connection, load: LoadId) -> Result<Option<(bool, u64)>, SinkError> {
    let found = conn.query_row(
        "SELECT kind = 'full', contradictions FROM loads WHERE id = ?1 AND ended_at IS NULL",
        [load.0],
        |row| Ok((row.get(0)?, super::count(row, 1)?)),
    );
    Ok(found.optional()?)
}

/// The load's `batches` rows in the order of their batches, which are made if missing.
fn given(conn: &Connection, load: LoadId) -> Result<Vec<(i64, Given)>, SinkError> {
    let mut read = conn.prepare(
        "SELECT user, batch_id, total, sealed_at, deadline FROM load_batches WHERE load_id = ?1",
    )?;
    let mut rows = read.query([load.0])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let (user, batch_id): (String, String) = (row.get(0)?, row.get(1)?);
        let batch = load::batch_number(conn, &user, &batch_id)?;
        all.push((batch, read_given(row)?));
    }
    all.sort_unstable_by_key(|(batch, _)| *batch);
    Ok(all)
}

fn read_given(row: &Row<'_>) -> rusqlite::Result<Given> {
    Ok(Given {
        total: row.get(2)?,
        sealed_at: millis(row, 3)?,
        deadline: millis(row, 4)?,
    })
}

fn undecided(conn: &Connection, load: LoadId) -> Result<Vec<i64>, SinkError> {
    let mut read =
        conn.prepare("SELECT id FROM batches WHERE load_id = ?1 AND given = 0 ORDER BY id")?;
    let ids = read.query_map([load.0], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

fn seal(
    conn: &Connection,
    batch: i64,
    wish: Wish,
    now: Millis,
    summary: &mut LoadSummary,
) -> Result<(), SinkError> {
    let (before, recipients, finished) = standing(conn, batch)?;
    let next = before.wish(&wish, recipients, now);
    let anew = next.is_new_generation(before);
    if next != before {
        write(conn, batch, next, anew)?;
    }
    if anew {
        summary.sealed += 1;
        if next.total.is_some_and(|total| finished >= total) {
            summary.completed += u64::from(batches::fire(conn, batch, "all", now)?);
        }
    }
    Ok(())
}

fn standing(conn: &Connection, batch: i64) -> Result<(Standing, i64, i64), SinkError> {
    let mut read = conn.prepare_cached(
        "SELECT given, total, sealed_at, deadline, recipients, finished FROM batches WHERE id = ?1",
    )?;
    Ok(read.query_row([batch], |row| {
        let standing = Standing {
            given: row.get(0)?,
            total: row.get(1)?,
            sealed_at: millis(row, 2)?,
            deadline: millis(row, 3)?,
        };
        Ok((standing, row.get(4)?, row.get(5)?))
    })?)
}

fn write(conn: &Connection, batch: i64, next: Standing, anew: bool) -> Result<(), SinkError> {
    let mut update = conn.prepare_cached(
        "UPDATE batches SET given = ?2, total = ?3, sealed_at = ?4, deadline = ?5, generation = generation + ?6,
         completed_at = CASE WHEN ?6 THEN NULL ELSE completed_at END,
         cause = CASE WHEN ?6 THEN NULL ELSE cause END
         WHERE id = ?1",
    )?;
    let times = (next.sealed_at.map(|at| at.0), next.deadline.map(|at| at.0));
    update.execute((batch, next.given, next.total, times.0, times.1, anew))?;
    Ok(())
}

/// Batches of this load (by rows of either kind) whose total is below their distinct state rows.
fn too_small(conn: &Connection, load: LoadId) -> Result<u64, SinkError> {
    Ok(conn.query_row(
        "SELECT count(*) FROM batches WHERE total < recipients AND (load_id = ?1 OR (user, batch_id) IN
         (SELECT user, batch_id FROM load_batches WHERE load_id = ?1))",
        [load.0],
        |row| super::count(row, 0),
    )?)
}

fn end(conn: &Connection, load: LoadId, now: Millis) -> Result<(), SinkError> {
    conn.execute("DELETE FROM load_batches WHERE load_id = ?1", [load.0])?;
    conn.execute(
        "UPDATE loads SET ended_at = ?2 WHERE id = ?1",
        (load.0, now.0),
    )?;
    Ok(())
}
