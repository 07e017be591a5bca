//! A panic anywhere ends the process with exit code 70: half a dataflow is worse than none, and a supervisor restarts it.
//! It leaves word that the process ended by itself.

use std::io::Write;
use std::panic::PanicHookInfo;

use crate::error::Exit;
use crate::runtime;

/// Installs the hook.
pub fn end_the_process() {
    std::panic::set_hook(Box::new(|info| {
        let text = describe(info);
        tracing::error!("{text}");
        writeln!(std::io::stderr(), "hookflow: {text}").unwrap_or_default();
        runtime::leave_word();
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

    use crate::runtime::Word;

    const CHILD: &str = "PANICS_IN_A_CHILD";

    /// Panics on a second thread if it runs as the child of the tests below; does nothing otherwise.
    #[test]
    fn child() {
        if let Some(folder) = std::env::var_os(CHILD) {
            super::end_the_process();
            let word = Word::open(folder.as_ref(), "job");
            word.remember();
            word.begin();
            let payload = "ada@example.com".to_owned();
            let worker = std::thread::Builder::new().name("worker-1".into());
            let thread = worker.spawn(move || panic!("cannot read {payload}"));
            thread.unwrap().join().unwrap();
        }
    }

    fn panicked(folder: &Path) -> Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cli::panics::tests::child", "--nocapture"])
            .env(CHILD, folder)
            .output()
            .unwrap()
    }

    #[test]
    fn a_panic_leaves_word() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(panicked(folder.path()).status.code(), Some(70));
        assert!(Word::open(folder.path(), "job").was_told());
    }

    #[test]
    fn a_panic_on_any_thread_ends_the_process_with_70_and_shows_no_data() {
        let folder = tempfile::tempdir().unwrap();
        let child = panicked(folder.path());
        let said = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.code(), Some(70), "{said}");
        assert!(said.contains("thread worker-1 panicked at src/cli/panics.rs"));
        assert!(!said.contains("ada@"), "{said}");
    }
}
