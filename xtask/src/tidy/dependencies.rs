//! Rules over the dependency graph: licences, duplicate versions, sources other than the registry, and the checked-in list
//! of what `sansftp-proto` rests on, and of known advisories. Not a search for new ones, which needs a database from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use super::{Finding, Lists};
use crate::Failure;
use crate::run::{cargo, output, root};

/// Licences under which a dependency may come; all let a program in source and binary form be passed on under MIT or
/// Apache-2.0.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Duplicates, sources and advisories that are accepted, each with its reason.
const EXCEPTIONS: &str = "xtask/exceptions.txt";

const PROTO_LIST: &str = "crates/proto/deps.txt";

const ADVISORIES: &str = "xtask/advisories.txt";

const LOCK: &str = "Cargo.lock";

/// All of them.
pub(super) fn check(lists: Lists, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    // One platform, so that every machine finds the same; what other platforms add is theirs alone.
    let platform = ["--filter-platform", "x86_64-unknown-linux-gnu"];
    let metadata = output(cargo(&["metadata", "--format-version", "1"]).args(platform))?;
    let metadata: Value =
        serde_json::from_str(&metadata).map_err(|error| Failure::new(error.to_string()))?;
    let packages = packages(&metadata);
    for package in &packages {
        findings.extend(licence(package));
    }
    let exceptions = fs::read_to_string(root().join(EXCEPTIONS))?;
    let advisories = fs::read_to_string(root().join(ADVISORIES))?;
    findings.extend(excepted(&packages, &exceptions, &advisories));
    proto_list(lists, findings)
}

/// What the rules need of a package.
#[derive(Debug)]
struct Package {
    name: String,
    version: String,
    /// `None` for our own.
    source: Option<String>,
    licence: Option<String>,
}

/// Those that the graph reaches on the platform, which are fewer than those in the lock file.
fn packages(metadata: &Value) -> Vec<Package> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten();
    let reached: BTreeSet<&str> = nodes.filter_map(|node| node["id"].as_str()).collect();
    let all = metadata["packages"].as_array().into_iter().flatten();
    all.filter(|package| {
        package["id"]
            .as_str()
            .is_some_and(|id| reached.contains(id))
    })
    .map(|package| Package {
        name: text(&package["name"]).unwrap_or_default(),
        version: text(&package["version"]).unwrap_or_default(),
        source: text(&package["source"]),
        licence: text(&package["license"]),
    })
    .collect()
}

fn licence(package: &Package) -> Option<Finding> {
    let Package { name, version, .. } = package;
    let what = match &package.licence {
        None => format!("{name} {version} names no licence"),
        Some(expression) if !permits(expression) => {
            format!("{name} {version} is under {expression}")
        }
        Some(_) => return None,
    };
    Some(Finding::new(LOCK, 1, "licence", what))
}

/// Whether an SPDX expression can be met with the licences of our list. The old `MIT/Apache-2.0` means OR.
fn permits(expression: &str) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words) == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// `None`, here and below: not an expression.
fn any_of(words: &mut Words<'_>) -> Option<bool> {
    let mut permitted = all_of(words)?;
    while words.next_if_eq(&"OR").is_some() {
        permitted |= all_of(words)?;
    }
    Some(permitted)
}

fn all_of(words: &mut Words<'_>) -> Option<bool> {
    let mut permitted = one(words)?;
    while words.next_if_eq(&"AND").is_some() {
        permitted &= one(words)?;
    }
    Some(permitted)
}

fn one(words: &mut Words<'_>) -> Option<bool> {
    let licence = words.next()?;
    if licence == "(" {
        let permitted = any_of(words)?;
        return (words.next()? == ")").then_some(permitted);
    }
    if words.next_if_eq(&"WITH").is_none() {
        return Some(LICENCES.contains(&licence));
    }
    let whole = format!("{licence} WITH {}", words.next()?);
    Some(LICENCES.contains(&whole.as_str()))
}

/// A line of the list of advisories.
#[derive(Debug)]
struct Advisory<'a> {
    name: &'a str,
    /// Where it was mended; `None` where it never was.
    before: Option<[u64; 3]>,
    id: &'a str,
}

impl<'a> Advisory<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let (package, what) = line.split_once(": ")?;
        let (id, _what) = what.split_once(' ')?;
        let (name, before) = match package.split_once(" before ") {
            Some((name, before)) => (name, Some(numbers(before)?)),
            None => (package, None),
        };
        (id.starts_with("RUSTSEC-") && !name.contains(' ')).then_some(Self { name, before, id })
    }

    fn is_about(&self, package: &Package) -> bool {
        let before = |mended| numbers(&package.version).is_none_or(|version| version < mended);
        self.name == package.name && self.before.is_none_or(before)
    }
}

/// The three numbers of a version.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let release = version.split(['-', '+']).next()?;
    let numbers: Vec<u64> = release
        .split('.')
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// Duplicates, foreign sources and advisories that are not excepted, and exceptions that nothing needs.
fn excepted(packages: &[Package], exceptions: &str, advisories: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut known: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (number, line) in exceptions.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line
            .split_once(": ")
            .map(|(left, reason)| (left.split_once(' '), reason.trim()))
        {
            Some((Some((kind @ ("duplicate" | "source" | "advisory"), name)), reason))
                if !reason.is_empty() =>
            {
                known.insert((kind, name), number + 1);
            }
            _ => {
                let what = "a line is `duplicate NAME: reason`, `source NAME: reason` or `advisory ID: reason`";
                findings.push(Finding::new(EXCEPTIONS, number + 1, "exceptions", what));
            }
        }
    }
    let mut used = BTreeSet::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions
            .entry(&package.name)
            .or_default()
            .push(&package.version);
        let foreign = package
            .source
            .as_deref()
            .filter(|source| !source.starts_with("registry+"));
        if let Some(source) = foreign {
            used.insert(("source", package.name.as_str()));
            if !known.contains_key(&("source", package.name.as_str())) {
                let what = format!("{} comes from {source}", package.name);
                findings.push(Finding::new(LOCK, 1, "source", what));
            }
        }
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        used.insert(("duplicate", name));
        if !known.contains_key(&("duplicate", *name)) {
            let what = format!("{name} in {}", versions.join(" and "));
            findings.push(Finding::new(LOCK, 1, "duplicate", what));
        }
    }
    for (number, line) in advisories.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(advisory) = Advisory::of(line) else {
            let what = "a line is `NAME before VERSION: ID what` or `NAME: ID what`";
            findings.push(Finding::new(ADVISORIES, number + 1, "advisory", what));
            continue;
        };
        for package in packages.iter().filter(|package| advisory.is_about(package)) {
            used.insert(("advisory", advisory.id));
            if !known.contains_key(&("advisory", advisory.id)) {
                let what = format!("{} {}: {line}", package.name, package.version);
                findings.push(Finding::new(LOCK, 1, "advisory", what));
            }
        }
    }
    for ((kind, name), line) in known {
        if !used.contains(&(kind, name)) {
            let what = format!("{kind} {name} is not needed any more");
            findings.push(Finding::new(EXCEPTIONS, line, "exceptions", what));
        }
    }
    findings
}

/// The normal dependencies of proto, each a line `name version`, against the checked-in list.
fn proto_list(lists: Lists, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let target = ["--target", "x86_64-unknown-linux-gnu"];
    let tree = output(
        cargo(&[
            "tree",
            "-p",
            "sansftp-proto",
            "-e",
            "normal",
            "--prefix",
            "none",
        ])
        .args(target),
    )?;
    let found = tree_lines(&tree);
    let file = root().join(PROTO_LIST);
    if lists == Lists::Rewrite {
        let text: String = found.iter().map(|line| format!("{line}\n")).collect();
        return Ok(fs::write(file, text)?);
    }
    let Ok(text) = fs::read_to_string(file) else {
        let what = "missing; `cargo xtask tidy --bless` writes it";
        findings.push(Finding::new(PROTO_LIST, 1, "dependencies", what));
        return Ok(());
    };
    let listed: BTreeSet<&str> = text.lines().collect();
    let new = found.iter().filter(|line| !listed.contains(line.as_str()));
    findings.extend(new.map(|line| {
        Finding::new(
            PROTO_LIST,
            1,
            "dependencies",
            format!("not in the list: {line}"),
        )
    }));
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !found.contains(*line))
    {
        let what = format!("in the list, but not in the tree: {line}");
        findings.push(Finding::new(PROTO_LIST, number + 1, "dependencies", what));
    }
    Ok(())
}

/// `bytes v1.10.1 (*)` becomes `bytes 1.10.1`; the package itself is left out.
fn tree_lines(tree: &str) -> BTreeSet<String> {
    let words = tree.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?);
        Some(format!("{name} {}", version.trim_start_matches('v')))
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_as_spdx_reads_them() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0 OR (MIT AND ISC)",
            "Apache-2.0 AND ISC",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(permits(good), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR ISC) AND LGPL-3.0",
            "MIT OR",
            "(MIT",
            "",
            "GPL-2.0 WITH LLVM-exception",
            "MIT ISC",
        ] {
            assert!(!permits(bad), "{bad}");
        }
    }

    fn package(name: &str, version: &str, source: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            source: source.map(str::to_owned),
            licence: None,
        }
    }

    #[test]
    fn duplicates_and_sources_need_an_exception_and_exceptions_need_a_use() {
        let registry = Some("registry+https://example");
        let packages = [
            package("a", "1.0.0", registry),
            package("a", "2.0.0", registry),
            package("b", "1.0.0", Some("git+https://example")),
            package("ours", "1.0.0", None),
        ];
        let rules = |exceptions: &str| -> Vec<String> {
            let findings = excepted(&packages, exceptions, "");
            findings
                .into_iter()
                .map(|finding| format!("{}:{}", finding.rule, finding.line))
                .collect()
        };
        assert_eq!(rules(""), ["source:1", "duplicate:1"]);
        assert_eq!(
            rules("# why\nduplicate a: x needs the old one\nsource b: a fix\n"),
            [""; 0]
        );
        assert_eq!(
            rules("duplicate a: x\nsource b: y\nduplicate c: z\n"),
            ["exceptions:3"]
        );
        assert_eq!(
            rules("duplicate a\nsource b: y"),
            ["exceptions:1", "duplicate:1"]
        );
    }

    #[test]
    fn a_package_with_an_advisory_needs_an_exception() {
        let registry = Some("registry+https://example");
        let packages = [
            package("a", "1.9.0", registry),
            package("b", "2.0.0", registry),
        ];
        let rules = |exceptions: &str, advisories: &str| -> Vec<String> {
            let findings = excepted(&packages, exceptions, advisories);
            let findings = findings.into_iter();
            findings
                .map(|finding| format!("{}:{}", finding.rule, finding.line))
                .collect()
        };
        let mended = "# why\na before 1.9.0: RUSTSEC-1 bad\nc: RUSTSEC-2 bad\n";
        assert_eq!(rules("", mended), [""; 0]);
        assert_eq!(rules("", "a before 1.10.0: RUSTSEC-1 bad"), ["advisory:1"]);
        assert_eq!(rules("", "b: RUSTSEC-2 bad"), ["advisory:1"]);
        let accepted = "advisory RUSTSEC-2: it is not used so";
        assert_eq!(rules(accepted, "b: RUSTSEC-2 bad"), [""; 0]);
        assert_eq!(
            rules(accepted, mended),
            ["exceptions:1"],
            "it is not needed"
        );
        assert_eq!(rules("", "a before soon: RUSTSEC-1 bad"), ["advisory:1"]);
    }

    #[test]
    fn the_tree_is_read_without_marks_and_without_its_root() {
        let tree =
            "sansftp-proto v0.1.0 (/some/where)\nbytes v1.10.1\nnom v8.0.0\nbytes v1.10.1 (*)\n";
        let lines: Vec<String> = tree_lines(tree).into_iter().collect();
        assert_eq!(lines, ["bytes 1.10.1", "nom 8.0.0"]);
    }
}
