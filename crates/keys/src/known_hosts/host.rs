//! A host as `known_hosts` names it, and the field that names hosts: patterns, or one hashed name.

use crate::pattern::{self, Listed, MAX_NAME};
use crate::text;
use hmac::{Hmac, KeyInit, Mac};
use nom::Parser;
use nom::bytes::complete::{tag, take_till};
use nom::combinator::rest;
use nom::sequence::{preceded, separated_pair};
use sansftp_proto::wire::{Malformed, Parsed};
use sha1::Sha1;
use std::fmt;

/// The port that goes without saying (RFC 4253 §4).
const DEFAULT_PORT: u16 = 22;

/// A host and port, in the one form that `known_hosts` compares: lower case, and `[name]:port`
/// unless the port is 22.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    name: String,
    canonical: String,
}

impl Host {
    /// A host by the name or address that the user gave; an IPv6 address may be in brackets.
    ///
    /// # Errors
    /// [`InvalidHost`] for a name that is empty, longer than 312 bytes, or that has a character which
    /// could make a line of `known_hosts` say something else: blanks, control characters,
    /// `, * ? ! | @ # [ ]`, and whatever is not ASCII.
    pub fn new(name: &str, port: u16) -> Result<Self, InvalidHost> {
        let bare = name
            .strip_prefix('[')
            .and_then(|it| it.strip_suffix(']'))
            .unwrap_or(name);
        if bare.is_empty() {
            return Err(InvalidHost("empty"));
        }
        if bare.len() > MAX_NAME - "[]:65535".len() {
            return Err(InvalidHost("longer than any host's name"));
        }
        if !bare
            .bytes()
            .all(|it| it.is_ascii_graphic() && !b",*?!|@#[]".contains(&it))
        {
            return Err(InvalidHost("a character that no host's name has"));
        }
        let name = bare.to_ascii_lowercase();
        let canonical = if port == DEFAULT_PORT {
            name.clone()
        } else {
            format!("[{name}]:{port}")
        };
        Ok(Self { name, canonical })
    }

    /// The name without a port, as certificates have it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name that lines have: `name`, or `[name]:port`.
    pub fn as_str(&self) -> &str {
        &self.canonical
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

/// Why a text is no host's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidHost(&'static str);

impl fmt::Display for InvalidHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not the name of a host: {}", self.0)
    }
}

impl std::error::Error for InvalidHost {}

/// The field that says which hosts a line is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hosts {
    /// `pattern,pattern,!pattern`, kept as it was written.
    Patterns(Vec<u8>),
    /// `|1|salt|hash`: HMAC-SHA1 of one name.
    Hashed { salt: [u8; 20], hash: [u8; 20] },
}

impl Hosts {
    pub(super) fn parse(field: &[u8]) -> Result<Self, Malformed> {
        if field.starts_with(b"|") {
            return Self::parse_hashed(field);
        }
        if field.starts_with(b"@") {
            return Err(Malformed("a second marker where the host should be"));
        }
        if field.iter().any(u8::is_ascii_control) {
            return Err(Malformed("a control character in the host"));
        }
        if pattern::split(field).next().is_none() {
            return Err(Malformed("no host"));
        }
        Ok(Self::Patterns(field.to_vec()))
    }

    fn parse_hashed(field: &[u8]) -> Result<Self, Malformed> {
        let parts: Parsed<'_, (&[u8], &[u8])> = preceded(
            tag("|1|"),
            separated_pair(take_till(|it| it == b'|'), tag("|"), rest),
        )
        .parse(field);
        let (_, (salt, hash)) = parts.map_err(|_| Malformed("not a hashed host of version 1"))?;
        let twenty_bytes = |base64| -> Result<[u8; 20], Malformed> {
            let bytes = text::base64(base64).map_err(|_| Malformed("a hash that is not base64"))?;
            bytes
                .try_into()
                .map_err(|_| Malformed("a hash that is not 20 bytes"))
        };
        Ok(Self::Hashed {
            salt: twenty_bytes(salt)?,
            hash: twenty_bytes(hash)?,
        })
    }

    pub(super) fn include(&self, host: &Host) -> bool {
        self.listed(&host.canonical) == Listed::Yes
    }

    /// Also when the field names the host without its port, or allows the one and excludes the other.
    pub(super) fn include_on_any_port(&self, host: &Host) -> bool {
        self.include(host) || self.listed(&host.name) == Listed::Yes
    }

    /// Also when the field names the host without its port, but not when it excludes this port.
    pub(super) fn include_with_or_without_port(&self, host: &Host) -> bool {
        match self.listed(&host.canonical) {
            Listed::Yes => true,
            Listed::Excluded => false,
            Listed::No => self.listed(&host.name) == Listed::Yes,
        }
    }

    fn listed(&self, name: &str) -> Listed {
        match self {
            Self::Patterns(list) => pattern::listed(pattern::split(list), name.as_bytes()),
            // Not a secret: whoever can measure the time can read the file.
            Self::Hashed {
                salt,
                hash: expected,
            } if hash(salt, name) == *expected => Listed::Yes,
            Self::Hashed { .. } => Listed::No,
        }
    }
}

/// A name as a hashed field has it: HMAC-SHA1 under the salt.
pub(super) fn hash(salt: &[u8; 20], name: &str) -> [u8; 20] {
    let mut mac = Hmac::<Sha1>::new_from_slice(salt).expect("HMAC takes a key of any length");
    mac.update(name.as_bytes());
    mac.finalize().into_bytes().into()
}
