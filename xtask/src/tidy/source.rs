//! A Rust file with its comments, strings and character literals blanked out, so that rules can look for code by plain
//! search. A scanner of ten states, not a parser: it knows where code is, not what it means.

/// A file and its code.
#[derive(Debug)]
pub(super) struct Source {
    /// From the project's root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// As long as `text`, byte for byte: what is not code is spaces, line ends are kept.
    pub(super) code: String,
    /// Where test modules (`mod tests { .. }`) begin and end, as byte offsets.
    tests: Vec<(usize, usize)>,
}

impl Source {
    pub(super) fn new(path: &str, text: String) -> Self {
        let code = blank(&text);
        let tests = test_modules(&code);
        Self {
            path: path.to_owned(),
            text,
            code,
            tests,
        }
    }

    /// The line, from 1, of a byte offset.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.code
            .bytes()
            .take(offset)
            .filter(|byte| *byte == b'\n')
            .count()
            + 1
    }

    /// Whether the offset, or the whole file, is test code.
    pub(super) fn is_test(&self, offset: usize) -> bool {
        let file = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        file || self
            .tests
            .iter()
            .any(|(start, end)| (*start..*end).contains(&offset))
    }

    /// Where a word begins in the code: not as a part of a longer one.
    pub(super) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code
            .match_indices(word)
            .map(|(at, _)| at)
            .filter(move |at| {
                let before = self.code[..*at].chars().next_back();
                let after = self.code[at + word.len()..].chars().next();
                let joins = |c: Option<char>| c.is_some_and(is_word);
                let joined = joins(before) && word.starts_with(is_word)
                    || joins(after) && word.ends_with(is_word);
                !joined
            })
    }
}

/// The offset behind the bracket that closes the one at `open`, or the end of the code.
pub(super) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn test_modules(code: &str) -> Vec<(usize, usize)> {
    let starts = code.match_indices("mod tests").filter_map(|(at, name)| {
        let rest = &code[at + name.len()..];
        rest.trim_start()
            .starts_with('{')
            .then(|| at + name.len() + rest.find('{').unwrap_or(0))
    });
    starts.map(|open| (open, closing(code, open))).collect()
}

/// Spaces for everything that is not code, line ends apart.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let foreign = foreign_len(rest, code.chars().next_back());
        if foreign == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (blanked, later) = rest.split_at(foreign);
        code.extend(
            blanked
                .bytes()
                .map(|byte| if byte == b'\n' { '\n' } else { ' ' }),
        );
        rest = later;
    }
    code
}

/// How many bytes at the start are a comment or a literal. 0 for code.
fn foreign_len(rest: &str, before: Option<char>) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return string(rest, 1);
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    // A prefix belongs to a literal only if it does not end a longer word.
    if before.is_some_and(is_word) {
        return 0;
    }
    for prefix in ["b\"", "c\""] {
        if rest.starts_with(prefix) {
            return string(rest, prefix.len());
        }
    }
    ["br", "cr", "r"]
        .iter()
        .find_map(|prefix| raw_string(rest, prefix))
        .unwrap_or(0)
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// A string with escapes, whose opening is so long.
fn string(rest: &str, opening: usize) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(opening) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#` and the like. `r#name` is a word.
fn raw_string(rest: &str, prefix: &str) -> Option<usize> {
    let inner = rest.strip_prefix(prefix)?;
    let hashes = inner.len() - inner.trim_start_matches('#').len();
    inner[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opening = prefix.len() + hashes + 1;
    let found = rest[opening..]
        .find(&end)
        .map(|at| opening + at + end.len());
    Some(found.unwrap_or(rest.len()))
}

/// A character literal; a lifetime is code.
fn character(rest: &str) -> usize {
    let inner = &rest[1..];
    if let Some(escaped) = inner.strip_prefix('\\') {
        let skip = escaped.chars().next().map_or(0, char::len_utf8);
        return escaped[skip..]
            .find('\'')
            .map_or(rest.len(), |at| 2 + skip + at + 1);
    }
    let Some(c) = inner.chars().next() else {
        return 0;
    };
    if inner[c.len_utf8()..].starts_with('\'') {
        2 + c.len_utf8()
    } else {
        0
    }
}
