//! Who may name whom: the order of the modules inside `sansftp-proto`, and the one file that knows the driver. Paths are
//! read as they are written (`crate::a`, `crate::{a, b::c}`, `super::a`), also outside `use`; test code may name anything.

use super::Finding;
use super::source::{Source, closing};

/// The layers of proto, each with those below it that it may name.
const LAYERS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("crypto", &["wire"]),
    ("packet", &["wire", "crypto"]),
    ("transport", &["wire", "crypto", "packet"]),
    ("auth", &["wire", "crypto", "packet", "transport"]),
    // `auth` for the proof of authentication alone, without which there is no multiplexer.
    (
        "connection",
        &["wire", "crypto", "packet", "transport", "auth"],
    ),
    (
        "session",
        &[
            "wire",
            "crypto",
            "packet",
            "transport",
            "auth",
            "connection",
            "sftp",
        ],
    ),
    ("sftp", &["wire"]),
];

/// What every layer may name, and what may name every layer: `role` ties each role to its halves of all layers, `event`
/// and `config` are the vocabulary between the machine and its caller.
const COMMON: &[&str] = &["config", "error", "event", "limits", "role", "timer"];

/// What alone of [`COMMON`] the SFTP layer may name: it knows byte streams and could be a crate of its own.
const SFTP_COMMON: &[&str] = &["error", "limits", "role"];

/// Modules of the crate's root that are no part of the library's shape.
const APART: &[&str] = &["bugs", "lib", "misuse", "tests"];

const PROTO: &str = "crates/proto/src/";

/// The order inside proto.
pub(super) fn proto(source: &Source, findings: &mut Vec<Finding>) {
    let Some(inside) = source.path.strip_prefix(PROTO) else {
        return;
    };
    let module = inside.split(['/', '.']).next().unwrap_or_default();
    if APART.contains(&module) || COMMON.contains(&module) {
        return;
    }
    let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == module) else {
        let what = format!("module {module} has no place in the order (xtask/src/tidy/layers.rs)");
        findings.push(Finding::new(&source.path, 1, "layer", what));
        return;
    };
    let common = if module == "sftp" {
        SFTP_COMMON
    } else {
        COMMON
    };
    for (at, named) in named_from_root(source, depth(inside)) {
        let named = named.as_str();
        if named == module
            || below.contains(&named)
            || common.contains(&named)
            || source.is_test(at)
        {
            continue;
        }
        let is_module = COMMON.contains(&named) || LAYERS.iter().any(|(layer, _)| *layer == named);
        let what = if is_module {
            format!("{module} must not name {named}")
        } else if named.starts_with(|c: char| c.is_uppercase()) || named == "*" {
            format!("crate::{named}: name the module it comes from, so that the order can be seen")
        } else {
            // A macro, or a constant or function of the crate's root.
            continue;
        };
        findings.push(Finding::new(&source.path, source.line(at), "layer", what));
    }
}

/// The driver is named by one module of the connector, by what servers need, and by nobody else who is published: not by
/// the program.
pub(super) fn driver(source: &Source, findings: &mut Vec<Finding>) {
    let apart = ["crates/tokio/", "crates/server/", "crates/testkit/"];
    let knows = source.path == "crates/connector/src/sftp.rs"
        || source.path.starts_with("crates/connector/src/sftp/");
    let published = source.path.starts_with("crates/") && source.path.contains("/src/");
    if !published || knows || apart.iter().any(|folder| source.path.starts_with(folder)) {
        return;
    }
    for at in source.words("sansftp_tokio") {
        let what = "only crates/connector/src/sftp.rs and crates/server name the driver";
        findings.push(Finding::new(&source.path, source.line(at), "driver", what));
    }
}

/// How many `super` lead from this file to the crate's root: 1 for `wire.rs` and `wire/mod.rs`, 2 for `wire/table.rs`.
fn depth(inside: &str) -> usize {
    let path = inside.trim_end_matches(".rs");
    path.trim_end_matches("/mod").split('/').count()
}

/// Everything that is named by way of the crate's root, with its place.
fn named_from_root(source: &Source, depth: usize) -> Vec<(usize, String)> {
    let code = source.code.as_str();
    let mut found = Vec::new();
    for at in source.words("crate") {
        first_segments(code, at + "crate".len(), &mut found);
    }
    let mut behind = 0;
    for at in source.words("super") {
        if at < behind {
            continue;
        }
        let mut supers = 1;
        let mut end = at + "super".len();
        while let Some(more) = strip_path(code, end, "super") {
            supers += 1;
            end = more;
        }
        behind = end;
        if supers >= depth + inline_modules(code, at) {
            first_segments(code, end, &mut found);
        }
    }
    found
}

/// How many `mod name { .. }` of this file enclose the place.
fn inline_modules(code: &str, place: usize) -> usize {
    let modules = code.match_indices("mod ").filter(|(at, _)| {
        let before = code[..*at].chars().next_back();
        let name = code[at + 4..].trim_start();
        let rest = name.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        let open = code.len() - rest.trim_start().len();
        let opens = rest.len() < name.len() && rest.trim_start().starts_with('{');
        before.is_none_or(char::is_whitespace)
            && opens
            && (open..closing(code, open)).contains(&place)
    });
    modules.count()
}

/// The end of `::word` at the offset, white space apart.
fn strip_path(code: &str, at: usize, word: &str) -> Option<usize> {
    let rest = code[at..]
        .trim_start()
        .strip_prefix("::")?
        .trim_start()
        .strip_prefix(word)?;
    let whole = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    whole.then(|| code.len() - rest.len())
}

/// The words that follow `::` at the offset: one, or the first of each branch of a group.
fn first_segments(code: &str, at: usize, found: &mut Vec<(usize, String)>) {
    let Some(rest) = code[at..].trim_start().strip_prefix("::") else {
        return;
    };
    let rest = rest.trim_start();
    let start = code.len() - rest.len();
    if !rest.starts_with('{') {
        found.extend(segment(code, start));
        return;
    }
    let end = closing(code, start);
    let mut branch = start + 1;
    let mut inner = 0_usize;
    for (offset, byte) in code.bytes().enumerate().take(end).skip(start + 1) {
        match byte {
            b'{' => inner += 1,
            b'}' if inner > 0 => inner -= 1,
            b',' | b'}' if inner == 0 => {
                found.extend(segment(code, branch));
                branch = offset + 1;
            }
            _ => {}
        }
    }
}

/// The word at the offset, white space apart.
fn segment(code: &str, at: usize) -> Option<(usize, String)> {
    let rest = code[at..].trim_start();
    let word: String = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '*')
        .collect();
    (!word.is_empty()).then(|| (code.len() - rest.len(), word))
}
