//! Servers of one test's own: they can be killed and frozen without disturbing anybody, and go when the test ends, however it
//! ends.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::process;
use crate::skip::skipped_server;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/stack");
/// What the script says when everything is up.
const READY: &str = "everything is up";

/// Servers that run, until it is dropped.
pub struct Stack {
    folder: PathBuf,
    script: Child,
    /// The script's command reads it to its end, and with it everything ends.
    input: Option<ChildStdin>,
    environment: BTreeMap<String, String>,
}

impl Stack {
    /// Starts these services. None where tests have no servers, which is said loudly.
    pub fn start(test: &str, services: &[&str]) -> Option<Self> {
        if std::env::var_os("HOOKFLOW_STACK_DIR").is_none() {
            skipped_server(&format!(
                "{test}: no servers (start them with scripts/stack)"
            ));
            return None;
        }
        let name = format!("hookflow-stack-fleet-{:08x}", rand::random::<u32>());
        let folder = std::env::temp_dir().join(name);
        let say = format!("env; echo '{READY}'; exec cat");
        let mut script = Command::new(SCRIPT)
            .arg("--dir")
            .arg(&folder)
            .arg("run")
            .args(services)
            .args(["--", "sh", "-c", &say])
            .env_remove("STACK_TLS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(script.stdout.take().unwrap()).lines();
        let mut environment = BTreeMap::new();
        loop {
            let line = lines.next().expect("the servers do not start").unwrap();
            match line.split_once('=') {
                _ if line == READY => break,
                Some((name, value)) => environment.insert(name.to_owned(), value.to_owned()),
                None => None,
            };
        }
        Some(Self {
            folder,
            input: script.stdin.take(),
            script,
            environment,
        })
    }

    /// Where a server is.
    pub fn variable(&self, name: &str) -> &str {
        &self.environment[name]
    }

    /// Does something to a server; see `scripts/stack --help`.
    pub fn control(&self, what: &str, service: &str) {
        let mut command = Command::new(SCRIPT);
        command.arg("--dir").arg(&self.folder).args([what, service]);
        let done = process::run(command, what).unwrap();
        assert!(done.success(), "{what} {service}: {done}");
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.input = None;
        self.script.wait().ok();
    }
}
