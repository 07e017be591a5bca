//! The folder of a log: names, days, durable files, leftovers.
//!
//! Contract: a file with its final name is whole and durable. What a crash leaves under a temporary name is ignored by
//! readers and removed by the next start. One process writes a folder; a second one would remove its temporary files.

use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::event::Millis;
use crate::failpoint::{self, Failpoint};

const TEMPORARY: &str = "tmp";
const FINAL: &str = "parquet";

/// A folder that files are put into.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    run: String,
    seq: u64,
    /// The day folder that is known to be durable in `root`.
    durable: Option<PathBuf>,
}

impl Folder {
    /// Opens (and makes) the folder and removes the leftovers of a crash.
    pub(super) fn open(root: &Path, now: Millis) -> io::Result<Self> {
        failpoint::create_dir_all(root)?;
        if let Some(parent) = root.parent().filter(|path| !path.as_os_str().is_empty()) {
            failpoint::sync_dir(Failpoint::LogSyncDir, parent)?;
        }
        for leftover in with_extension(root, TEMPORARY)? {
            failpoint::remove(Failpoint::LogRemove, &leftover)?;
        }
        Ok(Self {
            root: root.to_owned(),
            run: run_name(now),
            seq: 0,
            durable: None,
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Puts a file into the folder of the day of `now`; durable when it returns.
    pub(super) fn put(&mut self, now: Millis, bytes: &[u8]) -> io::Result<PathBuf> {
        let day = self.root.join(day_name(now));
        self.put_into(&day, bytes)
    }

    /// Puts a file into that day folder; durable when it returns.
    pub(super) fn put_into(&mut self, day: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
        self.make_durable(day)?;
        let name = format!("{}-{:08}", self.run, self.seq);
        self.seq += 1;
        let path = day.join(format!("{name}.{FINAL}"));
        let temporary = day.join(format!("{name}.{TEMPORARY}"));
        let named = write(&temporary, bytes)
            .and_then(|()| failpoint::rename(Failpoint::LogRename, &temporary, &path));
        if named.is_err() {
            // Makes room on a full disk; if it fails too, the next start removes it.
            failpoint::remove(Failpoint::LogRemove, &temporary).unwrap_or_default();
        }
        named?;
        failpoint::sync_dir(Failpoint::LogSyncDir, day)?;
        Ok(path)
    }

    /// A day folder may stand and still not be durable: the process that made it may have died before the sync.
    fn make_durable(&mut self, day: &Path) -> io::Result<()> {
        if self.durable.as_deref() == Some(day) && day.is_dir() {
            return Ok(());
        }
        failpoint::create_dir_all(day)?;
        failpoint::sync_dir(Failpoint::LogSyncDir, &self.root)?;
        self.durable = Some(day.to_owned());
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = failpoint::create(Failpoint::LogCreate, path)?;
    failpoint::write_all(Failpoint::LogWrite, &mut file, bytes)?;
    failpoint::sync(Failpoint::LogSync, &file)
}

/// `day=2026-03-02`: readers that know Hive partitions see a column `day`.
fn day_name(at: Millis) -> String {
    let text = at.to_string();
    format!("day={}", text.split('T').next().unwrap_or("unknown"))
}

/// Unique per start of a process, and in the order of starts: time, process id, and 32 random bits.
fn run_name(now: Millis) -> String {
    let random = std::hash::RandomState::new().build_hasher().finish() as u32;
    format!("{:013}-{}-{random:08x}", now.0, std::process::id())
}

/// The day folders, in order.
pub(super) fn days(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut days = entries(root)?;
    days.retain(|path| path.is_dir());
    Ok(days)
}

/// The log files of a day folder, in order; those under a temporary name are none.
pub(super) fn files_of(day: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = entries(day)?;
    files.retain(|path| has_extension(path, FINAL));
    Ok(files)
}

/// All log files, in order.
///
/// A folder that changes while it is listed may hide both a new file and those that it replaces. A second listing that
/// equals the first proves that this did not happen.
pub(super) fn files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut last = with_extension(root, FINAL)?;
    for _ in 0..16 {
        let again = with_extension(root, FINAL)?;
        if again == last {
            break;
        }
        last = again;
    }
    Ok(last)
}

fn with_extension(root: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for day in days(root)? {
        found.extend(entries(&day)?);
    }
    found.retain(|path| has_extension(path, extension));
    Ok(found)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let listing = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut paths = listing
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_utc_and_runs_are_unique() {
        let at = Millis::parse_rfc3339("2026-03-02T23:30:00-05:00").unwrap();
        assert_eq!(day_name(at), "day=2026-03-03");
        assert_ne!(run_name(at), run_name(at));
    }
}
