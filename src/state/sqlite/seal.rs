//! The end of a load: totals, seals and generations change here and nowhere else, in one transaction.
//!
//! The rules are those of the kernel's [`SealDecision`].

use rusqlite::{Connection, OptionalExtension, Row};

use super::super::kernel::{
    BatchProgress, BatchSeal, BatchTerms, LoadEnding, SealDecision, SealRequest, seal_requests,
};
use super::super::{LoadId, LoadKind, LoadSummary};
use super::{batches, begin, commit, load, millis};
use crate::error::SinkError;
use crate::event::Millis;
use crate::failpoint::Failpoint;

/// Ends a load. One that has ended already changes nothing.
pub(super) fn finish_load(conn: &Connection, load: LoadId) -> Result<LoadSummary, SinkError> {
    let tx = begin(conn)?;
    let Some((kind, contradictions)) = open(&tx, load)? else {
        return Ok(LoadSummary::default());
    };
    let mut summary = end(&tx, load, LoadEnding::Finished(kind))?;
    summary.contradictions = contradictions;
    commit(Failpoint::StoreLoadEnd, tx)?;
    Ok(summary)
}

/// The kind of the load and its contradictions; none if it is not open.
fn open(conn: &Connection, load: LoadId) -> Result<Option<(LoadKind, u64)>, SinkError> {
    let found = conn.query_row(
        "SELECT kind = 'full', contradictions FROM loads WHERE id = ?1 AND ended_at IS NULL",
        [load.0],
        |row| Ok((LoadKind::of_full(row.get(0)?), super::count(row, 1)?)),
    );
    Ok(found.optional()?)
}

/// Ends a load within a transaction.
pub(super) fn end(
    conn: &Connection,
    load: LoadId,
    ending: LoadEnding,
) -> Result<LoadSummary, SinkError> {
    let mut summary = LoadSummary::default();
    let now = Millis::now();
    let requests = seal_requests(ending, touched(conn, load)?, terms(conn, load, ending)?);
    for (batch, request) in requests {
        seal(conn, batch, &request, now, &mut summary)?;
    }
    conn.execute("DELETE FROM load_batches WHERE load_id = ?1", [load.0])?;
    let died = ending == LoadEnding::Died;
    conn.execute(
        "UPDATE loads SET ended_at = ?2, died = ?3 WHERE id = ?1",
        (load.0, now.0, died),
    )?;
    Ok(summary)
}

/// The batches of which the load brought rows.
fn touched(conn: &Connection, load: LoadId) -> Result<Vec<i64>, SinkError> {
    let mut read = conn.prepare("SELECT id FROM batches WHERE load_id = ?1")?;
    let ids = read.query_map([load.0], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// The load's `batches` rows; their batches are made if missing.
fn terms(
    conn: &Connection,
    load: LoadId,
    ending: LoadEnding,
) -> Result<Vec<(i64, BatchTerms)>, SinkError> {
    let mut all = Vec::new();
    if ending == LoadEnding::Died {
        return Ok(all);
    }
    let mut read = conn.prepare(
        "SELECT user, batch_id, total, sealed_at, deadline FROM load_batches WHERE load_id = ?1",
    )?;
    let mut rows = read.query([load.0])?;
    while let Some(row) = rows.next()? {
        let (user, batch_id): (String, String) = (row.get(0)?, row.get(1)?);
        let batch = load::batch_number(conn, &user, &batch_id)?;
        all.push((batch, read_terms(row)?));
    }
    Ok(all)
}

fn read_terms(row: &Row<'_>) -> rusqlite::Result<BatchTerms> {
    Ok(BatchTerms {
        total: row.get(2)?,
        sealed_at: millis(row, 3)?,
        deadline: millis(row, 4)?,
    })
}

fn seal(
    conn: &Connection,
    batch: i64,
    request: &SealRequest,
    now: Millis,
    summary: &mut LoadSummary,
) -> Result<(), SinkError> {
    let (before, progress) = read(conn, batch)?;
    let decision = SealDecision::of(before, progress, request, now);
    decision.count(summary);
    if decision.next != before {
        write(conn, batch, &decision)?;
    }
    if decision.completes {
        summary.completed += u64::from(batches::fire(conn, batch, "all", now)?);
    }
    Ok(())
}

fn read(conn: &Connection, batch: i64) -> Result<(BatchSeal, BatchProgress), SinkError> {
    let mut read = conn.prepare_cached(
        "SELECT given, total, sealed_at, deadline, recipients, finished FROM batches WHERE id = ?1",
    )?;
    Ok(read.query_row([batch], |row| {
        let seal = BatchSeal {
            given: row.get(0)?,
            total: row.get(1)?,
            sealed_at: millis(row, 2)?,
            deadline: millis(row, 3)?,
        };
        let progress = BatchProgress {
            recipients: row.get(4)?,
            finished: row.get(5)?,
        };
        Ok((seal, progress))
    })?)
}

fn write(conn: &Connection, batch: i64, decision: &SealDecision) -> Result<(), SinkError> {
    let mut update = conn.prepare_cached(
        "UPDATE batches SET given = ?2, total = ?3, sealed_at = ?4, deadline = ?5, generation = generation + ?6,
         completed_at = CASE WHEN ?6 THEN NULL ELSE completed_at END,
         cause = CASE WHEN ?6 THEN NULL ELSE cause END
         WHERE id = ?1",
    )?;
    let next = decision.next;
    let times = (next.sealed_at.map(|at| at.0), next.deadline.map(|at| at.0));
    let anew = decision.new_generation;
    update.execute((batch, next.given, next.total, times.0, times.1, anew))?;
    Ok(())
}
