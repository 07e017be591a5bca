//! The files of the Parquet log: names, rights, leftovers, compaction.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail loudly")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use hookflow::error::Class;
use hookflow::event::Millis;
use hookflow::log::EventFilter;
use hookflow::log::parquet::{ParquetLog, events, for_each};
use hookflow::log::{EventLog, Version};

use super::rows::{DAY, rows};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .flat_map(|day| std::fs::read_dir(day.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    found.sort();
    found
}

fn count(folder: &Path) -> usize {
    let mut seen = 0;
    for_each(folder, |_| seen += 1).unwrap();
    seen
}

#[test]
fn one_private_file_an_append_in_the_folder_of_its_day() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(DAY + 86_399_999));
    let now = Arc::clone(&clock);
    let at = move || Millis(now.load(Ordering::SeqCst));
    let mut log = ParquetLog::open_at(dir.path(), Box::new(at)).unwrap();
    log.append(&rows(0, 3, Version::Matched)).unwrap();
    clock.store(DAY + 86_400_000, Ordering::SeqCst);
    log.append(&rows(3, 6, Version::Matched)).unwrap();
    let found = files(dir.path());
    let days: Vec<_> = found.iter().map(|path| path.parent().unwrap()).collect();
    assert!(days[0].ends_with("day=2026-03-02") && days[1].ends_with("day=2026-03-03"));
    for path in &found {
        assert_eq!(path.extension().unwrap(), "parquet");
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn the_next_start_removes_temporary_files() {
    let dir = tempfile::tempdir().unwrap();
    let day = dir.path().join("day=2026-03-02");
    std::fs::create_dir(&day).unwrap();
    std::fs::write(day.join("x.tmp"), b"half").unwrap();
    assert!(
        events(dir.path(), &EventFilter::default())
            .unwrap()
            .is_empty()
    );
    ParquetLog::open(dir.path()).unwrap();
    assert!(files(dir.path()).is_empty());
}

#[test]
fn compaction_merges_files_of_earlier_runs_and_leaves_big_ones() {
    let dir = tempfile::tempdir().unwrap();
    let open = || ParquetLog::open_at(dir.path(), Box::new(|| Millis(DAY))).unwrap();
    let big: Vec<_> = rows(0, 140_000, Version::Matched);
    open().append(&big).unwrap();
    let kept = files(dir.path());
    for part in 0..300 {
        open()
            .append(&rows(part * 2, part * 2 + 2, Version::Matched))
            .unwrap();
    }
    open().compact().unwrap();
    let left = files(dir.path());
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.contains(&kept[0]));
    assert_eq!(count(dir.path()), big.len());
    open().compact().unwrap();
    assert_eq!(files(dir.path()), left, "nothing is left to merge");
}

#[test]
fn a_folder_that_cannot_be_written_is_an_outage_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("log");
    let mut log = ParquetLog::open_at(&folder, Box::new(|| Millis(DAY))).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, b"in the way").unwrap();
    let error = log.append(&rows(0, 3, Version::Matched)).unwrap_err();
    assert_eq!(error.class, Class::Outage, "{error}");
    std::fs::remove_file(&folder).unwrap();
    log.append(&rows(0, 3, Version::Matched)).unwrap();
    assert_eq!(count(&folder), 3);
}

#[test]
fn a_reader_bears_with_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_owned();
    let mut log = ParquetLog::open_at(&folder, Box::new(|| Millis(DAY))).unwrap();
    log.append(&rows(0, 1_000, Version::Matched)).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) {
            for part in 0..8 {
                log.append(&rows(part * 100, part * 100 + 100, Version::Matched))
                    .unwrap();
            }
            log.compact().unwrap();
        }
    });
    let filter = EventFilter {
        limit: Some(10),
        ..EventFilter::default()
    };
    for _ in 0..30 {
        assert_eq!(count(&folder), 1_000);
        assert_eq!(events(&folder, &filter).unwrap().len(), 10);
    }
    stop.store(true, Ordering::SeqCst);
    writer.join().unwrap();
}
