//! The keys that hosts are known by: the file of sshd(8) SSH_KNOWN_HOSTS FILE FORMAT, and entries
//! pasted into a setting ([`Pins`]).
//!
//! Opens no file and resolves no name. A line that cannot be read is kept with its reason, because it
//! may be the one that revokes a key: it refuses the hosts that it could concern, and only those.

mod certified;
mod host;
mod line;
mod pin;

pub use certified::{Part, Terms, Void, Vouched};
pub use host::{Host, InvalidHost};
pub use line::{known_hosts_line, known_hosts_line_hashed};
pub use pin::{PinError, Pins};

use crate::{public, text};
use host::Hosts;
use line::{Line, Scope};
use sansftp_proto::crypto::PublicKey;
use sansftp_proto::wire::Malformed;
use std::fmt;

/// What a key was listed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// No marker: the key is a host's own.
    Host,
    /// `@cert-authority`: the key signs hosts' certificates, and is no host's own.
    CertAuthority,
    /// `@revoked`: the key is never to be accepted, neither as a host's nor as an authority's.
    Revoked,
}

/// What is to be thought of a key that a host has shown. Only [`Known`](Self::Known) is a yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A line says that this host has this key.
    Known {
        /// The first such line, from 1.
        line: usize,
    },
    /// Other keys are known for this host, and not this one.
    ///
    /// A key of a type that is not listed counts as changed too. OpenSSH takes it for a new key, and
    /// where new keys are accepted unasked, whoever stands between only needs to offer another type.
    /// Offer [the known types](KnownHosts::algorithms_for) first, then a server with several keys
    /// does not run into it.
    Changed {
        /// What was expected, in the order of the lines; never empty.
        expected: Vec<Expected>,
    },
    /// Nothing is known about this host's own keys.
    Unknown {
        /// The first line that names an authority for this host's certificates, if there is one:
        /// it says nothing about a key without a certificate.
        authority: Option<usize>,
    },
    /// A line revokes this key for this host, whatever else is listed.
    Revoked {
        /// That line, from 1.
        line: usize,
    },
    /// A line that cannot be read could concern this host: it may revoke what another line allows.
    Unreadable(Unreadable),
}

/// A key that a host was expected to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Line of the file, or position in the list of entries; from 1.
    pub line: usize,
    /// The type of the key; a fingerprint alone does not tell it.
    pub kind: Option<String>,
    /// As [`sha256_fingerprint`](crate::sha256_fingerprint) writes it.
    pub fingerprint: String,
}

/// A line that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: Malformed,
    scope: Scope,
}

impl Unreadable {
    /// Whether the line could be about this host, as far as it can be read.
    pub fn concerns(&self, host: &Host) -> bool {
        self.scope.includes(host)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// A whole file, read.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    entries: Vec<Entry>,
    unreadable: Vec<Unreadable>,
}

/// One line that says something.
#[derive(Debug, Clone)]
struct Entry {
    line: usize,
    marker: Marker,
    hosts: Hosts,
    key: PublicKey,
}

impl KnownHosts {
    /// Reads a file. Never fails: what cannot be read is in [`warnings`](Self::warnings).
    pub fn parse(file: &[u8]) -> Self {
        let mut read = Self::default();
        for (number, line) in text::lines(file) {
            let Some(content) = text::content(line) else {
                continue;
            };
            match line::parse(content) {
                Ok(Line { marker, hosts, key }) => {
                    read.entries.push(Entry {
                        line: number,
                        marker,
                        hosts,
                        key,
                    });
                }
                Err((reason, scope)) => {
                    read.unreadable.push(Unreadable {
                        line: number,
                        reason,
                        scope,
                    });
                }
            }
        }
        read
    }

    /// Every line that could not be read, whoever it concerns.
    pub fn warnings(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// The first line that could not be read and could be about this host.
    pub fn concerns(&self, host: &Host) -> Option<&Unreadable> {
        self.unreadable.iter().find(|it| it.concerns(host))
    }

    /// Judges the key that `host` has shown: revoked anywhere, then unreadable, then known on any
    /// line, then changed, then unknown.
    pub fn check(&self, host: &Host, key: &PublicKey) -> Verdict {
        if let Some(line) = self.revoked(host, key) {
            return Verdict::Revoked { line };
        }
        if let Some(unreadable) = self.concerns(host) {
            return Verdict::Unreadable(unreadable.clone());
        }
        let mut expected = Vec::new();
        for entry in self.of(Marker::Host, host) {
            if entry.key == *key {
                return Verdict::Known { line: entry.line };
            }
            expected.push(Expected {
                line: entry.line,
                kind: Some(entry.key.kind().to_owned()),
                fingerprint: public::sha256_fingerprint(&entry.key),
            });
        }
        if !expected.is_empty() {
            return Verdict::Changed { expected };
        }
        Verdict::Unknown {
            authority: self.authorities(host).next().map(|it| it.line),
        }
    }

    /// The first line that revokes this key for this host; to be asked for a certificate's authority
    /// as well, and when [`Pins`] decide about everything else.
    ///
    /// A line that names the host without a port revokes the key on every port: a key that somebody
    /// else has is no better on another port.
    pub fn revoked(&self, host: &Host, key: &PublicKey) -> Option<usize> {
        let revoking = |it: &&Entry| {
            it.marker == Marker::Revoked && it.key == *key && it.hosts.include_on_any_port(host)
        };
        self.entries.iter().find(revoking).map(|it| it.line)
    }

    /// The types of key that the host is known by, each once, in the order of the lines. What is
    /// negotiated should put them first, so that a server with several keys shows a known one.
    pub fn algorithms_for(&self, host: &Host) -> Vec<&str> {
        let mut kinds = Vec::new();
        for entry in self.of(Marker::Host, host) {
            let kind = entry.key.kind();
            if !kinds.contains(&kind) && self.revoked(host, &entry.key).is_none() {
                kinds.push(kind);
            }
        }
        kinds
    }

    /// Whether an authority is trusted for this host: then certificates are to be asked for, and
    /// [judged](Self::check_certificate).
    pub fn has_authority(&self, host: &Host) -> bool {
        self.authorities(host).next().is_some()
    }

    /// The first line that names this key as an authority for the host.
    fn authority(&self, host: &Host, key: &PublicKey) -> Option<usize> {
        let entry = self.authorities(host).find(|it| it.key == *key)?;
        Some(entry.line)
    }

    /// As ssh(1) does, also those for the host by its name without a port: certificates name no ports.
    fn authorities(&self, host: &Host) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |it| {
            it.marker == Marker::CertAuthority && it.hosts.include_with_or_without_port(host)
        })
    }

    fn of(&self, marker: Marker, host: &Host) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |it| it.marker == marker && it.hosts.include(host))
    }
}
