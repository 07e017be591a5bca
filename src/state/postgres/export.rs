//! The whole comparable state as views, read in one consistent moment.

use std::fmt::Write as _;
use std::sync::LazyLock;

use tokio_postgres::Row;

use super::super::kernel::{EventTotals, FLAG_COUNT, Flag, Flags, RowState, Status};
use super::super::view::{BatchView, CompletionView, Export, RecipientView};
use super::class::bug;
use super::connect::StoreConnection;
use super::values::{count, moment, moment_if};
use crate::error::SinkError;

/// The columns of a recipient's view, without its messages; the number of the row is the last.
pub(super) static RECIPIENT: LazyLock<String> = LazyLock::new(|| {
    let mut columns = r#"r."user", r.batch_id, r.recipient_id, r.status, r.flags"#.to_owned();
    for which in ["first", "last"] {
        for flag in Flag::ALL {
            write!(columns, ", r.{which}_{}", flag.name()).unwrap_or_default();
        }
    }
    columns.push_str(", r.id");
    columns
});

/// The place of the row's number in [`RECIPIENT`].
pub(super) const RECIPIENT_NUMBER: usize = 5 + 2 * FLAG_COUNT;

/// Exports everything that can be compared.
pub(super) async fn export(connection: &StoreConnection) -> Result<Export, SinkError> {
    connection.begin_reading().await?;
    let client = &connection.client;
    let read = format!(
        r#"SELECT {} FROM recipients AS r ORDER BY r."user" COLLATE "C", r.batch_id COLLATE "C", r.recipient_id COLLATE "C""#,
        *RECIPIENT
    );
    let rows = client.query(&read, &[]).await?;
    let recipients = rows.iter().map(recipient).collect::<Result<_, _>>()?;
    let floor = client
        .query_one("SELECT dropped_before FROM meta", &[])
        .await?;
    let export = Export {
        recipients,
        batches: batches(connection).await?,
        completions: completions(connection).await?,
        dropped_before: floor.try_get::<_, i32>(0)?.unsigned_abs(),
    };
    connection.roll_back().await?;
    Ok(export)
}

/// Reads a row of [`RECIPIENT`].
pub(super) fn recipient(row: &Row) -> Result<RecipientView, SinkError> {
    let status = Status::from_rank(i64::from(row.try_get::<_, i16>(3)?));
    let status = status.ok_or_else(|| bug("a state row has an unknown status"))?;
    let mut state = RowState {
        flags: Flags(row.try_get::<_, i16>(4)?.cast_unsigned()),
        ..RowState::default()
    };
    for flag in state.flags.iter() {
        let at = flag.index();
        state.first[at] = moment(row, 5 + at)?;
        state.last[at] = moment(row, 5 + FLAG_COUNT + at)?;
    }
    Ok(RecipientView {
        user: row.try_get(0)?,
        batch_id: row.try_get(1)?,
        recipient_id: row.try_get(2)?,
        status: status.name(),
        flags: RecipientView::spans(&state),
        messages: Vec::new(),
    })
}

/// All batches by user and id.
pub(super) async fn batches(connection: &StoreConnection) -> Result<Vec<BatchView>, SinkError> {
    let mut read =
        r#"SELECT "user", batch_id, total, sealed_at, deadline, generation, recipients, finished,
        completed_at, cause, opens, clicks, machine_opens"#
            .to_owned();
    for flag in Flag::ALL {
        write!(read, ", {}", flag.name()).unwrap_or_default();
    }
    read.push_str(r#" FROM batches ORDER BY "user" COLLATE "C", batch_id COLLATE "C""#);
    let rows = connection.client.query(&read, &[]).await?;
    rows.iter().map(batch).collect()
}

fn batch(row: &Row) -> Result<BatchView, SinkError> {
    let mut unique = [0; FLAG_COUNT];
    for (column, value) in (13..).zip(&mut unique) {
        *value = count(row, column)?;
    }
    Ok(BatchView {
        user: row.try_get(0)?,
        batch_id: row.try_get(1)?,
        total: row.try_get::<_, Option<i64>>(2)?.map(i64::unsigned_abs),
        sealed_at: moment_if(row, 3)?,
        deadline: moment_if(row, 4)?,
        generation: count(row, 5)?,
        recipients: count(row, 6)?,
        finished: count(row, 7)?,
        completed_at: moment_if(row, 8)?,
        cause: row.try_get(9)?,
        totals: EventTotals {
            opens: count(row, 10)?,
            clicks: count(row, 11)?,
            machine_opens: count(row, 12)?,
        },
        unique: BatchView::by_flag(&unique),
    })
}

/// All completions by batch and generation.
pub(super) async fn completions(
    connection: &StoreConnection,
) -> Result<Vec<CompletionView>, SinkError> {
    let read = r#"SELECT b."user", b.batch_id, o.generation, o.cause, o.completed_at, o.delivered_at
        FROM outbox AS o JOIN batches AS b ON b.id = o.batch
        ORDER BY b."user" COLLATE "C", b.batch_id COLLATE "C", o.generation"#;
    let rows = connection.client.query(read, &[]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push(CompletionView {
            user: row.try_get(0)?,
            batch_id: row.try_get(1)?,
            generation: count(row, 2)?,
            cause: row.try_get(3)?,
            completed_at: moment(row, 4)?,
            delivered_at: moment_if(row, 5)?,
        });
    }
    Ok(found)
}
