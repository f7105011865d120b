//! Public keys as one line of text, `type base64 [comment]` (sshd(8)), and their fingerprints. Files of
//! RFC 4716 are read elsewhere.
//!
//! Verifies no signature; checks the form of the types that SSH's standards define (RFC 4253 §6.6,
//! RFC 5656 §3.1, RFC 8709 §4) and takes any other type as it is.

use crate::{rfc4716, text};
use base64ct::{Base64, Base64Unpadded, Encoding};
use sansftp_proto::crypto::{Curve, PublicKey};
use sansftp_proto::wire::{Malformed, MpInt, Reader};
use sha2::{Digest, Sha256};

/// A public key and the comment that was beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicLine {
    /// The key.
    pub key: PublicKey,
    /// The rest of the line, for display; may be empty.
    pub comment: String,
}

/// Reads a public key: one line, as in a `.pub` file, which lines that are blank or comments may
/// surround; or a file of RFC 4716.
///
/// # Errors
/// [`Malformed`] when there is no key or more than one, or it is not one of its type.
pub fn read_public(text: &[u8]) -> Result<PublicLine, Malformed> {
    let begin = text::lines(text).find(|(_, line)| !text::trim(line).is_empty());
    if begin.is_some_and(|(_, line)| rfc4716::begins(line)) {
        return rfc4716::read(text);
    }
    let mut lines = text::lines(text).filter_map(|(_, line)| text::content(line));
    let line = lines.next().ok_or(Malformed("empty"))?;
    if lines.next().is_some() {
        return Err(Malformed("more than the one line that a public key is"));
    }
    key_and_comment(line)
}

/// The line for a `.pub` or `authorized_keys` file, without a line end. Line ends inside the comment
/// become spaces, so that it cannot become a line of its own.
pub fn write_public(key: &PublicKey, comment: &str) -> String {
    let mut line = format!("{} {}", key.kind(), Base64::encode_string(key.as_bytes()));
    let comment = comment.trim();
    if !comment.is_empty() {
        line.push(' ');
        line.extend(
            comment
                .chars()
                .map(|it| if it.is_control() { ' ' } else { it }),
        );
    }
    line
}

/// `SHA256:` and the hash in base64 without padding, as `ssh-keygen -l` shows it.
pub fn sha256_fingerprint(key: &PublicKey) -> String {
    format!("SHA256:{}", Base64Unpadded::encode_string(&sha256(key)))
}

/// The hash that the fingerprint shows.
pub(crate) fn sha256(key: &PublicKey) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Reads `type base64 [comment]`.
pub(crate) fn key_and_comment(line: &[u8]) -> Result<PublicLine, Malformed> {
    let (rest, kind) = text::field(line).map_err(|_| Malformed("no type of key"))?;
    let (rest, base64) = text::field(rest).map_err(|_| Malformed("no key after its type"))?;
    let key = decode(base64)?;
    if !names(kind, &key) {
        return Err(Malformed("the key is of another type than the line says"));
    }
    Ok(PublicLine {
        key,
        comment: text::comment(rest),
    })
}

/// Decodes a key and checks that it has the form of its type.
pub(crate) fn decode(base64: &[u8]) -> Result<PublicKey, Malformed> {
    let blob = text::base64(base64).map_err(|_| Malformed("the key is not base64"))?;
    let key = PublicKey::new(blob)?;
    check_form(&key)?;
    Ok(key)
}

/// Whether a line may call the key so.
pub(crate) fn names(kind: &[u8], key: &PublicKey) -> bool {
    kind_named(kind) == key.kind()
}

/// The type of key that a line means by `name`. RSA keys go by the names of their signatures too
/// (RFC 8332), and OpenSSH takes them.
pub(crate) fn kind_named(name: &[u8]) -> String {
    let kind = if RSA_SIGNATURES.contains(&name) {
        b"ssh-rsa"
    } else {
        name
    };
    String::from_utf8_lossy(kind).into_owned()
}

const RSA_SIGNATURES: [&[u8]; 2] = [b"rsa-sha2-256", b"rsa-sha2-512"];

/// Whether a field is a type of key as SSH names them, and so no host and no base64.
pub(crate) fn is_kind(field: &[u8]) -> bool {
    let field = field
        .strip_suffix(b"-cert-v01@openssh.com")
        .unwrap_or(field);
    let kinds: [&[u8]; 9] = [
        b"ssh-ed25519",
        b"ssh-rsa",
        b"ssh-dss",
        b"ssh-ed448",
        b"ecdsa-sha2-nistp256",
        b"ecdsa-sha2-nistp384",
        b"ecdsa-sha2-nistp521",
        b"sk-ssh-ed25519@openssh.com",
        b"sk-ecdsa-sha2-nistp256@openssh.com",
    ];
    kinds.contains(&field) || RSA_SIGNATURES.contains(&field)
}

fn check_form(key: &PublicKey) -> Result<(), Malformed> {
    let mut reader = Reader::new(key.as_bytes());
    let kind: &[u8] = reader.read()?;
    match kind {
        b"ssh-ed25519" => {
            let point: &[u8] = reader.read()?;
            if point.len() != 32 {
                return Err(Malformed("an Ed25519 key that is not 32 bytes"));
            }
        }
        b"ssh-rsa" => {
            let (e, n): (MpInt<'_>, MpInt<'_>) = (reader.read()?, reader.read()?);
            if e.magnitude().is_empty() || n.magnitude().is_empty() {
                return Err(Malformed("an RSA key with a number that is zero"));
            }
        }
        b"ecdsa-sha2-nistp256" | b"ecdsa-sha2-nistp384" | b"ecdsa-sha2-nistp521" => {
            let curve = Curve::named(reader.read()?).ok_or(Malformed("an unknown curve"))?;
            if curve.key_kind().as_bytes() != kind {
                return Err(Malformed("another curve than the type of the key says"));
            }
            check_point(curve, reader.read()?)?;
        }
        // A type that we do not use: there is no form to compare with, only content to have.
        _ if reader.remaining().is_empty() => return Err(Malformed("a key with no content")),
        _ => return Ok(()),
    }
    reader.finish()
}

/// A point must be uncompressed (RFC 5656 §3.1 allows to refuse others) and of the curve's width.
fn check_point(curve: Curve, point: &[u8]) -> Result<(), Malformed> {
    match point {
        [4, coordinates @ ..] if coordinates.len() == 2 * curve.field_len() => Ok(()),
        _ => Err(Malformed("not an uncompressed point of its curve")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8709 has no key of its own to show; these 32 bytes stand for one.
    fn blob(len: u32) -> Vec<u8> {
        let mut blob = b"\0\0\0\x0bssh-ed25519".to_vec();
        blob.extend(len.to_be_bytes());
        blob.extend([7; 32]);
        blob
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let key = PublicKey::new(blob(32)).unwrap();
        let line = write_public(&key, " me@here\nssh-rsa AAAA ");
        assert_eq!(line.lines().count(), 1, "a comment makes no second line");
        let read = read_public(line.as_bytes()).unwrap();
        assert_eq!(read.key, key);
        assert_eq!(read.comment, "me@here ssh-rsa AAAA");
    }

    #[test]
    fn a_key_that_is_not_of_its_type_is_refused() {
        let line = |blob: &[u8], kind| format!("{kind} {}", Base64::encode_string(blob));
        let good = line(&blob(32), "ssh-ed25519");
        assert!(read_public(good.as_bytes()).is_ok());
        for bad in [
            line(&blob(32), "ssh-rsa"),
            line(&blob(31), "ssh-ed25519"),
            line(&blob(u32::MAX), "ssh-ed25519"),
            line(b"\0\0\0\x07ssh-foo", "ssh-foo"),
            line(b"", "ssh-ed25519"),
            "ssh-ed25519".to_owned(),
            "ssh-ed25519 ????".to_owned(),
            String::new(),
            format!("{good}\n{good}"),
        ] {
            assert!(read_public(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
