//! Why a key could not be had: what was seen, what is wrong with it, and what to do about it.
//!
//! One error for private and public key files; it never quotes their content.

use sansftp_proto::wire::Malformed;
use std::fmt;

/// What a file or a pasted text turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyFormat {
    /// `openssh-key-v1` (OpenSSH PROTOCOL.key).
    OpenSsh,
    /// `RSA PRIVATE KEY` (RFC 8017 A.1.2).
    Pkcs1,
    /// `PRIVATE KEY` (RFC 5958).
    Pkcs8,
    /// `EC PRIVATE KEY` (RFC 5915).
    Sec1,
    /// `ENCRYPTED PRIVATE KEY` (RFC 5958 §3).
    EncryptedPkcs8,
    /// PEM with `DEK-Info` (RFC 1421).
    EncryptedPem,
    /// PuTTY's own format.
    Ppk,
    /// `DSA PRIVATE KEY`.
    Dsa,
    /// A format of SSH Communications Security.
    SshCom,
    /// A file of OpenPGP.
    Pgp,
    /// JSON Web Key.
    Jwk,
    /// ASN.1 without armour.
    Binary,
    /// A public key: one line, RFC 4716, or PEM.
    Public,
    /// A certificate, of OpenSSH or X.509.
    Certificate,
}

impl fmt::Display for KeyFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenSsh => "an OpenSSH private key",
            Self::Pkcs1 => "a PKCS#1 RSA private key",
            Self::Pkcs8 => "a PKCS#8 private key",
            Self::Sec1 => "a SEC1 EC private key",
            Self::EncryptedPkcs8 => "an encrypted PKCS#8 private key",
            Self::EncryptedPem => "a PEM private key encrypted the old way (DEK-Info)",
            Self::Ppk => "a PuTTY private key (PPK)",
            Self::Dsa => "a DSA private key",
            Self::SshCom => "an SSH.COM private key",
            Self::Pgp => "an OpenPGP key",
            Self::Jwk => "a JSON Web Key",
            Self::Binary => "a binary (DER) key",
            Self::Public => "a public key",
            Self::Certificate => "a certificate",
        })
    }
}

/// Why a key was not read. `Display` is one line: format, cause, remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// There is nothing but blank space.
    Empty,
    /// Larger than [`MAX_KEY_FILE`](crate::private::MAX_KEY_FILE), which no key is.
    TooLarge,
    /// Nothing that any key begins with.
    NotAKey,
    /// Text of two bytes per character, as some editors save it.
    Utf16,
    /// The armour begins and does not end, or ends as something else.
    BadArmour(KeyFormat),
    /// Recognised, but not what was asked for: a public key, a certificate.
    NotPrivate(KeyFormat),
    /// Recognised, but not supported, with the reason.
    Unsupported(KeyFormat, &'static str),
    /// More than one private key; which one to use is not ours to guess.
    SeveralKeys(KeyFormat),
    /// Encrypted, and no passphrase was given.
    PassphraseMissing(KeyFormat),
    /// Encrypted, and the passphrase given does not open it.
    PassphraseWrong(KeyFormat),
    /// The key derivation is set to more work than is done for a file that nobody vouches for: how much
    /// that would be at least.
    TooMuchWork(KeyFormat, &'static str),
    /// The content does not have the form that the format prescribes.
    Malformed(KeyFormat, Malformed),
    /// The public half does not belong to the private one.
    Halves(KeyFormat),
}

impl KeyError {
    /// What is wrong, in one line without the remedy.
    pub fn cause(&self) -> String {
        Cause(self).to_string()
    }

    /// What to do about it, as an imperative phrase.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Empty | Self::NotAKey => "give the file that ssh-keygen wrote, without '.pub'",
            Self::TooLarge => "give the key's own file",
            Self::Utf16 => "save it as plain ASCII or UTF-8 text",
            Self::BadArmour(_) => {
                "copy the key whole, from its '-----BEGIN' line to its '-----END' line"
            }
            Self::NotPrivate(KeyFormat::Certificate) => {
                "give the private key that the certificate was made for"
            }
            Self::NotPrivate(_) => "give the file beside it, of the same name without '.pub'",
            Self::Unsupported(format, _) => match format {
                KeyFormat::Ppk => {
                    "convert it: 'puttygen KEY -O private-openssh-new -o NEW', or in PuTTYgen \
                     'Conversions', 'Export OpenSSH key (force new file format)'"
                }
                KeyFormat::EncryptedPkcs8 => {
                    "convert a copy of it: 'openssl pkey -in KEY -out NEW', then \
                     'ssh-keygen -p -f NEW' to protect it again"
                }
                KeyFormat::EncryptedPem => "convert a copy of it in place: 'ssh-keygen -p -f COPY'",
                KeyFormat::SshCom => "convert it: 'ssh-keygen -i -f KEY > NEW'",
                KeyFormat::Binary => "convert it: 'openssl pkey -inform DER -in KEY -out NEW'",
                _ => "make a new key: 'ssh-keygen -t ed25519'",
            },
            Self::SeveralKeys(_) => "keep each key in a file of its own",
            Self::PassphraseMissing(_) => "set 'passphrase'",
            Self::PassphraseWrong(KeyFormat::Ppk) => {
                "check 'passphrase'; 'puttygen KEY -O private -o COPY' tries it"
            }
            Self::PassphraseWrong(_) => "check 'passphrase'; 'ssh-keygen -y -f KEY' tries it",
            Self::TooMuchWork(KeyFormat::Ppk, _) => {
                "write it anew with the usual numbers: 'puttygen KEY -O private -o NEW'"
            }
            Self::TooMuchWork(KeyFormat::EncryptedPkcs8, _) => {
                "write it anew with the usual numbers: 'openssl pkcs8 -topk8 -in KEY -out NEW'"
            }
            Self::TooMuchWork(..) => "write a copy with less: 'ssh-keygen -p -a 100 -f COPY'",
            Self::Malformed(KeyFormat::Ppk, _) => {
                "take it from its source again; 'puttygen KEY -L' tries it"
            }
            Self::Malformed(..) => "take it from its source again; 'ssh-keygen -y -f KEY' tries it",
            Self::Halves(_) => "take it from its source again: it was damaged or put together",
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", Cause(self), self.remedy())
    }
}

/// What is wrong, without the remedy.
struct Cause<'a>(&'a KeyError);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            KeyError::Empty => f.write_str("there is no key in it, it is empty"),
            KeyError::TooLarge => f.write_str("larger than 1 MiB, which no private key is"),
            KeyError::NotAKey => f.write_str("not a key of any known format"),
            KeyError::Utf16 => f.write_str("text in UTF-16"),
            KeyError::BadArmour(format) => write!(f, "{format}, but incomplete"),
            KeyError::NotPrivate(format) => write!(f, "{format}, where a private key is needed"),
            KeyError::Unsupported(format, why) => {
                write!(f, "{format}, which is not supported: {why}")
            }
            KeyError::SeveralKeys(format) => write!(f, "{format}, but not the only one in it"),
            KeyError::PassphraseMissing(format) => {
                write!(f, "{format}, encrypted, and no passphrase was given")
            }
            KeyError::PassphraseWrong(format) => {
                write!(f, "{format}, encrypted, and the passphrase is wrong")
            }
            KeyError::TooMuchWork(format, work) => {
                write!(f, "{format}, and its passphrase would take {work}")
            }
            KeyError::Malformed(format, cause) => write!(f, "{format}, but damaged: {cause}"),
            KeyError::Halves(format) => {
                write!(f, "{format}, but its public half belongs to another key")
            }
        }
    }
}

impl std::error::Error for KeyError {}

/// What is wrong inside a file whose format the caller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// See [`KeyError::Malformed`].
    Malformed(Malformed),
    /// See [`KeyError::Unsupported`].
    Unsupported(&'static str),
    /// See [`KeyError::Halves`].
    Halves,
    /// See [`KeyError::SeveralKeys`].
    SeveralKeys,
    /// See [`KeyError::PassphraseMissing`].
    PassphraseMissing,
    /// See [`KeyError::PassphraseWrong`].
    PassphraseWrong,
    /// See [`KeyError::TooMuchWork`].
    TooMuchWork(&'static str),
}

impl Flaw {
    /// The error of a file in this format.
    pub(crate) const fn of(self, format: KeyFormat) -> KeyError {
        match self {
            Self::Malformed(cause) => KeyError::Malformed(format, cause),
            Self::Unsupported(why) => KeyError::Unsupported(format, why),
            Self::Halves => KeyError::Halves(format),
            Self::SeveralKeys => KeyError::SeveralKeys(format),
            Self::PassphraseMissing => KeyError::PassphraseMissing(format),
            Self::PassphraseWrong => KeyError::PassphraseWrong(format),
            Self::TooMuchWork(work) => KeyError::TooMuchWork(format, work),
        }
    }
}

impl From<Malformed> for Flaw {
    fn from(cause: Malformed) -> Self {
        Self::Malformed(cause)
    }
}
