//! Making and checking the table.
//!
//! What the exact view costs (`scripts/bench-log-view`; 50 million events and a second copy of one in a hundred, sixty days, fifty
//! users, 3.6 GiB; ClickHouse 26.7 on two shared cores, 2026-11-25, the fastest of three; time and most memory):
//!
//! | what is asked | as it lies there | exact, nothing merged (102 parts) | exact, merged as the server does (3 parts) |
//! |---|---|---|---|
//! | how many events | 21 ms | 2,687 ms, 279 MiB | 618 ms, 8 MiB |
//! | kinds of one user | 21 ms | 144 ms, 93 MiB | 6 ms, 3 MiB |
//! | kinds of one day | 8 ms | 152 ms, 24 MiB | 10 ms, 3 MiB |
//! | one batch | 789 ms | 3,966 ms, 308 MiB | 1,399 ms, 10 MiB |
//! | one batch of a known user | | 232 ms, 189 MiB | 25 ms, 4 MiB |
//! | 100 events of a batch, as `hookflow events` asks | | 860 ms, 103 MiB | 921 ms, 8 MiB |
//! | one message, as `hookflow events` asks | | 1,374 ms, 148 MiB | 1,232 ms, 8 MiB |
//!
//! What names a user or a time is cheap, as the sorting key begins with them; what names neither reads a column of the whole table.
//! After `OPTIMIZE TABLE … FINAL` there are no copies, and the exact count takes 35 ms.

use super::client::{Blocking, refused};
use super::insert;
use super::settings::ClickHouseConfig;
use crate::error::{Exit, Fatal, SinkError};
use crate::failpoint::{self, Failpoint};

const TABLE: &str = include_str!("schema.sql");

/// What the table's comment says of this version.
const COMMENT: &str = "hookflow event log, schema 1";

/// Makes the database, the table and the exact view where they are missing; running it again changes nothing.
pub fn migrate(settings: &ClickHouseConfig) -> Result<String, Fatal> {
    let client = Blocking::new(settings)?;
    for statement in statements(settings) {
        let made = failpoint::run(Failpoint::LogMigrate, || client.execute(&statement));
        if let Err(error) = made {
            return Err(refused(&error)?.into());
        }
    }
    check(&client, settings)?.map_err(Fatal::from)?;
    Ok(format!(
        "clickhouse: {}.{} is ready, schema 1",
        settings.database, settings.table
    ))
}

/// Removes the table and its exact view.
pub fn drop_table(settings: &ClickHouseConfig) -> Result<(), Fatal> {
    let client = Blocking::new(settings)?;
    let name = format!("{}.{}", settings.database, settings.table);
    for statement in [
        format!("DROP VIEW IF EXISTS {name}_exact SYNC"),
        format!("DROP TABLE IF EXISTS {name} SYNC"),
    ] {
        if let Err(error) = client.execute(&statement) {
            return Err(refused(&error)?.into());
        }
    }
    Ok(())
}

fn statements(settings: &ClickHouseConfig) -> Vec<String> {
    let ClickHouseConfig {
        database, table, ..
    } = settings;
    let ttl = settings.ttl.map_or_else(String::new, |ttl| {
        format!(
            "TTL toDateTime(received_at) + INTERVAL {} SECOND",
            ttl.as_secs()
        )
    });
    let name = format!("{database}.{table}");
    vec![
        format!("CREATE DATABASE IF NOT EXISTS {database} ENGINE = Atomic"),
        TABLE.replace("{table}", &name).replace("{ttl}", &ttl),
        format!("CREATE VIEW IF NOT EXISTS {name}_exact AS SELECT * FROM {name} FINAL"),
    ]
}

/// Whether a job could begin: the server, our login, the table.
pub fn probe(settings: &ClickHouseConfig) -> Result<(), Fatal> {
    Ok(check(&Blocking::new(settings)?, settings)??)
}

/// Whether the table is there, of this version, durable, and ours to write. The inner error is an outage: nothing could be found out.
pub(super) fn check(
    client: &Blocking,
    settings: &ClickHouseConfig,
) -> Result<Result<(), SinkError>, Fatal> {
    let sql = format!(
        "SELECT comment, create_table_query FROM system.tables WHERE database = '{}' AND name = '{}'",
        settings.database, settings.table
    );
    let query = client.client.query_raw(&sql);
    let found = match client.call(query.fetch_optional::<(String, String)>()) {
        Ok(found) => found,
        Err(error) => return refused(&error).map(Err),
    };
    judge(
        found
            .as_ref()
            .map(|(comment, made)| (comment.as_str(), made.as_str())),
    )?;
    match insert::try_none(client, settings) {
        Ok(()) => Ok(Ok(())),
        Err(error) => refused(&error).map(Err),
    }
}

fn judge(found: Option<(&str, &str)>) -> Result<(), Fatal> {
    let refuse = |message: &str| Err(Fatal::new(Exit::Config, format!("clickhouse: {message}")));
    let Some((comment, made)) = found else {
        return refuse("the table (or its database) is missing: run `hookflow migrate`");
    };
    if comment != COMMENT {
        return refuse(
            "the table is of another schema version: use the hookflow that made it, or another clickhouse.table",
        );
    }
    let durable = ["fsync_after_insert = 1", "fsync_part_directory = 1"];
    if durable.iter().any(|setting| !made.contains(setting)) {
        return refuse(
            "the table is not durable: ALTER TABLE … MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_durable_table_of_this_version_will_do() {
        let good = "CREATE … SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";
        judge(Some((COMMENT, good))).unwrap();
        for bad in [
            None,
            Some(("hookflow event log, schema 2", good)),
            Some((COMMENT, "CREATE … SETTINGS fsync_after_insert = 1")),
        ] {
            assert_eq!(judge(bad).unwrap_err().exit, Exit::Config);
        }
    }

    #[test]
    fn the_version_that_is_made_is_the_version_that_is_asked_for() {
        assert!(TABLE.contains(COMMENT));
    }
}
