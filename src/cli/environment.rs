//! What surrounds a command: the variables it sees, and the configuration that they, a file and its options make.

use std::collections::BTreeMap;

use super::args::Common;
use crate::config::{self, Loaded, Override};
use crate::error::Fatal;

/// The environment, handed in so that tests need not change their own.
pub type Environment = BTreeMap<String, String>;

/// The configuration with the options of the command line laid over it.
pub fn load(
    common: &Common,
    env: &Environment,
    mut overrides: Vec<Override>,
) -> Result<Loaded, Fatal> {
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
