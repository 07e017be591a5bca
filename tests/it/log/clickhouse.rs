//! What the log in ClickHouse promises beyond every log: retries, lost replies, hung servers, many parts and months.

use std::time::{Duration, Instant};

use hookflow::error::Class;
use hookflow::event::{Kind, Millis};
use hookflow::key::Bucket;
use hookflow::log::clickhouse::{self, ClickHouseLog};
use hookflow::log::parquet::{self, ParquetLog};
use hookflow::log::{EventFilter, EventLog, LogRow, LoggedEvent, Version};

use super::clickhouse_server::Server;
use super::conformance::seen;
use super::rows::{DAY, received, rows};
use crate::proxy::{Direction, Mode};

fn view(server: &Server) -> Vec<LoggedEvent> {
    let mut all = clickhouse::events(&server.settings, &EventFilter::default()).unwrap();
    all.sort_by_key(|event| event.identity);
    all
}

fn expected(rows: &[LogRow]) -> Vec<LoggedEvent> {
    let mut all: Vec<_> = rows.iter().map(seen).collect();
    all.sort_by_key(|event| event.identity);
    all
}

fn short(settings: clickhouse::ClickHouseConfig) -> clickhouse::ClickHouseConfig {
    clickhouse::ClickHouseConfig {
        call_timeout: Duration::from_secs(2),
        ..settings
    }
}

#[test]
#[ignore = "needs ClickHouse"]
fn an_insert_whose_reply_is_lost_is_an_outage_and_its_retry_is_seen_once() {
    let Some(server) = Server::new("clickhouse_log") else {
        return;
    };
    let (proxy, settings) = server.behind_proxy();
    let mut log = ClickHouseLog::open(settings).unwrap();
    let all = rows(0, 5_000, Version::Matched);
    proxy.set(Mode::Cut {
        direction: Direction::ToClient,
        after: 0,
    });
    let error = log.append(&all).unwrap_err();
    assert_eq!(error.class, Class::Outage);
    assert_eq!((proxy.cuts(), server.rows()), (1, 5_000));
    log.append(&all).unwrap();
    assert_eq!(view(&server), expected(&all));
}

/// A server that is killed between noting an insert and making its part visible has the token and not the rows. Here the
/// rows are deleted, which leaves the token.
#[test]
#[ignore = "needs ClickHouse"]
fn retry_after_a_failed_insert_stores_rows_that_the_server_lost() {
    let Some(server) = Server::new("clickhouse_log") else {
        return;
    };
    let (proxy, settings) = server.behind_proxy();
    let mut log = ClickHouseLog::open(settings).unwrap();
    let all = rows(0, 100, Version::Matched);
    proxy.set(Mode::Cut {
        direction: Direction::ToClient,
        after: 0,
    });
    let error = log.append(&all).unwrap_err();
    assert_eq!((error.class, server.rows()), (Class::Outage, 100));
    server.sql("ALTER TABLE {table} DELETE WHERE true SETTINGS mutations_sync = 2");
    assert_eq!(server.rows(), 0);
    log.append(&all).unwrap();
    assert_eq!(view(&server), expected(&all));
}

#[test]
#[ignore = "the server that scripts/stack makes of chdb's library often dies of it, and with it the other tests' server"]
fn an_insert_that_is_cut_in_the_middle_leaves_nothing_and_can_be_repeated() {
    let Some(server) = Server::new("clickhouse_log") else {
        return;
    };
    for compress in [true, false] {
        let (proxy, mut settings) = server.behind_proxy();
        settings.compress = compress;
        let mut log = ClickHouseLog::open(settings).unwrap();
        let all = rows(0, 20_000, Version::Matched);
        server.sql("TRUNCATE TABLE {table}");
        for after in [0, 100, 5_000, 100_000, 300_000] {
            proxy.set(Mode::Cut {
                direction: Direction::ToServer,
                after,
            });
            let error = log.append(&all).unwrap_err();
            assert_eq!(error.class, Class::Outage, "{error}");
        }
        assert_eq!((proxy.cuts(), server.rows()), (5, 0));
        log.append(&all).unwrap();
        assert_eq!(view(&server), expected(&all));
    }
}

#[test]
#[ignore = "needs ClickHouse"]
fn rows_that_are_appended_again_are_seen_once() {
    let Some(server) = Server::new("clickhouse_log") else {
        return;
    };
    server.sql("SYSTEM STOP MERGES {table}");
    let mut log = server.open();
    let all = rows(0, 100, Version::Matched);
    log.append(&all).unwrap();
    for n in 100..105 {
        log.append(&rows(n, n + 1, Version::Matched)).unwrap();
    }
    log.append(&all).unwrap();
    assert!(server.rows() > 105, "the copies are there");
    assert_eq!(view(&server), expected(&rows(0, 105, Version::Matched)));
    let exact = server.sql("SELECT count() FROM {table}_exact");
    assert_eq!(exact, "105");
}

#[test]
#[ignore = "needs ClickHouse"]
fn a_late_match_months_later_replaces_its_row_wherever_it_is() {
    let Some(server) = Server::new("clickhouse_log") else {
        return;
    };
    let months = 100 * 86_400_000;
    server
        .open()
        .append(&rows(0, 50, Version::Unmatched))
        .unwrap();
    let late: Vec<LogRow> = (0..50)
        .map(|n| received(n, Version::Matched, DAY + months))
        .collect();
    server.open().append(&late).unwrap();
    assert_eq!(view(&server), expected(&late));
    server.sql("OPTIMIZE TABLE {table} FINAL");
    assert_eq!(server.rows(), 50);
    assert_eq!(view(&server), expected(&late));
}

#[test]
#[ignore = "needs ClickHouse"]
fn times_far_apart_make_no_insert_over_too_many_partitions() {
    let Some(server) = Server::new("clickhouse_log") else {
        return;
    };
    let mut far = rows(0, 150, Version::Matched);
    for (month, row) in (0..).zip(&mut far) {
        let at = Millis(DAY - month * 31 * 86_400_000);
        row.event.occurred_at = Some(at);
        row.event.bucket = Bucket::of(Some(at));
    }
    server.open().append(&far).unwrap();
    let partitions = "SELECT uniqExact(partition) FROM system.parts WHERE active AND database || '.' || table = '{table}'";
    assert!(server.sql(partitions).parse::<usize>().unwrap() > 2 * clickhouse::PARTITIONS_MAX);
    assert_eq!(view(&server), expected(&far));
}

#[test]
#[ignore = "needs ClickHouse"]
fn too_many_parts_are_an_outage_and_the_window_widens_before() {
    let Some(server) = Server::new("clickhouse_log") else {
        return;
    };
    server.sql("SYSTEM STOP MERGES {table}");
    let settings = clickhouse::ClickHouseConfig {
        parts_max: 30,
        ..server.settings.clone()
    };
    let waits: Vec<Duration> = [0, 15, 45]
        .map(|parts| {
            while parts_of(&server) < parts {
                let n = server.rows();
                server
                    .open()
                    .append(&rows(n, n + 1, Version::Matched))
                    .unwrap();
            }
            let mut log = ClickHouseLog::open(settings.clone()).unwrap();
            log.append(&rows(0, 1, Version::Matched)).unwrap();
            let pace = log.pace().unwrap();
            assert_eq!(pace.parts(), parts_of(&server));
            pace.wait_min()
        })
        .into();
    assert_eq!(waits[0], Duration::ZERO);
    assert!(
        waits[2] > waits[1] && waits[2] >= Duration::from_millis(500),
        "{waits:?}"
    );

    server.sql("ALTER TABLE {table} MODIFY SETTING parts_to_throw_insert = 10, parts_to_delay_insert = 10, max_delay_to_insert = 1");
    let error = server
        .open()
        .append(&rows(900, 901, Version::Matched))
        .unwrap_err();
    assert_eq!(error.class, Class::Outage);
    assert!(error.message.contains("TOO_MANY_PARTS"), "{error}");
    server.sql("SYSTEM START MERGES {table}");
    server.sql("OPTIMIZE TABLE {table} FINAL");
    server
        .open()
        .append(&rows(900, 901, Version::Matched))
        .unwrap();
    narrows_again(&server, &settings);
}

/// A job that goes on widens and narrows its window as the parts come and go.
fn narrows_again(server: &Server, settings: &clickhouse::ClickHouseConfig) {
    server.sql("SYSTEM STOP MERGES {table}");
    server.sql("ALTER TABLE {table} RESET SETTING parts_to_throw_insert, parts_to_delay_insert, max_delay_to_insert");
    while parts_of(server) < 45 {
        let n = 1_000 + server.rows();
        let one = rows(n, n + 1, Version::Matched);
        server.open().append(&one).unwrap();
    }
    let mut log = ClickHouseLog::open(settings.clone()).unwrap();
    let one = rows(2_000, 2_001, Version::Matched);
    log.append(&one).unwrap();
    let pace = log.pace().unwrap();
    assert!(pace.wait_min() >= Duration::from_millis(500));
    server.sql("SYSTEM START MERGES {table}");
    server.sql("OPTIMIZE TABLE {table} FINAL");
    let began = Instant::now();
    while pace.wait_min() > Duration::ZERO {
        assert!(began.elapsed() < Duration::from_secs(30), "{pace:?}");
        log.append(&one).unwrap();
    }
}

fn parts_of(server: &Server) -> u64 {
    let parts =
        "SELECT count() FROM system.parts WHERE active AND database || '.' || table = '{table}'";
    server.sql(parts).parse().unwrap()
}

#[test]
#[ignore = "needs ClickHouse"]
fn a_server_that_hangs_is_an_outage_at_the_deadline() {
    let Some(server) = Server::new("clickhouse_log") else {
        return;
    };
    let (proxy, settings) = server.behind_proxy();
    let mut log = ClickHouseLog::open(short(settings)).unwrap();
    let all = rows(0, 100, Version::Matched);
    log.append(&all).unwrap();
    for mode in [
        Mode::Hold,
        Mode::Swallow(Direction::ToClient),
        Mode::Swallow(Direction::ToServer),
    ] {
        proxy.set(mode);
        let began = Instant::now();
        let error = log.append(&rows(0, 200, Version::Matched)).unwrap_err();
        assert_eq!(error.class, Class::Outage, "{mode:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{mode:?}");
    }
    proxy.set(Mode::Refuse);
    let error = log.append(&all).unwrap_err();
    assert_eq!(error.class, Class::Outage);
    proxy.set(Mode::Pass);
    log.append(&rows(0, 200, Version::Matched)).unwrap();
    assert_eq!(view(&server), expected(&rows(0, 200, Version::Matched)));
}

#[test]
#[ignore = "needs ClickHouse"]
fn a_log_opened_while_the_server_was_away_works_once_it_is_there() {
    let Some(server) = Server::new("clickhouse_log") else {
        return;
    };
    let (proxy, settings) = server.behind_proxy();
    proxy.set(Mode::Refuse);
    let mut log = ClickHouseLog::open(short(settings)).unwrap();
    let all = rows(0, 10, Version::Matched);
    assert_eq!(log.append(&all).unwrap_err().class, Class::Outage);
    proxy.set(Mode::Pass);
    log.append(&all).unwrap();
    assert_eq!(view(&server), expected(&all));
}

#[test]
#[ignore = "needs ClickHouse"]
fn a_slow_network_costs_one_round_trip_an_insert() {
    let Some(server) = Server::new("clickhouse_log") else {
        return;
    };
    let (proxy, settings) = server.behind_proxy();
    let mut log = ClickHouseLog::open(settings).unwrap();
    log.append(&rows(0, 10, Version::Matched)).unwrap();
    proxy.set(Mode::Delay(Duration::from_millis(100)));
    let began = Instant::now();
    log.append(&rows(10, 20, Version::Matched)).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert!(
        began.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        began.elapsed()
    );
}

#[test]
#[ignore = "needs ClickHouse"]
fn raw_bytes_that_are_no_text_come_back_as_they_were() {
    let Some(server) = Server::new("clickhouse_log") else {
        return;
    };
    let mut odd = rows(0, 2, Version::Matched);
    odd[0].event.raw = Some(bytes::Bytes::from_static(b"{\"a\":\"\xff\x00\xfe\"}"));
    odd[1].event.raw = Some(bytes::Bytes::new());
    server.open().append(&odd).unwrap();
    assert_eq!(view(&server), expected(&odd));
}

#[test]
#[ignore = "needs ClickHouse"]
fn every_filter_finds_what_it_finds_in_files() {
    let Some(server) = Server::new("clickhouse_log") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut files = ParquetLog::open(dir.path()).unwrap();
    for part in [
        rows(0, 300, Version::Unmatched),
        rows(100, 400, Version::Matched),
        rows(50, 120, Version::Unmatched),
    ] {
        files.append(&part).unwrap();
        server.open().append(&part).unwrap();
    }
    let mut found = 0;
    for filter in filters() {
        let right = parquet::events(dir.path(), &filter).unwrap();
        let seen = clickhouse::events(&server.settings, &filter).unwrap();
        assert_eq!(seen, right, "{filter:?}");
        found += usize::from(!right.is_empty());
    }
    assert!(found > 20, "only {found} filters found anything");
}

fn filters() -> Vec<EventFilter> {
    let text = |text: &str| Some(text.to_owned());
    let single = [
        EventFilter::default(),
        EventFilter {
            user: text("user-1"),
            ..EventFilter::default()
        },
        EventFilter {
            batch: text("b-1"),
            ..EventFilter::default()
        },
        EventFilter {
            batch: text(""),
            ..EventFilter::default()
        },
        EventFilter {
            recipient: text("r-3"),
            ..EventFilter::default()
        },
        EventFilter {
            recipient: text("PERSON4@example.COM"),
            ..EventFilter::default()
        },
        EventFilter {
            message_id: text("m-7"),
            ..EventFilter::default()
        },
        EventFilter {
            kind: Some(Kind::Opened),
            ..EventFilter::default()
        },
        EventFilter {
            provider: text("ses"),
            ..EventFilter::default()
        },
        EventFilter {
            user: text("it's ? \\ nobody"),
            ..EventFilter::default()
        },
        EventFilter {
            user: text("user-2"),
            message_id: text("m-11"),
            ..EventFilter::default()
        },
    ];
    let (from, to) = (Some(Millis(DAY + 400_000)), Some(Millis(DAY + 1_500_000)));
    let mut all = Vec::new();
    for filter in single {
        for (from, to, limit) in [
            (None, None, None),
            (from, None, Some(7)),
            (None, to, Some(1_000)),
            (from, to, None),
        ] {
            all.push(EventFilter {
                from,
                to,
                limit,
                ..filter.clone()
            });
        }
    }
    all
}
