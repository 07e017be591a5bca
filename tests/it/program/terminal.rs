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

/// The exit code, and everything that the program shows on a terminal of its own.
fn on_a_terminal(mut command: Command) -> (Option<i32>, String) {
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
        // Reading fails when the last writer has closed the terminal.
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
    let code = child.wait().unwrap().code();
    (code, reader.join().unwrap())
}

const CLEAR: &str = "\u{1b}[2K";

#[test]
fn a_terminal_shows_a_bar_while_it_runs_and_then_the_summary_alone() {
    let store = tempfile::tempdir().unwrap();
    let (code, shown) = on_a_terminal(load(store.path()));
    assert_eq!(code, Some(0), "{shown}");
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
    assert!(!on_a_terminal(quiet).1.contains('█'));
}

#[test]
fn terminal_refuses_fresh_without_yes() {
    let dir = tempfile::tempdir().unwrap();
    let (file, store) = (dir.path().join("a.jsonl"), dir.path().join("store"));
    std::fs::write(&file, "").unwrap();
    let replay = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookflow"));
        command.args(["run", "replay", "--quiet"]).args(more);
        command.arg("--store").arg(&store).arg(&file);
        command
    };
    assert!(replay(&[]).output().unwrap().status.success());
    let completions = store.join("completions.jsonl");
    std::fs::write(&completions, "one\n").unwrap();
    let (code, shown) = on_a_terminal(replay(&["--fresh"]));
    assert_eq!(code, Some(2), "{shown}");
    assert!(
        shown.contains("state.db") && shown.contains("--yes"),
        "{shown}"
    );
    assert_eq!(std::fs::read_to_string(&completions).unwrap(), "one\n");
    let (code, shown) = on_a_terminal(replay(&["--fresh", "--yes"]));
    assert_eq!(code, Some(0), "{shown}");
    let left = std::fs::read_to_string(&completions).unwrap_or_default();
    assert_eq!(left, "", "the old store is deleted");
    let piped = replay(&["--fresh"]).stdin(Stdio::null()).output().unwrap();
    assert!(piped.status.success());
    assert!(String::from_utf8_lossy(&piped.stderr).contains("state.db"));
}
