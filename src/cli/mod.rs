//! The command line: parses arguments and calls the module that does the work.
//!
//! * [`args`] defines the arguments and their help;
//! * `job` turns a `run` command into a [`JobRequest`](crate::runtime::JobRequest);
//! * `show` prints what the stores hold, through the calls listed in [`backend`];
//! * `settings` and `decode` explain the configuration and a single body; `trial` opens what a job would open;
//! * `confirm` guards destructive options.
//!
//! Contract: results go to standard output, everything else to standard error; the exit code is that of
//! [`Exit`]. No other module sees an option.

pub mod args;
pub mod backend;
mod confirm;
mod decode;
mod environment;
mod files;
mod job;
mod load;
mod migrate;
mod output;
mod panics;
mod publish;
mod settings;
mod setup;
mod show;
pub mod table;
mod trial;
mod values;

use std::io;
use std::process::ExitCode;

use clap::Parser;

pub use self::environment::Environment;
pub use self::output::Output;
use crate::error::{Exit, Fatal};
use args::{Arguments, Command, RunCommand};

/// The program.
pub fn main() -> ExitCode {
    panics::end_the_process();
    let arguments = Arguments::parse();
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let environment = std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let mut output = Output {
        out: &mut out,
        err: &mut err,
    };
    let exit = match dispatch(arguments, &environment, &mut output) {
        Ok(exit) => exit,
        Err(fatal) => {
            output.say(&format!("hookflow: {}", fatal.message));
            fatal.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// One command, one call.
pub fn dispatch(
    arguments: Arguments,
    env: &Environment,
    output: &mut Output<'_>,
) -> Result<Exit, Fatal> {
    let Arguments {
        common,
        demo,
        command,
    } = arguments;
    let Some(command) = command else {
        return job::demo(&common, &demo, env, output);
    };
    if demo != Default::default() {
        let message = "these options belong to the command: write them after it, such as `hookflow run replay --fresh`";
        return Err(Fatal::new(Exit::Usage, message));
    }
    match command {
        Command::Run(RunCommand::Live(run)) => job::live(&common, &run, env, output),
        Command::Run(RunCommand::Replay(run)) => job::replay(&common, &run, env, output),
        Command::Run(RunCommand::Throughput(run)) => job::throughput(&common, &run, env, output),
        Command::Setup => setup::setup(&common, env, output),
        Command::Publish(what) => publish::publish(&common, &what, env, output),
        Command::Check => settings::check(&common, env, output),
        Command::Migrate => migrate::migrate(&common, env, output),
        Command::Config => settings::print(&common, env, output),
        Command::Decode(what) => decode::decode(&common, &what, env, output),
        Command::Generate(what) => backend::generate(&what).and_then(|text| {
            output.print(&format!("{text}\n"))?;
            Ok(Exit::Done)
        }),
        Command::Load(what) => load::load(&common, &what, env, output),
        Command::Events(what) => show::events(&common, &what, env, output),
        Command::Recipient(what) => show::recipient(&common, &what, env, output),
        Command::Batches(what) => show::batches(&common, &what, env, output),
        Command::Completions(what) => show::completions(&common, &what, env, output),
        Command::Unmatched(what) => show::unmatched(&common, &what, env, output),
        Command::Dlq(what) => show::dead_letters(&common, &what, env, output),
        Command::Prune(what) => {
            confirm::prune(&what, output)?;
            show::prune(&common, &what, env, output)
        }
    }
}

#[cfg(test)]
mod tests;
