//! The configuration: defaults < file < environment < options of the command line, parsed into a checked [`Plan`].
//!
//! * [`DEFAULTS`] is the reference manual: every setting, its default, its meaning and its variable.
//! * [`Layers`] merges the sources of values and keeps where each value comes from.
//! * [`Plan`] is what the program uses: units in types, limits on everything.
//! * [`LegacyNote`] tells the effect of a variable of the replaced system.
//!
//! Contract: [`load`] is pure, and reports *all* mistakes at once. Only [`read_file`] touches a disk, before a job
//! starts. This module depends on the modules that it configures, never the other way round.

mod clickhouse;
mod errors;
mod kafka;
mod layers;
mod legacy;
mod nats;
mod plan;
mod postgres;
mod print;
mod read;
mod recipients;
mod sources;
#[cfg(test)]
mod tests;

pub use errors::{ConfigError, ConfigErrors};
pub use layers::{DEFAULTS, Layers, Setting, ValueSource};
pub use legacy::LegacyNote;
pub use plan::{
    Dedup, InFlightLimits, Listen, LogFormat, LogKind, Logs, Plan, RetryConfig, StateKind, Sweep,
    WindowConfig,
};
pub use print::render;
pub use read::{parse_bytes, parse_count, parse_duration, show_bytes, show_duration};
pub use recipients::{RecipientTables, RecipientsConfig};
pub use sources::{LIVE_SOURCES, LiveSource};

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Exit, Fatal};

/// The text of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    /// Its name, for errors.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// A setting that an option of the command line overrides.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// The option, such as `--workers`.
    pub flag: &'static str,
    /// The setting, such as `job.workers`.
    pub path: &'static str,
    /// Its value.
    pub value: String,
}

/// A configuration that can run.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The parsed configuration.
    pub plan: Plan,
    /// The source of each value.
    pub layers: Layers,
    /// The effects of variables of the replaced system.
    pub notes: Vec<LegacyNote>,
}

/// Merges all layers and parses them.
pub fn load(
    file: Option<&FileText>,
    env: &BTreeMap<String, String>,
    overrides: &[Override],
) -> Result<LoadedConfig, ConfigErrors> {
    let mut errors = ConfigErrors::default();
    let mut layers = Layers::defaults();
    if let Some(file) = file {
        layers.lay_file(&file.name, &file.text, &mut errors);
    }
    layers.lay_environment(env, &mut errors);
    for one in overrides {
        let value = toml::Value::String(one.value.clone());
        if !layers.lay_one(one.path, value, ValueSource::CommandLine(one.flag)) {
            errors.push(ConfigError::unknown(one.path, "setting", []));
        }
    }
    let mut plan = Plan::read(&layers, &mut errors);
    let notes = legacy::apply(&mut plan, &mut layers, env, &mut errors);
    if errors.0.is_empty() {
        Ok(LoadedConfig {
            plan,
            layers,
            notes,
        })
    } else {
        Err(errors)
    }
}

/// Reads a configuration file.
#[allow(clippy::disallowed_methods, reason = "read once before a job starts")]
pub fn read_file(path: &Path) -> Result<FileText, Fatal> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(FileText { name, text }),
        Err(error) => {
            let message = format!("the configuration file {name} cannot be read: {error}");
            Err(Fatal::new(Exit::Config, message))
        }
    }
}

impl From<ConfigErrors> for Fatal {
    fn from(errors: ConfigErrors) -> Self {
        Fatal::new(Exit::Config, errors.to_string())
    }
}
