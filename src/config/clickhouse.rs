//! The section `[clickhouse]`.

use std::time::Duration;

use super::read::{SettingReader, parse_count, parse_duration};
use crate::log::clickhouse::{ClickHouseConfig, is_name};

const SECOND: Duration = Duration::from_secs(1);

/// Reads the section.
pub fn read(reader: &mut SettingReader<'_>) -> ClickHouseConfig {
    let password = reader.optional_text("clickhouse.password");
    let url = read_url(reader);
    if password.is_some() && !reader.switch("clickhouse.insecure") {
        refuse_plain_text(reader);
    }
    ClickHouseConfig {
        url,
        database: read_name(reader, "clickhouse.database"),
        table: read_name(reader, "clickhouse.table"),
        user: reader.text("clickhouse.user"),
        password,
        ca_file: reader.optional_text("clickhouse.ca_file").map(Into::into),
        compress: reader.switch("clickhouse.compress"),
        call_timeout: reader.duration("clickhouse.call_timeout", SECOND, 600 * SECOND),
        ttl: read_ttl(reader),
        parts_max: read_parts(reader),
    }
}

fn read_url(reader: &mut SettingReader<'_>) -> String {
    let hint =
        "an address such as \"http://127.0.0.1:8123\" or \"https://clickhouse.internal:8443\"";
    reader.value("clickhouse.url", hint, String::new(), |text| {
        let http = text.starts_with("http://") || text.starts_with("https://");
        (http && !text.contains('@')).then(|| text.trim_end_matches('/').to_owned())
    })
}

/// Refuses a password in plain text over a network, unless it is allowed.
fn refuse_plain_text(reader: &mut SettingReader<'_>) {
    let hint = "the password would cross the network in plain text: an https:// address, or clickhouse.insecure = true \
                where the network between is trusted";
    reader.value("clickhouse.url", hint, (), |text| {
        let stays = text
            .strip_prefix("http://")
            .is_none_or(|rest| is_loopback(host(rest)));
        stays.then_some(())
    });
}

/// The host at the beginning of `host:port/path`.
fn host(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => authority.split(':').next().unwrap_or(authority),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn read_name(reader: &mut SettingReader<'_>, path: &str) -> String {
    let hint = "letters, digits and _, such as \"hookflow\"";
    reader.value(path, hint, String::new(), |text| {
        is_name(text).then(|| text.to_owned())
    })
}

fn read_ttl(reader: &mut SettingReader<'_>) -> Option<Duration> {
    let hint = "\"none\" or a duration from \"1h\", such as \"400d\"";
    reader.value("clickhouse.ttl", hint, None, |text| match text {
        "none" => Some(None),
        time => parse_duration(time)
            .filter(|time| *time >= 3_600 * SECOND)
            .map(Some),
    })
}

fn read_parts(reader: &mut SettingReader<'_>) -> u64 {
    let hint = "a whole number from 10 to 100,000, such as 300";
    reader.value("clickhouse.parts_max", hint, 300, |text| {
        let parts = parse_count(text)?.get() as u64;
        (10..=100_000).contains(&parts).then_some(parts)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_no_network() {
        for here in [
            "localhost:8123",
            "127.0.0.1",
            "127.1.2.3:1/x",
            "[::1]:8123",
            "LOCALHOST",
        ] {
            assert!(is_loopback(host(here)), "{here}");
        }
        for there in [
            "db:8123",
            "localhost.example.org",
            "10.0.0.1:8123",
            "[2001:db8::1]:1",
            "",
        ] {
            assert!(!is_loopback(host(there)), "{there}");
        }
    }
}
