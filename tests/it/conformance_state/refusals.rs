//! What the store in Postgres refuses, each with a sentence, and what it does not take for a refusal.

use std::time::Duration;

use hookflow::error::{Class, Exit};
use hookflow::postgres::PostgresTls;
use hookflow::state::StateStore as _;
use hookflow::state::postgres::{PostgresConfig, PostgresReader, PostgresStore, VERSION, migrate};

use super::database::Database;
use crate::skip::skipped_server;

fn refusal(settings: PostgresConfig) -> String {
    let refused = PostgresStore::open(settings.clone()).unwrap_err();
    assert_eq!(refused.exit, Exit::Config, "{refused}");
    let read = PostgresReader::open(settings).unwrap_err();
    assert_eq!(read.exit, Exit::Config);
    refused.message
}

#[test]
#[ignore = "needs Postgres"]
fn what_a_person_has_to_change_is_refused_with_a_sentence() {
    let Some(database) = Database::empty("refusals") else {
        return;
    };
    let settings = database.settings.clone();
    let missing = refusal(settings.clone());
    assert!(missing.contains("hookflow migrate"), "{missing}");
    migrate(settings.clone()).unwrap();
    database.run("UPDATE meta SET schema_version = 99");
    let newer = refusal(settings.clone());
    assert!(newer.contains("99") && newer.contains("newer"), "{newer}");
    assert_eq!(migrate(settings.clone()).unwrap_err().exit, Exit::Config);
    database.run(&format!(
        "UPDATE meta SET schema_version = {VERSION}; DROP TABLE outbox"
    ));
    let table = refusal(settings.clone());
    assert!(table.contains("outbox"), "{table}");
    let elsewhere = settings.url.rsplit_once('/').unwrap().0.to_owned() + "/nowhere";
    let lost = refusal(PostgresConfig {
        url: elsewhere,
        ..settings.clone()
    });
    assert!(lost.contains("no such database"), "{lost}");
    let plain = refusal(PostgresConfig {
        tls: PostgresTls::Require { ca_file: None },
        ..settings.clone()
    });
    assert!(plain.contains("postgres.tls"), "{plain}");
    let nonsense = refusal(PostgresConfig {
        url: "hunter2 @ nowhere".into(),
        ..settings
    });
    assert!(!nonsense.contains("hunter2"), "{nonsense}");
}

#[test]
#[ignore = "needs Postgres"]
fn a_wrong_password_and_missing_rights_are_refused_and_nothing_secret_is_said() {
    let Some(database) = Database::new("passwords and rights") else {
        return;
    };
    let Ok(url) = std::env::var("HOOKFLOW_POSTGRES_PASSWORD_URL") else {
        skipped_server(
            "passwords and rights: no Postgres with a password (start one with scripts/stack)",
        );
        return;
    };
    let with_user = PostgresConfig {
        url: url.clone(),
        ..database.settings.clone()
    };
    let rights = refusal(with_user.clone());
    assert!(rights.contains("grant"), "{rights}");
    let password = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'))
        .and_then(|(user, _)| user.split_once(':'))
        .map(|(_, password)| password.to_owned())
        .unwrap();
    let wrong = refusal(PostgresConfig {
        url: url.replace(&password, "hunter2"),
        ..with_user
    });
    assert!(wrong.contains("password"), "{wrong}");
    assert!(
        !wrong.contains("hunter2") && !wrong.contains("127.0.0.1"),
        "{wrong}"
    );
}

#[test]
fn a_server_that_cannot_be_reached_is_an_outage_and_not_a_refusal() {
    let mut settings = PostgresConfig::plain("postgres://nobody@127.0.0.1:1/nothing", "hookflow");
    settings.connect_timeout = Duration::from_secs(1);
    let mut store = PostgresStore::open(settings.clone()).unwrap();
    let error = store.parked().unwrap_err();
    assert_eq!(error.class, Class::Outage, "{error}");
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    assert_eq!(
        PostgresReader::open(settings).unwrap_err().exit,
        Exit::Unfinished
    );
}

#[test]
#[ignore = "needs Postgres with TLS"]
fn over_tls_the_certificate_and_the_name_in_it_are_verified() {
    let variable = |name: &str| std::env::var(name).ok();
    let (Some(url), Some(ca), Some(other)) = (
        variable("HOOKFLOW_POSTGRES_TLS_URL"),
        variable("HOOKFLOW_TEST_CA_FILE"),
        variable("HOOKFLOW_TEST_OTHER_CA_FILE"),
    ) else {
        skipped_server(
            "TLS to Postgres: no Postgres with TLS (STACK_TLS=1 scripts/stack run postgres -- …)",
        );
        return;
    };
    let settings = |url: &str, tls| PostgresConfig {
        tls,
        ..PostgresConfig::plain(url, format!("test_tls_{}", std::process::id()))
    };
    let verified = |file: &str| PostgresTls::Require {
        ca_file: Some(file.into()),
    };
    migrate(settings(&url, verified(&ca))).unwrap();
    let mut store = PostgresStore::open(settings(&url, verified(&ca))).unwrap();
    assert_eq!(store.parked().unwrap(), 0);
    let unknown = refusal(settings(&url, verified(&other)));
    assert!(unknown.contains("tls_ca_file"), "{unknown}");
    let wrong_name = refusal(settings(
        &url.replace("localhost", "127.0.0.1"),
        verified(&ca),
    ));
    assert!(wrong_name.contains("certificate"), "{wrong_name}");
    let plain = refusal(settings(&url, PostgresTls::Off));
    assert!(!plain.contains("correct-horse"), "{plain}");
    let no_file = refusal(settings(&url, verified("/nowhere/ca.pem")));
    assert!(no_file.contains("tls_ca_file"), "{no_file}");
}
