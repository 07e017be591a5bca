//! Making the tables and bringing them up to date: versions in the program, each in a transaction of its own.
//!
//! Contract: safe to run twice and by several at once (an advisory lock lets one in at a time), and to break off anywhere. A
//! table lock that somebody else holds is waited for no longer than `lock_timeout`.

use super::connect::{Mode, StoreConnection};
use super::locks::LockPurpose;
use super::partitions;
use super::schema::{self, VERSION};
use super::session::Session;
use super::settings::PostgresConfig;
use super::values::Key;
use crate::error::{Class, Fatal, SinkError};
use crate::event::Millis;
use crate::failpoint::Failpoint;
use crate::postgres::PostgresError;

/// What leads from each version to the next; the first from nothing.
const STEPS: [&str; VERSION as usize] = [include_str!("schema.sql")];

/// How long one migration waits for another, in milliseconds.
const PATIENCE_MILLIS: u32 = 120_000;

/// What a migration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version that was there; 0 for none.
    pub from: i32,
    /// The version that is there now.
    pub to: i32,
}

/// Removes the schema with everything in it.
pub fn drop_schema(config: PostgresConfig) -> Result<(), Fatal> {
    let (schema, limit) = (config.schema.clone(), config.maintenance_timeout);
    let mut session = Session::new(config, Mode::Durable)?;
    session.connect_and(async |_, _| Ok(()))?;
    let statement = format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE");
    let dropped = session.within(limit, async |c| {
        Ok(c.client.batch_execute(&statement).await?)
    });
    dropped.map_err(explain)
}

/// Makes the schema and its tables, or brings them up to date.
pub fn migrate(config: PostgresConfig) -> Result<Migrated, Fatal> {
    let schema = config.schema.clone();
    let (lock_timeout, limit) = (config.lock_timeout.as_millis(), config.maintenance_timeout);
    let mut session = Session::new(config, Mode::Durable)?;
    session.connect_and(async |connection, schema| {
        let found = schema::check_server(connection, schema).await;
        found.map(drop)
    })?;
    let mut refused = None;
    let migrated = session.within(limit, async |c| match run(c, &schema, lock_timeout).await {
        Ok(done) => Ok(done),
        Err(PostgresError::Failed(error)) => Err(error),
        Err(error @ PostgresError::Config(_)) => {
            refused = Some(error);
            Err(super::class::bug("the migration was refused"))
        }
    });
    if let Some(error) = refused {
        return Err(error.into());
    }
    let migrated = migrated.map_err(explain)?;
    let now = Millis::now();
    session
        .within(limit, async |c| partitions::make(c, now).await)
        .map_err(explain)?;
    Ok(migrated)
}

/// A refusal by the server is nothing that waiting mends, unless it is a lock or the network.
fn explain(error: SinkError) -> Fatal {
    match error.class {
        Class::Retry | Class::Outage => error.into(),
        Class::Data | Class::Bug => PostgresError::config(format!(
            "the migration was refused, and undone: {error}. The user of a migration must own the schema, or may create one in the database"
        ))
        .into(),
    }
}

async fn run(
    connection: &StoreConnection,
    schema: &str,
    lock_timeout_millis: u128,
) -> Result<Migrated, PostgresError> {
    let mut from = None;
    loop {
        connection.begin().await?;
        let words =
            format!("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {PATIENCE_MILLIS}");
        connection.client.batch_execute(&words).await?;
        connection.lock(LockPurpose::Migration).await?;
        let words = format!("SET LOCAL lock_timeout = {lock_timeout_millis}");
        connection.client.batch_execute(&words).await?;
        let version = found(connection, schema).await?;
        let first = *from.get_or_insert(version);
        let Some(step) = usize::try_from(version).ok().and_then(|n| STEPS.get(n)) else {
            connection.roll_back().await?;
            return match version {
                VERSION => Ok(Migrated {
                    from: first,
                    to: version,
                }),
                other => Err(schema::refuse(other)),
            };
        };
        step_up(connection, schema, version, step).await?;
        connection.commit(Failpoint::StoreMigrate).await?;
    }
}

/// The version that is there, asked under the lock.
async fn found(connection: &StoreConnection, schema: &str) -> Result<i32, PostgresError> {
    if schema::check_server(connection, schema).await? {
        schema::version(connection).await
    } else {
        Ok(0)
    }
}

async fn step_up(
    connection: &StoreConnection,
    schema: &str,
    version: i32,
    step: &str,
) -> Result<(), PostgresError> {
    if version == 0 {
        make_schema(connection, schema).await?;
    }
    connection.client.batch_execute(step).await?;
    if version == 0 {
        let (secret, incarnation) = (rand::random::<[u8; 32]>(), Key(rand::random()));
        let write = "INSERT INTO meta (schema_version, secret, incarnation) VALUES ($1, $2, $3)";
        connection
            .client
            .execute(write, &[&1i32, &&secret[..], &incarnation])
            .await?;
    }
    let write = "UPDATE meta SET schema_version = $1, migrated_at = now()";
    connection.client.execute(write, &[&(version + 1)]).await?;
    Ok(())
}

/// Only where it is missing: a user who owns the schema need not be allowed to make others.
async fn make_schema(connection: &StoreConnection, schema: &str) -> Result<(), PostgresError> {
    let there = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
    let row = connection.client.query_one(there, &[&schema]).await?;
    if !row.try_get::<_, bool>(0)? {
        let words = format!("CREATE SCHEMA {schema}");
        connection.client.batch_execute(&words).await?;
    }
    Ok(())
}
