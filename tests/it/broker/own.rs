//! A server of one test's own, which may kill it.

use std::path::Path;
use std::process::Command;

use crate::skip::skipped_server;

/// A server that runs until this is dropped.
pub struct Own {
    folder: tempfile::TempDir,
    service: &'static str,
    /// What `scripts/stack` says of where it is.
    pub address: String,
}

impl Own {
    /// Starts one, whose address `scripts/stack` prints as that variable. None where it starts no servers, which is said loudly.
    pub fn start(test: &str, service: &'static str, variable: &str) -> Option<Self> {
        if std::env::var_os("HOOKFLOW_STACK_DIR").is_none() {
            skipped_server(&format!("{test}: no servers of scripts/stack"));
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let said = stack(folder.path(), &["up", service]);
        let variable = format!("{variable}=");
        let line = said
            .lines()
            .find_map(|line| line.split_once(&variable))
            .unwrap();
        let address = line.1.trim_matches('\'').to_owned();
        Some(Self {
            folder,
            service,
            address,
        })
    }

    /// `kill`, `start` and the like.
    pub fn does(&self, verb: &str) {
        stack(self.folder.path(), &[verb, self.service]);
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        stack(self.folder.path(), &["down"]);
    }
}

fn stack(folder: &Path, arguments: &[&str]) -> String {
    let ran = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/stack"))
        .arg("--dir")
        .arg(folder.join("stack"))
        .args(arguments)
        .env_remove("STACK_TLS")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{arguments:?}: {said}");
    String::from_utf8(ran.stdout).unwrap()
}
