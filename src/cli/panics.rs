//! A panic anywhere ends the process with exit code 70: half a dataflow is worse than none, and a supervisor restarts it.
//! The poison quarantine is notified: a record may cause the panic of a worker, but not that of another thread.

use std::io::Write;
use std::panic::PanicHookInfo;

use crate::error::Exit;
use crate::quarantine;

/// Installs the hook.
pub fn end_the_process() {
    std::panic::set_hook(Box::new(|info| {
        let text = describe(info);
        tracing::error!("{text}");
        writeln!(std::io::stderr(), "hookflow: {text}").unwrap_or_default();
        quarantine::on_panic();
        std::process::exit(i32::from(Exit::Internal as u8));
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Output};

    use crate::event::Origin;
    use crate::quarantine::{Quarantine, WorkerQuarantine};
    use crate::source::{PartitionIds, Record};

    const FOLDER: &str = "PANICS_IN_A_CHILD";
    const IS_WORKER: &str = "PANICS_AS_A_WORKER";

    /// Decodes a record and panics, on the same thread or another, if it runs as the child of the tests below; does nothing otherwise.
    #[test]
    fn child() {
        let Some(folder) = std::env::var_os(FOLDER) else {
            return;
        };
        super::end_the_process();
        let quarantine = Quarantine::open(folder.as_ref(), "job", 1);
        quarantine.watch_panics();
        let decode = move || {
            let worker = WorkerQuarantine::new(&quarantine, 0, PartitionIds::default());
            worker.enter(0, &[Record::Line(Origin::default(), "line".into())]);
        };
        let payload = "ada@example.com".to_owned();
        let thread = std::thread::Builder::new().name("worker-1".into());
        let thread = if std::env::var_os(IS_WORKER).is_some() {
            thread.spawn(move || {
                decode();
                panic!("cannot read {payload}")
            })
        } else {
            decode();
            thread.spawn(move || panic!("cannot read {payload}"))
        };
        thread.unwrap().join().unwrap();
    }

    fn panicked(folder: &Path, is_worker: bool) -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "cli::panics::tests::child", "--nocapture"])
            .env(FOLDER, folder);
        if is_worker {
            command.env(IS_WORKER, "1");
        }
        command.output().unwrap()
    }

    #[test]
    fn a_panic_counts_as_a_crash_only_on_a_worker() {
        for (is_worker, suspects) in [(true, 1), (false, 0)] {
            let folder = tempfile::tempdir().unwrap();
            let child = panicked(folder.path(), is_worker);
            assert_eq!(child.status.code(), Some(70));
            let quarantine = Quarantine::open(folder.path(), "job", 1);
            assert_eq!(quarantine.suspects(), suspects, "{is_worker}");
        }
    }

    #[test]
    fn a_panic_on_any_thread_ends_the_process_with_70_and_shows_no_data() {
        let folder = tempfile::tempdir().unwrap();
        let child = panicked(folder.path(), false);
        let said = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.code(), Some(70), "{said}");
        assert!(said.contains("thread worker-1 panicked at src/cli/panics.rs"));
        assert!(!said.contains("ada@"), "{said}");
    }
}
