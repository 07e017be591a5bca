//! The whole comparable state as views, read in one consistent moment.

use rusqlite::{Connection, Row};

use super::super::kernel::{EventTotals, FLAG_COUNT, Status};
use super::super::view::{BatchView, CompletionView, Export, RecipientView};
use super::rows::read_state;
use super::{count, ledger, millis};
use crate::error::{Class, SinkError};
use crate::event::Millis;

/// The columns of a recipient's view, without its messages.
pub(super) const RECIPIENT: &str = "r.user, r.batch_id, r.recipient_id, r.status, r.flags,
    r.first_sent, r.first_deferred, r.first_dropped, r.first_failed, r.first_bounced_soft, r.first_bounced_hard,
    r.first_delivered, r.first_opened, r.first_clicked, r.first_unsubscribed, r.first_complained,
    r.first_machine_opened,
    r.last_sent, r.last_deferred, r.last_dropped, r.last_failed, r.last_bounced_soft, r.last_bounced_hard,
    r.last_delivered, r.last_opened, r.last_clicked, r.last_unsubscribed, r.last_complained,
    r.last_machine_opened, r.id";

/// The place of the row's number in [`RECIPIENT`].
pub(super) const RECIPIENT_NUMBER: usize = 29;

/// Exports everything that can be compared.
pub(super) fn export(conn: &Connection) -> Result<Export, SinkError> {
    let tx = conn.unchecked_transaction()?;
    Ok(Export {
        recipients: recipients(&tx)?,
        batches: batches(&tx)?,
        completions: completions(&tx)?,
        dropped_before: ledger::dropped_before(&tx)?.0,
    })
}

fn recipients(conn: &Connection) -> Result<Vec<RecipientView>, SinkError> {
    let sql = format!(
        "SELECT {RECIPIENT} FROM recipients AS r ORDER BY r.user, r.batch_id, r.recipient_id"
    );
    let mut read = conn.prepare(&sql)?;
    let mut rows = read.query(())?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(recipient(row)?);
    }
    Ok(all)
}

/// Reads a row of [`RECIPIENT`].
pub(super) fn recipient(row: &Row<'_>) -> Result<RecipientView, SinkError> {
    let unknown = || SinkError::new("sqlite", Class::Bug, "a state row has an unknown status");
    let status = Status::from_rank(row.get(3)?).ok_or_else(unknown)?;
    Ok(RecipientView {
        user: row.get(0)?,
        batch_id: row.get(1)?,
        recipient_id: row.get(2)?,
        status: status.name(),
        flags: RecipientView::spans(&read_state(row, 4)?),
        messages: Vec::new(),
    })
}

/// All batches by user and id.
pub(super) fn batches(conn: &Connection) -> Result<Vec<BatchView>, SinkError> {
    let mut read = conn.prepare(
        "SELECT user, batch_id, total, sealed_at, deadline, generation, recipients, finished, completed_at, cause,
         opens, clicks, machine_opens, sent, deferred, dropped, failed, bounced_soft, bounced_hard, delivered,
         opened, clicked, unsubscribed, complained, machine_opened
         FROM batches ORDER BY user, batch_id",
    )?;
    let rows = read.query_map((), batch)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn batch(row: &Row<'_>) -> rusqlite::Result<BatchView> {
    Ok(BatchView {
        user: row.get(0)?,
        batch_id: row.get(1)?,
        total: row.get::<_, Option<i64>>(2)?.map(i64::unsigned_abs),
        sealed_at: millis(row, 3)?,
        deadline: millis(row, 4)?,
        generation: count(row, 5)?,
        recipients: count(row, 6)?,
        finished: count(row, 7)?,
        completed_at: millis(row, 8)?,
        cause: row.get(9)?,
        totals: EventTotals {
            opens: count(row, 10)?,
            clicks: count(row, 11)?,
            machine_opens: count(row, 12)?,
        },
        unique: BatchView::by_flag(&unique(row)?),
    })
}

fn unique(row: &Row<'_>) -> rusqlite::Result<[u64; FLAG_COUNT]> {
    let mut unique = [0; FLAG_COUNT];
    for (column, value) in (13..).zip(&mut unique) {
        *value = count(row, column)?;
    }
    Ok(unique)
}

/// All completions by batch and generation.
pub(super) fn completions(conn: &Connection) -> Result<Vec<CompletionView>, SinkError> {
    let mut read = conn.prepare(
        "SELECT b.user, b.batch_id, o.generation, o.cause, o.completed_at, o.delivered_at
         FROM outbox AS o JOIN batches AS b ON b.id = o.batch
         ORDER BY b.user, b.batch_id, o.generation",
    )?;
    let rows = read.query_map((), |row| {
        Ok(CompletionView {
            user: row.get(0)?,
            batch_id: row.get(1)?,
            generation: count(row, 2)?,
            cause: row.get(3)?,
            completed_at: Millis(row.get(4)?),
            delivered_at: millis(row, 5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
