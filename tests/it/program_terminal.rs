//! What a person at a terminal sees of the real program, and that a pipe sees nothing of it.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A load of half a second, of which nothing is stored.
fn load(store: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookflow"));
    command
        .args(["run", "throughput", "--null-sinks", "--rate", "4_000"])
        .args(["--deliveries", "2_000", "--users", "20", "--store"])
        .arg(store)
        .env("HOOKFLOW_LOG_WINDOW_AGE_MAX", "20ms");
    command
}

/// Everything that the program shows on a terminal of its own.
fn on_a_terminal(mut command: Command) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let size = Winsize {
        ws_row: 40,
        ws_col: 120,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&master, size).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = || {
        File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap()
    };
    let mut child = command
        .stdin(terminal())
        .stdout(terminal())
        .stderr(terminal())
        .env("TERM", "xterm-256color")
        .spawn()
        .unwrap();
    drop(command);
    let reader = std::thread::spawn(move || {
        let mut shown = Vec::new();
        // SourceContext with an error when the last writer has closed the terminal.
        File::from(master)
            .read_to_end(&mut shown)
            .unwrap_or_default();
        String::from_utf8_lossy(&shown).into_owned()
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::yield_now();
    }
    assert!(child.wait().unwrap().success());
    reader.join().unwrap()
}

const CLEAR: &str = "\u{1b}[2K";

#[test]
fn a_terminal_shows_a_bar_while_it_runs_and_then_the_summary_alone() {
    let store = tempfile::tempdir().unwrap();
    let shown = on_a_terminal(load(store.path()));
    let (while_it_ran, after) = shown.rsplit_once(CLEAR).unwrap();
    assert!(
        while_it_ran.contains('█') && while_it_ran.contains("deliveries, "),
        "{shown}"
    );
    for part in ["events/s", "received", "latency"] {
        assert!(after.contains(part), "no {part} in {after}");
    }
    assert!(!after.contains('█'), "{after}");
}

#[test]
fn a_pipe_sees_no_bar_and_quiet_shows_none_at_all() {
    let store = tempfile::tempdir().unwrap();
    let Output { stdout, stderr, .. } = load(store.path()).stdin(Stdio::null()).output().unwrap();
    for piped in [&stdout, &stderr] {
        assert!(!piped.contains(&0x1b), "{}", String::from_utf8_lossy(piped));
    }
    assert!(String::from_utf8(stdout).unwrap().contains("events/s"));
    let mut quiet = load(store.path());
    quiet.arg("--quiet");
    assert!(!on_a_terminal(quiet).contains('█'));
}
