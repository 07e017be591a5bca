//! The section `[postgres]`: connections to the state store.

use std::path::PathBuf;
use std::time::Duration;

use super::read::SettingReader;
use crate::postgres::PostgresTls;
use crate::state::postgres::{PostgresConfig, is_schema_name};

const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(86_400);

/// Reads the section.
pub(super) fn read(reader: &mut SettingReader<'_>) -> PostgresConfig {
    let hint = "lower-case letters, digits and _, at most 40, such as \"hookflow\"";
    let schema = reader.value("postgres.schema", hint, String::new(), |text| {
        is_schema_name(text).then(|| text.to_owned())
    });
    let mut wait = |key: &str, most| reader.duration(&format!("postgres.{key}"), LEAST, most);
    PostgresConfig {
        connect_timeout: wait("connect_timeout", MOST),
        statement_timeout: wait("statement_timeout", MOST),
        lock_timeout: wait("lock_timeout", MOST),
        idle_in_transaction_timeout: wait("idle_in_transaction_timeout", MOST),
        tcp_user_timeout: wait("tcp_user_timeout", MOST),
        call_timeout: wait("call_timeout", MOST),
        maintenance_timeout: wait("maintenance_timeout", DAY),
        url: reader.optional_text("postgres.url").unwrap_or_default(),
        password: reader.optional_text("postgres.password"),
        schema,
        tls: read_tls(reader),
        application_name: format!("hookflow {}", reader.text("source.member")),
    }
}

fn read_tls(reader: &mut SettingReader<'_>) -> PostgresTls {
    let ca_file = reader.optional_text("postgres.tls_ca_file");
    if reader.choice("postgres.tls", true, &[("require", true), ("off", false)]) {
        let ca_file = ca_file.map(PathBuf::from);
        PostgresTls::Require { ca_file }
    } else {
        PostgresTls::Off
    }
}
