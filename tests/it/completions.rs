//! When completions are judged and told, in the real program.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hookflow::event::Millis;
use serde_json::{Value, json};

use crate::broker::wait::until;

/// A program that is killed with the test.
struct Program(Child);

impl Program {
    fn runs(&mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "the program ended");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.0.kill());
        self.0.wait().unwrap();
    }
}

/// Recipients of three batches of one each; the batches end at these times.
fn world(folder: &Path, deadlines: [Millis; 3]) {
    let recipients = "provider,message_id,recipient,user_id,batch_id,recipient_id\n\
        postmark,m1,ada@example.org,acme,b1,r1\n\
        postmark,m2,ada@example.org,acme,b2,r2\n\
        postmark,m3,ada@example.org,acme,b3,r3\n";
    std::fs::write(folder.join("recipients.csv"), recipients).unwrap();
    let sealed = Millis(Millis::now().0 - 60_000);
    let mut batches = "id,user,total,sealed_at,deadline\n".to_owned();
    for (name, deadline) in ["b1", "b2", "b3"].iter().zip(deadlines) {
        batches += &format!("{name},acme,1,{sealed},{deadline}\n");
    }
    std::fs::write(folder.join("batches.csv"), batches).unwrap();
}

/// What was delivered of a message, as a line of a file of deliveries.
fn delivery(message: &str) -> String {
    let now = Millis::now();
    let body = json!({
        "RecordType": "Delivery", "MessageID": message, "Recipient": "ada@example.org", "DeliveredAt": now.to_string(),
    });
    let line = json!({
        "provider": "postmark", "user": "acme", "method": "POST", "url": "https://example.org/in",
        "received_at": now.to_string(), "headers": {"content-type": "application/json"}, "body": body.to_string(),
    });
    format!("{line}\n")
}

fn start(folder: &Path, arguments: &[&str]) -> Program {
    let program = Command::new(env!("CARGO_BIN_EXE_hookflow"))
        .arg("--store")
        .arg(folder.join("store"))
        .args(arguments)
        .args(["--quiet", "--metrics", "none", "--snapshot"])
        .arg(folder.join("recipients.csv"))
        .arg("--batches")
        .arg(folder.join("batches.csv"))
        .env("HOOKFLOW_SWEEP_FIRST", "5s")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Program(program.unwrap())
}

/// Completions that were delivered: batch and cause of each.
fn delivered(folder: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(folder.join("store/completions.jsonl")).unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let text = |of: &Value| of.as_str().unwrap().to_owned();
    lines
        .map(|line| (text(&line["batch_id"]), text(&line["cause"])))
        .collect()
}

fn completed(batch: &str, cause: &str) -> (String, String) {
    (batch.to_owned(), cause.to_owned())
}

/// Parked events are looked at again after five seconds, and then after fifteen; a deadline in between waits for neither.
#[test]
fn a_deadline_is_told_when_it_passes_and_not_when_parked_events_are_looked_at_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let deadline = Millis(Millis::now().0 + 7_000);
    let much_later = Millis(deadline.0 + 3_600_000);
    world(folder, [deadline, much_later, much_later]);
    let mut program = start(folder, &["run", "live"]);
    until("a completion is delivered", || {
        program.runs();
        !delivered(folder).is_empty()
    });
    let late = Millis::now().0 - deadline.0;
    assert_eq!(delivered(folder), [completed("b1", "deadline")]);
    assert!((0..6_000).contains(&late), "{late} ms after its deadline");
}

/// All deadlines passed long ago; the second batch is finished by what is read last, and the third by nothing.
#[test]
fn an_input_that_ends_is_judged_when_all_of_it_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let past = Millis(Millis::now().0 - 1_000);
    world(folder, [past; 3]);
    let pipe = folder.join("deliveries.jsonl");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let mut program = start(folder, &["run", "replay", pipe.to_str().unwrap()]);
    // Open for both, so that this does not wait for a program that may have ended.
    let input = File::options().read(true).write(true).open(&pipe);
    let mut input = input.unwrap();
    input.write_all(delivery("m1").as_bytes()).unwrap();
    until("the first batch's completion is delivered", || {
        program.runs();
        !delivered(folder).is_empty()
    });
    input.write_all(delivery("m2").as_bytes()).unwrap();
    drop(input);
    assert!(program.0.wait().unwrap().success());
    assert_eq!(
        delivered(folder),
        [
            completed("b1", "all"),
            completed("b2", "all"),
            completed("b3", "deadline")
        ]
    );
}
