//! Filter expressions: `name ~ "*.csv" and size > 0 and age > 5m`.
//!
//! Not a language: no arithmetic, no functions, and nothing is asked of a server or a clock. Reading
//! is by recursive descent with a bound on length and depth; deciding takes one pass over the
//! comparisons.
//!
//! ```text
//!   any        = all *("or" all)
//!   all        = not *("and" not)
//!   not        = "not" not / "(" any ")" / comparison
//!   comparison = "name" operator TEXT / "size" operator SIZE / "modified" operator TIME
//!              / "age" operator DURATION / "is-directory" [("=" / "!=") ("true" / "false")]
//!   operator   = "=" / "!=" / "<" / ">" / "<=" / ">=" / "~" / "=~"
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use regex::bytes::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::name::{Glob, whole};
use crate::remote::{Attrs, FileKind};
use crate::units::{ByteSize, parse_duration, show_duration};

/// The longest expression in bytes: far more than a person writes.
const LONGEST: usize = 4096;
/// So deep may parentheses and `not` be nested: each is a call of the reader.
const DEEPEST: usize = 64;

/// Which files are meant, by `name`, `size`, `modified`, `age` and `is-directory`.
///
/// Comparisons with `=`, `!=`, `<`, `>`, `<=`, `>=`, of names also `~` (`*` and `?`, as in a
/// [`NameFilter`](super::NameFilter)) and `=~` (a regular expression for the whole name), joined
/// by `and`, `or`, `not` and parentheses; `and` binds more tightly than `or`.
///
/// Names are compared as bytes and stand in quotes, in which `\"` and `\\` stand for `"` and `\`.
/// Sizes are written `0`, `64KiB`, `1GiB`; ages `90s`, `5m`, `1h30m`; times as RFC 3339 has them
/// (`2026-01-01T00:00:00Z`) or as a date, which begins at 00:00 UTC; quotes around them are
/// optional. The age is the time from `modified`, which the server tells, to now by this machine's
/// clock; it is negative for a file from the future. What the server does not tell makes its
/// comparison false.
///
/// ```
/// let filter: sansftp_connector::Expression =
///     r#"name ~ "*.csv" and (size > 0 or age >= 1h30m) and not name = "skip.csv""#.parse()?;
/// assert_eq!(filter.to_string().parse(), Ok(filter));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression(Node);

/// What is known of a file that an expression is to decide on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// Its base name.
    pub(crate) name: &'a [u8],
    /// What the server says of it.
    pub(crate) attrs: &'a Attrs,
    /// The moment that ages end at, in seconds since 1970 UTC.
    pub(crate) now: i64,
}

impl Expression {
    /// Whether this file is meant.
    pub(crate) fn takes(&self, known: Known<'_>) -> bool {
        self.0.holds(known)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
    Is(Test),
}

#[derive(Clone, Debug)]
enum Test {
    Name(Comparison, String),
    NameLike(String, Glob),
    NameMatches(String, Regex),
    Size(Comparison, u64),
    Modified(Comparison, Timestamp),
    Age(Comparison, Duration),
    IsDirectory(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Differs,
    Less,
    More,
    AtMost,
    AtLeast,
}

const COMPARISONS: [(&str, Comparison); 6] = [
    ("=", Comparison::Equal),
    ("!=", Comparison::Differs),
    ("<", Comparison::Less),
    (">", Comparison::More),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
];

impl Node {
    fn holds(&self, known: Known<'_>) -> bool {
        match self {
            Self::Any(nodes) => nodes.iter().any(|node| node.holds(known)),
            Self::All(nodes) => nodes.iter().all(|node| node.holds(known)),
            Self::Not(node) => !node.holds(known),
            Self::Is(test) => test.holds(known),
        }
    }
}

impl Test {
    fn holds(&self, known: Known<'_>) -> bool {
        let Known { name, attrs, now } = known;
        match self {
            Self::Name(comparison, text) => comparison.holds(name.cmp(text.as_bytes())),
            Self::NameLike(_, glob) => glob.matches(name),
            Self::NameMatches(_, regex) => regex.is_match(name),
            Self::Size(comparison, size) => attrs
                .size
                .is_some_and(|known| comparison.holds(known.cmp(size))),
            Self::Modified(comparison, moment) => attrs
                .modified
                .and_then(|seconds| Timestamp::from_second(seconds).ok())
                .is_some_and(|known| comparison.holds(known.cmp(moment))),
            Self::Age(comparison, age) => attrs.modified.is_some_and(|modified| {
                let known = (i128::from(now) - i128::from(modified)) * 1_000_000_000;
                // The longest duration has fewer nanoseconds than that.
                let age = i128::try_from(age.as_nanos()).unwrap_or(i128::MAX);
                comparison.holds(known.cmp(&age))
            }),
            Self::IsDirectory(wanted) => (attrs.kind == FileKind::Directory) == *wanted,
        }
    }
}

impl PartialEq for Test {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a, b), Self::Name(c, d)) => (a, b) == (c, d),
            (Self::NameLike(a, _), Self::NameLike(b, _)) => a == b,
            (Self::NameMatches(a, _), Self::NameMatches(b, _)) => a == b,
            (Self::Size(a, b), Self::Size(c, d)) => (a, b) == (c, d),
            (Self::Modified(a, b), Self::Modified(c, d)) => (a, b) == (c, d),
            (Self::Age(a, b), Self::Age(c, d)) => (a, b) == (c, d),
            (Self::IsDirectory(a), Self::IsDirectory(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Test {}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Differs => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::More => ordering.is_gt(),
            Self::AtMost => ordering.is_le(),
            Self::AtLeast => ordering.is_ge(),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = COMPARISONS.iter().find(|(_, it)| it == self);
        f.write_str(written.expect("each comparison is in the table").0)
    }
}

impl fmt::Display for Expression {
    /// As it is read again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(nodes) => joined(f, nodes, " or ", |node| matches!(node, Self::Any(_))),
            Self::All(nodes) => joined(f, nodes, " and ", |node| {
                matches!(node, Self::Any(_) | Self::All(_))
            }),
            Self::Not(node) => match **node {
                Self::Any(_) | Self::All(_) => write!(f, "not ({node})"),
                Self::Not(_) | Self::Is(_) => write!(f, "not {node}"),
            },
            Self::Is(test) => write!(f, "{test}"),
        }
    }
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    nodes: &[Node],
    between: &str,
    in_parentheses: impl Fn(&Node) -> bool,
) -> fmt::Result {
    for (place, node) in nodes.iter().enumerate() {
        if place > 0 {
            f.write_str(between)?;
        }
        match in_parentheses(node) {
            true => write!(f, "({node})")?,
            false => write!(f, "{node}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(comparison, text) => write!(f, "name {comparison} {}", Quoted(text)),
            Self::NameLike(text, _) => write!(f, "name ~ {}", Quoted(text)),
            Self::NameMatches(text, _) => write!(f, "name =~ {}", Quoted(text)),
            Self::Size(comparison, size) => write!(f, "size {comparison} {}", ByteSize(*size)),
            Self::Modified(comparison, moment) => write!(f, "modified {comparison} {moment}"),
            Self::Age(comparison, age) => write!(f, "age {comparison} {}", show_duration(*age)),
            Self::IsDirectory(wanted) => write!(f, "is-directory = {wanted}"),
        }
    }
}

/// Text as the reader takes it.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = self.0.replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "\"{escaped}\"")
    }
}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Expression {
    /// Where reading stopped, and what was expected there.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!(
                "the filter is {} bytes long, and at most {LONGEST}",
                text.len()
            ));
        }
        let mut reader = Reader::new(text)?;
        let node = reader.any(0)?;
        match reader.token {
            Token::End => Ok(Self(node)),
            _ => Err(reader.expected("'and', 'or' or the end")),
        }
    }
}

/// Reads token by token; `token` is the one that comes next, `at` where it begins.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    next: usize,
    token: Token<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'a> {
    Open,
    Close,
    Operator(&'a str),
    /// A field, a keyword, or a value without quotes.
    Word(&'a str),
    Text(String),
    End,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Result<Self, String> {
        let mut reader = Self {
            text,
            at: 0,
            next: 0,
            token: Token::End,
        };
        reader.advance()?;
        Ok(reader)
    }

    fn any(&mut self, depth: usize) -> Result<Node, String> {
        let first = self.all(depth)?;
        self.several(first, "or", Node::Any, |reader| reader.all(depth))
    }

    fn all(&mut self, depth: usize) -> Result<Node, String> {
        let first = self.not(depth)?;
        self.several(first, "and", Node::All, |reader| reader.not(depth))
    }

    fn several(
        &mut self,
        first: Node,
        between: &str,
        made: impl Fn(Vec<Node>) -> Node,
        read: impl Fn(&mut Self) -> Result<Node, String>,
    ) -> Result<Node, String> {
        if self.token != Token::Word(between) {
            return Ok(first);
        }
        let mut nodes = vec![first];
        while self.token == Token::Word(between) {
            self.advance()?;
            nodes.push(read(self)?);
        }
        Ok(made(nodes))
    }

    fn not(&mut self, depth: usize) -> Result<Node, String> {
        if depth > DEEPEST {
            return Err(self.complaint(&format!("nested deeper than {DEEPEST}")));
        }
        match self.token {
            Token::Word("not") => {
                self.advance()?;
                Ok(Node::Not(Box::new(self.not(depth + 1)?)))
            }
            Token::Open => {
                self.advance()?;
                let node = self.any(depth + 1)?;
                if self.token != Token::Close {
                    return Err(self.expected("'and', 'or' or ')'"));
                }
                self.advance()?;
                Ok(node)
            }
            _ => self.comparison().map(Node::Is),
        }
    }

    fn comparison(&mut self) -> Result<Test, String> {
        let Token::Word(field @ ("name" | "size" | "modified" | "age" | "is-directory")) =
            self.token
        else {
            return Err(self.expected("name, size, modified, age, is-directory, 'not' or '('"));
        };
        self.advance()?;
        match field {
            "name" => self.name(),
            "is-directory" => self.is_directory(),
            "size" => {
                let comparison = self.compared("size")?;
                let size = self.value("a size such as 0, 64KiB or 1GiB", |text| {
                    text.parse::<ByteSize>().ok()
                })?;
                Ok(Test::Size(comparison, size.0))
            }
            "modified" => {
                let comparison = self.compared("modified")?;
                let expected = "a time such as 2026-01-01T00:00:00Z, or a date";
                Ok(Test::Modified(comparison, self.value(expected, moment)?))
            }
            _ => {
                let comparison = self.compared("age")?;
                let age = self.value("an age such as 30s, 5m or 1h30m", |text| {
                    parse_duration(text).ok()
                })?;
                Ok(Test::Age(comparison, age))
            }
        }
    }

    fn name(&mut self) -> Result<Test, String> {
        let Token::Operator(operator) = self.token else {
            return Err(self.expected("an operator: = != < > <= >= ~ =~"));
        };
        self.advance()?;
        let begin = self.at;
        let Token::Text(text) = self.token.clone() else {
            return Err(self.expected("a name in quotes"));
        };
        self.advance()?;
        match operator {
            "~" => {
                let glob = Glob::parse(text.as_bytes());
                Ok(Test::NameLike(text, glob))
            }
            "=~" => match whole(&text) {
                Ok(regex) => Ok(Test::NameMatches(text, regex)),
                Err(what) => {
                    self.at = begin;
                    Err(self.complaint(&format!("no regular expression: {what}")))
                }
            },
            _ => Ok(Test::Name(comparison(operator), text)),
        }
    }

    fn is_directory(&mut self) -> Result<Test, String> {
        let equal = match self.token {
            Token::Operator("=") => true,
            Token::Operator("!=") => false,
            Token::Operator(_) => return Err(self.expected("= or != after is-directory")),
            _ => return Ok(Test::IsDirectory(true)),
        };
        self.advance()?;
        let value = self.value("true or false", |text| text.parse::<bool>().ok())?;
        Ok(Test::IsDirectory(value == equal))
    }

    /// The operator between a field that has an order and its value.
    fn compared(&mut self, field: &str) -> Result<Comparison, String> {
        match self.token {
            Token::Operator(operator) if !operator.contains('~') => {
                self.advance()?;
                Ok(comparison(operator))
            }
            Token::Operator(_) => Err(self.expected(&format!(
                "= != < > <= or >= after {field} (~ and =~ are for name)"
            ))),
            _ => Err(self.expected("an operator: = != < > <= >=")),
        }
    }

    /// A value with or without quotes.
    fn value<T>(&mut self, expected: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, String> {
        let value = match &self.token {
            Token::Word(word) => read(word),
            Token::Text(text) => read(text),
            _ => None,
        };
        let Some(value) = value else {
            return Err(self.expected(expected));
        };
        self.advance()?;
        Ok(value)
    }

    fn advance(&mut self) -> Result<(), String> {
        let rest = &self.text[self.next..];
        self.at = self.next + (rest.len() - rest.trim_start().len());
        let rest = &self.text[self.at..];
        let (token, len) = match rest.chars().next() {
            None => (Token::End, 0),
            Some('(') => (Token::Open, 1),
            Some(')') => (Token::Close, 1),
            Some('"') => self.quoted(rest)?,
            Some('=' | '!' | '<' | '>' | '~') => {
                let operators = ["<=", ">=", "!=", "=~", "=", "<", ">", "~"];
                let Some(operator) = operators.into_iter().find(|it| rest.starts_with(it)) else {
                    return Err(self.complaint("'!' alone is no operator; write != or not"));
                };
                (Token::Operator(operator), operator.len())
            }
            Some(first) if is_word(first) => {
                let len = rest.find(|it| !is_word(it)).unwrap_or(rest.len());
                (Token::Word(&rest[..len]), len)
            }
            Some(_) => return Err(self.complaint("text stands in double quotes")),
        };
        self.token = token;
        self.next = self.at + len;
        Ok(())
    }

    fn quoted(&self, rest: &str) -> Result<(Token<'a>, usize), String> {
        let mut text = String::new();
        let mut characters = rest.char_indices().skip(1).peekable();
        while let Some((place, character)) = characters.next() {
            match character {
                '"' => return Ok((Token::Text(text), place + 1)),
                // Before anything else it stands for itself: patterns have escapes of their own.
                '\\' => match characters.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                    Some((_, escaped)) => text.push(escaped),
                    None => text.push('\\'),
                },
                _ => text.push(character),
            }
        }
        Err(self.complaint("the quotes that begin here do not end"))
    }

    fn expected(&self, what: &str) -> String {
        let found = match &self.token {
            Token::End => "the end".to_owned(),
            _ => {
                let end = self.next.max(self.at);
                format!("'{}'", &self.text[self.at..end])
            }
        };
        self.complaint(&format!("expected {what}, found {found}"))
    }

    fn complaint(&self, what: &str) -> String {
        let place = self.text[..self.at].chars().count() + 1;
        format!("at character {place} of the filter: {what}")
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.' | ':' | '+')
}

/// One of the six; the reader makes no others.
fn comparison(operator: &str) -> Comparison {
    let found = COMPARISONS.iter().find(|(written, _)| *written == operator);
    found
        .expect("an operator that is no match is a comparison")
        .1
}

fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    // Not any longer text that begins with a date.
    let date = text.parse::<Date>().ok().filter(|_| text.len() == 10)?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests;
