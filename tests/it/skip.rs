//! What cannot run here is said where `scripts/test` lists it, as the output of a test that passes is not shown.

use std::io::Write;

/// Notes that something is not proven here; fails where servers are required.
pub fn skipped_server(what: &str) {
    assert!(
        std::env::var_os("HOOKFLOW_REQUIRE_SERVERS").is_none(),
        "{what}, and servers are required"
    );
    skipped(what);
}

/// Notes that something is not proven here.
pub fn skipped(what: &str) {
    eprintln!("SKIPPED {what}");
    if let Some(path) = std::env::var_os("TEST_SKIPPED_FILE") {
        let mut list = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        writeln!(list, "{what}").unwrap();
    }
}
