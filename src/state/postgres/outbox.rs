//! The completion outbox: completions leave the store here, each at least once, under the id (batch, generation).

use tokio_postgres::Row;

use super::super::{Completion, CompletionOutbox};
use super::connect::{Mode, StoreConnection};
use super::session::Session;
use super::settings::PostgresConfig;
use super::values::{Timestamptz, count, int, moment};
use crate::error::{Fatal, SinkError};
use crate::event::{Millis, User};
use crate::failpoint::Failpoint;

/// The outbox of a store, on a connection of its own. Members take different rows.
pub struct PostgresOutbox {
    session: Session,
}

impl std::fmt::Debug for PostgresOutbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresOutbox")
    }
}

impl PostgresOutbox {
    /// The outbox of that store; it connects at the first call.
    pub fn new(settings: PostgresConfig) -> Result<Self, Fatal> {
        let session = Session::new(settings, Mode::Durable)?;
        Ok(Self { session })
    }
}

impl CompletionOutbox for PostgresOutbox {
    fn relay_page(
        &mut self,
        limit: usize,
        deliver: &mut dyn FnMut(&[Completion]) -> bool,
    ) -> Result<usize, SinkError> {
        self.session
            .call(async |c| relay_page(c, limit, deliver).await)
    }
}

/// Rows that another member is delivering are left to it.
const UNDELIVERED: &str = r#"SELECT b.id, b."user", b.batch_id, o.generation, o.cause, o.completed_at
    FROM outbox AS o
    CROSS JOIN LATERAL (SELECT id, "user", batch_id FROM batches WHERE id = o.batch OFFSET 0) AS b
    WHERE o.delivered_at IS NULL ORDER BY o.batch, o.generation LIMIT $1 FOR UPDATE OF o SKIP LOCKED"#;

const MARK: &str = "UPDATE outbox AS o SET delivered_at = $3
    FROM unnest($1::bigint[], $2::bigint[]) AS a (batch, generation)
    WHERE o.batch = a.batch AND o.generation = a.generation";

async fn relay_page(
    connection: &StoreConnection,
    limit: usize,
    deliver: &mut dyn FnMut(&[Completion]) -> bool,
) -> Result<usize, SinkError> {
    let undelivered = connection.statement(UNDELIVERED).await?;
    let mark = connection.statement(MARK).await?;
    connection.begin().await?;
    let limit = int(limit as u64);
    let rows = connection.client.query(&undelivered, &[&limit]).await?;
    let page: Vec<Completion> = rows.iter().map(completion).collect::<Result<_, _>>()?;
    if page.is_empty() || !deliver(&page) {
        connection.roll_back().await?;
        return Ok(0);
    }
    let batches: Vec<i64> = rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    let generations: Vec<i64> = page.iter().map(|one| int(one.generation)).collect();
    let now = Timestamptz(Millis::now());
    connection
        .client
        .execute(&mark, &[&batches, &generations, &now])
        .await?;
    connection.commit(Failpoint::StoreRelay).await?;
    Ok(page.len())
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
