//! The real program with its log in ClickHouse: what it says at the start, and what it makes of a server that fails meanwhile.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use hookflow::log::EventFilter;
use hookflow::log::clickhouse;

use crate::broker::own::Own;
use crate::log::clickhouse_server::Server;
use crate::proxy::{Direction, Mode, Proxy};
use crate::recipient_tables::member::{Member, Settings, hookflow};
use crate::skip::skipped_server;

const BINARY: &str = env!("CARGO_BIN_EXE_hookflow");

fn settings(url: &str, database: &str) -> Settings {
    vec![
        ("HOOKFLOW_STORE_LOG", "clickhouse".into()),
        ("HOOKFLOW_CLICKHOUSE_URL", url.into()),
        ("HOOKFLOW_CLICKHOUSE_DATABASE", database.into()),
        ("HOOKFLOW_CLICKHOUSE_CALL_TIMEOUT", "1s".into()),
        ("HOOKFLOW_RETRY_CAP", "200ms".into()),
        ("HOOKFLOW_METRICS_LISTEN", "none".into()),
    ]
}

/// Settings that are wrong, the commands that refuse them, and what must be said.
type Wrong<'a> = (&'a [(&'static str, &'a str)], &'a [&'a str], &'a str);

/// Runs a command with one setting changed; its exit code and all it said.
fn run(
    command: &str,
    settings: &Settings,
    changed: &[(&'static str, &str)],
) -> (Option<i32>, String) {
    let store = tempfile::tempdir().unwrap();
    let ran = Command::new(BINARY)
        .args([command, "--store"])
        .arg(store.path())
        .envs(settings.iter().cloned())
        .envs(changed.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code(), String::from_utf8(said).unwrap())
}

#[test]
#[ignore = "needs ClickHouse"]
fn check_and_migrate_say_what_to_do() {
    let Some(server) = Server::new("clickhouse_program") else {
        return;
    };
    let url = server.settings.url.clone();
    let settings = settings(&url, &server.settings.database);
    let secure = url.replace("http:", "https:");
    let wrong: [Wrong<'_>; 6] = [
        (
            &[("HOOKFLOW_CLICKHOUSE_DATABASE", "nowhere")],
            &["check"],
            "hookflow migrate",
        ),
        (
            &[("HOOKFLOW_CLICKHOUSE_TABLE", "nothing")],
            &["check"],
            "hookflow migrate",
        ),
        (
            &[
                ("HOOKFLOW_CLICKHOUSE_USER", "nobody"),
                ("HOOKFLOW_CLICKHOUSE_PASSWORD", "hunter2"),
            ],
            &["check", "migrate"],
            "clickhouse.password",
        ),
        (
            &[("HOOKFLOW_CLICKHOUSE_URL", &secure)],
            &["check", "migrate"],
            "offers no TLS",
        ),
        (
            &[
                ("HOOKFLOW_CLICKHOUSE_URL", "http://log.example.org:8123"),
                ("HOOKFLOW_CLICKHOUSE_PASSWORD", "hunter2"),
            ],
            &["check", "migrate"],
            "plain text",
        ),
        (
            &[("HOOKFLOW_CLICKHOUSE_DATABASE", "no-name")],
            &["check", "migrate"],
            "letters, digits and _",
        ),
    ];
    for (changed, commands, word) in wrong {
        for command in commands {
            let (code, said) = run(command, &settings, changed);
            assert_eq!(code, Some(78), "{command} {changed:?}: {said}");
            assert!(said.contains(word), "{command} {changed:?}: {said}");
            assert!(!said.contains("hunter2"), "a secret: {said}");
        }
    }
    let closed = [("HOOKFLOW_CLICKHOUSE_URL", "http://127.0.0.1:1")];
    let (code, said) = run("check", &settings, &closed);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("cannot be reached"), "{said}");
    assert_eq!(run("check", &settings, &[]).0, Some(0));
}

#[test]
#[ignore = "needs ClickHouse"]
fn migrate_makes_what_check_asks_for_and_changes_nothing_the_second_time() {
    let Some(server) = Server::new("clickhouse_program") else {
        return;
    };
    let database = &server.settings.database;
    server.sql(&format!("DROP DATABASE {database} SYNC"));
    let settings = settings(&server.settings.url, &server.settings.database);
    assert_eq!(run("check", &settings, &[]).0, Some(78));
    for _ in 0..2 {
        let (code, said) = run("migrate", &settings, &[]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("is ready, schema 1"), "{said}");
    }
    assert_eq!(run("check", &settings, &[]).0, Some(0));
}

#[test]
#[ignore = "needs ClickHouse"]
fn a_user_without_rights_is_told_which_to_ask_for() {
    let (Some(server), Ok(password)) = (
        Server::new("clickhouse_program"),
        std::env::var("HOOKFLOW_TEST_CLICKHOUSE_PASSWORD"),
    ) else {
        skipped_server("clickhouse_program: no ClickHouse with the users of scripts/stack");
        return;
    };
    let settings = settings(&server.settings.url, &server.settings.database);
    let reader = [
        ("HOOKFLOW_CLICKHOUSE_USER", "reader"),
        ("HOOKFLOW_CLICKHOUSE_PASSWORD", password.as_str()),
    ];
    for command in ["check", "migrate"] {
        let (code, said) = run(command, &settings, &reader);
        assert_eq!(code, Some(78), "{command}: {said}");
        assert!(said.contains("grant SELECT, INSERT"), "{command}: {said}");
        assert!(!said.contains(&password), "a secret: {said}");
    }
}

/// Deliveries of one event each.
fn deliveries(from: u64, to: u64) -> String {
    let line = |n| {
        let event = serde_json::json!([{"email": "a@example.org", "timestamp": 1_772_460_003, "event": "delivered",
            "sg_event_id": format!("e{n}"), "sg_message_id": format!("m{n}")}]);
        let delivery =
            serde_json::json!({"provider": "sendgrid", "user": "u", "body": event.to_string()});
        format!("{delivery}\n")
    };
    (from..to).map(line).collect()
}

#[test]
#[ignore = "needs ClickHouse"]
fn whatever_becomes_of_the_server_each_event_is_seen_once_and_none_is_settled_before() {
    let Some(server) = Own::start(
        "clickhouse_program",
        "clickhouse",
        "HOOKFLOW_CLICKHOUSE_URL",
    ) else {
        return;
    };
    let proxy = Proxy::before(server.address.trim_start_matches("http://"));
    let through = settings(&format!("http://{}", proxy.address()), "log");
    let store = tempfile::tempdir().unwrap();
    let patience = vec![("HOOKFLOW_CLICKHOUSE_CALL_TIMEOUT", "30s".into())];
    hookflow(
        &["migrate"],
        store.path(),
        &[through.clone(), patience].concat(),
    );
    let mut member = Member::start(store.path(), &through);
    let durable = "webhook_sink_rows_total{sink=\"log\"}";
    let well = |member: &Member| member.trouble().is_none();
    member.wait("it is ready", well);
    member.write(&deliveries(0, 100));
    member.wait_for(durable, 100);

    proxy.set(Mode::Cut {
        direction: Direction::ToClient,
        after: 0,
    });
    member.write(&deliveries(100, 200));
    member.wait("an answer is lost", |_| proxy.cuts() == 1);
    member.wait_for(durable, 200);
    member.wait("nothing is open", |member| {
        member.metric("webhook_queue_depth") == 0
    });

    proxy.set(Mode::Hold);
    member.write(&deliveries(200, 300));
    let told = |member: &Member| member.trouble().is_some_and(|page| page.contains("log"));
    member.wait("calls end at their deadline", told);
    assert_eq!(member.metric(durable), 200);
    assert_eq!(member.metric("webhook_queue_depth"), 100);
    proxy.set(Mode::Pass);
    member.wait_for(durable, 300);
    member.wait("it is well again", well);

    server.does("kill");
    member.write(&deliveries(300, 400));
    member.wait("the outage is told", told);
    assert_eq!(member.metric(durable), 300);
    server.does("start");
    member.wait_for(durable, 400);
    member.wait("it is ready again", well);
    member.end();

    let direct = clickhouse::ClickHouseConfig::plain(&server.address, "log");
    let seen = clickhouse::events(&direct, &EventFilter::default()).unwrap();
    assert_eq!(seen.len(), 400);
    let keys: BTreeSet<_> = seen.iter().map(|event| &event.event_key).collect();
    assert_eq!(keys.len(), 400);
}
