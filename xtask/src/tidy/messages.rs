//! Each line of a `messages!` table says which section defines it: of an RFC, of a draft, or of OpenSSH's PROTOCOL file. A
//! file whose header names the one document of its tables need not repeat that name on each line.

use super::Finding;
use super::source::{Source, closing};

/// The rule.
pub(super) fn cited(source: &Source, findings: &mut Vec<Finding>) {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut header = lines.iter().take_while(|line| line.starts_with("//!"));
    let document_is_known = header.any(|line| names_a_document(line));
    for at in source.words("messages!") {
        let Some(open) = source.code[at..]
            .find(['{', '(', '['])
            .map(|offset| at + offset)
        else {
            continue;
        };
        let table = &source.code[open..closing(&source.code, open)];
        let first = source.line(open);
        for (offset, line) in table.lines().enumerate() {
            let Some(name) = message(line) else { continue };
            // Lines count from 1: this is the index of the message's own line.
            let own = first + offset - 1;
            let docs = lines[..own].iter().rev().map(|line| line.trim());
            let cited = docs
                .take_while(|line| line.starts_with("///") || line.starts_with("#["))
                .any(|line| line.contains('§') && (document_is_known || names_a_document(line)));
            if !cited {
                let what = format!("{name} has no doc line with the section of an RFC or draft");
                findings.push(Finding::new(&source.path, own + 1, "section", what));
            }
        }
    }
}

/// The name in `50 Request<'a> { .. }`.
fn message(line: &str) -> Option<&str> {
    let after = line
        .trim_start()
        .trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = line.trim_start().len() > after.len() && after.starts_with(' ');
    let name = after.trim_start();
    let named = numbered && name.starts_with(|c: char| c.is_ascii_uppercase());
    named.then(|| {
        name.split(|c: char| !c.is_alphanumeric())
            .next()
            .unwrap_or(name)
    })
}

fn names_a_document(line: &str) -> bool {
    ["RFC ", "draft-", "PROTOCOL"]
        .iter()
        .any(|document| line.contains(document))
}
