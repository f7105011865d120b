//! What implementations get wrong, each with the tests that hold it or the reason why none does: the rules of the
//! specifications in `rules.toml`, and what broke others in `vulnerabilities.toml`. Not the tests themselves, which stand
//! where they belong.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use toml::{Table, Value};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A file of entries, and what each of them has beside `tests` or `exception`.
struct List {
    file: &'static str,
    entry: &'static str,
    /// The key that names an entry; no two have the same.
    name: &'static str,
    others: &'static [&'static str],
    /// Entries that there are at least.
    least: usize,
    /// Entries that may go without a test.
    exceptions: usize,
}

const RULES: List = List {
    file: "rules.toml",
    entry: "rule",
    name: "rule",
    others: &["section"],
    least: 80,
    exceptions: usize::MAX,
};

const VULNERABILITIES: List = List {
    file: "vulnerabilities.toml",
    entry: "vulnerability",
    name: "id",
    others: &["attacks", "went_wrong"],
    least: 127,
    exceptions: 15,
};

const LISTS: [List; 2] = [RULES, VULNERABILITIES];

impl List {
    fn entries(&self) -> Vec<Table> {
        let path = format!("{}/conformance/{}", env!("CARGO_MANIFEST_DIR"), self.file);
        let text = fs::read_to_string(path).expect("the list is checked in");
        let mut file: Table = text.parse().expect("the list is TOML");
        let Some(Value::Array(entries)) = file.remove(self.entry) else {
            panic!("{}: there is no {}", self.file, self.entry);
        };
        assert!(file.is_empty(), "{}: nothing else: {file}", self.file);
        let entry = |it| match it {
            Value::Table(entry) => entry,
            other => panic!("{}: no {}: {other}", self.file, self.entry),
        };
        entries.into_iter().map(entry).collect()
    }
}

fn text<'e>(entry: &'e Table, key: &str) -> &'e str {
    let text = entry.get(key).and_then(Value::as_str).unwrap_or_default();
    assert!(
        !text.is_empty(),
        "a string called {key} is in each: {entry}"
    );
    text
}

fn tests(entry: &Table) -> Vec<&str> {
    let Some(tests) = entry.get("tests") else {
        return Vec::new();
    };
    let tests = tests.as_array().expect("tests are an array");
    assert!(!tests.is_empty(), "{entry}: no test");
    tests
        .iter()
        .map(|test| test.as_str().expect("a test is named by a string"))
        .collect()
}

#[test]
fn every_entry_has_its_keys_and_either_tests_or_a_reason() {
    for list in LISTS {
        let entries = list.entries();
        let mut said = BTreeSet::new();
        let mut exceptions = 0;
        for entry in &entries {
            let name = text(entry, list.name);
            assert!(said.insert(name), "twice: {name}");
            for key in list.others {
                text(entry, key);
            }
            let known = [list.name, "tests", "exception"];
            assert!(
                entry
                    .keys()
                    .all(|key| known.contains(&key.as_str()) || list.others.contains(&key.as_str())),
                "{name}: an unknown key"
            );
            assert!(
                entry.contains_key("tests") != entry.contains_key("exception"),
                "{name}: tests, or an exception"
            );
            if entry.contains_key("exception") {
                text(entry, "exception");
                exceptions += 1;
            }
        }
        assert!(said.len() >= list.least, "{}: {}", list.file, said.len());
        assert!(
            exceptions <= list.exceptions,
            "{}: {exceptions} without a test",
            list.file
        );
    }
}

#[test]
fn every_rule_names_its_section() {
    for rule in &RULES.entries() {
        let section = text(rule, "section");
        assert!(
            section.contains('§')
                || section.starts_with("draft-")
                || section.starts_with("OpenSSH"),
            "{section}"
        );
    }
}

#[test]
fn every_vulnerability_attacks_somebody() {
    for vulnerability in &VULNERABILITIES.entries() {
        let attacked = text(vulnerability, "attacks");
        assert!(
            ["client", "server", "both", "keys"].contains(&attacked),
            "{attacked}"
        );
    }
}

/// `file.rs: name`, relative to the root: the file is there, and a test of that name in it.
#[test]
fn every_test_that_is_named_is_there() {
    for list in LISTS {
        for entry in &list.entries() {
            for test in tests(entry) {
                let (file, name) = test
                    .split_once(": ")
                    .unwrap_or_else(|| panic!("{test}: file and name"));
                let source = fs::read_to_string(Path::new(ROOT).join(file));
                let source = source.unwrap_or_else(|error| panic!("{test}: {error}"));
                assert!(is_test(&source, name), "{test}: there is no such test");
            }
        }
    }
}

/// Whether a function of this name is marked as a test, or stands in the table of fuzz bodies that are run as tests.
fn is_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let begins = |line: &str| {
        ["fn ", "async fn "]
            .iter()
            .any(|it| line.starts_with(&format!("{it}{name}(")))
    };
    let marked = |at: usize| {
        let attributes = lines[..at].iter().rev();
        attributes
            .take_while(|line| line.starts_with("#[") || line.starts_with("///"))
            .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    };
    let mut functions = (0..lines.len()).filter(|at| begins(lines[*at]));
    functions.any(marked)
        || source.contains("\nbodies! {")
            && lines
                .iter()
                .any(|line| line.starts_with(&format!("{name} ")) && line.contains(" of "))
}

#[test]
fn a_function_is_a_test_only_if_it_is_marked() {
    let source = "/// Words.\n#[test]\n#[ignore = \"x\"]\nfn one() {\n#[tokio::test(start_paused = true)]\n\
        async fn two() {\nfn three() {\n    four 20 of 30;\n";
    let found = ["one", "two", "three", "four"].map(|name| is_test(source, name));
    assert_eq!(found, [true, true, false, false]);
    assert!(is_test(&format!("\nbodies! {{\n{source}"), "four"));
}
