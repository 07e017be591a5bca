//! Opening a store: its folder, its lock, its settings.
//!
//! A store is a folder with `state.db` (and SQLite's own `-wal` and `-shm`, which take its rights) and a `lock` file.
//! One process writes to it at a time: the lock is the operating system's, so it ends with the process.

use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{SqliteStore, load, parked, schema};
use crate::error::{Exit, Fatal, SinkError};
use crate::failpoint::{self, Failpoint};

/// The database within the store's folder.
pub(super) fn database(dir: &Path) -> PathBuf {
    dir.join("state.db")
}

/// Opens (or makes) the store in a folder for writing.
pub(super) fn open(dir: &Path) -> Result<SqliteStore, Fatal> {
    let at = |error: std::io::Error| unreachable_store(dir, &error);
    failpoint::create_dir_all(dir).map_err(at)?;
    let lock = lock(dir)?;
    private(&database(dir)).map_err(at)?;
    failpoint::sync_dir(Failpoint::StoreOpen, dir).map_err(at)?;
    let conn = failpoint::run(Failpoint::StoreOpen, || Connection::open(database(dir)))
        .map_err(SinkError::from)?;
    configure(&conn).map_err(not_a_database)?;
    schema::prepare(&conn)?;
    load::close_dead(&conn, Failpoint::StoreOpen)?;
    parked::drop_known(&conn)?;
    let lock = Some(lock);
    Ok(SqliteStore { conn, _lock: lock })
}

/// An empty store in memory.
pub(super) fn in_memory() -> Result<SqliteStore, Fatal> {
    let conn = Connection::open_in_memory().map_err(SinkError::from)?;
    schema::prepare(&conn)?;
    Ok(SqliteStore { conn, _lock: None })
}

/// Opens a store for reading, also while a job writes to it.
pub(super) fn open_read_only(dir: &Path) -> Result<Connection, Fatal> {
    let conn = open_beside(dir)?;
    conn.pragma_update(None, "query_only", true)
        .map_err(not_a_database)?;
    Ok(conn)
}

/// Opens another connection to a store that a job may write to.
pub(super) fn open_beside(dir: &Path) -> Result<Connection, Fatal> {
    let path = database(dir);
    if !path.exists() {
        let message = format!("there is no state store in {}", dir.display());
        return Err(Fatal::new(Exit::Input, message));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = failpoint::run(Failpoint::StoreOpen, || {
        Connection::open_with_flags(&path, flags)
    })
    .map_err(SinkError::from)?;
    conn.busy_timeout(std::time::Duration::from_secs(5))
        .map_err(not_a_database)?;
    schema::check(&conn)?;
    Ok(conn)
}

/// Settings of a connection that writes. A checkpoint every 80 MB of log keeps its two extra syncs rare.
fn configure(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.pragma_update(None, "journal_mode", "wal")?;
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "wal_autocheckpoint", 20_000)?;
    conn.pragma_update(None, "cache_size", -262_144)?;
    conn.pragma_update(None, "mmap_size", 1i64 << 30)?;
    conn.pragma_update(None, "temp_store", "memory")
}

/// Copies the whole store, as of now, into the store folder `to`, which must not hold one.
///
/// The copy gets an incarnation of its own, so that cache marks of one are void for the other.
pub(super) fn copy(conn: &Connection, to: &Path) -> Result<(), Fatal> {
    let at = |error: std::io::Error| unreachable_store(to, &error);
    failpoint::create_dir_all(to).map_err(at)?;
    let path = database(to);
    private(&path).map_err(at)?;
    let target = path.to_string_lossy();
    failpoint::run(Failpoint::StoreOpen, || {
        conn.execute("VACUUM INTO ?1", [&*target])
    })
    .map_err(SinkError::from)?;
    let copied = Connection::open(&path).map_err(SinkError::from)?;
    Ok(schema::set_random(&copied, "incarnation", 16)?)
}

/// Makes the file if it is missing, and readable for its owner only.
fn private(path: &Path) -> std::io::Result<()> {
    if !path.exists() {
        failpoint::create(Failpoint::StoreOpen, path)?;
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o600))
}

fn lock(dir: &Path) -> Result<File, Fatal> {
    let file = failpoint::create(Failpoint::StoreOpen, &dir.join("lock"))
        .map_err(|error| unreachable_store(dir, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Fatal::new(
            Exit::Input,
            format!(
                "store in use by another process: {} (one job per embedded store; wait for it, or name another folder)",
                dir.display()
            ),
        )),
        Err(TryLockError::Error(error)) => Err(unreachable_store(dir, &error)),
    }
}

fn unreachable_store(dir: &Path, error: &std::io::Error) -> Fatal {
    let message = format!("cannot open the state store in {}: {error}", dir.display());
    Fatal::new(Exit::Config, message)
}

fn not_a_database(error: rusqlite::Error) -> Fatal {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => Fatal::new(
            Exit::Config,
            "the state store is no SQLite database; name another folder, or restore it from a copy",
        ),
        _ => SinkError::from(error).into(),
    }
}
