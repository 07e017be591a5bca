//! One batch of events, one transaction, three round trips: ledger, parked, recipients, batches, outbox, in this order.

use futures_util::future::{join, join3};
use tokio_postgres::Statement;

use super::super::hits::outcomes;
use super::super::{Applied, StateEvent};
use super::connect::{Connection, Lock};
use super::{batches, ledger, parked, rows};
use crate::error::SinkError;
use crate::event::Millis;
use crate::failpoint::{self, Failpoint};

/// What is sent in the last round trip. It is prepared beforehand: a statement that had to be prepared first would be
/// overtaken by the commit behind it.
struct Prepared {
    write: Statement,
    grow: Statement,
}

/// Applies a batch.
pub(super) async fn apply(
    connection: &Connection,
    floor: Lock,
    events: &[StateEvent],
) -> Result<Applied, SinkError> {
    let prepared = Prepared {
        write: connection.statement(&rows::WRITE).await?,
        grow: connection.statement(&batches::GROW).await?,
    };
    let judging = ledger::judge(connection, events);
    let (begun, judged) = join(connection.begin_sharing(floor), judging).await;
    begun?;
    let verdicts = judged?;
    let mut applied = Applied {
        outcomes: outcomes(events, &verdicts),
        ..Applied::default()
    };
    let folding = rows::Folding::of(events, &verdicts);
    let settling = parked::settle(connection, events, &verdicts, Millis::now());
    let (settled, read) = join(settling, folding.read(connection)).await;
    settled?.note(&mut applied.outcomes);
    let changed = folding.fold(&read?, events, &mut applied)?;
    failpoint::run_async(Failpoint::StoreApply, async {
        let (written, completed, committed) = join3(
            changed.write(connection, &prepared.write),
            batches::grow(connection, &prepared.grow, &changed.grown, Millis::now()),
            connection.send_commit(),
        )
        .await;
        written?;
        applied.completed = completed?;
        committed
    })
    .await?;
    Ok(applied)
}
