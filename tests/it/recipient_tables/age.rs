//! The limit of age: what was sent long ago is not loaded, and not held in memory where it was loaded before.

use hookflow::event::Millis;
use hookflow::state::sqlite::SqliteReader;
use hookflow::state::view::StateReader;

use super::member::{Member, Settings, hookflow};
use super::place::{self, User, sent};

const OLD: usize = 20_000;
const RECENT: usize = 500;

fn fill(user: &User) {
    user.create_tables("time");
    let yesterday = Millis(Millis::now().0 - 86_400_000).to_string();
    let yesterday = yesterday.replace('T', " ").trim_end_matches('Z').to_owned();
    let rows: Vec<String> = (0..OLD + RECENT)
        .map(|id| {
            let sent_at = if id < OLD {
                "2020-01-01 00:00:00.000"
            } else {
                &yesterday
            };
            let (message, name) = (format!("m{id}"), format!("r{id}"));
            let fields = ["sendgrid", &message, "a@example.org", "u", "b", &name];
            sent(id, 0, fields, Some(sent_at))
        })
        .collect();
    user.insert("sent", &rows);
}

/// Loads the table; how many rows were new and how many known.
fn load(store: &std::path::Path, settings: &Settings) -> [usize; 2] {
    let report = hookflow(&["load"], store, settings);
    ["accepted", "known"].map(|name| {
        let line = report.lines().find(|line| line.starts_with(name));
        let count = line.and_then(|line| line.split_whitespace().nth(1));
        count.map_or(0, |count| count.replace(',', "").parse().unwrap())
    })
}

/// A delivery about that message.
pub fn delivered(message: usize) -> String {
    let event = serde_json::json!([{"email": "a@example.org", "timestamp": 1_772_460_003, "event": "delivered",
        "sg_event_id": format!("e{message}"), "sg_message_id": format!("m{message}")}]);
    let delivery =
        serde_json::json!({"provider": "sendgrid", "user": "u", "body": event.to_string()});
    format!("{delivery}\n")
}

#[test]
#[ignore = "needs Postgres and ClickHouse"]
fn old_rows_are_neither_loaded_nor_held_and_their_events_are_matched_by_the_sweeper() {
    for user in place::all("the limit of age") {
        fill(&user);
        let store = tempfile::tempdir().unwrap();
        let store = store.path();
        let all = user.settings();
        let mut limited = all.clone();
        limited.push(("HOOKFLOW_RECIPIENTS_AGE_MAX", "30d".into()));
        assert_eq!(load(store, &limited), [RECENT, 0], "{:?}", user.server);
        // Another limit asks for other rows, so the table is read from its beginning.
        assert_eq!(load(store, &all), [OLD, RECENT], "{:?}", user.server);
        // And now only its end: the overlap, and the row from which it counts.
        assert_eq!(load(store, &all), [0, 10_001], "{:?}", user.server);
        let mut member = Member::start(store, &limited);
        member.write(&[delivered(7), delivered(OLD + 7)].concat());
        member.wait_for("webhooks_processed_total", 2);
        member.wait_for("webhook_late_matched_total", 1);
        assert_eq!(member.metric("webhook_recipients_fed_total"), RECENT as u64);
        assert_eq!(
            member.metric("webhooks_processed_total{outcome=\"applied\"}"),
            1
        );
        let unmatched = SqliteReader::open(store)
            .unwrap()
            .counts()
            .unwrap()
            .unmatched;
        assert_eq!(unmatched, 0);
        member.end();
    }
}

#[test]
#[ignore = "needs Postgres and ClickHouse"]
fn a_cursor_in_2099_does_not_end_polling() {
    for user in place::all("a cursor in 2099") {
        user.create_tables("time");
        let row = |id: usize, at: &str| {
            let name = format!("m{id}");
            let fields = ["sendgrid", &name, "a@example.org", "u", "b", &name];
            sent(id, 0, fields, None).replace("2026-03-01 00:00:00.000000", at)
        };
        user.insert("sent", &[row(1, "2099-01-01 00:00:00.000000")]);
        let store = tempfile::tempdir().unwrap();
        let mut settings = user.settings();
        settings.retain(|(name, _)| *name != "HOOKFLOW_RECIPIENTS_CURSOR");
        settings.push(("HOOKFLOW_RECIPIENTS_CURSOR", "at".into()));
        assert_eq!(load(store.path(), &settings), [1, 0], "{:?}", user.server);
        let now = Millis::now().to_string();
        let now = now.replace('T', " ").trim_end_matches('Z').to_owned();
        user.insert("sent", &[row(2, &now)]);
        let [new, _] = load(store.path(), &settings);
        assert_eq!(new, 1, "{:?}", user.server);
    }
}
