//! `hookflow migrate`: creates or checks the tables of the stores in use. It is idempotent, also concurrently.

use super::args::Common;
use super::environment::{Environment, load};
use super::output::Output;
use crate::config::{LogKind, Plan, StateKind};
use crate::error::{Exit, Fatal};
use crate::log::clickhouse;
use crate::state::postgres::{Migrated, migrate as migrate_postgres};

/// Prints one line for each store.
pub fn migrate(common: &Common, env: &Environment, output: &mut Output<'_>) -> Result<Exit, Fatal> {
    let plan = load(common, env, Vec::new())?.plan;
    for line in stores(&plan)? {
        output.print(&format!("{line}\n"))?;
    }
    Ok(Exit::Done)
}

fn stores(plan: &Plan) -> Result<Vec<String>, Fatal> {
    let mut lines = Vec::new();
    match plan.state_store {
        StateKind::Postgres => lines.push(postgres(plan)?),
        StateKind::Sqlite => lines.push("sqlite: nothing to do, a job creates its tables".into()),
    }
    match plan.log_store {
        LogKind::ClickHouse => lines.push(clickhouse::migrate(&plan.clickhouse)?),
        LogKind::Parquet => {
            lines.push("parquet: nothing to do, files are created when needed".into())
        }
    }
    Ok(lines)
}

fn postgres(plan: &Plan) -> Result<String, Fatal> {
    let schema = &plan.postgres.schema;
    let Migrated { from, to } = migrate_postgres(plan.postgres.clone())?;
    Ok(match from {
        0 => format!("postgres: schema {schema} created, version {to}"),
        from if from == to => format!("postgres: schema {schema} is at version {to} already"),
        from => format!("postgres: schema {schema} migrated from version {from} to {to}"),
    })
}
