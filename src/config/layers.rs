//! The layers of a configuration: default < file < environment < command line.
//!
//! Contract: pure; the environment is a parameter. The default file defines which settings exist, so each one is documented.
//! Values keep their source; the plan parses them. Deserializing with `serde` would stop at the first mistake; this
//! code reports all of them.

use std::collections::BTreeMap;
use std::fmt;

use toml::{Table, Value};

use super::errors::{ConfigError, ConfigErrors};

/// The reference manual of the settings, which is also their defaults.
pub const DEFAULTS: &str = include_str!("hookflow.default.toml");

/// Prefixes of variables that are no settings: switches of test builds, and addresses for the tests.
const NOT_SETTINGS: [&str; 15] = [
    "HOOKFLOW_CRASH",
    "HOOKFLOW_POISON",
    "HOOKFLOW_SLOW",
    "HOOKFLOW_POINTS",
    "HOOKFLOW_WRONG",
    "HOOKFLOW_REQUIRE_SERVERS",
    "HOOKFLOW_STACK_",
    "HOOKFLOW_TEST_",
    "HOOKFLOW_POSTGRES_PASSWORD_URL",
    "HOOKFLOW_POSTGRES_TLS_URL",
    "HOOKFLOW_CLICKHOUSE_TLS_URL",
    "HOOKFLOW_NATS_TLS_URL",
    "HOOKFLOW_KAFKA_TLS_BROKERS",
    "HOOKFLOW_KAFKA_SASL_BROKERS",
    "HOOKFLOW_KAFKA_SASL_TLS_BROKERS",
];

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueSource {
    /// The built-in default.
    Default,
    /// The file of that name.
    File(String),
    /// The environment variable of that name.
    Environment(String),
    /// An option of the command line.
    CommandLine(&'static str),
}

impl fmt::Display for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueSource::Default => f.write_str("default"),
            ValueSource::File(name) => write!(f, "file {name}"),
            ValueSource::Environment(name) => write!(f, "environment {name}"),
            ValueSource::CommandLine(flag) => write!(f, "command line {flag}"),
        }
    }
}

/// One setting with the value in effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The table of the file.
    pub section: String,
    /// The key in it.
    pub key: String,
    /// The value as it was written.
    pub value: Value,
    /// Where the value comes from.
    pub origin: ValueSource,
}

impl Setting {
    /// `section.key`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// The environment variable that overrides it.
    pub fn env_name(&self) -> String {
        format!("HOOKFLOW_{}_{}", self.section, self.key).to_uppercase()
    }
}

/// All settings, in the order of the default file's sections.
#[derive(Clone, Debug, PartialEq)]
pub struct Layers {
    settings: Vec<Setting>,
}

impl Layers {
    /// The defaults alone.
    pub fn defaults() -> Self {
        let table: Table = toml::from_str(DEFAULTS).unwrap_or_default();
        let settings = table
            .into_iter()
            .filter_map(|(section, value)| match value {
                Value::Table(keys) => Some((section, keys)),
                _ => None,
            })
            .flat_map(|(section, keys)| {
                keys.into_iter().map(move |(key, value)| Setting {
                    section: section.clone(),
                    key,
                    value,
                    origin: ValueSource::Default,
                })
            })
            .collect();
        Self { settings }
    }

    /// Overrides settings with those of a file.
    pub fn lay_file(&mut self, name: &str, text: &str, errors: &mut ConfigErrors) {
        let table: Table = match toml::from_str(text) {
            Ok(table) => table,
            Err(error) => {
                let problem = format!("this is not TOML: {}", without_text(&error, text));
                errors.push(ConfigError {
                    key: name.to_owned(),
                    value: None,
                    problem,
                    hint: "`hookflow config` prints a file that is".to_owned(),
                });
                return;
            }
        };
        for (section, value) in table {
            match value {
                Value::Table(keys) => self.lay_section(name, &section, keys, errors),
                _ => errors.push(ConfigError {
                    key: section,
                    value: None,
                    problem: "settings stand in sections".to_owned(),
                    hint: "write it under a [section] of the file".to_owned(),
                }),
            }
        }
    }

    fn lay_section(&mut self, file: &str, section: &str, keys: Table, errors: &mut ConfigErrors) {
        if !self.settings.iter().any(|one| one.section == section) {
            let names = self.settings.iter().map(|one| one.section.as_str());
            errors.push(ConfigError::unknown(section, "section", names));
            return;
        }
        for (key, value) in keys {
            let path = format!("{section}.{key}");
            let origin = ValueSource::File(file.to_owned());
            if !self.put(|one| one.path() == path, value, origin) {
                errors.push(self.unknown(&path));
            }
        }
    }

    /// Overrides settings with variables that start with `HOOKFLOW_`.
    pub fn lay_environment(&mut self, env: &BTreeMap<String, String>, errors: &mut ConfigErrors) {
        let ours = env
            .iter()
            .filter(|(name, _)| name.starts_with("HOOKFLOW_"))
            .filter(|(name, _)| !NOT_SETTINGS.iter().any(|no| name.starts_with(no)));
        for (name, value) in ours {
            let origin = ValueSource::Environment(name.clone());
            let value = Value::String(value.clone());
            if !self.put(|one| one.env_name() == *name, value, origin) {
                let names: Vec<String> = self.settings.iter().map(Setting::env_name).collect();
                let names = names.iter().map(String::as_str);
                errors.push(ConfigError::unknown(name, "setting", names));
            }
        }
    }

    /// Sets one value; false if there is no such setting.
    fn put(&mut self, is_it: impl Fn(&Setting) -> bool, value: Value, origin: ValueSource) -> bool {
        let Some(found) = self.settings.iter_mut().find(|one| is_it(one)) else {
            return false;
        };
        found.value = value;
        found.origin = origin;
        true
    }

    /// Sets one setting by its path; false if there is none.
    pub fn lay_one(&mut self, path: &str, value: Value, origin: ValueSource) -> bool {
        self.put(|one| one.path() == path, value, origin)
    }

    fn unknown(&self, path: &str) -> ConfigError {
        let names: Vec<String> = self.settings.iter().map(Setting::path).collect();
        ConfigError::unknown(path, "setting", names.iter().map(String::as_str))
    }

    /// The setting of that path.
    pub fn get(&self, path: &str) -> Option<&Setting> {
        self.settings.iter().find(|one| one.path() == path)
    }

    /// All of them.
    pub fn all(&self) -> &[Setting] {
        &self.settings
    }
}

/// The message and the line number of a parser; not the line itself, which could hold a secret.
fn without_text(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => format!(
            "line {}: {}",
            before.matches('\n').count() + 1,
            error.message()
        ),
        None => error.message().to_owned(),
    }
}
