//! The rules of the specifications that implementations get wrong, each with the test that holds it or the reason why it
//! is not held: `rules.toml`. Not the tests themselves, which stand where they belong.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use toml::{Table, Value};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn rules() -> Vec<Table> {
    let text = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/conformance/rules.toml"
    ));
    let mut file: Table = text
        .expect("the rules are checked in")
        .parse()
        .expect("the rules are TOML");
    let Some(Value::Array(rules)) = file.remove("rule") else {
        panic!("there are no rules");
    };
    let rule = |it| match it {
        Value::Table(rule) => rule,
        other => panic!("no rule: {other}"),
    };
    rules.into_iter().map(rule).collect()
}

fn text<'r>(rule: &'r Table, key: &str) -> Option<&'r str> {
    rule.get(key)
        .map(|it| it.as_str().expect("every value is a string"))
}

#[test]
fn every_rule_has_a_section_and_either_tests_or_a_reason() {
    let mut said = BTreeSet::new();
    for rule in &rules() {
        let says = text(rule, "rule").unwrap_or_else(|| panic!("a rule without words: {rule}"));
        assert!(said.insert(says.to_owned()), "twice: {says}");
        let section = text(rule, "section").unwrap_or_default();
        assert!(
            section.contains('§')
                || section.starts_with("draft-")
                || section.starts_with("OpenSSH"),
            "{says}: {section}"
        );
        assert!(
            rule.contains_key("tests") != rule.contains_key("exception"),
            "{says}: tests, or an exception"
        );
        let known = ["rule", "section", "tests", "exception"];
        assert!(
            rule.keys().all(|key| known.contains(&key.as_str())),
            "{says}: an unknown key"
        );
    }
    assert!(said.len() >= 80, "{}", said.len());
}

/// `file.rs: name`, relative to the root: the file is there, and a test of that name in it.
#[test]
fn every_test_that_a_rule_names_is_there() {
    for rule in &rules() {
        let Some(Value::Array(tests)) = rule.get("tests") else {
            continue;
        };
        assert!(!tests.is_empty(), "{rule}: no test");
        for test in tests {
            let test = test.as_str().expect("a test is named by a string");
            let (file, name) = test
                .split_once(": ")
                .unwrap_or_else(|| panic!("{test}: file and name"));
            let source = fs::read_to_string(Path::new(ROOT).join(file));
            let source = source.unwrap_or_else(|error| panic!("{test}: {error}"));
            // Bodies of fuzz targets stand in a table of the file that runs them.
            let there =
                source.contains(&format!("fn {name}(")) || source.contains(&format!("    {name} "));
            assert!(there, "{test}: there is no such test");
        }
    }
}
