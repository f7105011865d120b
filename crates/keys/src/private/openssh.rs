//! Reads `openssh-key-v1` (OpenSSH PROTOCOL.key), without its armour.

use super::MAX_BCRYPT_ROUNDS;
use super::cipher::{FileCipher, NotOpened, whole_blocks};
use super::derive::{self, Dsa, Rsa};
use crate::error::Flaw;
use crate::text;
use nom::Parser;
use nom::bytes::complete::tag;
use sansftp_proto::crypto::{Curve, PrivateKey, PublicKey, Secret};
use sansftp_proto::wire::{Malformed, MpInt, Parsed, Reader};
use zeroize::Zeroizing;

/// What the file begins with.
pub(super) const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Block length of the "cipher" that is none.
pub(super) const PLAIN_BLOCK: usize = 8;

/// Reads the key and its comment.
pub(super) fn read(file: &[u8], passphrase: Option<&Secret>) -> Result<(PrivateKey, String), Flaw> {
    let file = Outer::read(file)?;
    let protected = file.protection.is_some();
    let content = file.open(passphrase)?;
    let (key, comment) = read_content(&content, protected)?;
    if key.public_key() != file.public {
        return Err(Flaw::Halves);
    }
    Ok((key, comment))
}

/// What can be seen without the passphrase.
struct Outer<'a> {
    protection: Option<Protection<'a>>,
    public: PublicKey,
    content: &'a [u8],
    tag: &'a [u8],
}

struct Protection<'a> {
    cipher: &'static FileCipher,
    salt: &'a [u8],
    rounds: u32,
}

impl<'a> Outer<'a> {
    fn read(file: &'a [u8]) -> Result<Self, Flaw> {
        let after: Parsed<'_, &[u8]> = tag(MAGIC).parse(file);
        let (after, _) = after.map_err(|_| Malformed("it does not begin with openssh-key-v1"))?;
        let mut reader = Reader::new(after);
        let cipher: &[u8] = reader.read()?;
        let kdf: &[u8] = reader.read()?;
        let kdf_options: &[u8] = reader.read()?;
        match reader.read::<u32>()? {
            0 => return Err(Malformed("it holds no key").into()),
            1 => {}
            _ => return Err(Flaw::SeveralKeys),
        }
        let public = PublicKey::new(reader.read::<&[u8]>()?.to_vec())?;
        check_kind(public.kind())?;
        let content: &[u8] = reader.read()?;

        let protection = Protection::read(cipher, kdf, kdf_options)?;
        let block_len = protection
            .as_ref()
            .map_or(PLAIN_BLOCK, |it| it.cipher.block_len);
        whole_blocks(content, block_len)?;
        let tag = reader.remaining();
        if tag.len() != protection.as_ref().map_or(0, |it| it.cipher.tag_len) {
            return Err(Malformed("bytes missing or left after the private part").into());
        }
        Ok(Self {
            protection,
            public,
            content,
            tag,
        })
    }

    fn open(&self, passphrase: Option<&Secret>) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        let mut content = Zeroizing::new(self.content.to_vec());
        let Some(Protection {
            cipher,
            salt,
            rounds,
        }) = &self.protection
        else {
            return Ok(content);
        };
        if *rounds > MAX_BCRYPT_ROUNDS {
            return Err(Flaw::TooMuchWork("over 1024 rounds of bcrypt"));
        }
        let passphrase = passphrase.ok_or(Flaw::PassphraseMissing)?;
        let mut key_and_iv = Zeroizing::new(vec![0; cipher.key_len + cipher.iv_len]);
        bcrypt_pbkdf::bcrypt_pbkdf(passphrase.expose(), salt, *rounds, &mut key_and_iv)
            .map_err(|_| Malformed("no salt, or no rounds, for its passphrase"))?;
        cipher
            .open(&key_and_iv, &mut content, self.tag)
            .map_err(|NotOpened| Flaw::PassphraseWrong)?;
        Ok(content)
    }
}

impl<'a> Protection<'a> {
    fn read(cipher: &[u8], kdf: &[u8], options: &'a [u8]) -> Result<Option<Self>, Flaw> {
        match (cipher, kdf) {
            (b"none", b"none") if options.is_empty() => return Ok(None),
            (b"none", _) | (_, b"none") => {
                return Err(Malformed("a cipher without a passphrase, or the reverse").into());
            }
            (_, b"bcrypt") => {}
            _ => return Err(Flaw::Unsupported("its passphrase is not derived by bcrypt")),
        }
        let cipher = FileCipher::named(cipher).ok_or(Flaw::Unsupported(
            "it is encrypted with a cipher that is not known here",
        ))?;
        let mut reader = Reader::new(options);
        let (salt, rounds) = (reader.read()?, reader.read()?);
        reader.finish()?;
        Ok(Some(Self {
            cipher,
            salt,
            rounds,
        }))
    }
}

/// Refuses what we could not use, before anybody is asked for a passphrase.
pub(super) fn check_kind(kind: &str) -> Result<(), Flaw> {
    Err(Flaw::Unsupported(match kind {
        "ssh-ed25519"
        | "ssh-rsa"
        | "ssh-dss"
        | "ecdsa-sha2-nistp256"
        | "ecdsa-sha2-nistp384"
        | "ecdsa-sha2-nistp521" => return Ok(()),
        _ if kind.starts_with("sk-") => "the key itself is in a security key (FIDO)",
        _ if kind.ends_with("-cert-v01@openssh.com") => "it holds a certificate in place of a key",
        _ => "a type of key that is not known here",
    }))
}

/// What was encrypted: the check numbers, the key, its comment, padding.
fn read_content(content: &[u8], protected: bool) -> Result<(PrivateKey, String), Flaw> {
    let mut reader = Reader::new(content);
    let checks: (u32, u32) = (reader.read()?, reader.read()?);
    if checks.0 != checks.1 {
        // Where the cipher has no tag, this is how a wrong passphrase shows.
        return Err(if protected {
            Flaw::PassphraseWrong
        } else {
            Malformed("its two check numbers differ").into()
        });
    }
    let key = read_key(&mut reader)?;
    let comment = text::comment(reader.read()?);
    let padding = reader.remaining();
    if padding.len() > 255
        || !padding
            .iter()
            .zip(1..=255)
            .all(|(&found, wanted)| found == wanted)
    {
        return Err(Malformed("its padding is not 1, 2, 3 and so on").into());
    }
    Ok((key, comment))
}

fn read_key(reader: &mut Reader<'_>) -> Result<PrivateKey, Flaw> {
    let kind: &str = reader.read()?;
    check_kind(kind)?;
    match kind {
        "ssh-ed25519" => {
            let public: &[u8] = reader.read()?;
            let private: &[u8] = reader.read()?;
            let (seed, again) = private
                .split_at_checked(32)
                .ok_or(Malformed("an Ed25519 key that is not 32 bytes"))?;
            // The public half stands there twice.
            if again != public {
                return Err(Flaw::Halves);
            }
            derive::ed25519(seed, Some(public))
        }
        "ssh-rsa" => {
            let mut number = || reader.read::<MpInt<'_>>().map(|it| it.magnitude());
            let (n, e, d, iqmp, p, q) = (
                number()?,
                number()?,
                number()?,
                number()?,
                number()?,
                number()?,
            );
            derive::rsa(&Rsa {
                n,
                e,
                d,
                p,
                q,
                iqmp,
            })
        }
        "ssh-dss" => {
            let mut number = || reader.read::<MpInt<'_>>().map(|it| it.magnitude());
            let (p, q, g) = (number()?, number()?, number()?);
            let (y, x) = (number()?, number()?);
            derive::dsa(&Dsa { p, q, g, x }, Some(y))
        }
        _ => {
            let curve = Curve::named(reader.read()?).ok_or(Malformed("an unknown curve"))?;
            if curve.key_kind() != kind {
                return Err(Malformed("another curve than the type of the key says").into());
            }
            let public: &[u8] = reader.read()?;
            let scalar: MpInt<'_> = reader.read()?;
            derive::ecdsa(curve, scalar.magnitude(), Some(public))
        }
    }
}
