//! Wrong settings are refused at the start, with a sentence that says what to change.

use std::process::{Command, Stdio};

use hookflow::enrich::tables::Server;

use super::place::{self, User};

const BINARY: &str = env!("CARGO_BIN_EXE_hookflow");

/// One wrong setting (or several) and what must be said of it.
type Wrong<'a> = (&'a [(&'static str, &'a str)], &'a [&'a str]);

const TABLE: &str = "HOOKFLOW_RECIPIENTS_TABLE";
const QUERY: &str = "HOOKFLOW_RECIPIENTS_QUERY";
const CURSOR: &str = "HOOKFLOW_RECIPIENTS_CURSOR";
const COLUMNS: &str = "HOOKFLOW_RECIPIENTS_COLUMNS";
const URL: &str = "HOOKFLOW_RECIPIENTS_URL";
const PASSWORD: &str = "HOOKFLOW_RECIPIENTS_PASSWORD";

/// Runs a command with these settings; its exit code and what it said.
fn run(user: &User, wrong: &[(&'static str, &str)], command: &[&str]) -> (Option<i32>, String) {
    let store = tempfile::tempdir().unwrap();
    let ran = Command::new(BINARY)
        .args(command)
        .arg("--store")
        .arg(store.path())
        .envs(user.settings())
        .env("HOOKFLOW_METRICS_LISTEN", "none")
        .envs(wrong.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    (ran.status.code(), said)
}

/// Every command that would read the table refuses.
fn refused(user: &User, (wrong, words): Wrong<'_>) {
    for command in [&["check"][..], &["load"], &["run", "live", "--quiet"]] {
        let (code, said) = run(user, wrong, command);
        assert_eq!(code, Some(78), "{wrong:?} {command:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }
        assert!(!said.contains("hunter2"), "a secret: {said}");
    }
}

#[test]
#[ignore = "needs Postgres and ClickHouse"]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn what_the_server_does_not_have_is_named() {
    for user in place::all("wrong tables") {
        user.create_tables("time");
        user.run(&format!(
            "CREATE VIEW {} AS SELECT id, recipient FROM {}",
            user.table("part"),
            user.table("sent")
        ));
        let name = |table: &str| user.table(table);
        let unknown = match user.server {
            Server::Postgres => "does not exist",
            Server::ClickHouse => "UNKNOWN_TABLE",
        };
        let syntax = match user.server {
            Server::Postgres => "SQLSTATE 42601",
            Server::ClickHouse => "SYNTAX_ERROR",
        };
        let text = match user.server {
            Server::Postgres => "text",
            Server::ClickHouse => "String",
        };
        let wrong: [Wrong<'_>; 9] = [
            (&[(TABLE, &name("nothing"))], &["recipients.table", unknown]),
            (
                &[(TABLE, &name("part"))],
                &[
                    "recipients.table",
                    "provider, message_id, user_id",
                    "recipients.columns",
                ],
            ),
            (
                &[(COLUMNS, "message_id = smtp_id")],
                &["smtp_id", "recipients.columns"],
            ),
            (&[(COLUMNS, "sent_at = left_at")], &["left_at"]),
            (
                &[(CURSOR, "serial")],
                &["recipients.cursor: there is no column serial"],
            ),
            (
                &[(CURSOR, "message_id")],
                &[
                    "recipients.cursor",
                    "message_id is of type",
                    text,
                    "whole number",
                    "time",
                ],
            ),
            (
                &[(TABLE, ""), (QUERY, "SELECT 1 FRO M")],
                &["recipients.query", syntax],
            ),
            (
                &[("HOOKFLOW_RECIPIENTS_BATCHES_TABLE", &name("nothing"))],
                &["recipients.batches_table", unknown],
            ),
            (
                &[("HOOKFLOW_RECIPIENTS_BATCHES_TABLE", &name("batches"))],
                &[
                    "recipients.batches_table",
                    "no column user",
                    "recipients.batches_columns",
                ],
            ),
        ];
        for wrong in wrong {
            refused(&user, wrong);
        }
        let right = run(&user, &[], &["check"]);
        assert_eq!(right.0, Some(0), "{}", right.1);
    }
}

#[test]
#[ignore = "needs Postgres and ClickHouse"]
fn who_may_not_read_is_told_so() {
    for user in place::all("wrong rights") {
        user.create_tables("time");
        match user.server {
            Server::Postgres => who_may_not_read_postgres(&user),
            Server::ClickHouse => {
                let wrong: Wrong<'_> = (
                    &[
                        (PASSWORD, "hunter2"),
                        ("HOOKFLOW_RECIPIENTS_USER", "nobody"),
                    ],
                    &["refuses the user or the password", "recipients.password"],
                );
                refused(&user, wrong);
                // That server has one user, who may read everything: denied rights are tested without it.
            }
        }
    }
}

fn who_may_not_read_postgres(user: &User) {
    let login = format!("{}_reader", user.name);
    user.run(&format!(
        "CREATE ROLE {login} LOGIN PASSWORD 'right'; GRANT USAGE ON SCHEMA {} TO {login}",
        user.name
    ));
    let address = user.url.rsplit('@').next().unwrap();
    let url = format!("postgres://{login}@{address}");
    let denied: Wrong<'_> = (
        &[(URL, &url), (PASSWORD, "right")],
        &["recipients.table", "permission denied for table sent"],
    );
    refused(user, denied);
    // Some servers trust everybody who is near; this one must not for the rest to mean anything.
    if std::env::var_os("HOOKFLOW_POSTGRES_PASSWORD_URL").is_some() {
        passwords(user);
    }
    user.run(&format!("DROP OWNED BY {login}; DROP ROLE {login}"));
}

/// The stack's user `app` has to give a password.
fn passwords(user: &User) {
    let address = user.url.rsplit('@').next().unwrap();
    let url = format!("postgres://app@{address}");
    let wrong: Wrong<'_> = (
        &[(URL, &url), (PASSWORD, "hunter2")],
        &["recipients.url", "refuses this user or password"],
    );
    refused(user, wrong);
    let none: Wrong<'_> = (
        &[(URL, &url)],
        &["recipients.url", "asks for a password and none is set"],
    );
    refused(user, none);
}

#[test]
#[ignore = "needs Postgres and ClickHouse"]
fn a_server_that_is_not_there_is_no_mistake_in_the_settings() {
    for user in place::all("no server") {
        let url = match user.server {
            Server::Postgres => "postgres://a:hunter2@127.0.0.1:1/d",
            Server::ClickHouse => "http://127.0.0.1:1",
        };
        for command in ["check", "load"] {
            let (code, said) = run(&user, &[(URL, url)], &[command]);
            assert_eq!(code, Some(75), "{command}: {said}");
            assert!(!said.contains("hunter2"), "a secret: {said}");
        }
    }
}
