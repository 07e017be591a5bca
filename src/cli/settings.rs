//! `config` and `check`: the configuration in effect, explained.

use std::fmt::Write;

use super::args::Common;
use super::environment::{Environment, load};
use super::output::Output;
use super::trial;
use crate::config::{self, LegacyNote};
use crate::dedup;
use crate::error::{Exit, Fatal};

/// Prints every setting as TOML that can be read back.
pub fn print(common: &Common, env: &Environment, output: &mut Output<'_>) -> Result<Exit, Fatal> {
    let loaded = load(common, env, Vec::new())?;
    let mut text = config::render(&loaded.layers);
    if !loaded.notes.is_empty() {
        text.push_str("\n# variables of the replaced system\n");
        for note in &loaded.notes {
            writeln!(text, "# {}", line(note)).unwrap_or_default();
        }
    }
    output.print(&text)?;
    Ok(Exit::Done)
}

/// Checks whether a job can start with this configuration, and explains the variables of the replaced system.
pub fn check(common: &Common, env: &Environment, output: &mut Output<'_>) -> Result<Exit, Fatal> {
    let loaded = load(common, env, Vec::new())?;
    let plan = &loaded.plan;
    trial::all(plan)?;
    let mut text =
        String::from("the configuration is valid, and everything that a job opens can be opened\n");
    let keys = plan.dedup.keys_max.get().next_power_of_two();
    let memory = keys.saturating_mul(dedup::memory::KEY_BYTES) + plan.in_flight.bytes_max;
    let facts = [
        ("store", plan.store_dir.display().to_string()),
        ("workers", plan.workers.to_string()),
        (
            "memory",
            format!(
                "up to about {} for open events and dedup keys",
                config::show_bytes(round(memory))
            ),
        ),
        (
            "metrics",
            plan.metrics_address(false)
                .map_or("none".into(), |address| format!("{address} for live jobs")),
        ),
    ];
    for (name, fact) in facts {
        writeln!(text, "  {name:<8} {fact}").unwrap_or_default();
    }
    for note in &loaded.notes {
        writeln!(text, "  {}", line(note)).unwrap_or_default();
    }
    output.print(&text)?;
    Ok(Exit::Done)
}

/// Rounds up to whole MiB.
const fn round(bytes: usize) -> usize {
    bytes.div_ceil(1 << 20) << 20
}

fn line(note: &LegacyNote) -> String {
    format!("{} = {}: {}", note.name, note.value, note.effect)
}
