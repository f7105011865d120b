//! Host keys pasted into a setting: looser than a line of the file, because people paste what they
//! have, and stricter, because an entry that cannot be read is an error and never a warning.

use super::host::{Host, Hosts};
use super::line::split_marker;
use super::{Expected, Marker, Verdict};
use crate::{public, text};
use base64ct::{Base64Unpadded, Encoding};
use sansftp_proto::crypto::PublicKey;
use sansftp_proto::wire::Malformed;
use std::fmt;

/// One entry: `[@marker] [host] [type] key [comment]`, where the key is base64 or
/// `SHA256:fingerprint`. Without a host it is about every host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pin {
    marker: Marker,
    hosts: Option<Hosts>,
    key: PinnedKey,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PinnedKey {
    Whole(PublicKey),
    Sha256 {
        kind: Option<String>,
        hash: [u8; 32],
    },
}

impl Pin {
    fn parse(entry: &[u8]) -> Result<Self, Malformed> {
        let entry = text::trim(entry);
        if entry.is_empty() {
            return Err(Malformed("it is empty"));
        }
        if entry.iter().any(|it| matches!(it, b'\r' | b'\n')) {
            return Err(Malformed(
                "it has several lines; give each key as an entry of its own",
            ));
        }
        let (marker, mut rest) = split_marker(entry)?;
        let mut next = || match text::field(rest) {
            Ok((after, field)) => {
                rest = after;
                Some(field)
            }
            Err(_) => None,
        };
        let mut field = next().ok_or(Malformed("there is nothing after the marker"))?;
        let mut hosts = None;
        if !public::is_kind(field) && !is_key(field) {
            hosts = Some(Hosts::parse(field)?);
            field = next().ok_or(Malformed("there is a host and no key"))?;
        }
        let mut kind = None;
        if !is_key(field) {
            kind = Some(field);
            let lacking = if public::is_kind(field) {
                Malformed("there is a type of key and no key")
            } else {
                Malformed("there is neither a key nor the type of one after the host")
            };
            field = next().ok_or(lacking)?;
        }
        let key = PinnedKey::parse(kind, field)?;
        Ok(Self { marker, hosts, key })
    }

    fn concerns(&self, host: &Host) -> bool {
        self.hosts.as_ref().is_none_or(|it| match self.marker {
            Marker::Revoked => it.include_on_any_port(host),
            Marker::CertAuthority => it.include_with_or_without_port(host),
            Marker::Host => it.include(host),
        })
    }
}

impl PinnedKey {
    fn parse(kind: Option<&[u8]>, field: &[u8]) -> Result<Self, Malformed> {
        if let Some(fingerprint) = field.strip_prefix(SHA256) {
            let hash = text::base64(fingerprint)
                .ok()
                .and_then(|it| it.try_into().ok())
                .ok_or(Malformed(
                    "a fingerprint that is not 'SHA256:' and 43 characters",
                ))?;
            return Ok(Self::Sha256 {
                kind: kind.map(public::kind_named),
                hash,
            });
        }
        if field.starts_with(b"MD5:") || is_hex_fingerprint(field) {
            return Err(Malformed(
                "an MD5 fingerprint, which is not safe; give the SHA256 one",
            ));
        }
        let key = public::decode(field)?;
        if kind.is_some_and(|kind| !public::names(kind, &key)) {
            return Err(Malformed("the key is of another type than the entry says"));
        }
        Ok(Self::Whole(key))
    }

    fn is(&self, key: &PublicKey) -> bool {
        match self {
            Self::Whole(own) => own == key,
            Self::Sha256 { kind, hash } => {
                let kind_fits = kind
                    .as_ref()
                    .is_none_or(|it| public::names(it.as_bytes(), key));
                kind_fits && public::sha256(key) == *hash
            }
        }
    }

    fn kind(&self) -> Option<&str> {
        match self {
            Self::Whole(key) => Some(key.kind()),
            Self::Sha256 { kind, .. } => kind.as_deref(),
        }
    }

    fn fingerprint(&self) -> String {
        match self {
            Self::Whole(key) => public::sha256_fingerprint(key),
            Self::Sha256 { hash, .. } => format!("SHA256:{}", Base64Unpadded::encode_string(hash)),
        }
    }
}

const SHA256: &[u8] = b"SHA256:";

/// Whether a field is the key itself. Every key begins with a short length, and so with `AAAA`; no
/// key is shorter than 40 characters, and a host whose name looks like that has no dot and no luck.
fn is_key(field: &[u8]) -> bool {
    let base64 = |it: &u8| it.is_ascii_alphanumeric() || b"+/=".contains(it);
    field.starts_with(SHA256)
        || field.starts_with(b"MD5:")
        || is_hex_fingerprint(field)
        || (field.starts_with(b"AAAA") && field.len() >= 40 && field.iter().all(base64))
}

/// `16:27:ac:…`, sixteen bytes: how MD5 fingerprints were shown once. An IPv6 address has at most
/// eight groups.
fn is_hex_fingerprint(field: &[u8]) -> bool {
    let groups = field.split(|&it| it == b':');
    groups.clone().count() == 16
        && groups
            .into_iter()
            .all(|it| it.len() == 2 && it.iter().all(u8::is_ascii_hexdigit))
}

/// All entries of a setting.
#[derive(Debug, Clone, Default)]
pub struct Pins(Vec<Pin>);

impl Pins {
    /// Reads the entries in their order.
    ///
    /// # Errors
    /// [`PinError`] for the first that cannot be read.
    pub fn parse<T: AsRef<[u8]>>(entries: impl IntoIterator<Item = T>) -> Result<Self, PinError> {
        let mut pins = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            let pin = Pin::parse(entry.as_ref()).map_err(|reason| PinError {
                position: index + 1,
                reason,
            })?;
            pins.push(pin);
        }
        Ok(Self(pins))
    }

    /// Judges the key that `host` has shown. `line` in the verdict is the position of an entry, from 1.
    pub fn check(&self, host: &Host, key: &PublicKey) -> Verdict {
        if let Some(line) = self.revoked(host, key) {
            return Verdict::Revoked { line };
        }
        let mut own = self.of(Marker::Host, host);
        if let Some((line, _)) = own.find(|(_, pin)| pin.key.is(key)) {
            return Verdict::Known { line };
        }
        let expected: Vec<_> = self
            .of(Marker::Host, host)
            .map(|(line, pin)| Expected {
                line,
                kind: pin.key.kind().map(str::to_owned),
                fingerprint: pin.key.fingerprint(),
            })
            .collect();
        if !expected.is_empty() {
            return Verdict::Changed { expected };
        }
        Verdict::Unknown {
            authority: self
                .of(Marker::CertAuthority, host)
                .next()
                .map(|(line, _)| line),
        }
    }

    /// Whether an authority is pinned for this host: then certificates are to be asked for, and
    /// [judged](Self::check_certificate).
    pub fn has_authority(&self, host: &Host) -> bool {
        self.of(Marker::CertAuthority, host).next().is_some()
    }

    /// The first entry that revokes this key for this host.
    pub(super) fn revoked(&self, host: &Host, key: &PublicKey) -> Option<usize> {
        let mut revoking = self.of(Marker::Revoked, host);
        revoking
            .find(|(_, pin)| pin.key.is(key))
            .map(|(line, _)| line)
    }

    /// The first entry that names this key as an authority for the host.
    pub(super) fn authority(&self, host: &Host, key: &PublicKey) -> Option<usize> {
        let mut authorities = self.of(Marker::CertAuthority, host);
        authorities
            .find(|(_, pin)| pin.key.is(key))
            .map(|(line, _)| line)
    }

    /// The entries with this marker that concern the host, and their positions, from 1.
    fn of(&self, marker: Marker, host: &Host) -> impl Iterator<Item = (usize, &Pin)> {
        let numbered = self
            .0
            .iter()
            .enumerate()
            .map(|(index, pin)| (index + 1, pin));
        numbered.filter(move |(_, pin)| pin.marker == marker && pin.concerns(host))
    }

    /// The types of key that the host is pinned to, each once; a fingerprint alone has none to tell.
    pub fn algorithms_for(&self, host: &Host) -> Vec<&str> {
        let mut kinds = Vec::new();
        for (_, pin) in self.of(Marker::Host, host) {
            if let Some(kind) = pin.key.kind()
                && !kinds.contains(&kind)
            {
                kinds.push(kind);
            }
        }
        kinds
    }

    /// Whether there is no entry at all.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Which entry cannot be read, and why; `Display` has the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinError {
    /// Its position, from 1.
    pub position: usize,
    /// What is wrong.
    pub reason: Malformed,
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "known-host entry {}: {}; give 'host type key' as 'ssh-keyscan' prints it, or \
             'SHA256:fingerprint'",
            self.position, self.reason
        )
    }
}

impl std::error::Error for PinError {}
