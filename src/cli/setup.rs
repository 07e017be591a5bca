//! `hookflow setup`: makes or checks what the job needs at the source that `source.live` names.

use super::args::Common;
use super::environment::{Environment, load};
use super::output::Output;
use crate::error::{Exit, Fatal};

/// Prints one line for each thing that was made or found.
pub fn setup(common: &Common, env: &Environment, output: &mut Output<'_>) -> Result<Exit, Fatal> {
    let plan = load(common, env, Vec::new())?.plan;
    for line in plan.connector().setup()? {
        output.print(&format!("{line}\n"))?;
    }
    Ok(Exit::Done)
}
