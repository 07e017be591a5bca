//! `hookflow migrate`: makes or checks what the stores in use need. Running it again, or several at once, changes nothing.

use super::args::Common;
use super::environment::{Environment, load};
use super::output::Output;
use crate::config::{LogKind, Plan};
use crate::error::{Exit, Fatal};
use crate::sink::log::clickhouse;

/// One line a store.
pub fn migrate(common: &Common, env: &Environment, output: &mut Output<'_>) -> Result<Exit, Fatal> {
    let plan = load(common, env, Vec::new())?.plan;
    for line in stores(&plan)? {
        output.print(&format!("{line}\n"))?;
    }
    Ok(Exit::Done)
}

fn stores(plan: &Plan) -> Result<Vec<String>, Fatal> {
    let mut lines = Vec::new();
    match plan.log_store {
        LogKind::ClickHouse => lines.push(clickhouse::migrate(&plan.clickhouse)?),
        LogKind::Parquet => {
            lines.push("parquet: nothing to do, files are made as they are needed".into())
        }
    }
    Ok(lines)
}
