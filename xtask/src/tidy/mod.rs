//! The project's own rules, those that no lint knows: `cargo xtask tidy`. Each finding is a line `file:line: rule: what`,
//! and all are printed at once. Not a formatter, and not a judge of style that a machine cannot tell.

mod dependencies;
mod layers;
mod messages;
mod rules;
mod source;

use std::fs;
use std::path::Path;

use crate::Failure;
use crate::run::root;

use source::Source;

/// What to do with the checked-in list of proto's dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lists {
    /// A difference is a finding.
    Compare,
    /// The file is written anew.
    Rewrite,
}

/// One breach of one rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// From the project's root, with `/`.
    file: String,
    /// From 1.
    line: usize,
    rule: &'static str,
    what: String,
}

impl Finding {
    fn new(file: &str, line: usize, rule: &'static str, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            rule,
            what: what.into(),
        }
    }
}

/// Checks everything and prints every finding.
pub(crate) fn run(lists: Lists) -> Result<(), Failure> {
    let mut findings = Vec::new();
    let mut paths = Vec::new();
    walk(&root(), "", &mut paths)?;
    for path in &paths {
        let bytes = fs::read(root().join(path))?;
        // What is not text is a recorded session or a fuzz input.
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        check(path, text, &mut findings);
    }
    dependencies::check(lists, &mut findings)?;
    findings.sort();
    for finding in &findings {
        let Finding {
            file,
            line,
            rule,
            what,
        } = finding;
        println!("{file}:{line}: {rule}: {what}");
    }
    if findings.is_empty() {
        println!("tidy: {} files, nothing found", paths.len());
        return Ok(());
    }
    Err(Failure::new(format!("{} findings", findings.len())))
}

/// Every rule that looks at one file.
fn check(path: &str, text: String, findings: &mut Vec<Finding>) {
    rules::paths(path, &text, findings);
    if path.ends_with(".rs") {
        let source = Source::new(path, text);
        rules::rust(&source, findings);
        layers::proto(&source, findings);
        layers::driver(&source, findings);
        messages::cited(&source, findings);
    }
}

/// The project's files, as paths from the root: what git would show, without asking git, so that an unpacked archive can
/// be checked too.
fn walk(root: &Path, below: &str, paths: &mut Vec<String>) -> Result<(), Failure> {
    let mut entries = fs::read_dir(root.join(below))?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else {
            return Err(Failure::new(format!(
                "{below}: a file name that is not text: {:?}",
                entry.file_name()
            )));
        };
        let path = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        let kind = entry.file_type()?;
        let hidden =
            name.starts_with('.') && ![".ci", ".cargo", ".github"].contains(&name.as_str());
        let built =
            ["target", "fuzz/target", "fuzz/artifacts", "fuzz/corpus"].contains(&path.as_str());
        if kind.is_dir() && !hidden && !built {
            walk(root, &path, paths)?;
        } else if kind.is_file() && name != "Cargo.lock" {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
