//! PEM armour (RFC 7468), the beginning of a PuTTY file, and the recognition of everything that is no
//! private key.
//!
//! Reads more loosely than the RFC: pasted keys arrive with their line breaks turned into spaces,
//! into the two characters `\n`, or with white space around. What is inside the base64 is read
//! strictly by others.

use crate::error::{KeyError, KeyFormat};
use crate::private::{MAX_KEY_FILE, PPK_MAGIC, dek::DekInfo};
use crate::{public, text};
use nom::Parser;
use nom::bytes::complete::{tag, take_until};
use nom::sequence::delimited;
use sansftp_proto::wire::{Malformed, Parsed};
use zeroize::Zeroizing;

/// The one private key of a text.
pub(crate) enum Found {
    /// Out of its armour.
    Pem(Armoured),
    /// A PuTTY file from its beginning.
    Ppk(Zeroizing<Vec<u8>>),
}

/// A key out of its armour.
pub(crate) struct Armoured {
    /// What the label says it is; one of the five formats that are read.
    pub(crate) format: KeyFormat,
    /// How the content is encrypted, where the body has headers.
    pub(crate) sealed: Option<DekInfo>,
    /// The decoded content.
    pub(crate) content: Zeroizing<Vec<u8>>,
}

/// Finds the one private key in `file`, or says what is there instead.
pub(crate) fn unarmour(file: &[u8]) -> Result<Found, KeyError> {
    if file.len() > MAX_KEY_FILE {
        return Err(KeyError::TooLarge);
    }
    let repaired = with_line_breaks(file);
    let mut rest = repaired.as_slice();
    let mut private: Option<Block<'_>> = None;
    let mut other = None;
    while let Ok((from_begin, _)) = take_until::<_, _, Malformed>(BEGIN).parse(rest) {
        let Ok((after_label, label)) = label(from_begin) else {
            break;
        };
        rest = after_label;
        // A label that says nothing to us may stand beside the key, as EC PARAMETERS does.
        let Some(format) = format_of(label) else {
            continue;
        };
        let Ok((after_block, body)) = body(label, after_label) else {
            return Err(KeyError::BadArmour(format));
        };
        rest = after_block;
        match (is_private(format), &private) {
            (true, Some(first)) => return Err(KeyError::SeveralKeys(first.format)),
            (true, None) => private = Some(Block { format, body }),
            (false, _) => other = other.or(Some(KeyError::NotPrivate(format))),
        }
    }
    let Some(block) = private else {
        return match (other, putty(file)) {
            (None, Some(key)) => key.map(Found::Ppk),
            (other, _) => Err(other.unwrap_or_else(|| recognise(file))),
        };
    };
    decode(&block).map(Found::Pem)
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

struct Block<'a> {
    format: KeyFormat,
    body: &'a [u8],
}

fn label(input: &[u8]) -> Parsed<'_, &[u8]> {
    delimited(tag(BEGIN), take_until(DASHES), tag(DASHES)).parse(input)
}

/// What stands between a label and the end that names the same label.
fn body<'a>(label: &'a [u8], input: &'a [u8]) -> Parsed<'a, &'a [u8]> {
    (take_until(END), tag(END), tag(label), tag(DASHES))
        .map(|(body, ..): (&[u8], _, _, _)| body)
        .parse(input)
}

fn decode(block: &Block<'_>) -> Result<Armoured, KeyError> {
    let format = block.format;
    if format == KeyFormat::Pgp {
        let why = "OpenPGP keys are for mail and packages";
        return Err(KeyError::Unsupported(format, why));
    }
    // RFC 1421 headers begin the body.
    let headed = DekInfo::take(block.body).map_err(|flaw| flaw.of(KeyFormat::EncryptedPem))?;
    let (sealed, body) = match headed {
        Some((dek, body)) => (Some(dek), body),
        None => (None, block.body),
    };
    if block.body.windows(BEGIN.len()).any(|it| it == BEGIN) {
        return Err(KeyError::BadArmour(format));
    }
    let mut base64 = Zeroizing::new(Vec::with_capacity(body.len()));
    base64.extend(body.iter().filter(|&&byte| !text::is_space(byte)));
    let content = text::base64(&base64).map_err(|cause| KeyError::Malformed(format, cause))?;
    Ok(Armoured {
        format,
        sealed,
        content: Zeroizing::new(content),
    })
}

fn format_of(label: &[u8]) -> Option<KeyFormat> {
    Some(match label {
        b"OPENSSH PRIVATE KEY" => KeyFormat::OpenSsh,
        b"RSA PRIVATE KEY" => KeyFormat::Pkcs1,
        b"PRIVATE KEY" => KeyFormat::Pkcs8,
        b"EC PRIVATE KEY" => KeyFormat::Sec1,
        b"ENCRYPTED PRIVATE KEY" => KeyFormat::EncryptedPkcs8,
        b"DSA PRIVATE KEY" => KeyFormat::Dsa,
        b"PGP PRIVATE KEY BLOCK" => KeyFormat::Pgp,
        b"PUBLIC KEY" | b"RSA PUBLIC KEY" => KeyFormat::Public,
        b"CERTIFICATE" | b"TRUSTED CERTIFICATE" | b"X509 CERTIFICATE" => KeyFormat::Certificate,
        _ => return None,
    })
}

const fn is_private(format: KeyFormat) -> bool {
    !matches!(format, KeyFormat::Public | KeyFormat::Certificate)
}

/// Backslash-n and backslash-r as line breaks. No character of armour or base64 is a backslash.
fn with_line_breaks(file: &[u8]) -> Zeroizing<Vec<u8>> {
    // The capacity suffices, so that no copy of a secret is left behind by growing.
    let mut out = Zeroizing::new(Vec::with_capacity(file.len()));
    let mut rest = file;
    while let [first, after @ ..] = rest {
        rest = match after {
            [b'n' | b'r', after @ ..] if *first == b'\\' => {
                out.push(b'\n');
                after
            }
            _ => {
                out.push(*first);
                after
            }
        };
    }
    out
}

/// The PuTTY file in a text, if there is one. Its words may be anything, those of a pasted one least of
/// all a backslash: where the line breaks are real they are left alone.
fn putty(file: &[u8]) -> Option<Result<Zeroizing<Vec<u8>>, KeyError>> {
    let whole = text::trim(file);
    let repaired = if whole.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        Zeroizing::new(whole.to_vec())
    } else {
        with_line_breaks(whole)
    };
    let found = |from: &[u8]| from.windows(PPK_MAGIC.len()).position(|it| it == PPK_MAGIC);
    let key = &repaired[found(&repaired)?..];
    if found(&key[1..]).is_some() {
        return Some(Err(KeyError::SeveralKeys(KeyFormat::Ppk)));
    }
    // Quotes around what was pasted.
    let key = key.strip_suffix(b"\"").unwrap_or(key);
    Some(Ok(Zeroizing::new(key.to_vec())))
}

/// Names what has no PEM armour that we know.
fn recognise(file: &[u8]) -> KeyError {
    let unsupported = KeyError::Unsupported;
    let text = text::trim(file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file));
    match text {
        [] => return KeyError::Empty,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [_, 0, _, 0, ..] | [0, _, 0, _, ..] => {
            return KeyError::Utf16;
        }
        [0x30, 0x80..=0x84, ..] => return unsupported(KeyFormat::Binary, "keys are read as text"),
        [b'{', ..] => return unsupported(KeyFormat::Jwk, "SSH programs do not write it"),
        _ => {}
    }
    if text.starts_with(b"---- BEGIN SSH2 PUBLIC KEY") {
        return KeyError::NotPrivate(KeyFormat::Public);
    }
    if text.starts_with(b"---- BEGIN SSH2 ") {
        return unsupported(KeyFormat::SshCom, "OpenSSH, PEM and PuTTY files are");
    }
    // A line of `.pub`, or of known_hosts or authorized_keys with something before the type.
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let kind = text::fields(line).take(3).find(|it| public::is_kind(it));
    match kind {
        Some(kind) if kind.ends_with(b"-cert-v01@openssh.com") => {
            KeyError::NotPrivate(KeyFormat::Certificate)
        }
        Some(_) => KeyError::NotPrivate(KeyFormat::Public),
        None => KeyError::NotAKey,
    }
}
