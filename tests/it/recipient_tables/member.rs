//! The real program as a process, fed through its standard input and watched through its pages.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program under test.
const BINARY: &str = env!("CARGO_BIN_EXE_hookflow");

/// Nothing here takes nearly as long.
const LIMIT: Duration = Duration::from_secs(60);

/// Settings by the names of their variables.
pub type Settings = Vec<(&'static str, String)>;

/// Runs a command to its end, which must be a good one.
pub fn hookflow(arguments: &[&str], store: &Path, settings: &Settings) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(BINARY)
        .args(arguments)
        .arg("--store")
        .arg(store)
        .envs(settings.iter().cloned())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{arguments:?}: {status}: {said}");
    String::from_utf8(stdout).unwrap()
}

/// A live job.
pub struct Member {
    child: Child,
    pages: SocketAddr,
    errors: PathBuf,
}

impl Member {
    /// Starts it over that store.
    pub fn start(store: &Path, settings: &Settings) -> Self {
        // The port is free at this moment, and ports are handed out in turn.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pages = listener.local_addr().unwrap();
        drop(listener);
        let errors = store.join(format!("stderr-{}", pages.port()));
        let child = Command::new(BINARY)
            .args(["run", "live", "--quiet", "--workers", "2", "--store"])
            .arg(store)
            .args(["--metrics", &pages.to_string()])
            .envs(settings.iter().cloned())
            .env("HOOKFLOW_LOGS_LEVEL", "warn")
            .env("HOOKFLOW_SWEEP_FIRST", "100ms")
            .env("HOOKFLOW_LOG_WINDOW_AGE_MAX", "100ms")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            pages,
            errors,
        }
    }

    /// Hands it deliveries.
    pub fn write(&mut self, lines: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(lines.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// A page with its status; nothing while it is not served.
    fn page(&self, path: &str) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.pages)?;
            stream.set_read_timeout(Some(LIMIT))?;
            write!(stream, "GET {path} HTTP/1.0\r\nHost: here\r\n\r\n")?;
            let mut page = String::new();
            stream.read_to_string(&mut page)?;
            Ok(page)
        };
        ask().unwrap_or_default()
    }

    /// Why it is not ready; nothing if it is.
    pub fn trouble(&self) -> Option<String> {
        let page = self.page("/readyz");
        (!page.starts_with("HTTP/1.0 200") && !page.starts_with("HTTP/1.1 200")).then_some(page)
    }

    /// The value of a metric, 0 while there is none; of all its labels together.
    pub fn metric(&self, name: &str) -> u64 {
        let page = self.page("/metrics");
        let values = page.lines().filter_map(|line| {
            let (found, value) = line.rsplit_once(' ')?;
            let labels = found.strip_prefix(name)?;
            let ours = labels.is_empty() || labels.starts_with('{');
            ours.then(|| value.parse::<f64>().unwrap() as u64)
        });
        values.sum()
    }

    /// Events, dead letters and control messages whose place is found.
    pub fn processed(&self) -> u64 {
        self.metric("webhooks_processed_total")
    }

    /// Waits until that holds.
    pub fn wait(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || started.elapsed() > LIMIT {
                panic!(
                    "never: {what}; {ended:?}\n{}\n{}",
                    self.page("/readyz"),
                    self.said()
                );
            }
            moment();
        }
    }

    /// Waits until that holds, or it has ended by itself before.
    #[cfg(feature = "faults")]
    pub fn ends_before(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Option<std::process::ExitStatus> {
        let started = Instant::now();
        while !holds(self) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            // Some hundred messages may go singly meanwhile, and each waits for both sinks and for its commit.
            let late = started.elapsed() > LIMIT * 4;
            assert!(!late, "never: {what}\n{}", self.said());
            moment();
        }
        None
    }

    /// Waits until a metric has that value.
    pub fn wait_for(&mut self, name: &str, value: u64) {
        let mut last = 0;
        let started = Instant::now();
        while last != value {
            assert!(
                started.elapsed() < LIMIT,
                "{name} is {last}, not {value}\n{}",
                self.said()
            );
            moment();
            last = self.metric(name);
        }
    }

    /// What it wrote to standard error.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }

    /// SourceContext it as an outage of power would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and it must end well.
    pub fn end(mut self) {
        let mut command = Command::new("kill");
        command.args(["-TERM", &self.child.id().to_string()]);
        assert!(command.status().unwrap().success());
        let started = Instant::now();
        while started.elapsed() < LIMIT {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}: {}", self.said());
                return;
            }
            moment();
        }
        panic!("it does not end: {}", self.said());
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It is gone already where the test went well.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// A moment between two looks.
fn moment() {
    let pause = Duration::from_millis(20);
    crossbeam_channel::never::<()>()
        .recv_timeout(pause)
        .unwrap_err();
}
