//! Where a job's outcomes go: the embedded store or a database, a copy that is thrown away, or nowhere.

use std::path::{Path, PathBuf};

use super::outbox::{self, CompletionRelay};
use super::request::{JobRequest, SinkMode};
use crate::config::{LogKind, Plan, StateKind};
use crate::error::{Exit, Fatal};
use crate::failpoint;
use crate::log::EventLog;
use crate::log::clickhouse::ClickHouseLog;
use crate::log::null::NullLog;
use crate::log::parquet::ParquetLog;
use crate::state::null::NullStore;
use crate::state::postgres::{PostgresOutbox, PostgresReader, PostgresStore};
use crate::state::sqlite::{SqliteOutbox, SqliteReader, SqliteStore};
use crate::state::view::StateReader;
use crate::state::{CompletionOutbox, StateStore};

/// The sinks of a job, open.
pub struct OpenStores {
    /// The state store.
    pub state: Box<dyn StateStore>,
    /// The event log.
    pub log: Box<dyn EventLog>,
    /// Another connection to the state store, for reading; none where only that of `state` sees what the job changes.
    pub reader: Option<Box<dyn StateReader>>,
    /// Delivers completions; none where none are to be.
    pub relay: Option<CompletionRelay>,
    /// Removes what only this job needs, when it is dropped.
    pub scratch: Scratch,
}

/// The folder of the event log in a store's folder.
pub fn log_dir(store: &Path) -> PathBuf {
    store.join("log")
}

/// The state store that the settings name, open for writing.
pub fn open_state(plan: &Plan) -> Result<Box<dyn StateStore>, Fatal> {
    Ok(match plan.state_store {
        StateKind::Sqlite => Box::new(SqliteStore::open(&plan.store_dir)?),
        StateKind::Postgres => Box::new(PostgresStore::open(plan.postgres.clone())?),
    })
}

/// The same store, for reading, also while a job writes to it.
pub fn read_state(plan: &Plan) -> Result<Box<dyn StateReader>, Fatal> {
    Ok(match plan.state_store {
        StateKind::Sqlite => Box::new(SqliteReader::open(&plan.store_dir)?),
        StateKind::Postgres => Box::new(PostgresReader::open(plan.postgres.clone())?),
    })
}

/// The two connections that work beside the state writer.
type ReaderAndOutbox = (Box<dyn StateReader>, Box<dyn CompletionOutbox>);

/// Connections beside that of the state writer. A database that cannot be reached yet is waited for by those who use them.
fn connections_beside(plan: &Plan) -> Result<ReaderAndOutbox, Fatal> {
    Ok(match plan.state_store {
        StateKind::Sqlite => (
            Box::new(SqliteReader::open(&plan.store_dir)?),
            Box::new(SqliteOutbox::open(&plan.store_dir)?),
        ),
        StateKind::Postgres => (
            Box::new(PostgresReader::beside_job(plan.postgres.clone())?),
            Box::new(PostgresOutbox::new(plan.postgres.clone())?),
        ),
    })
}

/// A folder that goes away with the job; none for stores that stay.
#[derive(Debug, Default)]
pub struct Scratch(Option<PathBuf>);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(dir) = self.0.take()
            && let Err(error) = std::fs::remove_dir_all(&dir)
        {
            tracing::warn!(%error, "the copy that a dry run worked on could not be removed");
        }
    }
}

impl OpenStores {
    /// Sinks over which nothing is read or delivered while they are written.
    pub fn without_reads(state: Box<dyn StateStore>, log: Box<dyn EventLog>) -> Self {
        Self {
            state,
            log,
            reader: None,
            relay: None,
            scratch: Scratch::default(),
        }
    }

    /// Opens what the request asks for.
    pub fn open(request: &JobRequest) -> Result<Self, Fatal> {
        match request.sinks {
            SinkMode::Null => Ok(Self::without_reads(
                Box::new(NullStore::new()?),
                Box::new(NullLog),
            )),
            SinkMode::Durable => Self::durable(&request.plan, request.fresh),
            SinkMode::DryRun => Self::dry(&request.plan),
        }
    }

    fn durable(plan: &Plan, fresh: bool) -> Result<Self, Fatal> {
        let dir = &plan.store_dir;
        if fresh {
            if plan.state_store != StateKind::Sqlite {
                let message = "only an embedded store can be begun afresh: for Postgres, migrate into another schema (postgres.schema)";
                return Err(Fatal::new(Exit::Usage, message));
            }
            remove(dir)?;
        }
        let state = open_state(plan)?;
        let (reader, outbox) = connections_beside(plan)?;
        Ok(Self {
            state,
            log: open_log(plan)?,
            reader: Some(reader),
            relay: Some(CompletionRelay::new(outbox, dir.join(outbox::FILE))),
            scratch: Scratch::default(),
        })
    }

    /// A store of which nothing stays: a copy of the embedded one, or one transaction of the database that is undone.
    fn dry(plan: &Plan) -> Result<Self, Fatal> {
        match plan.state_store {
            StateKind::Sqlite => Self::copy_of(&plan.store_dir),
            StateKind::Postgres => Ok(Self::without_reads(
                Box::new(PostgresStore::open_dry(plan.postgres.clone())?),
                Box::new(NullLog),
            )),
        }
    }

    /// A copy of a store, to be changed and thrown away.
    fn copy_of(dir: &Path) -> Result<Self, Fatal> {
        let name = format!("hookflow-dry-run-{}", std::process::id());
        let scratch = std::env::temp_dir().join(name);
        let guard = Scratch(Some(scratch.clone()));
        failpoint::create_dir_all(&scratch).map_err(|error| unusable(&scratch, &error))?;
        if dir.join("state.db").exists() {
            SqliteStore::open(dir)?.snapshot_to(&scratch)?;
        }
        let state = Box::new(SqliteStore::open(&scratch)?);
        Ok(Self {
            scratch: guard,
            ..Self::without_reads(state, Box::new(NullLog))
        })
    }
}

fn open_log(plan: &Plan) -> Result<Box<dyn EventLog>, Fatal> {
    Ok(match plan.log_store {
        LogKind::Parquet => Box::new(ParquetLog::open(&log_dir(&plan.store_dir))?),
        LogKind::ClickHouse => Box::new(ClickHouseLog::open(plan.clickhouse.clone())?),
    })
}

/// What an embedded store holds now: the files and folders that `--fresh` deletes.
pub fn store_contents(dir: &Path) -> Vec<PathBuf> {
    let names = [
        "log",
        "state.db",
        "state.db-wal",
        "state.db-shm",
        "completions.jsonl",
    ];
    let paths = names.iter().map(|name| dir.join(name));
    paths.filter(|path| path.exists()).collect()
}

/// Deletes what an embedded store holds, and only that.
fn remove(dir: &Path) -> Result<(), Fatal> {
    for path in store_contents(dir) {
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            failpoint::remove(failpoint::Failpoint::StoreOpen, &path)
        };
        removed.map_err(|error| unusable(&path, &error))?;
    }
    Ok(())
}

fn unusable(path: &Path, error: &std::io::Error) -> Fatal {
    Fatal::new(
        Exit::Input,
        format!("{} cannot be used: {error}", path.display()),
    )
}
