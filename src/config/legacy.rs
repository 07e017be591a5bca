//! Environment variables of the system that hookflow replaces: caps on settings.
//!
//! Contract: an unset variable has no effect; a set one never raises a limit. Each set one leaves a [`LegacyNote`] with its effect, or
//! says that it has none yet.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use toml::Value;

use super::errors::{ConfigError, ConfigErrors};
use super::layers::{Layers, ValueSource};
use super::plan::{Plan, WindowConfig};
use super::read::{parse_count, parse_switch, show_duration};

/// The effect of one variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyNote {
    /// The variable.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// What it does.
    pub effect: String,
}

const BATCH_SIZE: &str = "WEBHOOK_BATCH_SIZE";
const FLUSH_INTERVAL: &str = "WEBHOOK_FLUSH_INTERVAL";
const RETRIES: &str = "DATABASE_UPDATE_RETRIES";
const NO_EFFECT: &str = "no effect yet";

/// Applies the variables that are set, to the plan and to the layers that are shown.
pub fn apply(
    plan: &mut Plan,
    layers: &mut Layers,
    env: &BTreeMap<String, String>,
    errors: &mut ConfigErrors,
) -> Vec<LegacyNote> {
    let mut legacy = Legacy {
        env,
        errors,
        notes: Vec::new(),
    };
    legacy.number(BATCH_SIZE, |rows| cap_rows(plan, layers, rows));
    legacy.number(FLUSH_INTERVAL, |millis| cap_age(plan, layers, millis));
    legacy.number(RETRIES, |tries| {
        plan.retry.attempts_before_breaker = tries;
        let shown = Value::String(tries.to_string());
        layers.lay_one("retry.attempts_before_breaker", shown, by(RETRIES));
        format!("the breaker opens after {tries} failed attempts in a row; an outage never makes a dead letter")
    });
    legacy.number("WEBHOOK_DEDUP_TTL", |_| {
        format!("{NO_EFFECT}: it is the shared cache's time to live, and there is no shared cache")
    });
    legacy.number("WEBHOOK_MAX_WORKERS", |_| {
        format!("{NO_EFFECT}: each sink has one writer, which is below any cap")
    });
    legacy.number("CLICKHOUSE_LOOKUP_TIMEOUT", |_| {
        format!("{NO_EFFECT}: it is the lookup's deadline, and there is no lookup")
    });
    legacy.switch("WEBHOOK_QUEUE_ENABLED", |_| {
        format!("{NO_EFFECT}: it belongs to the HTTP edge, which does not exist")
    });
    legacy.notes
}

struct Legacy<'a> {
    env: &'a BTreeMap<String, String>,
    errors: &'a mut ConfigErrors,
    notes: Vec<LegacyNote>,
}

impl Legacy<'_> {
    fn number(&mut self, name: &'static str, effect: impl FnOnce(NonZeroUsize) -> String) {
        self.variable(name, "a whole number from 1 up", parse_count, effect);
    }

    fn switch(&mut self, name: &'static str, effect: impl FnOnce(bool) -> String) {
        self.variable(name, "true or false", parse_switch, effect);
    }

    fn variable<T>(
        &mut self,
        name: &'static str,
        hint: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        effect: impl FnOnce(T) -> String,
    ) {
        let Some(value) = self.env.get(name) else {
            return;
        };
        match parse(value.trim()) {
            Some(parsed) => self.notes.push(LegacyNote {
                name,
                value: value.clone(),
                effect: effect(parsed),
            }),
            None => {
                let error = ConfigError::about(name, value, "this value is not valid", hint);
                self.errors.push(error);
            }
        }
    }
}

fn by(name: &str) -> ValueSource {
    ValueSource::Environment(name.to_owned())
}

fn windows(plan: &mut Plan) -> [(&'static str, &mut WindowConfig); 3] {
    [
        ("state_window", &mut plan.state_window),
        ("log_window", &mut plan.log_window),
        ("dead_letter_window", &mut plan.dead_letter_window),
    ]
}

fn cap_rows(plan: &mut Plan, layers: &mut Layers, rows: NonZeroUsize) -> String {
    for (section, window) in windows(plan) {
        if rows < window.rows_max {
            window.rows_max = rows;
            let (path, value) = (format!("{section}.rows_max"), rows.to_string());
            layers.lay_one(&path, Value::String(value), by(BATCH_SIZE));
        }
    }
    format!("a write holds at most {rows} rows, in every sink")
}

fn cap_age(plan: &mut Plan, layers: &mut Layers, millis: NonZeroUsize) -> String {
    let age = Duration::from_millis(u64::try_from(millis.get()).unwrap_or(u64::MAX));
    for (section, window) in windows(plan) {
        if age < window.age_max {
            window.age_max = age;
            let (path, value) = (format!("{section}.age_max"), show_duration(age));
            layers.lay_one(&path, Value::String(value), by(FLUSH_INTERVAL));
        }
    }
    format!("a row waits at most {millis} ms for its write, in every sink")
}
