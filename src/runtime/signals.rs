//! SIGTERM and SIGINT: the first asks the job to drain, the second ends the process at once.
//!
//! [`DrainDeadline`] ends the process when a drain takes longer than it may, whatever the other threads wait for.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

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
                Fatal::new(Exit::Internal, message)
            })?;
        }
        Ok(stop)
    }

    /// The flag that is raised by a request to stop.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
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

/// How long the orderly end of a drain that failed may take before the process is ended.
const GRACE: Duration = Duration::from_secs(1);

/// How often the deadline thread checks whether the job was asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A thread that ends the process with exit code 75 when the job was asked to stop and has not ended within its limit. It waits
/// for no other thread, so that start-up, a sweep or a store that is out cannot hold it up. Dropping it ends the thread.
#[derive(Debug)]
pub struct DrainDeadline {
    _running: Sender<()>,
}

impl DrainDeadline {
    /// Starts the thread; `limit` counts from the request to stop.
    pub fn start(stop: &Stop, limit: Duration) -> Result<Self, Fatal> {
        let (running, ended) = crossbeam_channel::bounded(0);
        let stop = stop.clone();
        std::thread::Builder::new()
            .name("drain-deadline".into())
            .spawn(move || watch(&stop, limit, &ended))
            .map_err(|error| {
                let message = format!("no thread for the drain deadline: {error}");
                Fatal::new(Exit::Internal, message)
            })?;
        Ok(Self { _running: running })
    }
}

fn watch(stop: &Stop, limit: Duration, ended: &Receiver<()>) {
    let ended_within = |wait| ended.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected);
    while !stop.is_raised() {
        if ended_within(LOOK_EVERY) {
            return;
        }
    }
    if ended_within(limit.saturating_add(GRACE)) {
        return;
    }
    print_message(not_drained(limit).message);
    signal_hook::low_level::exit(i32::from(Exit::Unfinished as u8));
}

/// Prints the message on a thread of its own: standard error may be a pipe that nobody reads.
fn print_message(message: String) {
    let (printed, done) = crossbeam_channel::bounded::<()>(0);
    let print = move || {
        tracing::error!("{message}");
        writeln!(std::io::stderr(), "hookflow: {message}").unwrap_or_default();
        drop(printed);
    };
    if std::thread::Builder::new().spawn(print).is_ok() {
        done.recv_timeout(GRACE).unwrap_or_default();
    }
}

/// The error of a drain that took too long.
pub fn not_drained(limit: Duration) -> Fatal {
    let message = format!(
        "the job did not stop within {} s (job.drain_deadline); nothing is lost, start it again",
        limit.as_secs()
    );
    Fatal::new(Exit::Unfinished, message)
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

    const DRAIN: &str = "DRAINS_IN_A_CHILD";

    /// Asks itself to stop and hangs, if it runs as the child of the test below; does nothing otherwise.
    #[test]
    fn drain_child() {
        if std::env::var_os(DRAIN).is_some() {
            let stop = Stop::new();
            let _deadline = DrainDeadline::start(&stop, Duration::ZERO).unwrap();
            stop.raise();
            loop {
                std::thread::park();
            }
        }
    }

    #[test]
    fn a_job_that_hangs_ends_with_75_at_the_drain_deadline() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "runtime::signals::tests::drain_child",
                "--nocapture",
            ])
            .env(DRAIN, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.code(), Some(75), "{said}");
        assert!(said.contains("job.drain_deadline"), "{said}");
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
