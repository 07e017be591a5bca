//! Whether a job warns that no recipients are known.

use std::path::Path;
use std::process::{Command, Output};

fn hookflow(store: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_hookflow"))
        .args(arguments)
        .arg("--store")
        .arg(store)
        .stdin(std::process::Stdio::null())
        .output();
    output.unwrap()
}

/// Whether `run live` over no deliveries warns.
fn warns(store: &Path) -> bool {
    let output = hookflow(store, &["run", "live", "--metrics", "none"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("recipients are known"), "{said}");
    said.contains("nearly every event will be unmatched")
}

#[test]
fn only_a_store_without_recipients_is_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    assert!(warns(&store), "nothing is loaded");
    let recipients = folder.path().join("recipients.csv");
    let rows =
        "provider,message_id,recipient,user_id,batch_id,recipient_id\nses,m1,a@example.org,u,b,r\n";
    std::fs::write(&recipients, rows).unwrap();
    let loaded = hookflow(&store, &["load", recipients.to_str().unwrap()]);
    assert!(loaded.status.success());
    assert!(!warns(&store), "a recipient is loaded");
}
