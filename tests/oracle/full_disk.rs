//! A disk that is really full: the store lies on a small file system of its own, which the test fills and empties.
//!
//! Needs root, to mount it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::judge::judge;
use crate::process::{self, BINARY, Replay, pause};
use crate::world::World;

/// A small file system in memory; gone with the value.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf) -> Self {
        std::fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(&at)
            .status()
            .unwrap();
        assert!(
            mounted.success(),
            "a file system cannot be mounted: this test needs root"
        );
        Self(at)
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            let bytes = vec![0; size];
            while file.write_all(&bytes).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount")
            .arg("--lazy")
            .arg(&self.0)
            .status()
            .unwrap();
    }
}

/// A live job that reads what the test writes.
struct Live {
    child: Option<Child>,
    input: Option<ChildStdin>,
    pages: SocketAddr,
}

impl Live {
    fn start(world: &World, store: &Path, more: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let pages = free.local_addr().unwrap();
        drop(free);
        let mut child = Command::new(BINARY)
            .args(["run", "live", "--quiet", "--workers", "2", "--metrics"])
            .arg(pages.to_string())
            .arg("--snapshot")
            .arg(world.path("snapshot.jsonl"))
            .arg("--batches")
            .arg(world.path("batches.jsonl"))
            .arg("--late-snapshot")
            .arg(world.path("snapshot-late.jsonl"))
            .arg("--store")
            .arg(store)
            .args(more)
            .env("HOOKFLOW_RETRY_CAP", "100ms")
            .env("HOOKFLOW_LOG_WINDOW_AGE_MAX", "50ms")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(world.path("stderr")).unwrap())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            child: Some(child),
            pages,
        }
    }

    /// Hands lines in; few enough for them to fit into what the job reads ahead.
    fn say(&mut self, lines: &str) {
        self.input
            .as_mut()
            .unwrap()
            .write_all(lines.as_bytes())
            .unwrap();
    }

    /// The answer of `/readyz`; empty while there is none.
    fn ready(&self) -> String {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(self.pages) {
            stream
                .write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
                .unwrap_or_default();
            stream.read_to_string(&mut answer).unwrap_or_default();
        }
        answer
    }

    fn wait_for(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + process::LIMIT;
        loop {
            let answer = self.ready();
            if holds(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "never {what}: {answer}");
            pause(Duration::from_millis(20));
        }
    }

    /// Closes its input and waits for its end.
    fn end(mut self) -> Result<ExitStatus, String> {
        drop(self.input.take());
        process::wait(self.child.take().unwrap(), process::LIMIT, "a live job")
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap_or_default();
            child.wait().unwrap();
        }
    }
}

fn settled(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200") && answer.contains("\"state\": \"empty\"")
}

fn paused(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 503") && answer.contains("paused")
}

#[test]
#[ignore = "needs root, to mount a small file system"]
fn a_full_disk_pauses_the_job_and_room_resumes_it() {
    let world = World::new(40_000, 1_500, 20);
    let disk = Disk::mount(world.path("disk"));
    let text = std::fs::read_to_string(world.path("deliveries.jsonl")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (first, second) = lines.split_at(lines.len() / 2);
    let mut live = Live::start(&world, &disk.0.join("store"), &[]);
    live.say(&first.concat());
    live.wait_for("settled", settled);
    disk.fill();
    live.say(&second.concat());
    let answer = live.wait_for("paused", paused);
    assert!(answer.contains("full"), "{answer}");
    disk.empty();
    live.wait_for("settled again", settled);
    let status = live.end().unwrap();
    let said = std::fs::read_to_string(world.path("stderr")).unwrap();
    assert!(status.success(), "{status}: {said}");
    judge(&world, &disk.0.join("store")).unwrap();
}

#[test]
#[ignore = "needs root, to mount a small file system"]
fn a_disk_that_stays_full_ends_the_job_with_75_and_loses_nothing() {
    let world = World::new(40_001, 1_500, 20);
    let disk = Disk::mount(world.path("disk"));
    let text = std::fs::read_to_string(world.path("deliveries.jsonl")).unwrap();
    let store = disk.0.join("store");
    let mut live = Live::start(&world, &store, &["--max-outage", "1s"]);
    live.wait_for("ready", |answer| answer.starts_with("HTTP/1.1 200"));
    disk.fill();
    live.say(&text);
    let status = live.end().unwrap();
    let said = std::fs::read_to_string(world.path("stderr")).unwrap();
    assert_eq!(status.code(), Some(75), "{said}");
    disk.empty();
    let again = Replay {
        store: store.clone(),
        ..Replay::new(&world, "unused", 2)
    };
    again.succeed().unwrap();
    judge(&world, &store).unwrap();
}
