//! The environment of a command, and its configuration: file, variables and options.

use std::collections::BTreeMap;

use super::args::Common;
use crate::config::{self, LoadedConfig, Override};
use crate::error::Fatal;

/// The environment variables; a parameter, so that tests need not change their own.
pub type Environment = BTreeMap<String, String>;

/// The configuration, with the options of the command line on top.
pub fn load(
    common: &Common,
    env: &Environment,
    mut overrides: Vec<Override>,
) -> Result<LoadedConfig, Fatal> {
    if let Some(store) = &common.store {
        overrides.push(Override {
            flag: "--store",
            path: "store.dir",
            value: store.display().to_string(),
        });
    }
    let file = common
        .config
        .as_deref()
        .map(config::read_file)
        .transpose()?;
    Ok(config::load(file.as_ref(), env, &overrides)?)
}
