//! One line of `known_hosts`: read strictly, and, where that fails, looked at for whom it could
//! concern; and written.

use super::Marker;
use super::host::{Host, Hosts, hash};
use crate::{public, text};
use base64ct::{Base64, Encoding};
use sansftp_proto::crypto::PublicKey;
use sansftp_proto::wire::Malformed;

/// A line that was read.
pub(super) struct Line {
    pub(super) marker: Marker,
    pub(super) hosts: Hosts,
    pub(super) key: PublicKey,
}

/// Whom a line that cannot be read could concern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// Nobody: a key of SSH protocol 1, which no server of protocol 2 can show.
    Nobody,
    /// Whoever one of these names.
    Some(Vec<Hosts>),
    /// It does not say, or not legibly.
    Anybody,
}

impl Scope {
    pub(super) fn includes(&self, host: &Host) -> bool {
        match self {
            Self::Nobody => false,
            // On any port: the line may be one that revokes.
            Self::Some(fields) => fields.iter().any(|it| it.include_on_any_port(host)),
            Self::Anybody => true,
        }
    }
}

/// Reads a line that is neither blank nor a comment.
pub(super) fn parse(line: &[u8]) -> Result<Line, (Malformed, Scope)> {
    let (marker, rest) = split_marker(line).map_err(|reason| (reason, scope_of(line)))?;
    parse_after_marker(marker, rest).map_err(|reason| {
        if is_protocol_1(rest) {
            (
                Malformed("a key of SSH protocol 1, which is no longer used"),
                Scope::Nobody,
            )
        } else {
            (reason, scope_of(rest))
        }
    })
}

/// The marker at the front, if there is one, and the rest.
pub(super) fn split_marker(line: &[u8]) -> Result<(Marker, &[u8]), Malformed> {
    if !line.starts_with(b"@") {
        return Ok((Marker::Host, line));
    }
    let (rest, marker) = text::field(line).map_err(|_| Malformed("nothing but blanks"))?;
    match marker {
        b"@cert-authority" => Ok((Marker::CertAuthority, rest)),
        b"@revoked" => Ok((Marker::Revoked, rest)),
        _ => Err(Malformed(
            "an unknown marker; there are @cert-authority and @revoked",
        )),
    }
}

fn parse_after_marker(marker: Marker, rest: &[u8]) -> Result<Line, Malformed> {
    let (rest, hosts) = text::field(rest).map_err(|_| Malformed("nothing after the marker"))?;
    let hosts = Hosts::parse(hosts)?;
    let key = public::key_and_comment(rest)?.key;
    Ok(Line { marker, hosts, key })
}

/// `host bits exponent modulus`, decimal numbers all.
fn is_protocol_1(rest: &[u8]) -> bool {
    let numbers: Vec<&[u8]> = text::fields(rest).skip(1).take(3).collect();
    numbers.len() == 3 && numbers.iter().all(|it| it.iter().all(u8::is_ascii_digit))
}

/// The fields of a broken line that could be its hosts: all but types of keys, because two lines may
/// have run into one. A line that begins with the type of a key has lost its hosts.
fn scope_of(line: &[u8]) -> Scope {
    let mut fields = text::fields(line)
        .skip_while(|it| it.starts_with(b"@"))
        .peekable();
    if fields.peek().is_none_or(|first| public::is_kind(first)) {
        return Scope::Anybody;
    }
    match fields
        .filter(|it| !public::is_kind(it))
        .map(Hosts::parse)
        .collect()
    {
        Ok(hosts) => Scope::Some(hosts),
        Err(_) => Scope::Anybody,
    }
}

/// The line that says that `host` has this key, without a line end.
///
/// Whoever appends it looks first whether the file ends with a line end.
pub fn known_hosts_line(host: &Host, key: &PublicKey) -> String {
    format!("{host} {}", public::write_public(key, ""))
}

/// The same with the host's name hashed under 20 random bytes, so that the file does not tell it.
pub fn known_hosts_line_hashed(host: &Host, key: &PublicKey, salt: [u8; 20]) -> String {
    let hash = hash(&salt, host.as_str());
    let (salt, hash) = (Base64::encode_string(&salt), Base64::encode_string(&hash));
    format!("|1|{salt}|{hash} {}", public::write_public(key, ""))
}
