//! SIGTERM and SIGINT: the first asks the job to drain, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{Exit, Fatal};

/// Whether the job has been asked to stop. Clones share the answer.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag that only the program itself raises.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag that the first signal raises; a second signal ends the process with exit code 75.
    pub fn on_signals() -> Result<Self, Fatal> {
        let stop = Self::new();
        for signal in [SIGTERM, SIGINT] {
            // In this order: at the first signal the flag is not yet raised, so only the second one ends the process.
            flag::register_conditional_shutdown(
                signal,
                i32::from(Exit::Unfinished as u8),
                Arc::clone(&stop.0),
            )
            .and_then(|_| flag::register(signal, Arc::clone(&stop.0)))
            .map_err(|error| {
                let message = format!("signals cannot be handled: {error}");
                Fatal::new(Exit::Watchdog, message)
            })?;
        }
        Ok(stop)
    }

    /// Asks the job to stop.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const CHILD: &str = "SIGNALLED_IN_A_CHILD";

    /// Signals itself twice if it runs as the child of the test below; does nothing otherwise.
    #[test]
    fn child() {
        if std::env::var_os(CHILD).is_some() {
            let stop = Stop::on_signals().unwrap();
            assert!(!stop.is_raised());
            signal_hook::low_level::raise(SIGTERM).unwrap();
            assert!(stop.is_raised());
            println!("raised");
            signal_hook::low_level::raise(SIGINT).unwrap();
            println!("survived");
        }
    }

    #[test]
    fn the_first_signal_raises_the_flag_and_the_second_ends_the_process_with_75() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "runtime::signals::tests::child", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert_eq!(child.status.code(), Some(75), "{said}");
        assert!(
            said.contains("raised") && !said.contains("survived"),
            "{said}"
        );
    }
}
