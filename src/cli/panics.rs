//! A panic anywhere ends the process with exit code 70: half a dataflow is worse than none, and a supervisor restarts it.

use std::io::Write;
use std::panic::PanicHookInfo;

use crate::error::Exit;

/// Installs the hook.
pub fn end_the_process() {
    std::panic::set_hook(Box::new(|info| {
        let text = describe(info);
        tracing::error!("{text}");
        writeln!(std::io::stderr(), "hookflow: {text}").unwrap_or_default();
        std::process::exit(i32::from(Exit::Watchdog as u8));
    }));
}

/// Where, and what if that is fixed text: a formatted message could hold a payload.
fn describe(info: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed").to_owned();
    let place = info
        .location()
        .map_or_else(String::new, ToString::to_string);
    let text = info.payload().downcast_ref::<&'static str>();
    let text = text
        .copied()
        .unwrap_or("its message is withheld, it could hold data");
    format!("thread {thread} panicked at {place}: {text}")
}
