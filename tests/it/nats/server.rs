//! A NATS server of a test's own: with a configuration, to be killed and started again.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::world::until;
use crate::skip::skipped_server;

/// A server that runs, until it is dropped.
pub struct Server {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    child: Child,
}

impl Server {
    /// Starts one with these lines in its configuration; none where there is no program, which is said loudly.
    pub fn start(test: &str, configuration: &str) -> Option<Self> {
        let Some(program) = std::env::var_os("HOOKFLOW_TEST_NATS_SERVER") else {
            skipped_server(&format!(
                "nats {test}: HOOKFLOW_TEST_NATS_SERVER is not set (see scripts/stack)"
            ));
            return None;
        };
        Some(Self::start_program(program.into(), configuration))
    }

    /// Starts that program.
    pub fn start_program(program: PathBuf, configuration: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let store = folder.path().join("data");
        let lines = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\" }}\n{configuration}\n",
            store.display()
        );
        std::fs::write(folder.path().join("server.conf"), lines).unwrap();
        let child = started(&program, &folder);
        let mut server = Self {
            program,
            folder,
            port,
            child,
        };
        server.is_up();
        server
    }

    /// Its address, which names no user.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its address for a user, or with a token.
    pub fn url_as(&self, user: &str) -> String {
        format!("nats://{user}@127.0.0.1:{}", self.port)
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on what it stored.
    pub fn start_again(&mut self) {
        self.child = started(&self.program, &self.folder);
        self.is_up();
    }

    fn is_up(&mut self) {
        until("the server is up", || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the server ended: {}", self.log());
            greeting(self.port).is_some_and(|line| line.contains("\"jetstream\":true"))
        });
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn started(program: &PathBuf, folder: &TempDir) -> Child {
    let log = folder.path().join("log");
    let log = std::fs::File::options()
        .append(true)
        .create(true)
        .open(log)
        .unwrap();
    Command::new(program)
        .arg("-c")
        .arg(folder.path().join("server.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The line with which a server greets every connection.
fn greeting(port: u16) -> Option<String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(1)))
        .ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    Some(line)
}
