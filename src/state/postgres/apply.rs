//! One batch of events, one transaction, three round trips: ledger, parked, recipients, batches, outbox, in this order.

use futures_util::future::{join, join3};
use tokio_postgres::Statement;

use super::super::kernel::{LedgerKeys, Parking, initial_outcomes, patches};
use super::super::{Applied, StateEvent};
use super::connect::StoreConnection;
use super::locks::LockPurpose;
use super::{batches, ledger, parked, rows};
use crate::error::SinkError;
use crate::event::Millis;
use crate::failpoint::{self, Failpoint};

/// Everything that a batch may send. All of it is prepared before the transaction begins: a statement that had to be prepared
/// in between would be overtaken by those behind it. Locks would be taken in another order, and the first error
/// that is seen would no longer be the cause of the others.
pub(super) struct ApplyStatements {
    judge: Statement,
    delete: Statement,
    park: Statement,
    read: Statement,
    write: Statement,
    grow: Statement,
}

impl ApplyStatements {
    async fn prepare(connection: &StoreConnection) -> Result<Self, SinkError> {
        Ok(Self {
            judge: connection.statement(ledger::JUDGE).await?,
            delete: connection.statement(parked::DELETE).await?,
            park: connection.statement(parked::PARK).await?,
            read: connection.statement(&rows::READ).await?,
            write: connection.statement(&rows::WRITE).await?,
            grow: connection.statement(&batches::GROW).await?,
        })
    }
}

/// Applies a batch.
pub(super) async fn apply(
    connection: &StoreConnection,
    events: &[StateEvent],
) -> Result<Applied, SinkError> {
    let statements = ApplyStatements::prepare(connection).await?;
    let client = &connection.client;
    let keys = LedgerKeys::of(events);
    let judging = ledger::judge(client, &statements.judge, &keys);
    let (begun, judged) = join(connection.begin_sharing(LockPurpose::LedgerFloor), judging).await;
    begun?;
    let verdicts = judged?;
    let mut applied = Applied {
        outcomes: initial_outcomes(events, &verdicts),
        ..Applied::default()
    };
    let patches = patches(events, &verdicts);
    let parking = Parking::of(events, &verdicts);
    let settling = parked::settle(client, (&statements.delete, &statements.park), &parking);
    let reading = rows::read(client, &statements.read, &patches);
    let (settled, read) = join(settling, reading).await;
    settled?.note(&mut applied.outcomes);
    let changed = rows::merge(&patches, &read?, &mut applied)?;
    failpoint::run_async(Failpoint::StoreApply, async {
        let (written, completed, committed) = join3(
            changed.write(client, &statements.write),
            batches::grow(client, &statements.grow, &changed.grown, Millis::now()),
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
