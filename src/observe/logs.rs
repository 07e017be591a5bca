//! Text logs on standard error: for people on a terminal, as JSON lines otherwise.
//!
//! Contract: a line about a delivery carries the field `delivery` (`partition-offset`, see
//! [`Origin`](crate::event::Origin)), by which it is followed through all modules; no line carries an address or a payload.
//! `tracing::warn!(delivery = %origin, reason = code.name(), "rejected")`

use std::io::{IsTerminal, Stderr, Write};

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Logs};
use crate::error::{Exit, Fatal};

/// Starts logging; `rust_log` is the value of `RUST_LOG`, which wins over the configured level where it is set.
pub fn start(logs: &Logs, rust_log: Option<&str>) -> Result<(), Fatal> {
    let filter = filter(&logs.level, rust_log)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(over_the_bar)
        .with_target(false);
    let started = if is_human(logs.format, std::io::stderr().is_terminal()) {
        builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    started.map_err(|error| Fatal::new(Exit::Internal, format!("logging cannot start: {error}")))
}

/// Standard error; on a terminal, from the start of a line that is empty: a bar may stand there, and draws itself anew.
fn over_the_bar() -> Stderr {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        stderr.write_all(b"\r\x1b[2K").unwrap_or_default();
    }
    stderr
}

const fn is_human(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    }
}

/// Our own lines from the level up, those of libraries from `warn` up; or what `RUST_LOG` says.
fn filter(level: &str, rust_log: Option<&str>) -> Result<EnvFilter, Fatal> {
    match rust_log.filter(|text| !text.trim().is_empty()) {
        Some(text) => EnvFilter::try_new(text).map_err(|error| {
            let message = format!("RUST_LOG = {text}: {error}; such as hookflow=debug,warn");
            Fatal::new(Exit::Config, message)
        }),
        None => EnvFilter::try_new(format!("warn,hookflow={level}"))
            .map_err(|error| Fatal::new(Exit::Config, format!("logs.level = {level}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_log_wins_and_its_mistakes_are_named() {
        assert_eq!(
            filter("info", None).unwrap().to_string(),
            "hookflow=info,warn"
        );
        assert_eq!(filter("info", Some("debug")).unwrap().to_string(), "debug");
        let error = filter("info", Some("hookflow=loud")).err().unwrap();
        assert_eq!(error.exit, Exit::Config);
        assert!(error.message.contains("RUST_LOG"));
    }

    #[test]
    fn auto_follows_the_terminal() {
        assert!(is_human(LogFormat::Auto, true) && !is_human(LogFormat::Auto, false));
        assert!(is_human(LogFormat::Human, false) && !is_human(LogFormat::Json, true));
    }
}
