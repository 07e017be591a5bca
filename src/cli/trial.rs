//! What `check` tries out: everything that a job would open, one after the other, and closed again at once.
//!
//! Contract: nothing is made, written or removed. All that is wrong is said together; the exit code is that of the first.

use crate::config::{LogKind, Plan, StateKind};
use crate::enrich::snapshot::LoadableRow;
use crate::enrich::tables::{self, TableQuery};
use crate::error::Fatal;
use crate::log::clickhouse;
use crate::observe::http;
use crate::recipient::{BatchRow, RecipientRow};
use crate::runtime::store::read_state;
use crate::state::sqlite::SqliteStore;

/// Tries everything.
pub fn all(plan: &Plan) -> Result<(), Fatal> {
    let trials = [
        store(plan),
        log(plan),
        broker(plan),
        recipients(plan),
        metrics(plan),
    ];
    let mut wrong = trials.into_iter().filter_map(Result::err);
    let Some(mut first) = wrong.next() else {
        return Ok(());
    };
    for other in wrong {
        first.message.push('\n');
        first.message.push_str(&other.message);
    }
    Err(first)
}

/// Opens a store that is there, which finds a wrong schema, a missing right or another process; one that is not there is
/// made by the first job.
fn store(plan: &Plan) -> Result<(), Fatal> {
    if plan.state_store == StateKind::Postgres {
        return read_state(plan).map(drop);
    }
    if plan.store_dir.join("state.db").exists() {
        drop(SqliteStore::open(&plan.store_dir)?);
    }
    Ok(())
}

/// Asks the server of the log; a folder is made by the first job.
fn log(plan: &Plan) -> Result<(), Fatal> {
    match plan.log_store {
        LogKind::ClickHouse => clickhouse::probe(&plan.clickhouse),
        LogKind::Parquet => Ok(()),
    }
}

/// Asks the broker that live jobs read.
fn broker(plan: &Plan) -> Result<(), Fatal> {
    Ok(plan.connector().preflight()?)
}

/// Asks for the columns of the user's own tables.
fn recipients(plan: &Plan) -> Result<(), Fatal> {
    let Some(plan) = &plan.recipients.tables else {
        return Ok(());
    };
    let mut tables = tables::open(&plan.place)?;
    let query = |given, columns| TableQuery {
        given,
        columns,
        from: None,
        sent_since: None,
    };
    let batches = plan.batches.as_ref();
    let batches = batches.map(|given| query(given, BatchRow::COLUMNS));
    let queries = batches
        .into_iter()
        .chain([query(&plan.recipients, RecipientRow::COLUMNS)]);
    Ok(tables::probe(&mut *tables, queries)?)
}

/// Opens the port that a live job would serve.
fn metrics(plan: &Plan) -> Result<(), Fatal> {
    let address = plan.metrics_address(false);
    address.map_or(Ok(()), |address| http::listen(address).map(drop))
}
