//! SIGTERM in moments at which a job waits for something else than deliveries: at its start, and in what it does at its end.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::broker::wait::until;

/// Nothing here takes nearly as long.
const LIMIT: Duration = Duration::from_secs(30);

const HEADER: &str = "provider,message_id,recipient,user_id,batch_id,recipient_id\n";

/// A program that reads recipients from a named pipe; it is killed with the test.
struct Job {
    child: Child,
    pipe: File,
    path: PathBuf,
    store: PathBuf,
}

impl Job {
    /// Starts it and waits until it has the pipe open.
    fn start(folder: &Path, arguments: &[&str], drain_deadline: &str) -> Self {
        let (path, store) = (folder.join("recipients.csv"), folder.join("store"));
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        // Open for reading too, so that opening does not wait for a reader.
        let pipe = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_hookflow"))
            .args(arguments)
            .arg(&path)
            .args(["--quiet", "--metrics", "none", "--store"])
            .arg(&store)
            .env("HOOKFLOW_JOB_DRAIN_DEADLINE", drain_deadline)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let job = Self {
            child,
            pipe,
            path,
            store,
        };
        until("the pipe is open", || job.has_open_pipe());
        job
    }

    fn has_open_pipe(&self) -> bool {
        let folder = format!("/proc/{}/fd", self.child.id());
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|file| file == self.path)
    }

    /// Hands it one recipient while nobody can write to its store.
    fn load_into_a_locked_store(&mut self) -> Connection {
        let other = Connection::open(self.store.join("state.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let row = format!("{HEADER}ses,m1,a@example.org,u,b,r\n");
        self.pipe.write_all(row.as_bytes()).unwrap();
        // The end of the file: only the program has the pipe open now. It loads the row, or is about to.
        self.pipe = File::open("/dev/null").unwrap();
        other
    }

    fn terminate(&mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < LIMIT, "the program goes on");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        self.child.wait().unwrap();
    }
}

#[test]
fn a_start_that_hangs_ends_with_75_at_the_drain_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = Job::start(folder.path(), &["run", "live", "--snapshot"], "1s");
    assert_eq!(job.terminate().code(), Some(75));
    let said = std::fs::read_to_string(folder.path().join("stderr")).unwrap();
    assert!(said.contains("job.drain_deadline"), "{said}");
}

#[test]
fn a_stop_while_recipients_load_into_a_store_that_is_out_ends_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = Job::start(folder.path(), &["run", "live", "--snapshot"], "10m");
    let lock = job.load_into_a_locked_store();
    assert_eq!(job.terminate().code(), Some(0));
    drop(lock);
}

#[test]
fn a_stop_in_the_last_steps_with_a_store_that_is_out_ends_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.jsonl");
    std::fs::write(&empty, "").unwrap();
    let replay = ["run", "replay", empty.to_str().unwrap(), "--late-snapshot"];
    let mut job = Job::start(folder.path(), &replay, "10m");
    let lock = job.load_into_a_locked_store();
    assert_eq!(job.terminate().code(), Some(0));
    drop(lock);
}
