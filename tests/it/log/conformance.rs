//! What every event log promises, written against the trait.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail loudly")]

use std::path::PathBuf;

use crate::memory_log::{LoggedRows, MemoryLog, exact_view};
use hookflow::event::Millis;
use hookflow::log::clickhouse;
use hookflow::log::parquet::{ParquetLog, for_each};
use hookflow::log::{EventFilter, LoggedEvent};
use hookflow::log::{EventLog, LogRow, Version};

use super::clickhouse_server::Server;
use super::rows::{DAY, received, row, rows};

/// A place in which a log can be opened again and again.
trait Place {
    fn open(&self) -> Box<dyn EventLog>;
    fn view(&self) -> Vec<LoggedEvent>;
    /// What a crash in the middle of an append leaves.
    fn crash(&self);
}

#[derive(Default)]
struct Memory(LoggedRows);

impl Place for Memory {
    fn open(&self) -> Box<dyn EventLog> {
        Box::new(MemoryLog::open(LoggedRows::clone(&self.0)))
    }
    fn view(&self) -> Vec<LoggedEvent> {
        exact_view(&self.0).iter().map(seen).collect()
    }
    fn crash(&self) {}
}

struct Files(tempfile::TempDir);

impl Files {
    fn folder(&self) -> PathBuf {
        self.0.path().join("log")
    }
}

impl Place for Files {
    fn open(&self) -> Box<dyn EventLog> {
        let log = ParquetLog::open_at(&self.folder(), Box::new(|| Millis(DAY))).unwrap();
        Box::new(log)
    }
    fn view(&self) -> Vec<LoggedEvent> {
        let mut all = Vec::new();
        for_each(&self.folder(), |event| all.push(event)).unwrap();
        all.sort_by_key(|event| event.identity);
        all
    }
    fn crash(&self) {
        let day = self.folder().join("day=2026-03-02");
        std::fs::write(day.join("0-1-00000000.tmp"), b"PAR1half a fi").unwrap();
    }
}

/// A row as a reader must see it.
pub fn seen(row: &LogRow) -> LoggedEvent {
    let event = &row.event;
    LoggedEvent {
        identity: event.identity,
        version: row.version as i32,
        provider: event.delivery.provider.as_str().into(),
        user: event.delivery.user.as_str().into(),
        kind: event.kind.name().into(),
        bounce_class: event.bounce_class.map(|class| class.name().into()),
        machine: event.machine,
        message_id: event.message_id.clone(),
        event_key: event.event_key.clone(),
        recipient: event.recipient.clone(),
        occurred_at: event.occurred_at,
        received_at: event.delivery.received_at,
        batch_id: row.batch_id.clone(),
        recipient_id: row.recipient_id.clone(),
        raw: event.raw.as_ref().map(|raw| raw.to_vec()),
    }
}

fn expected(rows: &[LogRow]) -> Vec<LoggedEvent> {
    let mut all: Vec<_> = rows.iter().map(seen).collect();
    all.sort_by_key(|event| event.identity);
    all
}

impl Place for Server {
    fn open(&self) -> Box<dyn EventLog> {
        Box::new(Server::open(self))
    }
    fn view(&self) -> Vec<LoggedEvent> {
        let mut all = clickhouse::events(&self.settings, &EventFilter::default()).unwrap();
        all.sort_by_key(|event| event.identity);
        all
    }
    fn crash(&self) {}
}

fn everywhere(test: impl Fn(&dyn Place)) {
    test(&Memory::default());
    test(&Files(tempfile::tempdir().unwrap()));
    if has_server()
        && let Some(server) = Server::new("conformance_log")
    {
        test(&server);
    }
}

fn has_server() -> bool {
    std::env::var_os("HOOKFLOW_CLICKHOUSE_URL").is_some()
}

/// The suite also runs on ClickHouse if the environment names a server; this test reports whether it did.
#[test]
#[ignore = "needs ClickHouse: without it the suite covers the other logs only"]
fn suite_runs_on_clickhouse_too() {
    assert!(has_server());
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    everywhere(|place| {
        let all = rows(0, 500, Version::Matched);
        let mut log = place.open();
        log.append(&all[..200]).unwrap();
        log.append(&[]).unwrap();
        drop(log);
        place.open().append(&all[200..]).unwrap();
        assert_eq!(place.view(), expected(&all));
    });
}

#[test]
fn repeated_appends_are_seen_once() {
    everywhere(|place| {
        let all = rows(0, 100, Version::Matched);
        let mut log = place.open();
        log.append(&all).unwrap();
        log.append(&all).unwrap();
        let twice = [all.clone(), all.clone()].concat();
        log.append(&twice).unwrap();
        place.open().append(&all[10..20]).unwrap();
        assert_eq!(place.view(), expected(&all));
    });
}

#[test]
fn version_one_beats_zero_in_either_order() {
    everywhere(|place| {
        let mut log = place.open();
        log.append(&rows(0, 20, Version::Unmatched)).unwrap();
        log.append(&rows(10, 40, Version::Matched)).unwrap();
        log.append(&rows(30, 50, Version::Unmatched)).unwrap();
        let mut right = rows(0, 10, Version::Unmatched);
        right.extend(rows(10, 40, Version::Matched));
        right.extend(rows(40, 50, Version::Unmatched));
        assert_eq!(place.view(), expected(&right));
    });
}

#[test]
fn of_equal_copies_the_first_received_is_seen() {
    everywhere(|place| {
        let mut log = place.open();
        log.append(&[received(1, Version::Matched, DAY + 2)])
            .unwrap();
        log.append(&[received(1, Version::Matched, DAY + 1)])
            .unwrap();
        log.append(&[received(1, Version::Unmatched, DAY)]).unwrap();
        let right = [received(1, Version::Matched, DAY + 1)];
        assert_eq!(place.view(), expected(&right));
    });
}

#[test]
fn leftovers_of_a_crash_are_ignored() {
    everywhere(|place| {
        let all = rows(0, 10, Version::Matched);
        place.open().append(&all).unwrap();
        place.crash();
        assert_eq!(place.view(), expected(&all));
        let more = row(10, Version::Matched);
        place.open().append(std::slice::from_ref(&more)).unwrap();
        assert_eq!(place.view(), expected(&[all, vec![more]].concat()));
    });
}

#[test]
fn compaction_changes_nothing_that_readers_see() {
    everywhere(|place| {
        for run in 0..3 {
            let mut log = place.open();
            for part in 0..20 {
                let from = run * 50 + part * 10;
                let version = if part % 2 == 0 {
                    Version::Unmatched
                } else {
                    Version::Matched
                };
                log.append(&rows(from, from + 25, version)).unwrap();
            }
        }
        let before = place.view();
        let mut log = place.open();
        log.compact().unwrap();
        assert_eq!(place.view(), before);
        log.compact().unwrap();
        log.append(&rows(0, 5, Version::Unmatched)).unwrap();
        assert_eq!(place.view(), before);
    });
}
