//! The users file: TOML, one table per user, its name the user's.
//!
//! ```toml
//! [alice]
//! password = "$argon2id$v=19$m=19456,t=2,p=1$…"   # argon2id, or bcrypt ($2a$, $2b$, $2y$)
//! authorized-keys = "alice.keys"                  # beside this file, unless absolute
//! methods = ["publickey", "password"]             # all of them, in this order; without it, any one
//! read-only = true
//! expires = "2027-01-01T00:00:00Z"
//! locked = false
//!
//! ["bob@example.com"]
//! authorized-keys = "/etc/sansftp/bob.keys"
//! ```
//!
//! Pure: opens nothing, and checks no password. A file with one mistake is refused whole, so that no
//! user is let in with less asked than was meant.

use super::password::{Hash, HashError};
use jiff::Timestamp;
use sansftp_proto::auth::Method;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use toml::Spanned;

/// Somebody who may be let in.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct User {
    /// What passwords are compared with; without one no password matches.
    pub password: Option<Hash>,
    /// A file of keys that let this user in, beside those that let anybody in.
    pub authorized_keys: Option<PathBuf>,
    /// What has to succeed, in this order; when empty, any one method does.
    pub methods: Vec<Method>,
    /// What may be done.
    pub access: Access,
    /// Nothing lets this user in from then on.
    pub expires: Option<SystemTime>,
    /// Whether anything lets this user in.
    pub standing: Standing,
}

/// What a user may do with files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Access {
    /// Read them and change them.
    #[default]
    ReadWrite,
    /// Read them.
    ReadOnly,
}

/// Whether a user is let in at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Standing {
    /// With proof.
    #[default]
    Open,
    /// Never, whatever is proved.
    Locked,
}

/// All users by name.
pub(super) type Table = HashMap<String, Arc<User>>;

/// Longest name of a user, in bytes.
const NAME: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    password: Option<Spanned<String>>,
    authorized_keys: Option<PathBuf>,
    #[serde(default)]
    methods: Vec<Spanned<String>>,
    #[serde(default)]
    read_only: bool,
    expires: Option<Spanned<String>>,
    #[serde(default)]
    locked: bool,
}

/// Reads a users file whose own directory is `beside`.
pub(super) fn parse(text: &str, beside: &Path) -> Result<Table, FileError> {
    // A map of spanned names, so that what is wrong with a name or an entry has a line.
    let entries: BTreeMap<Spanned<String>, Spanned<Entry>> =
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |it| it.start);
            FileError::new(text, at, Mistake::Toml(without_value(error.message())))
        })?;
    let mut table = Table::new();
    for (name, entry) in entries {
        let at = name.span().start;
        let name = name.into_inner();
        if name.is_empty() || name.len() > NAME || name.chars().any(char::is_control) {
            return Err(FileError::new(text, at, Mistake::Name));
        }
        let user = user(text, entry, beside)?;
        table.insert(name, Arc::new(user));
    }
    Ok(table)
}

/// A message of the reader's, without the value that it quotes: that may be a hash in a wrong place, or
/// a password in the place of one.
fn without_value(message: &str) -> String {
    let quoted = message
        .find(['"', '`'])
        .zip(message.rfind(", expected"))
        .filter(|(from, to)| message.starts_with("invalid ") && from < to);
    match quoted {
        Some((from, to)) => format!("{}…{}", &message[..from], &message[to..]),
        None => message.to_owned(),
    }
}

fn user(text: &str, entry: Spanned<Entry>, beside: &Path) -> Result<User, FileError> {
    let at = entry.span().start;
    let entry = entry.into_inner();
    let password = match &entry.password {
        None => None,
        Some(hash) => {
            let wrong = |cause| FileError::new(text, hash.span().start, Mistake::Password(cause));
            Some(hash.get_ref().parse().map_err(wrong)?)
        }
    };
    let expires = match &entry.expires {
        None => None,
        Some(time) => {
            let wrong = |_| FileError::new(text, time.span().start, Mistake::Expires);
            let time: Timestamp = time.get_ref().parse().map_err(wrong)?;
            Some(time.into())
        }
    };
    let methods = methods(text, &entry.methods)?;
    // Behind a key a dialogue can do without; in front of all it begins with the password.
    let asks = methods.contains(&Method::Password)
        || methods.first() == Some(&Method::KeyboardInteractive);
    if asks && password.is_none() {
        return Err(FileError::new(text, at, Mistake::NoPassword));
    }
    Ok(User {
        password,
        authorized_keys: entry.authorized_keys.map(|it| beside.join(it)),
        methods,
        access: if entry.read_only {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        },
        expires,
        standing: if entry.locked {
            Standing::Locked
        } else {
            Standing::Open
        },
    })
}

fn methods(text: &str, names: &[Spanned<String>]) -> Result<Vec<Method>, FileError> {
    let mut methods = Vec::new();
    for name in names {
        let wrong = |mistake| FileError::new(text, name.span().start, mistake);
        let method = Method::named(name.get_ref().as_bytes())
            .filter(|it| *it != Method::None)
            .ok_or_else(|| wrong(Mistake::Method(name.get_ref().clone())))?;
        // A second key can be asked for, and has to be another; a second password proves nothing.
        if method != Method::PublicKey && methods.contains(&method) {
            return Err(wrong(Mistake::Twice(method)));
        }
        methods.push(method);
    }
    Ok(methods)
}

/// Why a users file cannot be used: the line, and what is wrong with it. Never quotes a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// From 1.
    line: usize,
    mistake: Mistake,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mistake {
    NotText,
    Toml(String),
    Name,
    Password(HashError),
    Expires,
    Method(String),
    Twice(Method),
    NoPassword,
}

impl FileError {
    fn new(text: &str, at: usize, mistake: Mistake) -> Self {
        Self::at(text.as_bytes(), at, mistake)
    }

    /// That the content is no text from this byte on.
    pub(super) fn not_text(content: &[u8], at: usize) -> Self {
        Self::at(content, at, Mistake::NotText)
    }

    fn at(content: &[u8], at: usize, mistake: Mistake) -> Self {
        let before = content.get(..at).unwrap_or_default();
        Self {
            line: 1 + before.iter().filter(|it| **it == b'\n').count(),
            mistake,
        }
    }

    /// The line, from 1.
    pub const fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.mistake {
            Mistake::NotText => f.write_str("not UTF-8"),
            Mistake::Toml(message) => f.write_str(message.lines().next().unwrap_or_default()),
            Mistake::Name => {
                f.write_str("a user's name is empty, longer than 256 bytes or has a control character")
            }
            Mistake::Password(cause) => write!(f, "password is {cause}"),
            Mistake::Expires => f.write_str(
                "expires is no moment such as 2027-01-01T00:00:00Z; its offset from UTC belongs to it",
            ),
            Mistake::Method(name) => write!(
                f,
                "'{name}' is no method; there are publickey, password and keyboard-interactive"
            ),
            Mistake::Twice(method) => write!(f, "method {method} is asked for twice"),
            Mistake::NoPassword => {
                f.write_str("methods ask for a password, and the user has none")
            }
        }
    }
}

impl std::error::Error for FileError {}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e";

    #[test]
    fn a_users_file_says_who_there_is_and_what_is_asked_of_whom() {
        let text = format!(
            "# ours\n[alice]\npassword = '{HASH}'\nauthorized-keys = 'alice.keys'\n\
             methods = ['publickey', 'publickey', 'password']\nread-only = true\n\
             expires = '2027-01-01T00:00:00Z'\n['bob@example.com']\n\
             authorized-keys = '/keys/bob'\nlocked = true\n[carol]\n"
        );
        let table = parse(&text, Path::new("/etc/sansftp")).unwrap();
        let alice = &table["alice"];
        assert!(alice.password.is_some());
        assert_eq!(
            alice.authorized_keys.as_deref(),
            Some(Path::new("/etc/sansftp/alice.keys"))
        );
        assert_eq!(
            alice.methods,
            [Method::PublicKey, Method::PublicKey, Method::Password]
        );
        assert_eq!(alice.access, Access::ReadOnly);
        let end: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(alice.expires, Some(end.into()));
        let bob = &table["bob@example.com"];
        assert_eq!(bob.authorized_keys.as_deref(), Some(Path::new("/keys/bob")));
        assert_eq!(bob.standing, Standing::Locked);
        assert!(table["carol"].password.is_none());
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_lets_nobody_in() {
        for (text, line, said) in [
            ("[alice]\npasword = 'x'\n", 2, "unknown field"),
            (
                "[alice]\npassword = 'secret'\n",
                2,
                "password is not a hash",
            ),
            (
                "[alice]\npassword = '$2b$04$'\n",
                2,
                "password is a hash that is not whole",
            ),
            ("[alice]\n[bob]\nlocked = 'yes'\n", 3, "invalid type"),
            ("[alice]\n\n[alice]\n", 3, "duplicate key"),
            (
                "[alice]\nmethods = ['publickey',\n'gssapi']\n",
                3,
                "'gssapi' is no method",
            ),
            ("[alice]\nmethods = ['none']\n", 2, "'none' is no method"),
            (
                "\n[alice]\nmethods = ['password']\n",
                2,
                "methods ask for a password",
            ),
            (
                "[a]\nmethods = ['keyboard-interactive', 'keyboard-interactive']\n",
                2,
                "method keyboard-interactive is asked for twice",
            ),
            (
                "[alice]\nexpires = '2027-01-01'\n",
                2,
                "expires is no moment",
            ),
            (
                "[alice]\nexpires = '2027-01-01T00:00:00'\n",
                2,
                "expires is no moment",
            ),
            (
                "[a]\nmethods = ['keyboard-interactive', 'publickey']\n",
                1,
                "methods ask for a password",
            ),
            ("[alice]\n[\"\"]\n", 2, "a user's name"),
            ("[\"a\\u0007\"]\n", 1, "a user's name"),
            ("alice = 'x'\n", 1, "invalid type"),
            ("alice = 'secret'\n", 1, "invalid type: string …, expected"),
            ("[alice]\nlocked = 'secret'\n", 2, "invalid type: string …"),
            ("[alice]\npassword = 5317\n", 2, "invalid type: integer …"),
            ("[alice\n", 1, ""),
        ] {
            let error = parse(text, Path::new("/")).unwrap_err();
            assert_eq!(error.line(), line, "{text}: {error}");
            assert!(error.to_string().contains(said), "{text}: {error}");
            for value in ["secret", "5317"] {
                assert!(!error.to_string().contains(value), "{error}");
            }
        }
    }
}
