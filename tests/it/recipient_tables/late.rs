//! Rows that become visible after rows with a greater cursor.

use hookflow::enrich::tables::{Cursor, Overlap, Recent, Server};

use super::place::{User, row_of};
use super::reading::{OVERLAP, given, limits, look};
use crate::conformance_state::database::{connect, runtime};

fn row(id: usize) -> String {
    let line = serde_json::json!({"provider": "ses", "message_id": format!("m{id}"), "recipient": "a@b.org",
        "user_id": "u", "batch_id": "b", "recipient_id": format!("r{id}")});
    row_of(id, &line)
}

/// The messages that a look shows which begins so far before 102.
fn shown(user: &User, overlap: Overlap, recent: &Recent) -> Vec<String> {
    let from = Cursor::Number(102).less(overlap);
    let limits = limits(10, None);
    let (chunks, _) = look(user, &given(user, "id"), Some(from), &limits, recent);
    let rows = chunks.into_iter().flatten();
    rows.map(|row| row.message_id).collect()
}

#[test]
#[ignore = "needs Postgres and ClickHouse"]
fn a_transaction_that_commits_late_is_found_by_the_overlap_and_not_without_it() {
    let Some(user) = User::new(Server::Postgres, "a late commit") else {
        return;
    };
    user.create_tables("time");
    let runtime = runtime();
    let slow = runtime.block_on(connect(&user.url));
    let words = user.table("sent");
    let begin = format!("BEGIN; INSERT INTO {words} VALUES {}", row(100));
    runtime.block_on(slow.batch_execute(&begin)).unwrap();
    user.insert("sent", &[row(99), row(101), row(102)]);
    let mut recent = Recent::new(1_000);
    let first = look(&user, &given(&user, "id"), None, &limits(10, None), &recent);
    assert_eq!(first.0.iter().map(Vec::len).sum::<usize>(), 3);
    assert_eq!(first.1.reached, Some(Cursor::Number(102)));
    recent.take(first.1.prints, Some(Cursor::Number(102).less(OVERLAP)));
    assert_eq!(shown(&user, OVERLAP, &recent), [""; 0], "nothing is new");
    runtime.block_on(slow.batch_execute("COMMIT")).unwrap();
    let none = Overlap {
        number: 0,
        ..OVERLAP
    };
    assert_eq!(shown(&user, none, &recent), [""; 0]);
    assert_eq!(shown(&user, OVERLAP, &recent), ["m100"]);
}
