//! The configuration as a whole: precedence, errors, legacy variables, the manual.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn file(text: &str) -> FileText {
    FileText {
        name: "my.toml".into(),
        text: text.into(),
    }
}

fn load_both(text: &str, pairs: &[(&str, &str)]) -> Result<LoadedConfig, ConfigErrors> {
    load(Some(&file(text)), &env(pairs), &[])
}

#[test]
fn the_defaults_are_the_promised_ones() {
    let plan = load(None, &env(&[]), &[]).unwrap().plan;
    assert_eq!(plan.in_flight.events_max.get(), 100_000);
    assert_eq!(plan.in_flight.bytes_max, 256 << 20);
    assert_eq!(plan.tick, Duration::from_millis(10));
    assert_eq!(plan.default_user.as_str(), "default");
    assert_eq!(plan.dedup.ttl, Duration::from_secs(600));
    assert_eq!(plan.dedup.keys_max.get(), 1 << 20);
    assert_eq!(plan.retry.attempts_before_breaker.get(), 3);
    assert_eq!(plan.max_outage, None);
    assert_eq!(plan.drain_deadline, Duration::from_secs(30));
    assert_eq!(plan.watchdog_limit, Duration::from_secs(60));
    assert_eq!(plan.sweep.first, Duration::from_secs(5));
    let quarter = Duration::from_secs(90 * 86_400);
    assert_eq!(plan.dead_letters_keep, Some(quarter));
    assert_eq!(plan.metrics_address(true), None);
    assert_eq!(plan.metrics_address(false).unwrap().port(), 9464);
    let (ours, theirs) = (
        plan.decode_options(),
        crate::decode::DecodeConfig::default(),
    );
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let text = "[dedup]\nttl = \"1m\"\nkeys_max = 5\n";
    let mut loaded = load_both(text, &[("HOOKFLOW_DEDUP_TTL", "2m")]).unwrap();
    assert_eq!(loaded.plan.dedup.ttl, Duration::from_secs(120));
    assert_eq!(loaded.plan.dedup.keys_max.get(), 5);
    let printed = render(&loaded.layers);
    assert!(printed.contains("# environment HOOKFLOW_DEDUP_TTL"));
    assert!(printed.contains("# file my.toml"));
    let flag = Override {
        flag: "--workers",
        path: "job.workers",
        value: "3".into(),
    };
    loaded = load(None, &env(&[("HOOKFLOW_JOB_WORKERS", "2")]), &[flag]).unwrap();
    assert_eq!(loaded.plan.workers.get(), 3);
}

#[test]
fn all_complaints_come_at_once() {
    let text =
        "[dedup]\nttl = \"soon\"\ntll = 1\n[jobs]\nworkers = 1\n[job]\nworkers = 0\ntick = [1]\n";
    let pairs = [
        ("HOOKFLOW_DEDUP_KEYS", "5"),
        ("HOOKFLOW_LOGS_LEVEL", "loud"),
        ("WEBHOOK_BATCH_SIZE", "many"),
        ("HOOKFLOW_CRASH", "a test build's"),
        ("HOME", "/"),
    ];
    let errors = load_both(text, &pairs).unwrap_err().to_string();
    let expected = [
        "the configuration has 8 mistakes",
        "dedup.ttl = \"soon\": this value is not valid; a duration from \"1s\" to \"24h\"",
        "dedup.tll: there is no such setting; did you mean dedup.ttl?",
        "jobs: there is no such section; did you mean job?",
        "job.workers = 0: this value is not valid; \"auto\" or a whole number from 1 to 256",
        "job.tick = [1]: this value is not valid",
        "HOOKFLOW_DEDUP_KEYS: there is no such setting; did you mean HOOKFLOW_DEDUP_KEYS_MAX?",
        "HOOKFLOW_LOGS_LEVEL = \"loud\": this value is not valid; error, warn, info, debug, trace",
        "WEBHOOK_BATCH_SIZE = many: this value is not valid; a whole number from 1 up",
    ];
    for part in expected {
        assert!(errors.contains(part), "no {part:?} in\n{errors}");
    }
}

#[test]
fn values_that_contradict_each_other_are_found() {
    let cases = [
        ("[retry]\nbase = \"10s\"\ncap = \"1s\"", "retry.base"),
        (
            "[sweep]\nfirst = \"5s\"\nbackoff_cap = \"1s\"",
            "sweep.first",
        ),
        ("[job]\nin_flight_bytes_max = 5", "decode.body_bytes_max"),
        (
            "[decode]\nbatch_id_name = \"recipient_id\"",
            "decode.batch_id_name",
        ),
        ("[dead_letters]\nkeep = \"5m\"", "dead_letters.keep"),
        ("workers = 5", "workers"),
        ("not toml at all", "my.toml"),
    ];
    for (text, key) in cases {
        let errors = load_both(text, &[]).unwrap_err();
        assert_eq!(errors.0.len(), 1, "{text}");
        assert_eq!(errors.0[0].key, key, "{text}");
    }
}

#[test]
fn a_broken_file_names_its_line_and_not_what_stands_there() {
    let text = "[store]\ndir = \"x\"\npassword = hunter2\n";
    let errors = load_both(text, &[]).unwrap_err().to_string();
    assert!(errors.contains("line 3"), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn legacy_variables_cap_and_say_so() {
    let pairs = [
        ("WEBHOOK_BATCH_SIZE", "100"),
        ("WEBHOOK_FLUSH_INTERVAL", "500"),
        ("WEBHOOK_DEDUP_TTL", "86400"),
        ("WEBHOOK_MAX_WORKERS", "10"),
        ("WEBHOOK_QUEUE_ENABLED", "true"),
        ("CLICKHOUSE_LOOKUP_TIMEOUT", "1000"),
        ("DATABASE_UPDATE_RETRIES", "7"),
    ];
    let loaded = load(None, &env(&pairs), &[]).unwrap();
    assert_eq!(loaded.notes.len(), pairs.len());
    let plan = loaded.plan;
    assert_eq!(plan.state_window.rows_max.get(), 100);
    assert_eq!(plan.log_window.rows_max.get(), 100);
    assert_eq!(plan.state_window.age_max, Duration::from_millis(200));
    assert_eq!(plan.log_window.age_max, Duration::from_millis(500));
    assert_eq!(plan.dedup.ttl, Duration::from_secs(600));
    assert_eq!(plan.retry.attempts_before_breaker.get(), 7);
    let idle = |name| {
        let note = loaded.notes.iter().find(|note| note.name == name).unwrap();
        note.effect.starts_with("no effect yet")
    };
    assert!(idle("WEBHOOK_QUEUE_ENABLED") && idle("WEBHOOK_DEDUP_TTL"));
    assert!(!idle("WEBHOOK_BATCH_SIZE"));
    let printed = render(&loaded.layers);
    assert!(
        printed.contains("# environment WEBHOOK_BATCH_SIZE"),
        "{printed}"
    );
    assert!(load(Some(&file(&printed)), &env(&[]), &[]).is_ok());
}

#[test]
fn every_setting_of_the_manual_has_a_sentence_and_its_variable() {
    for setting in Layers::defaults().all() {
        let line = format!("\n{} = ", setting.key);
        let documented = DEFAULTS
            .split(&line)
            .any(|before| before.ends_with(&format!(" [{}]", setting.env_name())));
        assert!(documented, "{} is not documented", setting.path());
    }
}

/// One line of TOML: mostly names that exist, mostly values that parse.
fn line() -> impl Strategy<Value = String> {
    let names: Vec<String> = Layers::defaults()
        .all()
        .iter()
        .flat_map(|one| [format!("[{}]", one.section), one.key.clone()])
        .chain(["[x]".into(), "x".into(), "a.b".into()])
        .collect();
    let values = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:?}")),
        "\"[a-z0-9 ]{0,8}\"",
        Just("[1, {a = 2}]".to_owned()),
        Just("2026-03-02T09:00:00Z".to_owned()),
        Just("true".to_owned()),
    ];
    (proptest::sample::select(names), values).prop_map(|(name, value)| {
        if name.starts_with('[') {
            name
        } else {
            format!("{name} = {value}")
        }
    })
}

proptest! {
    #[test]
    fn no_toml_panics(lines in proptest::collection::vec(line(), 0..6)) {
        drop(load_both(&lines.join("\n"), &[]));
    }

    #[test]
    fn no_file_and_no_environment_panics(text in "\\PC*", name in "[A-Z_]{0,12}", value in "\\PC*") {
        let name = format!("HOOKFLOW_{name}");
        drop(load_both(&text, &[(&name, &value)]));
    }

    #[test]
    fn no_value_panics(at in 0..200usize, value in "\\PC{0,20}") {
        let layers = Layers::defaults();
        let name = layers.all()[at % layers.all().len()].env_name();
        drop(load_both("", &[(&name, &value)]));
    }
}

#[test]
fn the_examples_are_whole_configurations() {
    let nats = include_str!("../../scripts/examples/nats.toml");
    let kafka = include_str!("../../scripts/examples/kafka.toml");
    for (example, live) in [(nats, "nats"), (kafka, "kafka")] {
        let plan = load_both(example, &[]).unwrap().plan;
        assert_eq!(plan.live.name(), live);
        assert!(plan.recipients.tables.is_some());
    }
}

#[test]
fn a_certificate_without_its_key_is_a_complaint() {
    let half = load_both("[nats]\ntls_certificate_file = \"me.pem\"", &[]).unwrap_err();
    assert!(half.to_string().contains("go together"), "{half}");
}

#[test]
fn nats_partitions_are_read_with_their_assignment() {
    let plan = load_both("", &[]).unwrap().plan;
    assert_eq!(plan.nats.partitions, None);
    assert_eq!(
        (plan.nats.open_max, plan.nats.in_flight_events_max),
        (400_000, 100_000)
    );
    assert_eq!(plan.nats.ack_wait, std::time::Duration::from_secs(10));
    let some = "[nats]\npartitions = 8\nassignment = \"2/4\"";
    let partitions = load_both(some, &[]).unwrap().plan.nats.partitions.unwrap();
    assert_eq!(
        (partitions.count, partitions.iter().collect()),
        (8, vec![1, 5])
    );
    for wrong in [
        "[nats]\nassignment = \"0-3\"",
        "[nats]\npartitions = 8\nassignment = \"0-8\"",
        "[nats]\npartitions = 0",
    ] {
        let refused = load_both(wrong, &[]).unwrap_err().to_string();
        assert!(refused.contains("nats."), "{refused}");
    }
}
