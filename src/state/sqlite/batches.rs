//! Counters of batches, and the edge at which one completes.

use std::fmt::Write as _;
use std::sync::LazyLock;

use rusqlite::Connection;

use super::super::kernel::{BatchDeltas, Deltas, FLAG_COUNT, Flag};
use super::int;
use crate::error::SinkError;
use crate::event::Millis;

/// `UPDATE` that adds to all counters and answers whether the batch is complete now.
static GROW: LazyLock<String> = LazyLock::new(|| {
    let mut sql = String::from(
        "UPDATE batches SET finished = finished + ?2, opens = opens + ?3, clicks = clicks + ?4,
         machine_opens = machine_opens + ?5",
    );
    for flag in Flag::ALL {
        let (name, place) = (flag.name(), FIRST_FLAG + flag.index());
        write!(sql, ", {name} = {name} + ?{place}").unwrap_or_default();
    }
    sql.push_str(
        " WHERE id = ?1
         RETURNING sealed_at IS NOT NULL AND completed_at IS NULL AND ifnull(finished >= total, 0)",
    );
    sql
});

/// The parameter of the first flag's counter.
const FIRST_FLAG: usize = 6;

/// Adds to the counters of batches, in their order; returns how many completed.
pub(super) fn grow(conn: &Connection, grown: &BatchDeltas) -> Result<u64, SinkError> {
    let mut completed = 0;
    let mut complete = Vec::new();
    for (batch, deltas) in grown {
        if grow_one(conn, *batch, deltas)? {
            complete.push(*batch);
        }
    }
    let now = Millis::now();
    for batch in complete {
        completed += u64::from(fire(conn, batch, "all", now)?);
    }
    Ok(completed)
}

fn grow_one(conn: &Connection, batch: i64, deltas: &Deltas) -> Result<bool, SinkError> {
    let mut update = conn.prepare_cached(&GROW)?;
    let totals = &deltas.totals;
    let fixed = [
        deltas.finished,
        totals.opens,
        totals.clicks,
        totals.machine_opens,
    ];
    update.raw_bind_parameter(1, batch)?;
    for (place, value) in (2..).zip(fixed.into_iter().chain(deltas.unique)) {
        update.raw_bind_parameter(place, int(value))?;
    }
    debug_assert_eq!(update.parameter_count(), FIRST_FLAG - 1 + FLAG_COUNT);
    let mut rows = update.raw_query();
    let complete = rows.next()?.map(|row| row.get(0)).transpose()?;
    while rows.next()?.is_some() {}
    Ok(complete.unwrap_or(false))
}

/// Completes a sealed batch that is not complete yet and puts it into the outbox; answers whether it fired.
pub(super) fn fire(
    conn: &Connection,
    batch: i64,
    cause: &str,
    now: Millis,
) -> Result<bool, SinkError> {
    let mut complete = conn.prepare_cached(
        "UPDATE batches SET completed_at = ?2, cause = ?3
         WHERE id = ?1 AND sealed_at IS NOT NULL AND completed_at IS NULL",
    )?;
    let fired = complete.execute((batch, now.0, cause))? == 1;
    if fired {
        let mut insert = conn.prepare_cached(
            "INSERT INTO outbox (batch, generation, cause, completed_at)
             SELECT id, generation, cause, completed_at FROM batches WHERE id = ?1",
        )?;
        insert.execute([batch])?;
    }
    Ok(fired)
}
