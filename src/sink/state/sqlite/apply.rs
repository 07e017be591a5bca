//! One batch of events, one transaction: ledger, parked, recipients, batches, outbox, in this order.

use rusqlite::Connection;

use super::super::fold::flag_of;
use super::super::{Applied, Effect, Outcome, StateEvent};
use super::ledger::Verdict;
use super::{batches, begin, commit, ledger, parked, rows};
use crate::edge::Point;
use crate::error::SinkError;

/// Applies a batch.
pub(super) fn apply(conn: &Connection, events: &[StateEvent]) -> Result<Applied, SinkError> {
    let tx = begin(conn)?;
    let verdicts = ledger::judge(&tx, events)?;
    #[cfg(feature = "faults")]
    let tx = wrong_order(conn, tx)?;
    let mut applied = Applied {
        outcomes: outcomes(events, &verdicts),
        ..Applied::default()
    };
    parked::settle(&tx, events, &verdicts, &mut applied.outcomes)?;
    let grown = rows::fold(&tx, events, &verdicts, &mut applied)?;
    applied.completed = batches::grow(&tx, &grown)?;
    commit(Point::StoreApply, tx)?;
    Ok(applied)
}

/// The outcomes as far as the ledger decides them; rows and parked events correct theirs.
fn outcomes(events: &[StateEvent], verdicts: &[Verdict]) -> Vec<Outcome> {
    events
        .iter()
        .zip(verdicts)
        .map(|(event, verdict)| match verdict {
            Verdict::New if counts(event) => Outcome::Applied,
            Verdict::New => Outcome::LoggedOnly,
            Verdict::Known | Verdict::Late | Verdict::Parking => Outcome::Duplicate,
        })
        .collect()
}

fn counts(event: &StateEvent) -> bool {
    matches!(event.effect, Effect::Apply(_))
        && flag_of(event.kind, event.bounce_class, event.machine).is_some()
}

/// The wrong design that marks first and writes afterwards: a crash in between loses the batch.
#[cfg(feature = "faults")]
fn wrong_order<'a>(
    conn: &'a Connection,
    tx: rusqlite::Transaction<'a>,
) -> Result<rusqlite::Transaction<'a>, SinkError> {
    use crate::edge::faults::{Wrong, wrong};
    if !wrong(Wrong::MarkBeforeWrite) {
        return Ok(tx);
    }
    commit(Point::StoreApply, tx)?;
    begin(conn)
}
