//! Which base names are taken: `*` and `?`, several patterns, exclusions, `regex:`.
//!
//! Not a shell's glob: no directories, no brackets, no braces. Matching takes at most the product
//! of the two lengths, whatever a server names its files: a star is never tried again once a later
//! one has matched.

use std::fmt;

use regex::bytes::Regex;

use crate::error::{Error, Result};

/// A file filter: patterns separated by `;`.
///
/// A pattern holds for the whole base name, case-sensitively. `*` stands for any characters, none
/// included, `?` for one UTF-8 character, or one byte where there is none; nothing else is
/// special. `!` before a pattern excludes; with exclusions alone everything else is taken. `regex:`
/// begins a regular expression for the whole name. `\` escapes `; ! * ? \`. White space around a
/// pattern is ignored. A name that begins with a dot is taken only by a pattern that does.
#[derive(Clone, Debug)]
pub struct NameFilter {
    takes: Vec<Pattern>,
    excludes: Vec<Pattern>,
}

/// Whether names with a leading dot need a pattern with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DotRule {
    /// They do.
    Explicit,
    /// They are names like others.
    Ignored,
}

#[derive(Clone)]
enum Pattern {
    Glob(Glob),
    Regex { regex: Regex, dotted: bool },
}

/// One pattern with `*` and `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob(Vec<Token>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// One character, or one byte that belongs to none.
    Literal(Vec<u8>),
    One,
    Many,
}

impl NameFilter {
    /// Reads a filter.
    ///
    /// # Errors
    /// `configuration` when a pattern is empty or a regular expression cannot be read.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let (mut takes, mut excludes) = (Vec::new(), Vec::new());
        for piece in split(text) {
            let piece = piece.trim_ascii();
            if piece.is_empty() {
                continue;
            }
            match piece.strip_prefix(b"!") {
                Some(excluded) => excludes.push(Pattern::parse(excluded.trim_ascii())?),
                None => takes.push(Pattern::parse(piece)?),
            }
        }
        Ok(Self { takes, excludes })
    }

    /// Whether this name is taken.
    pub fn takes(&self, name: &[u8], dots: DotRule) -> bool {
        let units = units(name);
        if self
            .excludes
            .iter()
            .any(|pattern| pattern.matches(name, &units))
        {
            return false;
        }
        let needs_dot = dots == DotRule::Explicit && name.first() == Some(&b'.');
        if self.takes.is_empty() {
            return !needs_dot;
        }
        self.takes
            .iter()
            .filter(|pattern| !needs_dot || pattern.is_dotted())
            .any(|pattern| pattern.matches(name, &units))
    }
}

impl Pattern {
    fn parse(text: &[u8]) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::configuration("an empty pattern in the file-filter")
                .with_hint("write what is to be excluded after '!', such as !*.tmp"));
        }
        let Some(expression) = text.strip_prefix(b"regex:") else {
            return Ok(Self::Glob(Glob::parse(text)));
        };
        let readable = std::str::from_utf8(expression).map_err(|_| {
            Error::configuration("a regular expression in the file-filter is not UTF-8")
                .with_hint(r"write such bytes as (?-u:\xFF)")
        })?;
        let regex = whole(readable).map_err(|what| {
            Error::configuration(format!(
                "the regular expression '{readable}' in the file-filter cannot be read: {what}"
            ))
            .with_hint("leave 'regex:' out for a pattern with * and ?")
        })?;
        let dotted = readable.trim_start_matches('^').starts_with("\\.");
        Ok(Self::Regex { regex, dotted })
    }

    fn is_dotted(&self) -> bool {
        match self {
            Self::Glob(glob) => glob.0.first() == Some(&Token::Literal(vec![b'.'])),
            Self::Regex { dotted, .. } => *dotted,
        }
    }

    fn matches(&self, name: &[u8], units: &[&[u8]]) -> bool {
        match self {
            Self::Glob(pattern) => glob(&pattern.0, units),
            Self::Regex { regex, .. } => regex.is_match(name),
        }
    }
}

impl Glob {
    pub(super) fn parse(text: &[u8]) -> Self {
        Self(tokens(text))
    }

    pub(super) fn matches(&self, name: &[u8]) -> bool {
        glob(&self.0, &units(name))
    }
}

/// A regular expression for the whole of a name; the complaint is one line.
pub(super) fn whole(expression: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?:{expression})$")).map_err(|error| {
        // The last line of its report says what is wrong; the others draw it.
        let report = error.to_string();
        report.lines().last().unwrap_or_default().trim().to_owned()
    })
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glob(glob) => glob.fmt(f),
            Self::Regex { regex, .. } => f.debug_tuple("Regex").field(&regex.as_str()).finish(),
        }
    }
}

/// Cuts at each `;` that no `\` stands before.
fn split(text: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < text.len() {
        match text[at] {
            b'\\' => at += 1,
            b';' => {
                pieces.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    pieces.push(&text[start..]);
    pieces
}

fn tokens(text: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut units = units(text).into_iter().peekable();
    while let Some(unit) = units.next() {
        tokens.push(match unit {
            b"*" => Token::Many,
            b"?" => Token::One,
            b"\\" => {
                let escaped =
                    units.next_if(|next| matches!(*next, b";" | b"!" | b"*" | b"?" | b"\\"));
                Token::Literal(escaped.unwrap_or(unit).to_vec())
            }
            literal => Token::Literal(literal.to_vec()),
        });
    }
    tokens
}

/// The characters of a name; bytes that belong to none stand alone.
fn units(name: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::with_capacity(name.len());
    let mut at = 0;
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            units.push(&name[at..at + character.len_utf8()]);
            at += character.len_utf8();
        }
        for _ in chunk.invalid() {
            units.push(&name[at..=at]);
            at += 1;
        }
    }
    units
}

fn glob(tokens: &[Token], units: &[&[u8]]) -> bool {
    let (mut token, mut unit) = (0, 0);
    // Where to go on when what follows the last star does not fit: the star takes one more.
    let mut retry: Option<(usize, usize)> = None;
    while unit < units.len() {
        match tokens.get(token) {
            Some(Token::Many) => {
                token += 1;
                retry = Some((token, unit));
                continue;
            }
            Some(Token::One) => {
                token += 1;
                unit += 1;
                continue;
            }
            Some(Token::Literal(literal)) if literal == units[unit] => {
                token += 1;
                unit += 1;
                continue;
            }
            _ => {}
        }
        let Some((after_star, taken)) = retry else {
            return false;
        };
        token = after_star;
        unit = taken + 1;
        retry = Some((after_star, unit));
    }
    tokens[token..].iter().all(|token| *token == Token::Many)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn takes(filter: &str, name: &[u8]) -> bool {
        NameFilter::parse(filter.as_bytes())
            .unwrap()
            .takes(name, DotRule::Explicit)
    }

    #[test]
    fn only_star_and_question_mark_are_special() {
        assert!(takes("ord*.csv", b"ord1.csv"));
        assert!(!takes("ord*.csv", b"ORD1.csv"));
        assert!(!takes("ord*.csv", b"ord1.csv.bak"));
        assert!(takes("a[1].txt", b"a[1].txt"));
        assert!(!takes("a[1].txt", b"a1.txt"));
        assert!(takes("{a,b}", b"{a,b}"));
    }

    #[test]
    fn a_question_mark_is_one_character_or_else_one_byte() {
        assert!(takes("a?b", "aéb".as_bytes()));
        assert!(!takes("a??b", "aéb".as_bytes()));
        assert!(takes("a?b", b"a\xffb"));
        assert!(takes("a??b", b"a\xc3\x28b"));
    }

    #[test]
    fn patterns_are_separated_excluded_and_escaped() {
        assert!(takes("*.csv; *.txt", b"a.txt"));
        assert!(!takes("*.csv;!b*", b"b.csv"));
        assert!(takes("!*.tmp", b"a.csv"));
        assert!(!takes("!*.tmp", b"a.tmp"));
        assert!(takes(r"a\;b", b"a;b"));
        assert!(takes(r"\!a", b"!a"));
        assert!(takes(r"a\*", b"a*"));
        assert!(!takes(r"a\*", b"ab"));
        assert!(takes(r"a\\b", br"a\b"));
        assert!(takes(r"a\b", br"a\b"));
        assert!(takes("", b"anything"));
        assert!(takes(" ; ", b"anything"));
    }

    #[test]
    fn a_leading_dot_must_be_asked_for() {
        assert!(!takes("*", b".profile"));
        assert!(!takes("?profile", b".profile"));
        assert!(takes(".*", b".profile"));
        assert!(!takes("", b".profile"));
        assert!(!takes(r"regex:.*", b".profile"));
        assert!(takes(r"regex:\.prof.*", b".profile"));
        let all = NameFilter::parse(b"*").unwrap();
        assert!(all.takes(b".profile", DotRule::Ignored));
        let excluding = NameFilter::parse(b"!.prof*").unwrap();
        assert!(!excluding.takes(b".profile", DotRule::Ignored));
    }

    #[test]
    fn a_regular_expression_holds_for_the_whole_name() {
        assert!(takes(r"regex:ord\d+\.csv", b"ord17.csv"));
        assert!(!takes(r"regex:ord\d+\.csv", b"xord17.csv"));
        assert!(takes(r"regex:a|b;c", b"b"));
        assert!(!takes(r"!regex:\d+", b"17"));
        let error = NameFilter::parse(b"regex:(").unwrap_err();
        assert!(!error.message().contains('\n'), "{error}");
        assert!(NameFilter::parse(b"a;!").is_err());
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let filter = "*a".repeat(1000) + "b";
        let name = vec![b'a'; 50_000];
        let start = std::time::Instant::now();
        assert!(!takes(&filter, &name));
        assert!(start.elapsed().as_secs() < 5);
    }

    /// The definition, by trying everything.
    fn reference(tokens: &[Token], units: &[&[u8]]) -> bool {
        match (tokens.split_first(), units.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((Token::Many, rest)), None) => reference(rest, units),
            (Some((Token::Many, rest)), Some((_, less))) => {
                reference(rest, units) || reference(tokens, less)
            }
            (Some(_), None) => false,
            (Some((Token::One, rest)), Some((_, less))) => reference(rest, less),
            (Some((Token::Literal(literal), rest)), Some((unit, less))) => {
                literal == unit && reference(rest, less)
            }
        }
    }

    proptest! {
        #[test]
        fn the_matcher_agrees_with_the_definition(
            pattern in "[ab*?é]{0,8}",
            name in proptest::collection::vec(
                prop_oneof![Just(&b"a"[..]), Just(&b"b"[..]), Just("é".as_bytes()), Just(&b"\xff"[..])], 0..10
            ),
        ) {
            let name = name.concat();
            let tokens = tokens(pattern.as_bytes());
            let units = units(&name);
            prop_assert_eq!(glob(&tokens, &units), reference(&tokens, &units));
        }

        #[test]
        fn any_filter_and_any_name_are_survived(
            filter in proptest::collection::vec(any::<u8>(), 0..40),
            name in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            if let Ok(filter) = NameFilter::parse(&filter) {
                let _ = filter.takes(&name, DotRule::Explicit);
            }
        }

        #[test]
        fn an_escaped_name_takes_itself_alone(name in "[a-z;!*?\\\\]{1,12}", other in "[a-z;!*?\\\\]{1,12}") {
            let escaped: String = name
                .chars()
                .flat_map(|c| if c.is_ascii_lowercase() { vec![c] } else { vec!['\\', c] })
                .collect();
            prop_assert!(takes(&escaped, name.as_bytes()));
            prop_assert_eq!(takes(&escaped, other.as_bytes()), name == other);
        }
    }
}
