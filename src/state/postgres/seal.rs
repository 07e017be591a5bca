//! The end of a load: totals, seals and generations change here and nowhere else, in one transaction.
//!
//! The rules are those of [`Standing`]. A batch that is complete the moment it is sealed completes in the same transaction.

use std::collections::BTreeMap;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::standing::{Given, Standing, Wish};
use super::super::{LoadId, LoadSummary};
use super::connect::Connection;
use super::load::Locks;
use super::values::{Stamp, count, moment_if};
use super::{batches, chunk, load};
use crate::error::SinkError;
use crate::event::Millis;
use crate::failpoint::Failpoint;

const OPEN: &str =
    "SELECT kind = 'full', contradictions FROM loads WHERE id = $1 AND ended_at IS NULL FOR UPDATE";

const GIVEN: &str =
    r#"SELECT "user", batch_id, total, sealed_at, deadline FROM load_batches WHERE load_id = $1"#;

const TOUCHED: &str = "SELECT batch FROM load_touched WHERE load_id = $1";

const STANDING: &str = "SELECT id, given, total, sealed_at, deadline, recipients, finished
    FROM batches WHERE id = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE";

const WRITE: &str = "UPDATE batches AS b SET given = a.given, total = a.total, sealed_at = a.sealed_at,
    deadline = a.deadline, generation = b.generation + a.anew::integer,
    completed_at = CASE WHEN a.anew THEN NULL ELSE b.completed_at END,
    cause = CASE WHEN a.anew THEN NULL ELSE b.cause END
    FROM unnest($1::bigint[], $2::boolean[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::boolean[])
    AS a (id, given, total, sealed_at, deadline, anew) WHERE b.id = a.id";

/// Ends a load. One that has ended already changes nothing.
pub(super) async fn finish_load(
    connection: &Connection,
    locks: &Locks,
    load: LoadId,
) -> Result<LoadSummary, SinkError> {
    connection.begin().await?;
    let Some((full, contradictions)) = open(connection, load).await? else {
        connection.roll_back().await?;
        load::ended(connection, locks, load).await?;
        return Ok(LoadSummary::default());
    };
    let now = Millis::now();
    let wishes = wishes(connection, load, full).await?;
    let changes = Changes::of(connection, &wishes, now).await?;
    changes.write(connection).await?;
    let mut summary = changes.summary;
    summary.contradictions = contradictions;
    summary.completed = batches::fire(connection, &changes.whole, now).await?;
    connection.lock(locks.end).await?;
    load::end(connection, load.0, false, now).await?;
    connection.commit(Failpoint::StoreLoadEnd).await?;
    load::ended(connection, locks, load).await?;
    Ok(summary)
}

/// Whether the load is a full one, and its contradictions; none if it is not open.
async fn open(connection: &Connection, load: LoadId) -> Result<Option<(bool, u64)>, SinkError> {
    let statement = connection.statement(OPEN).await?;
    let found = connection.client.query_opt(&statement, &[&load.0]).await?;
    Ok(match found {
        Some(row) => Some((row.try_get(0)?, count(&row, 1)?)),
        None => None,
    })
}

/// What the load wants of each batch: what a `batches` row says; else of a full load that it be sealed at its state rows.
async fn wishes(
    connection: &Connection,
    load: LoadId,
    full: bool,
) -> Result<BTreeMap<i64, Option<Wish>>, SinkError> {
    let mut wishes = BTreeMap::new();
    let touched = connection.statement(TOUCHED).await?;
    for row in connection.client.query(&touched, &[&load.0]).await? {
        wishes.insert(row.try_get(0)?, full.then_some(Wish::AtStateRows));
    }
    let statement = connection.statement(GIVEN).await?;
    let rows = connection.client.query(&statement, &[&load.0]).await?;
    let mut given: BTreeMap<(String, String), Given> = BTreeMap::new();
    for row in &rows {
        given.insert((row.try_get(0)?, row.try_get(1)?), read_given(row)?);
    }
    let names: Vec<(&str, &str)> = given
        .keys()
        .map(|(u, b)| (u.as_str(), b.as_str()))
        .collect();
    for (name, batch) in chunk::batch_numbers(connection, &names).await? {
        if let Some(given) = given.get(&name) {
            wishes.insert(batch, Some(Wish::Given(*given)));
        }
    }
    Ok(wishes)
}

fn read_given(row: &Row) -> Result<Given, SinkError> {
    Ok(Given {
        total: row.try_get(2)?,
        sealed_at: moment_if(row, 3)?,
        deadline: moment_if(row, 4)?,
    })
}

/// What changes, as columns.
#[derive(Default)]
struct Changes {
    ids: Vec<i64>,
    next: Vec<Standing>,
    anew: Vec<bool>,
    /// Batches that are sealed anew and complete already.
    whole: Vec<i64>,
    summary: LoadSummary,
}

impl Changes {
    /// Locks the batches in their order and decides.
    async fn of(
        connection: &Connection,
        wishes: &BTreeMap<i64, Option<Wish>>,
        now: Millis,
    ) -> Result<Self, SinkError> {
        let ids: Vec<i64> = wishes.keys().copied().collect();
        let statement = connection.statement(STANDING).await?;
        let mut changes = Self::default();
        for row in connection.client.query(&statement, &[&ids]).await? {
            let id: i64 = row.try_get(0)?;
            changes.decide(id, &row, wishes.get(&id).and_then(Option::as_ref), now)?;
        }
        Ok(changes)
    }

    fn decide(
        &mut self,
        id: i64,
        row: &Row,
        wish: Option<&Wish>,
        now: Millis,
    ) -> Result<(), SinkError> {
        let before = Standing {
            given: row.try_get(1)?,
            total: row.try_get(2)?,
            sealed_at: moment_if(row, 3)?,
            deadline: moment_if(row, 4)?,
        };
        let (recipients, finished): (i64, i64) = (row.try_get(5)?, row.try_get(6)?);
        // A `batches` row decided once, and a full load leaves that alone.
        let wish = wish.filter(|wish| !(before.given && matches!(wish, Wish::AtStateRows)));
        let next = wish.map_or(before, |wish| before.wish(wish, recipients, now));
        let anew = next.is_new_generation(before);
        if next != before {
            self.ids.push(id);
            self.next.push(next);
            self.anew.push(anew);
        }
        self.summary.sealed += u64::from(anew);
        self.summary.total_too_small +=
            u64::from(next.total.is_some_and(|total| total < recipients));
        if anew && next.total.is_some_and(|total| finished >= total) {
            self.whole.push(id);
        }
        Ok(())
    }

    async fn write(&self, connection: &Connection) -> Result<(), SinkError> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let given: Vec<bool> = self.next.iter().map(|next| next.given).collect();
        let totals: Vec<Option<i64>> = self.next.iter().map(|next| next.total).collect();
        let sealed: Vec<Option<Stamp>> = self.next.iter().map(|n| n.sealed_at.map(Stamp)).collect();
        let deadlines: Vec<Option<Stamp>> =
            self.next.iter().map(|n| n.deadline.map(Stamp)).collect();
        let columns: [&(dyn ToSql + Sync); 6] =
            [&self.ids, &given, &totals, &sealed, &deadlines, &self.anew];
        let statement = connection.statement(WRITE).await?;
        connection.client.execute(&statement, &columns).await?;
        Ok(())
    }
}
