//! `hookflow setup`: makes or checks what the job needs at the broker that `source.live` names.

use super::args::Common;
use super::environment::{Environment, load};
use super::output::Output;
use crate::config::Live;
use crate::error::{Exit, Fatal};
use crate::source::{kafka, nats};

/// One line a thing that was made or found.
pub fn setup(common: &Common, env: &Environment, output: &mut Output<'_>) -> Result<Exit, Fatal> {
    let plan = load(common, env, Vec::new())?.plan;
    let done = match plan.live {
        Live::Nats => nats::setup(&plan.nats)?,
        Live::Kafka => kafka::setup(&plan.kafka)?,
        Live::StandardInput => vec!["standard input needs nothing: see source.live".to_owned()],
    };
    for line in done {
        output.print(&format!("{line}\n"))?;
    }
    Ok(Exit::Done)
}
