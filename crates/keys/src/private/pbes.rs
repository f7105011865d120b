//! PKCS#8 under a passphrase: PBES2 (RFC 8018 §6.2) around what `asn1` reads.

use super::cipher::{FileCipher, NotOpened, whole_blocks};
use super::kdf::{Kdf, Prf};
use crate::der::{self, Der};
use crate::error::Flaw;
use sansftp_proto::crypto::Secret;
use sansftp_proto::wire::Malformed;
use zeroize::Zeroizing;

/// `EncryptedPrivateKeyInfo` (RFC 5958 §3): the `OneAsymmetricKey` inside, if it is one. That it is
/// is how a right passphrase shows.
pub(super) fn open(input: &[u8], passphrase: Option<&Secret>) -> Result<Zeroizing<Vec<u8>>, Flaw> {
    let mut input = Der::new(input);
    let mut outer = input.sequence()?;
    input.finish()?;
    let mut algorithm = outer.sequence()?;
    let content = outer.take(der::OCTET_STRING)?;
    outer.finish()?;
    if algorithm.take(der::OID)? != OID_PBES2 {
        return Err(Flaw::Unsupported("its protection is older than PBES2"));
    }
    let mut parameters = algorithm.sequence()?;
    algorithm.finish()?;
    let mut derivation = parameters.sequence()?;
    let mut encryption = parameters.sequence()?;
    parameters.finish()?;
    let cipher = match encryption.take(der::OID)? {
        OID_AES128_CBC => "aes128-cbc",
        OID_AES192_CBC => "aes192-cbc",
        OID_AES256_CBC => "aes256-cbc",
        OID_3DES_CBC => "3des-cbc",
        _ => return Err(Flaw::Unsupported("a cipher that key files hardly have")),
    };
    let cipher = FileCipher::named(cipher.as_bytes()).expect("the table has these four");
    let iv = encryption.take(der::OCTET_STRING)?;
    encryption.finish()?;
    let kdf = kdf(&mut derivation, cipher.key_len)?;
    whole_blocks(content, cipher.block_len)?;

    let passphrase = passphrase.ok_or(Flaw::PassphraseMissing)?;
    let mut key = kdf.derive(passphrase, cipher.key_len)?;
    // In one vector that does not grow, so that no copy stays behind.
    let mut key_and_iv = Zeroizing::new(Vec::with_capacity(key.len() + iv.len()));
    key_and_iv.append(&mut key);
    key_and_iv.extend_from_slice(iv);
    let content = cipher
        .open_padded(&key_and_iv, content)
        .map_err(|NotOpened| Flaw::PassphraseWrong)?;
    let mut inside = Der::new(&content);
    let whole = inside.sequence().and_then(|_| inside.finish());
    whole.map_err(|_| Flaw::PassphraseWrong)?;
    Ok(content)
}

fn kdf(derivation: &mut Der<'_>, key_len: usize) -> Result<Kdf, Flaw> {
    let oid = derivation.take(der::OID)?;
    let mut parameters = derivation.sequence()?;
    derivation.finish()?;
    let salt = parameters.take(der::OCTET_STRING)?.to_vec();
    let kdf = match oid {
        OID_PBKDF2 => {
            let rounds = parameters.number()?;
            same_length(&mut parameters, key_len)?;
            let prf = match parameters.take_if(der::SEQUENCE)? {
                Some(prf) => self::prf(Der::new(prf))?,
                // The format's default.
                None => Prf::Sha1,
            };
            Kdf::Pbkdf2 { prf, salt, rounds }
        }
        OID_SCRYPT => {
            let (n, r) = (parameters.number()?, parameters.number()?);
            let p = parameters.number()?;
            same_length(&mut parameters, key_len)?;
            Kdf::Scrypt { salt, n, r, p }
        }
        _ => {
            return Err(Flaw::Unsupported(
                "its passphrase goes neither through PBKDF2 nor scrypt",
            ));
        }
    };
    parameters.finish()?;
    Ok(kdf)
}

/// The length may be told; it follows from the cipher.
fn same_length(parameters: &mut Der<'_>, key_len: usize) -> Result<(), Flaw> {
    match parameters.number_if()? {
        Some(told) if usize::try_from(told) != Ok(key_len) => {
            Err(Malformed("a key of another length than its cipher has").into())
        }
        _ => Ok(()),
    }
}

fn prf(mut algorithm: Der<'_>) -> Result<Prf, Flaw> {
    let prf = match algorithm.take(der::OID)? {
        OID_HMAC_SHA1 => Prf::Sha1,
        OID_HMAC_SHA224 => Prf::Sha224,
        OID_HMAC_SHA256 => Prf::Sha256,
        OID_HMAC_SHA384 => Prf::Sha384,
        OID_HMAC_SHA512 => Prf::Sha512,
        _ => {
            return Err(Flaw::Unsupported(
                "PBKDF2 with a hash that is not known here",
            ));
        }
    };
    let _null = algorithm.take_if(der::NULL)?;
    algorithm.finish()?;
    Ok(prf)
}

const OID_PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13]; // 1.2.840.113549.1.5.13
const OID_PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 12]; // 1.2.840.113549.1.5.12
const OID_SCRYPT: &[u8] = &[0x2b, 6, 1, 4, 1, 0xda, 0x47, 4, 11]; // 1.3.6.1.4.1.11591.4.11
const OID_HMAC_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 7]; // 1.2.840.113549.2.7
const OID_HMAC_SHA224: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 8]; // 1.2.840.113549.2.8
const OID_HMAC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 9]; // 1.2.840.113549.2.9
const OID_HMAC_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 10]; // 1.2.840.113549.2.10
const OID_HMAC_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 11]; // 1.2.840.113549.2.11
const OID_3DES_CBC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 3, 7]; // 1.2.840.113549.3.7
const OID_AES128_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 2]; // 2.16.840.1.101.3.4.1.2
const OID_AES192_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 22]; // 2.16.840.1.101.3.4.1.22
const OID_AES256_CBC: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42]; // 2.16.840.1.101.3.4.1.42
