//! The page of rules and the tests that it names.

use std::collections::BTreeSet;
use std::path::Path;

const PAGE: &str = include_str!("../../src/rules.md");

/// The rules: items of lists, each with its continued lines.
fn rules() -> Vec<String> {
    let mut rules: Vec<String> = Vec::new();
    for line in PAGE.lines() {
        if line.starts_with("* ") {
            rules.push(line.to_owned());
        } else if let (Some(rule), Some(more)) = (rules.last_mut(), line.strip_prefix("  ")) {
            rule.push(' ');
            rule.push_str(more);
        }
    }
    rules
}

/// Every function behind a `#[test]`, of the library and of the integration tests.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.extend(tests_of(&std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

fn tests_of(source: &str) -> Vec<String> {
    let behind = source.split("#[test]").skip(1);
    behind
        .filter_map(|rest| {
            let (_, name) = rest.split_once("fn ")?;
            Some(name.split(['(', '<']).next()?.trim().to_owned())
        })
        .collect()
}

#[test]
fn every_rule_names_tests_and_every_test_that_is_named_exists() {
    let (rules, tests) = (rules(), tests());
    assert!(rules.len() > 60, "{} rules", rules.len());
    for rule in rules {
        let (_, held_by) = rule
            .split_once("Held by ")
            .unwrap_or_else(|| panic!("no test holds: {rule}"));
        let names: Vec<&str> = held_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test holds: {rule}");
        for name in names {
            assert!(
                tests.contains(name),
                "there is no test {name}, named by: {rule}"
            );
        }
    }
}
