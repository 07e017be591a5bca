//! The sections of the configuration, each read into its part of the plan.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::{
    Dedup, InFlightLimits, Listen, LogFormat, LogKind, Logs, Plan, RetryConfig, StateKind, Sweep,
    WindowConfig,
};
use crate::config::read::{SettingReader, parse_count, parse_duration};
use crate::config::{self, LIVE_SOURCES, LiveSource};
use crate::decode;
use crate::event::User;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const MONTH: Duration = Duration::from_secs(31 * 86_400);

/// All of it; what cannot be understood is a error, and has a value that can be built.
pub(super) fn read(reader: &mut SettingReader<'_>) -> Plan {
    let in_flight_events = reader.count("job.in_flight_events_max");
    Plan {
        workers: read_workers(reader),
        tick: reader.duration("job.tick", MILLISECOND, SECOND),
        in_flight: InFlightLimits {
            events_max: in_flight_events,
            bytes_max: reader.bytes("job.in_flight_bytes_max"),
        },
        channel_depth: reader.count("job.channel_depth"),
        default_user: User::new(reader.text("job.default_user")),
        decode: read_decode(reader),
        dedup: Dedup {
            ttl: reader.duration("dedup.ttl", SECOND, 24 * HOUR),
            keys_max: reader.count("dedup.keys_max"),
        },
        state_window: read_window(reader, "state_window"),
        log_window: read_window(reader, "log_window"),
        dead_letter_window: read_window(reader, "dead_letter_window"),
        retry: read_retry(reader),
        max_outage: read_max_outage(reader),
        drain_deadline: reader.duration("job.drain_deadline", SECOND, HOUR),
        watchdog_limit: reader.duration("job.watchdog_limit", SECOND, HOUR),
        sweep: Sweep {
            first: reader.duration("sweep.first", MILLISECOND, 5 * SECOND),
            backoff_cap: reader.duration("sweep.backoff_cap", SECOND, 24 * HOUR),
        },
        dead_letters_keep: read_keep(reader),
        checkpoint_interval: reader.duration("job.checkpoint_interval", 10 * MILLISECOND, HOUR),
        live: reader.choice("source.live", LIVE_SOURCES[0], &live_sources()),
        member: read_member(reader),
        state_store: reader.choice("store.state", StateKind::Sqlite, &STATE_STORES),
        log_store: reader.choice("store.log", LogKind::Parquet, &LOG_STORES),
        nats: config::nats::read(reader, in_flight_events.get()),
        kafka: config::kafka::read(reader),
        clickhouse: config::clickhouse::read(reader),
        store_dir: PathBuf::from(reader.text("store.dir")),
        dir_kept: reader.switch("store.dir_kept"),
        postgres: config::postgres::read(reader),
        metrics_listen: read_listen(reader),
        logs: read_logs(reader),
        recipients: config::recipients::read(reader),
    }
}

/// Only what is built can be chosen.
fn live_sources() -> [(&'static str, LiveSource); LIVE_SOURCES.len()] {
    LIVE_SOURCES.map(|source| (source.name(), source))
}

const STATE_STORES: [(&str, StateKind); 2] = [
    ("sqlite", StateKind::Sqlite),
    ("postgres", StateKind::Postgres),
];
const LOG_STORES: [(&str, LogKind); 2] = [
    ("parquet", LogKind::Parquet),
    ("clickhouse", LogKind::ClickHouse),
];

/// Brokers and stores take it as part of a name, so it is plain text.
fn read_member(reader: &mut SettingReader<'_>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let hint = "\"auto\" or letters, digits, - and _, such as \"hookflow-0\"";
    reader.value("source.member", hint, String::new(), |text| match text {
        "auto" => Some(host_name()),
        name => (!name.is_empty() && name.len() <= 64 && name.chars().all(plain))
            .then(|| name.to_owned()),
    })
}

/// The host's name with everything that is not plain replaced; `hookflow` where it has none.
fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let plain = name.chars().map(|c| match c {
        c if c.is_ascii_alphanumeric() || c == '_' => c,
        _ => '-',
    });
    match plain.take(64).collect::<String>() {
        name if name.is_empty() => "hookflow".to_owned(),
        name => name,
    }
}

fn read_workers(reader: &mut SettingReader<'_>) -> NonZeroUsize {
    let hint = "\"auto\" or a whole number from 1 to 256";
    reader.value("job.workers", hint, NonZeroUsize::MIN, |text| match text {
        "auto" => Some(cores()),
        number => parse_count(number).filter(|n| n.get() <= 256),
    })
}

fn cores() -> NonZeroUsize {
    let most = NonZeroUsize::MIN.saturating_add(7);
    std::thread::available_parallelism().map_or(NonZeroUsize::MIN, |cores| cores.min(most))
}

fn read_decode(reader: &mut SettingReader<'_>) -> decode::DecodeConfig {
    decode::DecodeConfig {
        body_bytes_max: reader.bytes("decode.body_bytes_max"),
        depth_max: reader.count("decode.depth_max").get(),
        elements_max: reader.count("decode.elements_max").get(),
        string_bytes_max: reader.bytes("decode.string_bytes_max"),
        recipient_id_name: reader.text("decode.recipient_id_name"),
        batch_id_name: reader.text("decode.batch_id_name"),
        keep_raw: reader.switch("decode.keep_raw"),
    }
}

fn read_window(reader: &mut SettingReader<'_>, section: &str) -> WindowConfig {
    WindowConfig {
        rows_max: reader.count(&format!("{section}.rows_max")),
        bytes_max: reader.bytes(&format!("{section}.bytes_max")),
        age_max: reader.duration(&format!("{section}.age_max"), MILLISECOND, 60 * SECOND),
        eager: reader.switch(&format!("{section}.eager")),
    }
}

fn read_retry(reader: &mut SettingReader<'_>) -> RetryConfig {
    RetryConfig {
        base: reader.duration("retry.base", MILLISECOND, 60 * SECOND),
        cap: reader.duration("retry.cap", MILLISECOND, HOUR),
        attempts_before_breaker: reader.count("retry.attempts_before_breaker"),
        retries_per_second_max: reader.count("retry.retries_per_second_max"),
        attempt_deadline: reader.duration("retry.attempt_deadline", SECOND, HOUR),
    }
}

fn read_max_outage(reader: &mut SettingReader<'_>) -> Option<Duration> {
    let hint = "\"none\" or a duration from \"1s\", such as \"10m\"";
    reader.value("job.max_outage", hint, None, |text| match text {
        "none" => Some(None),
        time => parse_duration(time)
            .filter(|time| (SECOND..=MONTH).contains(time))
            .map(Some),
    })
}

fn read_keep(reader: &mut SettingReader<'_>) -> Option<Duration> {
    let hint = "\"none\" or a duration from \"1h\", such as \"90d\"";
    reader.value("dead_letters.keep", hint, None, |text| match text {
        "none" => Some(None),
        time => parse_duration(time).filter(|time| *time >= HOUR).map(Some),
    })
}

fn read_listen(reader: &mut SettingReader<'_>) -> Listen {
    let hint = "\"auto\", \"none\" or an address and port, such as \"127.0.0.1:9464\"";
    reader.value("metrics.listen", hint, Listen::Nowhere, |text| match text {
        "auto" => Some(Listen::Auto),
        "none" => Some(Listen::Nowhere),
        address => address.parse().ok().map(Listen::At),
    })
}

fn read_logs(reader: &mut SettingReader<'_>) -> Logs {
    let levels = ["error", "warn", "info", "debug", "trace"];
    Logs {
        format: reader.value(
            "logs.format",
            "\"auto\", \"human\" or \"json\"",
            LogFormat::Auto,
            |text| match text {
                "auto" => Some(LogFormat::Auto),
                "human" => Some(LogFormat::Human),
                "json" => Some(LogFormat::Json),
                _ => None,
            },
        ),
        level: reader.value("logs.level", &levels.join(", "), String::new(), |text| {
            levels.contains(&text).then(|| text.to_owned())
        }),
    }
}
