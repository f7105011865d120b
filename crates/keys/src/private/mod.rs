//! Private keys: the format is found out, never asked for; the public half is derived or compared.
//!
//! Reads `openssh-key-v1` (OpenSSH PROTOCOL.key), PKCS#1 (RFC 8017 A.1.2), PKCS#8 (RFC 5958), SEC 1
//! (RFC 5915), OpenSSL's own for DSA, and PuTTY's PPK of versions 2 and 3, each also under a passphrase;
//! writes `openssh-key-v1`. Whatever else is recognised is named in the error.
//! Whether an RSA key's exponents fit its primes is left to the provider that will sign with it.

mod asn1;
mod cipher;
pub(crate) mod dek;
mod derive;
mod kdf;
mod openssh;
mod pbes;
mod ppk;
mod write;

pub(crate) use ppk::MAGIC as PPK_MAGIC;
pub use write::write_openssh;

use crate::error::{Flaw, KeyError, KeyFormat};
use crate::pem::{self, Armoured, Found};
use sansftp_proto::crypto::{PrivateKey, Secret};

/// Largest text that is looked at, in bytes. The largest key that we take, RSA of 16384 bits, is
/// 13 KiB; the rest is for certificates and explanations in the same file.
pub const MAX_KEY_FILE: usize = 1 << 20;

/// Most rounds of bcrypt_pbkdf that are done. `ssh-keygen` does 16 or 24, cautious people ask for
/// 100 to 1000; a round costs 10 to 20 ms, so that this stays within half a minute, where the
/// 2^32 - 1 that a file can ask for would be years.
pub const MAX_BCRYPT_ROUNDS: u32 = 1024;

/// Most rounds of PBKDF2 that are done: some seconds. OpenSSL does 2048 unless told, careful people
/// ask for up to a million.
pub const MAX_PBKDF2_ROUNDS: u32 = 5_000_000;

/// Most memory that a passphrase may take, in bytes, by scrypt or Argon2. PuTTY takes 8 MiB, OpenSSL
/// 16.
pub const MAX_KDF_MEMORY: u64 = 256 << 20;

/// Largest modulus of an RSA key, in bytes: 16384 bits, which is OpenSSH's limit.
const MAX_RSA_MODULUS: usize = 2048;

/// Largest modulus of a DSA key, in bytes: 3072 bits, which is FIPS 186-4's limit.
const MAX_DSA_MODULUS: usize = 384;

/// Largest order of a DSA key's subgroup, in bytes: 256 bits, which is FIPS 186-4's limit. SSH has 160
/// alone (RFC 4253 §6.6), which is for whoever signs to say.
const MAX_DSA_ORDER: usize = 32;

/// A private key as it was found.
#[derive(Debug, Clone)]
pub struct KeyFile {
    /// The key.
    pub key: PrivateKey,
    /// The comment inside, for display; empty when the format has none.
    pub comment: String,
    /// The format that it was in.
    pub format: KeyFormat,
}

/// Reads the one private key in `text`, which is a file's content or what a person pasted.
///
/// Line breaks may be LF, CR LF, spaces, tabs or the two characters `\n`; text before and after the armour
/// is skipped. A passphrase that is not needed is not looked at; an empty one counts as none.
///
/// # Errors
/// [`KeyError`], in one line and with its remedy.
pub fn read_private_key(text: &[u8], passphrase: Option<&Secret>) -> Result<KeyFile, KeyError> {
    let passphrase = passphrase.filter(|it| !it.expose().is_empty());
    let (format, read) = match pem::unarmour(text)? {
        Found::Ppk(file) => (KeyFormat::Ppk, ppk::read(&file, passphrase)),
        Found::Pem(Armoured {
            format,
            sealed: None,
            content,
        }) => (format, read_content(format, &content, passphrase)),
        Found::Pem(Armoured {
            format,
            sealed: Some(dek),
            content,
        }) => (
            KeyFormat::EncryptedPem,
            dek.open(&content, passphrase).and_then(|content| {
                // By chance one in 256 wrong passphrases leaves a padding.
                read_content(format, &content, None).map_err(|flaw| match flaw {
                    Flaw::Malformed(_) => Flaw::PassphraseWrong,
                    other => other,
                })
            }),
        ),
    };
    let (key, comment) = read.map_err(|flaw| flaw.of(format))?;
    Ok(KeyFile {
        key,
        comment,
        format,
    })
}

fn read_content(
    format: KeyFormat,
    content: &[u8],
    passphrase: Option<&Secret>,
) -> Result<(PrivateKey, String), Flaw> {
    match format {
        KeyFormat::OpenSsh => openssh::read(content, passphrase),
        KeyFormat::Pkcs1 => asn1::pkcs1(content).map(uncommented),
        KeyFormat::Sec1 => asn1::sec1(content, None).map(uncommented),
        KeyFormat::Dsa => asn1::dsa(content).map(uncommented),
        KeyFormat::EncryptedPkcs8 => {
            let content = pbes::open(content, passphrase)?;
            asn1::pkcs8(&content).map(uncommented)
        }
        _ => asn1::pkcs8(content).map(uncommented),
    }
}

const fn uncommented(key: PrivateKey) -> (PrivateKey, String) {
    (key, String::new())
}
