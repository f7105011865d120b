//! Rules that look at one file alone: its head, its length, its attributes, its remarks, and what no file may mention.

use super::Finding;
use super::source::{Source, closing};

/// No file is longer, tests included.
const MAX_LINES: usize = 800;

/// Files that may be longer, each with the reason. There is none, and there should be none.
const LONG_FILES: &[(&str, &str)] = &[];

/// Marks of unfinished work. In pieces, because this file is checked too.
const UNFINISHED: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// Places of one person's or one machine's own, in pieces for the same reason.
const PLACES: [&str; 4] = [
    concat!("/wo", "rk"),
    concat!("/ro", "ot"),
    concat!("/ho", "me"),
    concat!(".lib", "rary"),
];

/// Accounts of our examples, whose homes may be named.
const EXAMPLE_HOMES: [&str; 3] = ["/edi", "/u", "/alice"];

/// Rules for every Rust file.
pub(super) fn rust(source: &Source, findings: &mut Vec<Finding>) {
    let path = source.path.as_str();
    if !source.text.starts_with("//!") {
        let what =
            "a file begins with `//!`: what it is, what it is not, which section of which RFC";
        findings.push(Finding::new(path, 1, "header", what));
    }
    let lines = source.text.lines().count();
    if lines > MAX_LINES && LONG_FILES.iter().all(|(known, _)| *known != path) {
        let what = format!("{lines} lines, more than {MAX_LINES}: find the seam");
        findings.push(Finding::new(path, MAX_LINES + 1, "length", what));
    }
    unfinished(source, findings);
    attributes(source, findings);
}

/// No file mentions where it was written.
pub(super) fn paths(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (number, line) in text.lines().enumerate() {
        for place in PLACES {
            if mentions(line, place) {
                let what = format!("a place of one machine: {place}");
                findings.push(Finding::new(path, number + 1, "machine-path", what));
            }
        }
    }
}

/// Whether the path stands there as a whole, and at its beginning: `a/home/b` and `/homes` are other paths.
fn mentions(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + place.len()..];
        let begins = !place.starts_with('/')
            || !before.is_some_and(|c| c.is_alphanumeric() || "_-./~*})".contains(c));
        let ends = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-');
        let home = place.ends_with("me");
        // The directory of all homes is everyone's; one home in it is somebody's.
        let somebody = after
            .strip_prefix('/')
            .is_some_and(|name| name.starts_with(char::is_alphanumeric))
            && !EXAMPLE_HOMES.iter().any(|home| after.starts_with(home));
        begins && ends && (!home || somebody)
    })
}

fn unfinished(source: &Source, findings: &mut Vec<Finding>) {
    for (number, line) in source.text.lines().enumerate() {
        let marked = UNFINISHED.iter().find(|mark| {
            line.split(|c: char| !c.is_alphanumeric())
                .any(|word| word == **mark)
        });
        let Some(mark) = marked else { continue };
        let issue = line
            .split('#')
            .skip(1)
            .any(|after| after.starts_with(|c: char| c.is_ascii_digit()));
        if !issue {
            let what = format!("{mark} without the number of an issue (#12)");
            findings.push(Finding::new(&source.path, number + 1, "unfinished", what));
        }
    }
}

/// `#[ignore]`, `#[allow(..)]` and `#[expect(..)]` say why.
fn attributes(source: &Source, findings: &mut Vec<Finding>) {
    for (at, _) in source.code.match_indices('#') {
        let rest = &source.code[at + 1..];
        let rest = rest.strip_prefix('!').unwrap_or(rest);
        if !rest.starts_with('[') {
            continue;
        }
        let start = source.code.len() - rest.len();
        let attribute = &source.code[start..closing(&source.code, start)];
        let mut found = |what: &str| {
            findings.push(Finding::new(&source.path, source.line(at), "reason", what));
        };
        if attribute.replace(' ', "") == "[ignore]" {
            found("an ignored test says why: #[ignore = \"..\"]");
        }
        let reasoned = attribute.contains("reason =");
        if has_call(attribute, "allow") && !reasoned {
            found("use #[expect(.., reason = \"..\")] instead of a bare allow");
        }
        if has_call(attribute, "expect") && !reasoned {
            found("an expected lint has a reason = \"..\"");
        }
    }
}

/// Whether `name(` stands in the attribute as a lint level, and not at the end of a longer word or as a method.
fn has_call(attribute: &str, name: &str) -> bool {
    attribute.match_indices(&format!("{name}(")).any(|(at, _)| {
        let before = attribute[..at].chars().next_back();
        before.is_some_and(|c| c == '[' || c == ',' || c == '(' || c == ' ')
    })
}
