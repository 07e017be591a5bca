//! The relay: completions leave the store here, each at least once, under the id (batch, generation).

use tokio_postgres::Row;

use super::super::Completion;
use super::connect::StoreConnection;
use super::values::{Timestamptz, count, int, moment};
use crate::error::SinkError;
use crate::event::{Millis, User};
use crate::failpoint::Failpoint;

/// Rows that another member is delivering are left to it.
const WAITING: &str = r#"SELECT b.id, b."user", b.batch_id, o.generation, o.cause, o.completed_at
    FROM outbox AS o
    CROSS JOIN LATERAL (SELECT id, "user", batch_id FROM batches WHERE id = o.batch OFFSET 0) AS b
    WHERE o.delivered_at IS NULL ORDER BY o.completed_at, b.id, o.generation FOR UPDATE OF o SKIP LOCKED"#;

const MARK: &str = "UPDATE outbox AS o SET delivered_at = $3
    FROM unnest($1::bigint[], $2::bigint[]) AS a (batch, generation)
    WHERE o.batch = a.batch AND o.generation = a.generation";

/// Hands undelivered completions over and marks those that were taken.
pub(super) async fn relay(
    connection: &StoreConnection,
    deliver: &mut dyn FnMut(&Completion) -> bool,
) -> Result<u64, SinkError> {
    let (waiting, mark) = (
        connection.statement(WAITING).await?,
        connection.statement(MARK).await?,
    );
    connection.begin().await?;
    let (mut batches, mut generations) = (Vec::new(), Vec::new());
    for row in connection.client.query(&waiting, &[]).await? {
        let completion = completion(&row)?;
        if deliver(&completion) {
            batches.push(row.try_get::<_, i64>(0)?);
            generations.push(int(completion.generation));
        }
    }
    if batches.is_empty() {
        connection.roll_back().await?;
        return Ok(0);
    }
    let now = Timestamptz(Millis::now());
    connection
        .client
        .execute(&mark, &[&batches, &generations, &now])
        .await?;
    connection.commit(Failpoint::StoreRelay).await?;
    Ok(batches.len() as u64)
}

fn completion(row: &Row) -> Result<Completion, SinkError> {
    Ok(Completion {
        user: User::new(row.try_get::<_, String>(1)?),
        batch_id: row.try_get(2)?,
        generation: count(row, 3)?,
        cause: row.try_get(4)?,
        completed_at: moment(row, 5)?,
    })
}
