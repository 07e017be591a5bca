//! What is refused at the start: each with a sentence that says what to do, and no secret in it.

use hookflow::error::{Class, Exit};
use hookflow::log::EventLog;
use hookflow::log::Version;
use hookflow::log::clickhouse::{self, ClickHouseConfig, ClickHouseLog};

use super::clickhouse_server::Server;
use super::rows::rows;
use crate::skip::skipped_server;

/// What the log says when it is opened with these settings, which must be refused.
fn refusal(settings: ClickHouseConfig) -> String {
    let fatal = ClickHouseLog::open(settings).map(drop).unwrap_err();
    assert_eq!(fatal.exit, Exit::Config, "{fatal}");
    for secret in ["s3cret", "127.0.0.1", "localhost", "25484"] {
        assert!(!fatal.message.contains(secret), "{fatal}");
    }
    fatal.message
}

#[test]
#[ignore = "needs ClickHouse"]
fn a_server_that_is_not_ours_to_use_is_refused_with_a_sentence() {
    let Some(server) = Server::new("clickhouse_refusals") else {
        return;
    };
    let refused = |change: fn(&mut ClickHouseConfig)| {
        let mut settings = server.settings.clone();
        change(&mut settings);
        refusal(settings)
    };
    let wrong = refused(|settings| {
        settings.user = "nobody".into();
        settings.password = Some("s3cret".into());
    });
    assert!(wrong.contains("clickhouse.password"), "{wrong}");
    let missing = refused(|settings| settings.table = "elsewhere".into());
    assert!(missing.contains("hookflow migrate"), "{missing}");
    let missing = refused(|settings| settings.database = "elsewhere".into());
    assert!(missing.contains("hookflow migrate"), "{missing}");
    let address = refused(|settings| settings.url = "http://no host".into());
    assert!(address.contains("clickhouse.url"), "{address}");
}

#[test]
#[ignore = "needs ClickHouse"]
fn a_table_that_is_not_durable_or_of_another_version_is_refused() {
    let Some(server) = Server::new("clickhouse_refusals") else {
        return;
    };
    server.sql("ALTER TABLE {table} MODIFY SETTING fsync_after_insert = 0");
    let lax = refusal(server.settings.clone());
    assert!(lax.contains("fsync_after_insert = 1"), "{lax}");
    server.sql("ALTER TABLE {table} MODIFY SETTING fsync_after_insert = 1");
    server.open();
    server.sql("ALTER TABLE {table} MODIFY COMMENT 'hookflow event log, schema 2'");
    let other = refusal(server.settings.clone());
    assert!(other.contains("another schema version"), "{other}");
    let fatal = clickhouse::migrate(&server.settings).unwrap_err();
    assert_eq!(fatal.exit, Exit::Config);
}

#[test]
fn a_server_that_cannot_be_reached_is_an_outage() {
    let mut settings = ClickHouseConfig::plain("http://127.0.0.1:1", "nowhere");
    settings.call_timeout = std::time::Duration::from_secs(2);
    let mut log = ClickHouseLog::open(settings).unwrap();
    let error = log.append(&rows(0, 3, Version::Matched)).unwrap_err();
    assert_eq!(error.class, Class::Outage);
    assert!(!error.message.contains("127.0.0.1"), "{error}");
}

#[test]
#[ignore = "needs ClickHouse with TLS"]
fn the_certificate_is_verified_and_plain_text_is_told_from_tls() {
    let (Some(server), Ok(url), Ok(ca)) = (
        Server::new("clickhouse_refusals"),
        std::env::var("HOOKFLOW_CLICKHOUSE_TLS_URL"),
        std::env::var("HOOKFLOW_TEST_CA_FILE"),
    ) else {
        skipped_server(
            "clickhouse_refusals: no ClickHouse with TLS (start one with STACK_TLS=1 scripts/stack)",
        );
        return;
    };
    let mut settings = ClickHouseConfig::plain(&url, &server.settings.database);
    settings.ca_file = Some(ca.into());
    clickhouse::migrate(&settings).unwrap();
    let mut log = ClickHouseLog::open(settings.clone()).unwrap();
    log.append(&rows(0, 3, Version::Matched)).unwrap();

    let changed = |change: &dyn Fn(&mut ClickHouseConfig)| {
        let mut settings = settings.clone();
        change(&mut settings);
        refusal(settings)
    };
    let unknown = changed(&|settings| settings.ca_file = None);
    assert!(unknown.contains("clickhouse.ca_file"), "{unknown}");
    let other = std::env::var("HOOKFLOW_TEST_OTHER_CA_FILE").unwrap();
    let unknown = changed(&|settings| settings.ca_file = Some(other.clone().into()));
    assert!(unknown.contains("clickhouse.ca_file"), "{unknown}");
    let name = changed(&|settings| settings.url = url.replace("localhost", "127.0.0.1"));
    assert!(name.contains("the host in clickhouse.url"), "{name}");
    let mut plain = settings.clone();
    plain.url = url.replace("https:", "http:");
    let plain = clickhouse::probe(&plain).unwrap_err().message;
    assert!(plain.contains("begins with https://"), "{plain}");
    let no_tls = changed(&|settings| settings.url = server.settings.url.replace("http:", "https:"));
    assert!(no_tls.contains("offers no TLS"), "{no_tls}");
    let no_file = changed(&|settings| settings.ca_file = Some("/nowhere/ca.pem".into()));
    assert!(no_file.contains("clickhouse.ca_file"), "{no_file}");
}

#[test]
#[ignore = "needs ClickHouse"]
fn a_user_who_may_only_read_is_refused_and_a_query_without_memory_is_an_outage() {
    let (Some(server), Ok(password)) = (
        Server::new("clickhouse_refusals"),
        std::env::var("HOOKFLOW_TEST_CLICKHOUSE_PASSWORD"),
    ) else {
        skipped_server("clickhouse_refusals: no ClickHouse with the users of scripts/stack");
        return;
    };
    let of = |user: &str| ClickHouseConfig {
        user: user.into(),
        password: Some(password.clone()),
        ..server.settings.clone()
    };
    let reader = refusal(of("reader"));
    assert!(reader.contains("grant SELECT, INSERT"), "{reader}");
    let fatal = clickhouse::migrate(&ClickHouseConfig {
        database: format!("{}_new", server.settings.database),
        ..of("reader")
    });
    assert_eq!(fatal.unwrap_err().exit, Exit::Config);
    assert_eq!(server.rows(), 0, "the trial leaves nothing behind");

    let mut log = ClickHouseLog::open(of("small")).unwrap();
    log.append(&rows(0, 10, Version::Matched)).unwrap();
    let error = log.append(&rows(0, 200_000, Version::Matched)).unwrap_err();
    assert_eq!(error.class, Class::Outage, "{error}");
    assert!(error.message.contains("MEMORY_LIMIT_EXCEEDED"), "{error}");
}

#[test]
#[ignore = "needs ClickHouse"]
fn a_table_that_goes_while_the_job_runs_is_no_outage() {
    let Some(server) = Server::new("clickhouse_refusals") else {
        return;
    };
    let mut log = server.open();
    log.append(&rows(0, 3, Version::Matched)).unwrap();
    server.sql("DROP TABLE {table} SYNC");
    let error = log.append(&rows(3, 6, Version::Matched)).unwrap_err();
    assert_eq!(error.class, Class::Bug);
    assert!(error.message.contains("UNKNOWN_TABLE"), "{error}");
}
