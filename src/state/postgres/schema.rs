//! Is the store there, is it ours, may we write to it? Asked on every new connection.

use tokio_postgres::Row;

use super::connect::StoreConnection;
use super::values::Key;
use crate::error::{Class, SinkError};
use crate::postgres::PostgresError;

/// The version that this program reads and writes.
pub const VERSION: i32 = 1;

/// The oldest server that has what the statements need.
const SERVER_LEAST: i32 = 130_000;

const SERVER: &str = "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
    pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean, current_setting('fsync')::boolean,
    EXISTS (SELECT FROM pg_namespace WHERE nspname = $1),
    to_regclass($1 || '.meta') IS NOT NULL";

/// Tables that are missing, and tables that this user may not read and write.
const TABLES: &str = "SELECT name, oid IS NULL FROM unnest($1::text[]) AS name,
    to_regclass($2 || '.' || name) AS oid
    WHERE oid IS NULL OR NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
    AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))";

const NAMES: [&str; 13] = [
    "meta",
    "ledger",
    "recipients",
    "messages",
    "batches",
    "outbox",
    "unmatched",
    "dead_letters",
    "loads",
    "load_touched",
    "load_batches",
    "checkpoints",
    "ledger_rest",
];

/// Checks a new connection for a job or a reader.
pub(super) async fn check(connection: &StoreConnection, schema: &str) -> Result<(), PostgresError> {
    if !check_server(connection, schema).await? {
        return Err(PostgresError::config(format!(
            "there is no hookflow store in schema {schema} of this Postgres database: run `hookflow migrate`, or correct postgres.url and postgres.schema"
        )));
    }
    match version(connection).await? {
        VERSION => check_tables(connection, schema).await,
        found => Err(refuse(found)),
    }
}

/// Checks the server; answers whether there is a store in the schema.
pub(super) async fn check_server(
    connection: &StoreConnection,
    schema: &str,
) -> Result<bool, PostgresError> {
    let row = connection.client.query_one(SERVER, &[&schema]).await?;
    let (version, encoding): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
    if version < SERVER_LEAST {
        return Err(PostgresError::config(
            "this Postgres server is older than version 13: use a newer one",
        ));
    }
    if encoding != "UTF8" {
        return Err(PostgresError::config(
            "this Postgres database is not encoded in UTF8: create one with ENCODING 'UTF8'",
        ));
    }
    if row.try_get(2)? {
        let message = "the server is read only (a standby, or configured so)";
        return Err(SinkError::new("postgres", Class::Outage, message).into());
    }
    if !row.try_get::<_, bool>(3)? {
        tracing::warn!(
            "the server runs with fsync = off: what it calls durable is lost in a power cut"
        );
    }
    let (schema_there, store_there): (bool, bool) = (row.try_get(4)?, row.try_get(5)?);
    Ok(schema_there && store_there)
}

/// The version of the store that is there.
pub(super) async fn version(connection: &StoreConnection) -> Result<i32, PostgresError> {
    let read = "SELECT schema_version FROM meta";
    let row = connection.client.query_opt(read, &[]).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get(0))?)
}

async fn check_tables(connection: &StoreConnection, schema: &str) -> Result<(), PostgresError> {
    let rows = connection
        .client
        .query(TABLES, &[&&NAMES[..], &schema])
        .await?;
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let (name, missing): (String, bool) = (first.try_get(0)?, first.try_get(1)?);
    Err(PostgresError::config(if missing {
        format!(
            "table {name} is missing from schema {schema} in Postgres: restore it from a copy, or migrate into another schema"
        )
    } else {
        format!(
            "this Postgres user may not read and write table {schema}.{name}: grant it SELECT, INSERT, UPDATE and DELETE on all tables of the schema"
        )
    }))
}

/// The sentence for a store of another version.
pub(super) fn refuse(found: i32) -> PostgresError {
    let advice = if found > VERSION {
        "use the newer hookflow that made it"
    } else {
        "run `hookflow migrate`"
    };
    PostgresError::config(format!(
        "the state store in Postgres has schema version {found}, this hookflow knows {VERSION}: {advice}"
    ))
}

/// The secret and the incarnation.
pub(super) async fn cache_keys(
    connection: &StoreConnection,
) -> Result<([u8; 32], [u8; 16]), SinkError> {
    let read = connection
        .statement("SELECT secret, incarnation FROM meta")
        .await?;
    let row: Row = connection.client.query_one(&read, &[]).await?;
    let secret: Vec<u8> = row.try_get(0)?;
    let secret = secret
        .try_into()
        .map_err(|_| super::class::bug("the secret in meta has another length"))?;
    Ok((secret, row.try_get::<_, Key>(1)?.bytes()))
}
