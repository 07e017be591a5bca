//! One batch of events, one transaction, three round trips: ledger, parked, recipients, batches, outbox, in this order.

use futures_util::future::{join, join4};
use tokio_postgres::Statement;

use super::super::hits::outcomes;
use super::super::{Applied, StateEvent};
use super::connect::{Connection, Lock};
use super::{batches, ledger, parked, rows};
use crate::edge::{self, Point};
use crate::error::SinkError;
use crate::event::Millis;

/// What is sent in the last round trip. It is prepared beforehand: a statement that had to be prepared first would be
/// overtaken by the commit behind it.
struct Prepared {
    one_flag: Statement,
    any_flags: Statement,
    grow: Statement,
}

/// Applies a batch.
pub(super) async fn apply(
    connection: &Connection,
    floor: Lock,
    events: &[StateEvent],
) -> Result<Applied, SinkError> {
    let prepared = Prepared {
        one_flag: connection.statement(&rows::WRITE_ONE).await?,
        any_flags: connection.statement(&rows::WRITE_ANY).await?,
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
    let mut folding = rows::Folding::of(events, &verdicts);
    let settling = parked::settle(connection, events, &verdicts, Millis::now());
    let (settled, read) = join(settling, folding.read(connection)).await;
    settled?.note(&mut applied.outcomes);
    let changed = folding.fold(read?, events, &mut applied)?;
    edge::pass_async(Point::StoreApply, async {
        let (one, any, completed, committed) = join4(
            changed.write_one(connection, &prepared.one_flag),
            changed.write_any(connection, &prepared.any_flags),
            batches::grow(connection, &prepared.grow, &changed.grown, Millis::now()),
            connection.send_commit(),
        )
        .await;
        one?;
        any?;
        applied.completed = completed?;
        committed
    })
    .await?;
    Ok(applied)
}
