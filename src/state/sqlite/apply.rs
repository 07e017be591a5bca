//! One batch of events, one transaction: ledger, parked, recipients, batches, outbox, in this order.

use rusqlite::Connection;

use super::super::kernel::{LedgerKeys, initial_outcomes, patches};
use super::super::{Applied, StateEvent};
use super::{batches, begin, commit, ledger, parked, rows};
use crate::error::SinkError;
use crate::failpoint::Failpoint;

/// Applies a batch.
pub(super) fn apply(conn: &Connection, events: &[StateEvent]) -> Result<Applied, SinkError> {
    let tx = begin(conn)?;
    let verdicts = ledger::judge(&tx, &LedgerKeys::of(events))?;
    #[cfg(feature = "faults")]
    let tx = wrong_order(conn, tx)?;
    let mut applied = Applied {
        outcomes: initial_outcomes(events, &verdicts),
        ..Applied::default()
    };
    parked::settle(&tx, events, &verdicts, &mut applied.outcomes)?;
    let grown = rows::apply(&tx, &patches(events, &verdicts), &mut applied)?;
    applied.completed = batches::grow(&tx, &grown)?;
    commit(Failpoint::StoreApply, tx)?;
    Ok(applied)
}

/// The wrong design that marks first and writes afterwards: a crash in between loses the batch.
#[cfg(feature = "faults")]
fn wrong_order<'a>(
    conn: &'a Connection,
    tx: rusqlite::Transaction<'a>,
) -> Result<rusqlite::Transaction<'a>, SinkError> {
    use crate::failpoint::faults::{Wrong, wrong};
    if !wrong(Wrong::MarkBeforeWrite) {
        return Ok(tx);
    }
    commit(Failpoint::StoreApply, tx)?;
    begin(conn)
}
