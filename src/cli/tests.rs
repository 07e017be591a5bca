//! The command line as a whole: what is typed, and what comes of it.

use clap::{CommandFactory, Parser};

use super::args::{Arguments, Command, RunCommand};
use super::*;
use crate::event::Millis;
use crate::observe::summary::Summary;
use crate::runtime::{Input, JobRequest, Rate, SinkMode};

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(std::iter::once("hookflow").chain(line.split_whitespace()))
}

/// Runs a command line: its result, standard output and standard error.
fn run(line: &str, env: &[(&str, &str)]) -> (Result<Exit, Fatal>, String, String) {
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut output = Output {
        out: &mut out,
        err: &mut err,
    };
    let result = dispatch(parse(line).unwrap(), &env, &mut output);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (result, text(out), text(err))
}

fn replay(line: &str) -> Result<JobRequest, Fatal> {
    let arguments = parse(&format!("run replay {line}")).unwrap();
    match arguments.command {
        Some(Command::Run(RunCommand::Replay(run))) => {
            job::replay_request(&arguments.common, &run, &Environment::new())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_well_formed_and_teaches() {
    Arguments::command().debug_assert();
    let help = Arguments::command().render_long_help().to_string();
    for part in [
        "Examples:",
        "Exit codes:",
        "hookflow run replay",
        "hookflow decode ses",
    ] {
        assert!(help.contains(part), "no {part:?} in\n{help}");
    }
}

#[test]
fn a_replay_resolves_every_option() {
    let line = "--snapshot r.csv --snapshot s.csv --batches b.csv --late-snapshot l.csv --store here --workers 3 \
                --from 2026-03-01 --to 2026-03-02T12:00:00Z --provider SES --job nightly --metrics 127.0.0.1:1 a.jsonl b/";
    let request = replay(line).unwrap();
    assert_eq!(request.plan.store_dir.to_str(), Some("here"));
    assert_eq!(request.plan.workers.get(), 3);
    assert_eq!(request.snapshot.recipients.len(), 2);
    assert!(request.snapshot.batches.is_some() && request.snapshot.late.is_some());
    assert_eq!(
        request.range.from,
        Millis::parse_rfc3339("2026-03-01T00:00:00Z")
    );
    assert_eq!(request.name.as_deref(), Some("nightly"));
    assert_eq!(request.metrics.unwrap().port(), 1);
    assert_eq!(request.sinks, SinkMode::Durable);
    let Input::Files { paths, provider } = request.input else {
        panic!("{:?}", request.input);
    };
    assert_eq!((paths.len(), provider.unwrap().as_str()), (2, "ses"));
}

#[test]
fn finite_jobs_serve_no_metrics_and_dry_runs_write_nothing() {
    let request = replay("--dry-run a.jsonl").unwrap();
    assert_eq!((request.metrics, request.sinks), (None, SinkMode::DryRun));
    let live = parse("run live --generator --rate max").unwrap();
    let Some(Command::Run(RunCommand::Live(run))) = live.command else {
        panic!("{:?}", live.command);
    };
    let request = job::live_request(&live.common, &run, &Environment::new()).unwrap();
    assert_eq!(request.metrics.unwrap().port(), 9464);
    let Input::Generator(sample) = request.input else {
        panic!("{:?}", request.input);
    };
    assert_eq!((sample.rate, sample.deliveries), (Rate::Max, None));
}

#[test]
fn mistakes_have_their_exit_codes() {
    assert_eq!(replay("--workers 0 a").unwrap_err().exit, Exit::Config);
    let empty = replay("--from 2026-03-02 --to 2026-03-01 a").unwrap_err();
    assert_eq!(empty.exit, Exit::Usage);
    let misplaced = run("--fresh check", &[]).0.unwrap_err();
    assert_eq!(misplaced.exit, Exit::Usage);
    for wrong in [
        "run replay",
        "run replay --dry-run --fresh a",
        "run throughput --rate fast",
        "run live --generator --provider ses",
        "events --kind eaten",
        "prune",
        "prune --yes",
        "--yes",
        "load --whole",
        "nonsense",
    ] {
        assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong}");
    }
    for right in [
        "prune --before 2026-01-01 --no-time-before 2026-01-01",
        "prune --no-time-before 2026-01-01 --yes",
        "dlq show abc --json",
        "unmatched list --limit 5",
        "--store x batches --open",
        "run throughput --null-sinks --deliveries 1_000 --json out.json",
        "load --whole a.csv b.jsonl --batches c.csv --store x",
        "load",
    ] {
        assert!(parse(right).is_ok(), "{right}");
    }
}

const SNAPSHOT_HEADER: &str = "provider,message_id,recipient,user_id,batch_id,recipient_id\n";

#[test]
fn unreadable_files_are_named_before_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().display();
    files::write(&dir.path().join("a.jsonl"), "").unwrap();
    for line in [
        format!("run replay --store {here}/s {here}/nosuch.jsonl {here}/a.jsonl"),
        format!("run replay --store {here}/s {here}/a.jsonl --late-snapshot {here}/nosuch.csv"),
        format!("run live --store {here}/s --generator --deliveries 1 --batches {here}/nosuch.csv"),
        format!("load --store {here}/s {here}/nosuch.csv"),
    ] {
        let (result, out, err) = run(&line, &[]);
        let fatal = result.unwrap_err();
        assert_eq!(fatal.exit, Exit::Input, "{line}");
        assert!(fatal.message.contains("nosuch"), "{fatal:?}");
        assert_eq!((out.as_str(), err.as_str()), ("", ""), "{line}");
        assert!(!dir.path().join("s").exists(), "{line}");
    }
}

#[test]
fn load_of_csv_with_an_unclosed_quote_seals_no_batch() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().display();
    let row = |n| format!("ses,m{n},r{n}@b.org,u,b,{n}\n");
    let rows: Vec<String> = (0..9).map(row).collect();
    let broken = rows.concat().replace("ses,m4", "ses,\"m4");
    files::write(
        &dir.path().join("r.csv"),
        &format!("{SNAPSHOT_HEADER}{broken}"),
    )
    .unwrap();
    let line = format!("load --whole --store {here} {here}/r.csv");
    let fatal = run(&line, &[]).0.unwrap_err();
    assert_eq!(fatal.exit, Exit::Input);
    assert!(fatal.message.contains("r.csv:6: "), "{fatal:?}");
    let (_, out, _) = run(&format!("batches --json --store {here}"), &[]);
    assert_eq!(out, "", "no batch, and none that is sealed");
}

#[test]
fn generate_overwrites_no_files_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().display();
    let mine = dir.path().join("deliveries.jsonl");
    files::write(&mine, "mine").unwrap();
    let line = format!("generate --deliveries 50 --users 2 --out {here}");
    let fatal = run(&line, &[]).0.unwrap_err();
    assert!(
        fatal.message.contains("deliveries.jsonl exists"),
        "{fatal:?}"
    );
    assert_eq!(files::read(&mine).unwrap(), b"mine");
    let line = format!("{line}/sample");
    assert_eq!(run(&line, &[]).0.unwrap(), Exit::Done);
    assert_eq!(run(&line, &[]).0.unwrap(), Exit::Done, "its own sample");
}

#[test]
fn store_is_the_samples_own_until_something_else_is_written() {
    use crate::runtime::holds_only_sample;

    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().display();
    let generate = format!("generate --deliveries 50 --users 2 --out {here}/sample");
    assert_eq!(run(&generate, &[]).0.unwrap(), Exit::Done);
    let demo = format!("--quiet --workers 1 --store {here}");
    assert_eq!(run(&demo, &[]).0.unwrap(), Exit::Done);
    assert!(holds_only_sample(dir.path()));
    let (_, _, said) = run(&format!("--fresh --yes {demo}"), &[]);
    assert!(said.contains("state.db"), "{said}");
    assert!(holds_only_sample(dir.path()));
    let load = format!("load --store {here} {here}/sample/snapshot.jsonl");
    assert_eq!(run(&load, &[]).0.unwrap(), Exit::Done);
    assert!(!holds_only_sample(dir.path()));
    assert_eq!(run(&demo, &[]).0.unwrap(), Exit::Done);
    assert!(
        !holds_only_sample(dir.path()),
        "the other data is still there"
    );
}

#[test]
fn a_load_says_what_came_of_it_and_a_second_one_knows_all() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("r.csv");
    let text = "provider,message_id,recipient,user_id,batch_id,recipient_id\nses,m1,a@b.org,u,b,1\n\
                ses,m2,c@b.org,u,b,2\nses,,d@b.org,u,b,3\n";
    files::write(&file, text).unwrap();
    let line = format!(
        "load --whole {} --store {}",
        file.display(),
        dir.path().display()
    );
    let (exit, out, _) = run(&line, &[]);
    assert_eq!(exit.unwrap(), Exit::Done);
    let words =
        |out: &str| -> Vec<String> { out.split_whitespace().take(2).map(str::to_owned).collect() };
    assert_eq!(words(&out), ["accepted", "2"], "{out}");
    assert!(out.contains("bad") && out.contains("sealed"), "{out}");
    let (exit, out, _) = run(&line, &[]);
    assert_eq!(exit.unwrap(), Exit::Done);
    assert_eq!(words(&out), ["accepted", "0"], "{out}");
    assert!(out.contains("known") && !out.contains("sealed"), "{out}");
    let nothing = format!("load --store {}", dir.path().display());
    assert_eq!(run(&nothing, &[]).0.unwrap_err().exit, Exit::Usage);
}

#[test]
fn check_explains_the_variables_of_the_replaced_system() {
    let env = [
        ("WEBHOOK_BATCH_SIZE", "100"),
        ("WEBHOOK_DEDUP_TTL", "9"),
        ANY_PORT,
    ];
    let (exit, out, _) = run("check", &env);
    assert_eq!(exit.unwrap(), Exit::Done);
    assert!(out.contains("WEBHOOK_BATCH_SIZE = 100: a write holds at most 100 rows"));
    assert!(out.contains("WEBHOOK_DEDUP_TTL = 9: no effect yet"));
    let (bad, ..) = run("check", &[("HOOKFLOW_JOB_TICK", "often")]);
    assert_eq!(bad.unwrap_err().exit, Exit::Config);
}

#[test]
fn config_prints_what_reads_back() {
    let (exit, out, _) = run("config --store elsewhere", &[("WEBHOOK_BATCH_SIZE", "7")]);
    assert_eq!(exit.unwrap(), Exit::Done);
    assert!(out.contains("# command line --store"), "{out}");
    let table: toml::Table = toml::from_str(&out).unwrap();
    assert_eq!(table["store"]["dir"].as_str(), Some("elsewhere"));
}

#[test]
fn decode_explains_a_body_and_its_request() {
    let dir = tempfile::tempdir().unwrap();
    let (body, request) = (dir.path().join("b.json"), dir.path().join("r.json"));
    files::write(&body, "{}").unwrap();
    files::write(
        &request,
        r#"{"b.json":{"method":"POST","url":"/","headers":{"a":"b"}}}"#,
    )
    .unwrap();
    let line = format!(
        "decode ses {} --request {}",
        body.display(),
        request.display()
    );
    let (exit, out, _) = run(&line, &[]);
    assert!(exit.is_ok());
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(report["events"].is_array() && report["rejects"].is_array());
    let (missing, ..) = run("decode ses /nowhere/at/all", &[]);
    assert_eq!(missing.unwrap_err().exit, Exit::Input);
}

#[test]
fn dead_letters_alone_are_a_failure_and_with_others_are_not() {
    let mut summary = Summary {
        dead_letters: 3,
        ..Summary::default()
    };
    assert_eq!(job::exit_of(&summary), Exit::Input);
    summary.events = 1;
    assert_eq!(job::exit_of(&summary), Exit::Done);
    assert_eq!(job::exit_of(&Summary::default()), Exit::Done);
}

/// Jobs of others may serve the usual port.
const ANY_PORT: (&str, &str) = ("HOOKFLOW_METRICS_LISTEN", "127.0.0.1:0");

#[test]
fn check_finds_a_store_that_is_in_use_and_a_port_that_is_too() {
    let dir = tempfile::tempdir().unwrap();
    let check = format!("check --store {}", dir.path().display());
    assert_eq!(run(&check, &[ANY_PORT]).0.unwrap(), Exit::Done);
    let store = crate::state::sqlite::SqliteStore::open(dir.path()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let both = run(&check, &[("HOOKFLOW_METRICS_LISTEN", &taken)]);
    let both = both.0.unwrap_err();
    assert_eq!(both.exit, Exit::Input);
    assert!(both.message.contains(&taken), "{}", both.message);
    drop(store);
    let port = run(&check, &[("HOOKFLOW_METRICS_LISTEN", &taken)]);
    assert_eq!(port.0.unwrap_err().exit, Exit::Config);
    drop(listener);
    let again = run(&check, &[("HOOKFLOW_METRICS_LISTEN", &taken)]);
    assert_eq!(again.0.unwrap(), Exit::Done);
}

#[test]
fn the_help_of_check_says_what_it_tries() {
    let help = parse("check --help").unwrap_err().to_string();
    assert!(
        help.contains("store") && help.contains("metrics port"),
        "{help}"
    );
}
