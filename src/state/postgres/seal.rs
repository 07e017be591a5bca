//! The end of a load: totals, seals and generations change here and nowhere else, in one transaction.
//!
//! The rules are those of the kernel's [`SealDecision`].

use std::collections::BTreeMap;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::kernel::{
    BatchProgress, BatchSeal, BatchTerms, LoadEnding, SealDecision, SealRequest, seal_requests,
};
use super::super::{LoadId, LoadKind, LoadSummary};
use super::connect::StoreConnection;
use super::locks::LockPurpose;
use super::values::{Timestamptz, count, moment_if};
use super::{batches, chunk, load};
use crate::error::SinkError;
use crate::event::Millis;
use crate::failpoint::Failpoint;

const OPEN: &str =
    "SELECT kind = 'full', contradictions FROM loads WHERE id = $1 AND ended_at IS NULL FOR UPDATE";

const GIVEN: &str =
    r#"SELECT "user", batch_id, total, sealed_at, deadline FROM load_batches WHERE load_id = $1"#;

const TOUCHED: &str = "SELECT batch FROM load_touched WHERE load_id = $1";

const BATCHES: &str = "SELECT id, given, total, sealed_at, deadline, recipients, finished
    FROM batches WHERE id = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE";

const WRITE: &str = "UPDATE batches AS b SET given = a.given, total = a.total, sealed_at = a.sealed_at,
    deadline = a.deadline, generation = b.generation + a.anew::integer,
    completed_at = CASE WHEN a.anew THEN NULL ELSE b.completed_at END,
    cause = CASE WHEN a.anew THEN NULL ELSE b.cause END
    FROM unnest($1::bigint[], $2::boolean[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::boolean[])
    AS a (id, given, total, sealed_at, deadline, anew) WHERE b.id = a.id";

/// Ends a load. One that has ended already changes nothing.
pub(super) async fn finish_load(
    connection: &StoreConnection,
    load: LoadId,
) -> Result<LoadSummary, SinkError> {
    connection.begin().await?;
    let summary = match open(connection, load).await? {
        None => {
            connection.roll_back().await?;
            LoadSummary::default()
        }
        Some((kind, contradictions)) => {
            let now = Millis::now();
            let ended = seal(connection, load, LoadEnding::Finished(kind), now).await?;
            connection.lock(LockPurpose::LoadEnd).await?;
            load::close(connection, load, false, now).await?;
            connection.commit(Failpoint::StoreLoadEnd).await?;
            LoadSummary {
                contradictions,
                ..ended
            }
        }
    };
    connection.release(LockPurpose::Load(load)).await?;
    Ok(summary)
}

/// The kind of the load and its contradictions; none if it is not open.
async fn open(
    connection: &StoreConnection,
    load: LoadId,
) -> Result<Option<(LoadKind, u64)>, SinkError> {
    let statement = connection.statement(OPEN).await?;
    let found = connection.client.query_opt(&statement, &[&load.0]).await?;
    Ok(match found {
        Some(row) => Some((LoadKind::of_full(row.try_get(0)?), count(&row, 1)?)),
        None => None,
    })
}

/// Seals what the end of a load seals, within its transaction.
pub(super) async fn seal(
    connection: &StoreConnection,
    load: LoadId,
    ending: LoadEnding,
    now: Millis,
) -> Result<LoadSummary, SinkError> {
    let requests = requests(connection, load, ending).await?;
    let changes = SealChanges::decide(connection, &requests, now).await?;
    changes.write(connection).await?;
    let mut summary = changes.summary;
    summary.completed = batches::fire(connection, &changes.complete, now).await?;
    Ok(summary)
}

/// What the load asks of each batch.
async fn requests(
    connection: &StoreConnection,
    load: LoadId,
    ending: LoadEnding,
) -> Result<BTreeMap<i64, SealRequest>, SinkError> {
    let statement = connection.statement(TOUCHED).await?;
    let rows = connection.client.query(&statement, &[&load.0]).await?;
    let touched = rows.iter().map(|row| row.try_get(0));
    let touched: Vec<i64> = touched.collect::<Result<_, _>>()?;
    let terms = match ending {
        LoadEnding::Finished(_) => terms(connection, load).await?,
        LoadEnding::Died => Vec::new(),
    };
    Ok(seal_requests(ending, touched, terms))
}

/// The load's `batches` rows; their batches are made if missing.
async fn terms(
    connection: &StoreConnection,
    load: LoadId,
) -> Result<Vec<(i64, BatchTerms)>, SinkError> {
    let statement = connection.statement(GIVEN).await?;
    let rows = connection.client.query(&statement, &[&load.0]).await?;
    let mut terms: BTreeMap<(String, String), BatchTerms> = BTreeMap::new();
    for row in &rows {
        terms.insert((row.try_get(0)?, row.try_get(1)?), read_terms(row)?);
    }
    let names: Vec<(&str, &str)> = terms
        .keys()
        .map(|(user, batch)| (user.as_str(), batch.as_str()))
        .collect();
    let numbers = chunk::batch_numbers(connection, &names).await?;
    let number = |name: &(String, String)| numbers.get(name).copied();
    Ok(terms
        .iter()
        .filter_map(|(name, terms)| Some((number(name)?, *terms)))
        .collect())
}

fn read_terms(row: &Row) -> Result<BatchTerms, SinkError> {
    Ok(BatchTerms {
        total: row.try_get(2)?,
        sealed_at: moment_if(row, 3)?,
        deadline: moment_if(row, 4)?,
    })
}

/// What changes.
#[derive(Default)]
struct SealChanges {
    changed: Vec<(i64, SealDecision)>,
    /// Batches whose new generation is complete already.
    complete: Vec<i64>,
    summary: LoadSummary,
}

impl SealChanges {
    /// Locks the batches in their order and decides.
    async fn decide(
        connection: &StoreConnection,
        requests: &BTreeMap<i64, SealRequest>,
        now: Millis,
    ) -> Result<Self, SinkError> {
        let ids: Vec<i64> = requests.keys().copied().collect();
        let statement = connection.statement(BATCHES).await?;
        let mut changes = Self::default();
        for row in connection.client.query(&statement, &[&ids]).await? {
            let id: i64 = row.try_get(0)?;
            let (before, progress) = read_seal(&row)?;
            if let Some(request) = requests.get(&id) {
                let decision = SealDecision::of(before, progress, request, now);
                changes.add(id, before, decision);
            }
        }
        Ok(changes)
    }

    fn add(&mut self, id: i64, before: BatchSeal, decision: SealDecision) {
        decision.count(&mut self.summary);
        if decision.next != before {
            self.changed.push((id, decision));
        }
        if decision.completes {
            self.complete.push(id);
        }
    }

    async fn write(&self, connection: &StoreConnection) -> Result<(), SinkError> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let next = || self.changed.iter().map(|(_, decision)| decision.next);
        let ids: Vec<i64> = self.changed.iter().map(|(id, _)| *id).collect();
        let given: Vec<bool> = next().map(|seal| seal.given).collect();
        let totals: Vec<Option<i64>> = next().map(|seal| seal.total).collect();
        let sealed: Vec<Option<Timestamptz>> =
            next().map(|seal| seal.sealed_at.map(Timestamptz)).collect();
        let deadlines: Vec<Option<Timestamptz>> =
            next().map(|seal| seal.deadline.map(Timestamptz)).collect();
        let anew: Vec<bool> = self.changed.iter().map(|(_, d)| d.new_generation).collect();
        let columns: [&(dyn ToSql + Sync); 6] = [&ids, &given, &totals, &sealed, &deadlines, &anew];
        let statement = connection.statement(WRITE).await?;
        connection.client.execute(&statement, &columns).await?;
        Ok(())
    }
}

fn read_seal(row: &Row) -> Result<(BatchSeal, BatchProgress), SinkError> {
    let seal = BatchSeal {
        given: row.try_get(1)?,
        total: row.try_get(2)?,
        sealed_at: moment_if(row, 3)?,
        deadline: moment_if(row, 4)?,
    };
    let progress = BatchProgress {
        recipients: row.try_get(5)?,
        finished: row.try_get(6)?,
    };
    Ok((seal, progress))
}
