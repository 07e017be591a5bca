//! The three layers of a configuration, laid over each other: default < file < environment.
//!
//! Contract: pure; the environment is handed in. Which settings exist is read from the default file, so a setting
//! cannot exist without being documented there. Values keep where they came from and are not yet understood: that is
//! for the plan. A reader by `serde` would stop at the first mistake; this one goes on and reports them all.

use std::collections::BTreeMap;
use std::fmt;

use toml::{Table, Value};

use super::complaint::{Complaint, Complaints};

/// The reference manual of the settings, which is also their defaults.
pub const DEFAULTS: &str = include_str!("hookflow.default.toml");

/// Names that start so are no settings: switches of test builds, and what the scripts that start servers tell tests.
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

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The built-in default.
    Default,
    /// The file of that name.
    File(String),
    /// The environment variable of that name.
    Environment(String),
    /// An option of the command line.
    CommandLine(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(name) => write!(f, "file {name}"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::CommandLine(flag) => write!(f, "command line {flag}"),
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
    /// The value, as it was written.
    pub value: Value,
    /// Who wrote it.
    pub origin: Origin,
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
                    origin: Origin::Default,
                })
            })
            .collect();
        Self { settings }
    }

    /// Lays a file over them.
    pub fn lay_file(&mut self, name: &str, text: &str, complaints: &mut Complaints) {
        let table: Table = match toml::from_str(text) {
            Ok(table) => table,
            Err(error) => {
                let problem = format!("this is not TOML: {}", without_text(&error, text));
                complaints.push(Complaint {
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
                Value::Table(keys) => self.lay_section(name, &section, keys, complaints),
                _ => complaints.push(Complaint {
                    key: section,
                    value: None,
                    problem: "settings stand in sections".to_owned(),
                    hint: "write it under a [section] of the file".to_owned(),
                }),
            }
        }
    }

    fn lay_section(&mut self, file: &str, section: &str, keys: Table, complaints: &mut Complaints) {
        if !self.settings.iter().any(|one| one.section == section) {
            let names = self.settings.iter().map(|one| one.section.as_str());
            complaints.push(Complaint::unknown(section, "section", names));
            return;
        }
        for (key, value) in keys {
            let path = format!("{section}.{key}");
            let origin = Origin::File(file.to_owned());
            if !self.put(|one| one.path() == path, value, origin) {
                complaints.push(self.unknown(&path));
            }
        }
    }

    /// Lays the environment over them; names that do not start with `HOOKFLOW_` are none of ours.
    pub fn lay_environment(&mut self, env: &BTreeMap<String, String>, complaints: &mut Complaints) {
        let ours = env
            .iter()
            .filter(|(name, _)| name.starts_with("HOOKFLOW_"))
            .filter(|(name, _)| !NOT_SETTINGS.iter().any(|no| name.starts_with(no)));
        for (name, value) in ours {
            let origin = Origin::Environment(name.clone());
            let value = Value::String(value.clone());
            if !self.put(|one| one.env_name() == *name, value, origin) {
                let names: Vec<String> = self.settings.iter().map(Setting::env_name).collect();
                let names = names.iter().map(String::as_str);
                complaints.push(Complaint::unknown(name, "setting", names));
            }
        }
    }

    /// Sets one value; false if there is no such setting.
    fn put(&mut self, is_it: impl Fn(&Setting) -> bool, value: Value, origin: Origin) -> bool {
        let Some(found) = self.settings.iter_mut().find(|one| is_it(one)) else {
            return false;
        };
        found.value = value;
        found.origin = origin;
        true
    }

    /// Sets one setting by its path; false if there is none.
    pub fn lay_one(&mut self, path: &str, value: Value, origin: Origin) -> bool {
        self.put(|one| one.path() == path, value, origin)
    }

    fn unknown(&self, path: &str) -> Complaint {
        let names: Vec<String> = self.settings.iter().map(Setting::path).collect();
        Complaint::unknown(path, "setting", names.iter().map(String::as_str))
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

/// What a parser says, and where; not the line itself, which could hold a secret.
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
