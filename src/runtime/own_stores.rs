//! Stores that belong to one run and are removed with it: a measured load must not reach those of production.

use std::hash::{BuildHasher, RandomState};

use crate::config::{LogKind, Plan, StateKind};
use crate::error::Fatal;
use crate::log::clickhouse;
use crate::state::postgres;

/// A schema and a table of their own in the databases of a plan. Dropping it removes them.
#[derive(Debug)]
pub struct OwnStores {
    schema: Option<postgres::PostgresConfig>,
    table: Option<clickhouse::ClickHouseConfig>,
}

impl OwnStores {
    /// Makes them, where state or log lives in a database, and changes the plan to use them.
    pub fn make(plan: &mut Plan) -> Result<Self, Fatal> {
        let mut own = Self {
            schema: None,
            table: None,
        };
        // Random, so that two runs at once, and what a killed run left, do not meet.
        let suffix = RandomState::new().hash_one(std::process::id()) as u32;
        if plan.state_store == StateKind::Postgres {
            plan.postgres.schema = format!("hookflow_throughput_{suffix:08x}");
            own.schema = Some(plan.postgres.clone());
            postgres::migrate(plan.postgres.clone())?;
        }
        if plan.log_store == LogKind::ClickHouse {
            plan.clickhouse.table = format!("{}_throughput_{suffix:08x}", plan.clickhouse.table);
            own.table = Some(plan.clickhouse.clone());
            clickhouse::migrate(&plan.clickhouse)?;
        }
        Ok(own)
    }
}

impl Drop for OwnStores {
    fn drop(&mut self) {
        if let Some(settings) = self.schema.take() {
            let schema = settings.schema.clone();
            if let Err(error) = postgres::drop_schema(settings) {
                tracing::warn!(%error, schema, "the schema of this run could not be dropped: drop it by hand");
            }
        }
        if let Some(settings) = self.table.take()
            && let Err(error) = clickhouse::drop_table(&settings)
        {
            let table = &settings.table;
            tracing::warn!(%error, table, "the table of this run could not be dropped: drop it by hand");
        }
    }
}
