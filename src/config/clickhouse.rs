//! The section `[clickhouse]`.

use std::time::Duration;

use super::read::{Reader, parse_count, parse_duration};
use crate::sink::log::clickhouse::{Settings, is_name};

const SECOND: Duration = Duration::from_secs(1);

/// Reads the section.
pub fn read(reader: &mut Reader<'_>) -> Settings {
    Settings {
        url: read_url(reader),
        database: read_name(reader, "clickhouse.database"),
        table: read_name(reader, "clickhouse.table"),
        user: reader.text("clickhouse.user"),
        password: reader.optional_text("clickhouse.password"),
        compress: reader.switch("clickhouse.compress"),
        call_timeout: reader.duration("clickhouse.call_timeout", SECOND, 600 * SECOND),
        ttl: read_ttl(reader),
        parts_max: read_parts(reader),
    }
}

fn read_url(reader: &mut Reader<'_>) -> String {
    let hint =
        "an address such as \"http://127.0.0.1:8123\" or \"https://clickhouse.internal:8443\"";
    reader.value("clickhouse.url", hint, String::new(), |text| {
        let http = text.starts_with("http://") || text.starts_with("https://");
        (http && !text.contains('@')).then(|| text.trim_end_matches('/').to_owned())
    })
}

fn read_name(reader: &mut Reader<'_>, path: &str) -> String {
    let hint = "letters, digits and _, such as \"hookflow\"";
    reader.value(path, hint, String::new(), |text| {
        is_name(text).then(|| text.to_owned())
    })
}

fn read_ttl(reader: &mut Reader<'_>) -> Option<Duration> {
    let hint = "\"none\" or a duration from \"1h\", such as \"400d\"";
    reader.value("clickhouse.ttl", hint, None, |text| match text {
        "none" => Some(None),
        time => parse_duration(time)
            .filter(|time| *time >= 3_600 * SECOND)
            .map(Some),
    })
}

fn read_parts(reader: &mut Reader<'_>) -> u64 {
    let hint = "a whole number from 10 to 100,000, such as 300";
    reader.value("clickhouse.parts_max", hint, 300, |text| {
        let parts = parse_count(text)?.get() as u64;
        (10..=100_000).contains(&parts).then_some(parts)
    })
}
