//! PuTTY's own format, versions 2 and 3 (PuTTY manual, appendix C): words of text around a public and
//! a private part in base64, and a MAC over all of it.

use super::cipher::{FileCipher, NotOpened, whole_blocks};
use super::derive::{self, Dsa, Rsa};
use super::kdf::Kdf;
use super::openssh::check_kind;
use crate::error::Flaw;
use crate::text;
use argon2::Algorithm;
use hmac::{Hmac, KeyInit, Mac};
use sansftp_proto::crypto::{Curve, PrivateKey, PublicKey, Secret};
use sansftp_proto::wire::{Malformed, MpInt, Reader};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What a file begins with; a digit and a colon follow.
pub(crate) const MAGIC: &[u8] = b"PuTTY-User-Key-File-";

/// Reads the key and its comment. `file` begins with [`MAGIC`]; its line breaks may have become blanks.
pub(super) fn read(file: &[u8], passphrase: Option<&Secret>) -> Result<(PrivateKey, String), Flaw> {
    let file = File::read(file)?;
    check_kind(file.kind)?;
    if file.public.kind() != file.kind {
        return Err(Malformed("its public part is of another type than its head says").into());
    }
    let key = read_key(&file.public, &file.open(passphrase)?)?;
    if key.public_key() != file.public {
        return Err(Flaw::Halves);
    }
    Ok((key, text::comment(file.comment)))
}

/// What can be seen without the passphrase.
struct File<'a> {
    version: Version,
    kind: &'a str,
    encryption: &'a [u8],
    comment: &'a [u8],
    public: PublicKey,
    /// None in version 2, which has its own.
    derivation: Option<Kdf>,
    private: Zeroizing<Vec<u8>>,
    mac: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Two,
    Three,
}

impl<'a> File<'a> {
    fn read(file: &'a [u8]) -> Result<Self, Flaw> {
        let mut words = Words(file.strip_prefix(MAGIC).unwrap_or(file));
        let version = match words.0 {
            [b'3', b':', ..] => Version::Three,
            [b'2', b':', ..] => Version::Two,
            [b'1', b':', ..] => {
                return Err(Flaw::Unsupported("version 1, which was never in a release"));
            }
            _ => return Err(Flaw::Unsupported("a version later than 3")),
        };
        words.0 = &words.0[2..];
        let kind =
            std::str::from_utf8(words.word()?).map_err(|_| Malformed("an odd type of key"))?;
        words.name(b"Encryption:")?;
        let encryption = words.word()?;
        words.name(b"Comment:")?;
        let comment = words.text_before(b"Public-Lines:")?;
        let public = words.base64(b"Public-Lines:")?;
        let public = PublicKey::new(public.to_vec())?;
        let derivation = match (version, encryption) {
            (Version::Three, b"aes256-cbc") => Some(words.derivation()?),
            (Version::Two, b"aes256-cbc") | (_, b"none") => None,
            _ => return Err(Flaw::Unsupported("a cipher that is not known here")),
        };
        let private = words.base64(b"Private-Lines:")?;
        words.name(b"Private-MAC:")?;
        let mac = text::hex(words.word()?).ok_or(Malformed("its MAC is not hex"))?;
        if !text::trim(words.0).is_empty() {
            return Err(Malformed("bytes left after its MAC").into());
        }
        Ok(Self {
            version,
            kind,
            encryption,
            comment,
            public,
            derivation,
            private,
            mac,
        })
    }

    fn open(&self, passphrase: Option<&Secret>) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        let mut private = self.private.clone();
        if self.encryption == b"none" {
            // Without a passphrase the MAC has no secret: it finds damage alone.
            let key: &[u8] = match self.version {
                Version::Two => &Sha1::digest(MAC_KEY),
                Version::Three => &[],
            };
            self.check(key, &private)
                .map_err(|NotOpened| Malformed("its MAC is that of other content"))?;
            return Ok(private);
        }
        let cipher = FileCipher::named(b"aes256-cbc").expect("the table has it");
        whole_blocks(&private, cipher.block_len)?;
        let passphrase = passphrase.ok_or(Flaw::PassphraseMissing)?;
        let keys = self.keys(passphrase)?;
        let (key_and_iv, mac_key) = keys.split_at(cipher.key_len + cipher.iv_len);
        cipher
            .open(key_and_iv, &mut private, &[])
            .and_then(|()| self.check(mac_key, &private))
            .map_err(|NotOpened| Flaw::PassphraseWrong)?;
        Ok(private)
    }

    /// Key, IV and MAC key, one after the other.
    fn keys(&self, passphrase: &Secret) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        match &self.derivation {
            Some(kdf) => kdf.derive(passphrase, 32 + 16 + 32),
            None => {
                let phrase = passphrase.expose();
                let hash = |front: &[u8]| {
                    Sha1::new()
                        .chain_update(front)
                        .chain_update(phrase)
                        .finalize()
                };
                let mut keys = Zeroizing::new(Vec::with_capacity(32 + 16 + 20));
                keys.extend_from_slice(&hash(&[0, 0, 0, 0]));
                keys.extend_from_slice(&hash(&[0, 0, 0, 1])[..12]);
                keys.extend_from_slice(&[0; 16]);
                keys.extend_from_slice(&hash(MAC_KEY));
                Ok(keys)
            }
        }
    }

    fn check(&self, key: &[u8], private: &[u8]) -> Result<(), NotOpened> {
        let covered = [
            self.kind.as_bytes(),
            self.encryption,
            self.comment,
            self.public.as_bytes(),
            private,
        ];
        let fits = match self.version {
            Version::Two => verified(Hmac::<Sha1>::new_from_slice(key), covered, &self.mac),
            Version::Three => verified(Hmac::<Sha256>::new_from_slice(key), covered, &self.mac),
        };
        if fits { Ok(()) } else { Err(NotOpened) }
    }
}

const MAC_KEY: &[u8] = b"putty-private-key-file-mac-key";

/// Each part goes in as an SSH string.
fn verified<M: Mac, E>(mac: Result<M, E>, covered: [&[u8]; 5], expected: &[u8]) -> bool {
    let Ok(mut mac) = mac else {
        return false;
    };
    for part in covered {
        let len = u32::try_from(part.len()).expect("a key file is below 1 MiB");
        mac.update(&len.to_be_bytes());
        mac.update(part);
    }
    mac.verify_slice(expected).is_ok()
}

/// What is left of the text.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn skip_space(&mut self) {
        let len = self
            .0
            .iter()
            .take_while(|&&byte| text::is_space(byte))
            .count();
        self.0 = &self.0[len..];
    }

    /// The next word.
    fn word(&mut self) -> Result<&'a [u8], Malformed> {
        self.skip_space();
        let end = self.0.iter().position(|&byte| text::is_space(byte));
        let (word, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        if word.is_empty() {
            return Err(Malformed("it ends before its MAC"));
        }
        Ok(word)
    }

    /// The next word, which must be this one.
    fn name(&mut self, name: &[u8]) -> Result<(), Malformed> {
        if self.word()? == name {
            Ok(())
        } else {
            Err(Malformed(
                "its lines are not those of the format, in their order",
            ))
        }
    }

    /// A number as a word.
    fn number(&mut self) -> Result<u32, Malformed> {
        let word = std::str::from_utf8(self.word()?).ok();
        word.and_then(|it| it.parse().ok())
            .ok_or(Malformed("not a number where there should be one"))
    }

    /// The rest of the line; where line breaks became spaces or tabs, what stands before the next name.
    fn text_before(&mut self, next: &[u8]) -> Result<&'a [u8], Malformed> {
        // One blank separates it from its name; more are its own.
        let text = self.0.strip_prefix(b" ").unwrap_or(self.0);
        let at = text.windows(next.len()).position(|it| it == next);
        let (text, rest) = text.split_at(at.ok_or(Malformed("it ends before its public part"))?);
        self.0 = rest;
        let line = text.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        Ok(match line {
            Some(end) => &text[..end],
            None => match text {
                [text @ .., b' ' | b'\t'] => text,
                _ => text,
            },
        })
    }

    /// A name, how many lines, and these.
    fn base64(&mut self, name: &[u8]) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        self.name(name)?;
        let lines = self.number()?;
        let mut base64 = Zeroizing::new(Vec::with_capacity(self.0.len()));
        for _ in 0..lines {
            base64.extend_from_slice(self.word()?);
        }
        Ok(Zeroizing::new(text::base64(&base64)?))
    }

    /// How a passphrase becomes a key.
    fn derivation(&mut self) -> Result<Kdf, Flaw> {
        self.name(b"Key-Derivation:")?;
        let algorithm = match self.word()? {
            b"Argon2id" => Algorithm::Argon2id,
            b"Argon2i" => Algorithm::Argon2i,
            b"Argon2d" => Algorithm::Argon2d,
            _ => return Err(Flaw::Unsupported("its passphrase is not derived by Argon2")),
        };
        self.name(b"Argon2-Memory:")?;
        let memory = self.number()?;
        self.name(b"Argon2-Passes:")?;
        let passes = self.number()?;
        self.name(b"Argon2-Parallelism:")?;
        let lanes = self.number()?;
        self.name(b"Argon2-Salt:")?;
        let salt = text::hex(self.word()?).ok_or(Malformed("its salt is not hex"))?;
        Ok(Kdf::Argon2 {
            algorithm,
            salt,
            memory,
            passes,
            lanes,
        })
    }
}

/// The private numbers, beside the public ones.
fn read_key(public: &PublicKey, private: &[u8]) -> Result<PrivateKey, Flaw> {
    let mut given = Reader::new(public.as_bytes());
    let kind: &str = given.read()?;
    // Padding to whole blocks follows the private numbers.
    let mut private = Reader::new(private);
    match kind {
        "ssh-ed25519" => derive::ed25519(private.read()?, Some(given.read()?)),
        "ssh-rsa" => {
            let (e, n): (MpInt<'_>, MpInt<'_>) = (given.read()?, given.read()?);
            let mut number = || private.read::<MpInt<'_>>().map(|it| it.magnitude());
            let (d, p, q, iqmp) = (number()?, number()?, number()?, number()?);
            derive::rsa(&Rsa {
                n: n.magnitude(),
                e: e.magnitude(),
                d,
                p,
                q,
                iqmp,
            })
        }
        "ssh-dss" => {
            let mut number = || given.read::<MpInt<'_>>().map(|it| it.magnitude());
            let (p, q, g, y) = (number()?, number()?, number()?, number()?);
            let x: MpInt<'_> = private.read()?;
            let x = x.magnitude();
            derive::dsa(&Dsa { p, q, g, x }, Some(y))
        }
        _ => {
            let curve = Curve::named(given.read()?).ok_or(Malformed("an unknown curve"))?;
            let point: &[u8] = given.read()?;
            let scalar: MpInt<'_> = private.read()?;
            derive::ecdsa(curve, scalar.magnitude(), Some(point))
        }
    }
}
