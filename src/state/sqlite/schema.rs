//! The tables of the embedded store; `schema.sql` beside this file documents each of them.
//!
//! The version is kept in `PRAGMA user_version`. A store of another version is refused, never changed.

use rusqlite::Connection;

use super::{begin, commit};
use crate::error::{Exit, Fatal, SinkError};
use crate::failpoint::Failpoint;

/// The version that this program reads and writes.
pub const VERSION: i64 = 2;

const TABLES: &str = include_str!("schema.sql");

/// Makes the tables in an empty file; refuses a file of another version.
pub(super) fn prepare(conn: &Connection) -> Result<(), Fatal> {
    match version(conn)? {
        VERSION => Ok(()),
        0 => Ok(create(conn)?),
        other => Err(refuse(other)),
    }
}

/// Refuses a file of another version, and an empty one.
pub(super) fn check(conn: &Connection) -> Result<(), Fatal> {
    match version(conn)? {
        VERSION => Ok(()),
        0 => Err(Fatal::new(
            Exit::Config,
            "this folder holds no finished state store; run a job that writes to it first",
        )),
        other => Err(refuse(other)),
    }
}

fn version(conn: &Connection) -> Result<i64, Fatal> {
    let read = conn.query_row("PRAGMA user_version", (), |row| row.get(0));
    read.map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => Fatal::new(
            Exit::Config,
            "the state store is no SQLite database; name another folder, or restore the store from a copy",
        ),
        _ => SinkError::from(error).into(),
    })
}

fn refuse(found: i64) -> Fatal {
    let advice = if found > VERSION {
        "use the newer hookflow that made it"
    } else {
        "replay the history into a new folder with this hookflow"
    };
    Fatal::new(
        Exit::Config,
        format!(
            "the state store has schema version {found}, this hookflow knows {VERSION}: {advice}"
        ),
    )
}

fn create(conn: &Connection) -> Result<(), SinkError> {
    let tx = begin(conn)?;
    tx.execute_batch(TABLES)?;
    set_random(&tx, "secret", 32)?;
    set_random(&tx, "incarnation", 16)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    commit(Failpoint::StoreMigrate, tx)
}

/// Gives a single value that many random bytes (SQLite's generator is ChaCha20, seeded by the operating system).
pub(super) fn set_random(conn: &Connection, name: &str, length: u32) -> Result<(), SinkError> {
    conn.execute(
        "INSERT INTO meta (name, value) VALUES (?1, randomblob(?2))
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, length),
    )?;
    Ok(())
}
