//! Nothing is documented that does not exist, and nothing exists that nobody reads or writes: configuration keys, metrics, and
//! the names in README.md.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use hookflow::cli::args::Arguments;
use hookflow::config::DEFAULTS;
use hookflow::metrics::{Counter, Gauge, Metrics, SinkCounter, Step};
use hookflow::observe::prometheus;

use super::recipient_tables::member::{Member, Settings, hookflow};

const README: &str = include_str!("../../README.md");
const METRICS: &str = include_str!("../../src/observe/metrics.md");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The text of all files below these folders whose path does not begin with one of `without`.
fn text_of(folders: &[&str], without: &[&str]) -> String {
    let mut found = Vec::new();
    for folder in folders {
        files(&root().join(folder), &mut found);
    }
    let is_wanted = |path: &PathBuf| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        !without.iter().any(|prefix| name.starts_with(prefix))
    };
    let texts = found.iter().filter(|path| is_wanted(path));
    texts
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .collect()
}

/// The code of `src/` outside these folders, without comments and without tests at the end of a file.
fn code(without: &[&str]) -> String {
    code_of(|name| !without.iter().any(|prefix| name.starts_with(prefix)))
}

/// The same of one folder.
fn code_below(folder: &str) -> String {
    code_of(|name| name.starts_with(folder))
}

fn code_of(is_wanted: impl Fn(&str) -> bool) -> String {
    let mut found = Vec::new();
    files(&root().join("src"), &mut found);
    let mut code = String::new();
    for path in found {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let is_test = name.ends_with("tests.rs") || name.contains("/tests/");
        if is_test || !name.ends_with(".rs") || !is_wanted(&name) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for line in text.lines() {
            code += line.split("//").next().unwrap();
            code.push('\n');
        }
    }
    code
}

/// The words behind `before` in a text.
fn words_behind<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let parts = text.split(before).skip(1);
    parts
        .map(|rest| rest.split(|c| !is_word(c)).next().unwrap_or_default())
        .collect()
}

/// Every `section.key` of the default file.
fn configuration_keys() -> BTreeSet<(String, String)> {
    let table: toml::Table = toml::from_str(DEFAULTS).unwrap();
    let keys = table.into_iter().flat_map(|(section, keys)| {
        let keys = keys.as_table().unwrap().clone();
        keys.into_iter().map(move |(key, _)| (section.clone(), key))
    });
    keys.collect()
}

/// Whether the code of the configuration names that key: whole, or in parts that it puts together (`"recipients.batches_"` and
/// `"table"`, or `"{section}.rows_max"`).
fn is_named(config: &str, section: &str, key: &str) -> bool {
    let begins =
        (0..=key.len()).any(|end| config.contains(&format!("\"{section}.{}\"", &key[..end])));
    begins || config.contains(&format!("\"{key}\"")) || config.contains(&format!(".{key}\""))
}

/// The field that is filled from that key, where the code says `field: reader.kind("section.key", …)`.
fn field_of<'a>(config: &'a str, section: &str, key: &str) -> Option<&'a str> {
    let (head, _) = config.split_once(&format!("\"{section}.{key}\""))?;
    let (head, call) = head.rsplit_once(": ")?;
    let is_call = call
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_.(:\n ".contains(c));
    let field = head
        .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .next()?;
    (is_call && call.contains("read")).then_some(field)
}

#[test]
fn every_configuration_key_is_read_and_its_field_is_used() {
    let (config, used) = (code_below("src/config/"), code(&["src/config/"]));
    let is_used = |field: &str| {
        let ends = [
            format!("{field},"),
            format!("{field} }}"),
            format!("{field}\n"),
        ];
        words_behind(&used, ".").contains(field) || ends.iter().any(|end| used.contains(end))
    };
    let mut unused = Vec::new();
    let mut fields = 0;
    for (section, key) in configuration_keys() {
        let field = field_of(&config, &section, &key);
        fields += usize::from(field.is_some());
        if !is_named(&config, &section, &key) || field.is_some_and(|field| !is_used(field)) {
            unused.push(format!("{section}.{key}"));
        }
    }
    assert_eq!(unused, [""; 0], "nobody uses what these keys set");
    assert!(fields > 40, "only {fields} fields were found in src/config");
}

/// The variants of a closed set that the code names other than to read them.
fn written<'a>(code: &'a str, set: &str) -> BTreeSet<&'a str> {
    let before = format!("{set}::");
    let mut found = BTreeSet::new();
    let mut rest = code;
    while let Some(at) = rest.find(&before) {
        let (head, tail) = rest.split_at(at);
        rest = &tail[before.len()..];
        let is_read = ["get(", "gauge("]
            .iter()
            .any(|verb| head.trim_end().ends_with(verb));
        if !is_read {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(rest.len());
            found.insert(&rest[..end]);
        }
    }
    found
}

#[test]
fn every_metric_has_a_writer() {
    let code = code(&["src/metrics/names.rs", "src/observe/"]);
    let variants = |set: &str, all: Vec<String>| {
        let written = written(&code, set);
        let unwritten = all
            .into_iter()
            .filter(|name| !written.contains(name.as_str()));
        unwritten
            .map(|name| format!("{set}::{name}"))
            .collect::<Vec<_>>()
    };
    let all = [
        variants(
            "Counter",
            Counter::ALL.iter().map(|v| format!("{v:?}")).collect(),
        ),
        variants(
            "Gauge",
            Gauge::ALL.iter().map(|v| format!("{v:?}")).collect(),
        ),
        variants("Step", Step::ALL.iter().map(|v| format!("{v:?}")).collect()),
        variants(
            "SinkCounter",
            SinkCounter::ALL.iter().map(|v| format!("{v:?}")).collect(),
        ),
    ];
    assert_eq!(all.concat(), [""; 0], "nobody writes these");
}

/// The families of the metrics page.
fn families() -> BTreeSet<String> {
    let page = prometheus::render(&Metrics::new(["ses"]).snapshot());
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

/// Families that stay at zero in a job over standard input into an embedded store in which nothing fails.
const QUIET: [&str; 12] = [
    "webhook_dedup_evicted_total",
    "webhook_dedup_expired_total",
    "webhook_late_total_refused_total",
    "webhook_log_parts",
    "webhook_open_epochs",
    "webhook_queue_bytes",
    "webhook_queue_depth",
    "webhook_recipient_",
    "webhook_recipients_",
    "webhook_sink_breaker_opened_total",
    "webhook_sink_retries_total",
    "webhook_source_",
];

#[test]
fn a_job_writes_every_metric_that_concerns_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (store, none) = (path("store"), Settings::new());
    let out = folder.path().display().to_string();
    let generate = [
        "generate",
        "--deliveries",
        "3000",
        "--users",
        "5",
        "--out",
        &out,
    ];
    hookflow(&generate, &store, &none);
    let rows = path("snapshot.jsonl").display().to_string();
    let batches = path("batches.jsonl").display().to_string();
    hookflow(&["load", &rows, "--batches", &batches], &store, &none);
    let mut member = Member::start(&store, &none);
    let deliveries = std::fs::read_to_string(path("deliveries.jsonl")).unwrap();
    member.write(&deliveries.repeat(2));
    member.write("this is no delivery\n");
    member.wait("everything is settled", |member| {
        member.metric("webhooks_settled_total") > 6_000
    });
    member.wait("parked events are counted", |member| {
        member.metric("webhook_unmatched_parked") > 0
    });
    let mut silent: BTreeSet<String> = families();
    silent.retain(|family| !QUIET.iter().any(|quiet| family.starts_with(quiet)));
    silent.remove("webhook_unmatched_parked");
    let is_silent = |member: &Member, family: &str| {
        let counted = ["", "_count"].map(|end| member.metric(&format!("{family}{end}")));
        counted.iter().sum::<u64>() == 0
    };
    // Late matches need another load, which an embedded store refuses beside a job.
    silent.remove("webhook_late_matched_total");
    member.wait("every metric is written", |member| {
        silent.retain(|family| is_silent(member, family));
        silent.is_empty()
    });
    member.end();
}

/// What stands between backticks, and the lines of code blocks.
fn code_of_readme() -> Vec<String> {
    let mut found = Vec::new();
    for (number, block) in README.split("```").enumerate() {
        if number % 2 == 1 {
            found.extend(block.lines().skip(1).map(str::to_owned));
        } else {
            found.extend(block.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// The words of an expression: what blanks and punctuation separate.
fn words(code: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    code.split(move |c| !is_part(c))
        .map(|word| word.trim_matches('.'))
}

fn collect(
    command: &clap::Command,
    options: &mut BTreeSet<String>,
    commands: &mut BTreeSet<String>,
) {
    for argument in command.get_arguments() {
        options.extend(argument.get_long().map(|long| format!("--{long}")));
    }
    for sub in command.get_subcommands() {
        commands.insert(sub.get_name().to_owned());
        collect(sub, options, commands);
    }
}

#[test]
fn options_and_commands_of_the_readme_exist() {
    let (mut options, mut commands) = (BTreeSet::new(), BTreeSet::new());
    let mut program = Arguments::command();
    program.build();
    collect(&program, &mut options, &mut commands);
    let scripts = text_of(&["scripts"], &[]);
    for code in code_of_readme() {
        // An option alone, or what follows the program's name; what stands before it is another program's.
        let line = match code.split_once("hookflow ") {
            Some((_, ours)) => ours,
            None if code.starts_with("--") => &code,
            None => continue,
        };
        for option in words(line).filter(|word| word.starts_with("--") && word.len() > 2) {
            let exists = options.contains(option) || scripts.contains(option);
            assert!(exists, "{option} in `{code}` is no option");
        }
        let first = line.split([' ', ';', '|']).next().unwrap_or_default();
        let is_command =
            code.starts_with("hookflow ") && first.chars().all(|c| c.is_ascii_lowercase());
        if is_command && !first.is_empty() {
            assert!(
                commands.contains(first),
                "{first} in `{code}` is no command"
            );
        }
    }
}

/// The metrics that a page names: what stands between backticks and looks like one.
fn metrics_of(page: &str) -> BTreeSet<String> {
    let quoted = page.split('`').skip(1).step_by(2);
    let is_metric = |word: &&str| {
        let is_name = word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        is_name && (word.starts_with("webhook_") || word.starts_with("webhooks_"))
    };
    quoted.filter(is_metric).map(str::to_owned).collect()
}

#[test]
fn the_page_of_metrics_lists_exactly_the_metrics_that_are_served() {
    assert_eq!(metrics_of(METRICS), families());
    for metric in metrics_of(README) {
        assert!(
            families().contains(&metric),
            "{metric} of the README is no metric"
        );
    }
}

#[test]
fn variables_keys_and_files_of_the_readme_exist() {
    let known = text_of(&["src", "scripts"], &[]);
    let keys = configuration_keys();
    let sections: BTreeSet<&str> = keys.iter().map(|(section, _)| section.as_str()).collect();
    let folders = ["src/", "tests/", "scripts/", "benches/", "dataflows/"];
    for code in code_of_readme() {
        for word in words(&code) {
            let is_variable = ["HOOKFLOW_", "WEBHOOK_", "CLICKHOUSE_", "DATABASE_"];
            if is_variable.iter().any(|prefix| word.starts_with(prefix)) {
                assert!(known.contains(word), "{word} in `{code}` is no variable");
            }
            if folders.iter().any(|folder| word.starts_with(folder)) {
                assert!(root().join(word).exists(), "{word} in `{code}` is no file");
            }
            let Some((section, key)) = word.split_once('.') else {
                continue;
            };
            let is_ending = ["toml", "db", "jsonl", "csv", "rs", "md"].contains(&key);
            if sections.contains(section) && !is_ending && !key.is_empty() {
                let path = (section.to_owned(), key.to_owned());
                assert!(keys.contains(&path), "{word} in `{code}` is no setting");
            }
        }
    }
}
