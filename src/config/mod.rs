//! The configuration: defaults < file < environment < a few options of the command line, made into a checked [`Plan`].
//!
//! * [`DEFAULTS`] is the reference manual: every setting, its default, a sentence and the variable that overrides it.
//! * [`Layers`] lays the sources of values over each other and remembers where each value came from.
//! * [`Plan`] is what the program sees: units in types, limits on everything.
//! * [`Note`] says what a variable of the replaced system did.
//!
//! Contract: [`load`] is pure, and reports *all* mistakes at once. Only [`read_file`] touches a disk, before a job
//! starts. The room knows the parts that it configures; they do not know it.

mod clickhouse;
mod complaint;
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

pub use complaint::{Complaint, Complaints};
pub use layers::{DEFAULTS, Layers, Origin, Setting};
pub use legacy::Note;
pub use plan::{
    Dedup, Format, InFlight, Listen, LogKind, Logs, Plan, Retry, StateKind, Sweep, Window,
};
pub use print::render;
pub use read::{parse_bytes, parse_count, parse_duration, show_bytes, show_duration};
pub use recipients::{RecipientTables, Recipients};
pub use sources::{LIVE_SOURCES, LiveSource};

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Exit, Fatal};

/// A configuration file, read but not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    /// Its name, for complaints.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// What an option of the command line sets.
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
pub struct Loaded {
    /// What the program sees.
    pub plan: Plan,
    /// Where each value came from.
    pub layers: Layers,
    /// What the variables of the replaced system did.
    pub notes: Vec<Note>,
}

/// Lays all layers over each other and understands them.
pub fn load(
    file: Option<&FileText>,
    env: &BTreeMap<String, String>,
    overrides: &[Override],
) -> Result<Loaded, Complaints> {
    let mut complaints = Complaints::default();
    let mut layers = Layers::defaults();
    if let Some(file) = file {
        layers.lay_file(&file.name, &file.text, &mut complaints);
    }
    layers.lay_environment(env, &mut complaints);
    for one in overrides {
        let value = toml::Value::String(one.value.clone());
        if !layers.lay_one(one.path, value, Origin::CommandLine(one.flag)) {
            complaints.push(Complaint::unknown(one.path, "setting", []));
        }
    }
    let mut plan = Plan::read(&layers, &mut complaints);
    let notes = legacy::apply(&mut plan, &mut layers, env, &mut complaints);
    if complaints.0.is_empty() {
        Ok(Loaded {
            plan,
            layers,
            notes,
        })
    } else {
        Err(complaints)
    }
}

/// Reads a configuration file.
#[allow(
    clippy::disallowed_methods,
    reason = "read once before a job starts, so no edge of a job"
)]
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

impl From<Complaints> for Fatal {
    fn from(complaints: Complaints) -> Self {
        Fatal::new(Exit::Config, complaints.to_string())
    }
}
