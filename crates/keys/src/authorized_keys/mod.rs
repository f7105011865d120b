//! The keys that may log in to an account (sshd(8) AUTHORIZED_KEYS FILE FORMAT).
//!
//! Opens no file and reads no clock: the time is a parameter. A line whose options are not all
//! understood is not used, because what is not understood may be a restriction.

mod options;

pub use options::{AddressList, AuthorizedOption, Feature};

use crate::{public, text};
use sansftp_proto::crypto::PublicKey;
use sansftp_proto::wire::Malformed;
use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

/// A whole file, read.
#[derive(Debug, Clone, Default)]
pub struct AuthorizedKeys {
    entries: Vec<AuthorizedKey>,
    warnings: Vec<UnusedLine>,
}

/// One line that may let somebody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizedKey {
    /// The line, from 1.
    pub line: usize,
    /// The options, in their order.
    pub options: Vec<AuthorizedOption>,
    /// The key; with [`AuthorizedOption::CertAuthority`], of an authority and of no user.
    pub key: PublicKey,
    /// The rest of the line, for display.
    pub comment: String,
}

/// A line that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusedLine {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it, or not understood.
    pub reason: Malformed,
}

impl fmt::Display for UnusedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}; it is not used", self.line, self.reason)
    }
}

impl AuthorizedKeys {
    /// Reads a file. Never fails: what cannot be used is in [`warnings`](Self::warnings).
    pub fn parse(file: &[u8]) -> Self {
        let mut read = Self::default();
        for (number, line) in text::lines(file) {
            let Some(content) = text::content(line) else {
                continue;
            };
            match parse_line(number, content) {
                Ok(entry) => read.entries.push(entry),
                Err(reason) => read.warnings.push(UnusedLine {
                    line: number,
                    reason,
                }),
            }
        }
        read
    }

    /// Every line that is not used, and why.
    pub fn warnings(&self) -> &[UnusedLine] {
        &self.warnings
    }

    /// Every line that was read, in their order.
    pub fn entries(&self) -> &[AuthorizedKey] {
        &self.entries
    }

    /// The first line that lets this key in, for a client at `from` and at the time `now`. Its other
    /// options (a forced command, for one) are for the caller to obey.
    pub fn find(
        &self,
        key: &PublicKey,
        from: Option<IpAddr>,
        now: SystemTime,
    ) -> Option<&AuthorizedKey> {
        self.entries
            .iter()
            .find(|it| it.key == *key && it.permits(from, now))
    }
}

impl AuthorizedKey {
    /// Whether the options let a plain key in, for a client at `from` and at the time `now`. If an
    /// option is given twice, both count. A client without an address is in no list of addresses.
    pub fn permits(&self, from: Option<IpAddr>, now: SystemTime) -> bool {
        let is_of_authority = |it: &AuthorizedOption| {
            matches!(
                it,
                AuthorizedOption::CertAuthority | AuthorizedOption::Principals(_)
            )
        };
        self.is_met(from, now) && !self.options.iter().any(is_of_authority)
    }

    /// Whether the line is of an authority whose certificates let in a client at `from` and at the time
    /// `now`.
    pub fn permits_certificates(&self, from: Option<IpAddr>, now: SystemTime) -> bool {
        self.is_met(from, now) && self.options.contains(&AuthorizedOption::CertAuthority)
    }

    fn is_met(&self, from: Option<IpAddr>, now: SystemTime) -> bool {
        self.options.iter().all(|option| match option {
            AuthorizedOption::From(addresses) => from.is_some_and(|it| addresses.include(it)),
            AuthorizedOption::ExpiryTime(end) => now < *end,
            _ => true,
        })
    }

    /// The names that a certificate must have one of, in place of the user's own. Every list that is
    /// given counts.
    pub fn principals(&self) -> impl Iterator<Item = impl Iterator<Item = &[u8]>> {
        self.options.iter().filter_map(|option| match option {
            AuthorizedOption::Principals(list) => {
                Some(list.split(|&byte| byte == b',').filter(|it| !it.is_empty()))
            }
            _ => None,
        })
    }

    /// The command that is to be run in place of whatever is asked for.
    pub fn command(&self) -> Option<&[u8]> {
        self.options.iter().find_map(|option| match option {
            AuthorizedOption::Command(command) => Some(command.as_slice()),
            _ => None,
        })
    }

    /// Whether a feature may be used: `restrict` forbids all, later options speak for themselves.
    pub fn allows(&self, feature: Feature) -> bool {
        self.options
            .iter()
            .fold(true, |allowed, option| match option {
                AuthorizedOption::Restrict => false,
                AuthorizedOption::Permit(it) if *it == feature => true,
                AuthorizedOption::Forbid(it) if *it == feature => false,
                _ => allowed,
            })
    }
}

/// `[options] type base64 [comment]`. That there are no options shows in the first field being the
/// type of the key in the second.
fn parse_line(line: usize, content: &[u8]) -> Result<AuthorizedKey, Malformed> {
    let (options, rest) = match text::field(content) {
        Ok((_, first)) if public::is_kind(first) => (Vec::new(), content),
        _ => match public::key_and_comment(content) {
            Ok(_) => (Vec::new(), content),
            Err(_) => options::parse(content)?,
        },
    };
    let read = public::key_and_comment(rest)?;
    Ok(AuthorizedKey {
        line,
        options,
        key: read.key,
        comment: read.comment,
    })
}
