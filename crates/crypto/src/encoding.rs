//! Public keys and signatures, taken apart strictly: the same for every provider, so that none
//! accepts what another refuses (RFC 5656 §3.1, RFC 8332 §3, RFC 8709 §4 and §6).

use crate::nist::UNCOMPRESSED;
use bytes::BytesMut;
use ed25519_dalek::VerifyingKey;
use sansftp_proto::crypto::{CryptoError, Curve, PublicKey};
use sansftp_proto::wire::{MpInt, Reader, Unsigned};
use std::borrow::Cow;

pub(crate) const SSH_ED25519: &str = "ssh-ed25519";
pub(crate) const SSH_RSA: &str = "ssh-rsa";
pub(crate) const RSA_SHA2_256: &str = "rsa-sha2-256";
pub(crate) const RSA_SHA2_512: &str = "rsa-sha2-512";

/// What an RSA key signs with. Who may ask for SHA-1 is for profiles to say.
pub(crate) const RSA_ALGORITHMS: &[&str] = &[
    RSA_SHA2_512,
    RSA_SHA2_256,
    #[cfg(feature = "legacy")]
    SSH_RSA,
];

/// Moduli in bits: below, they can be factored; above, a stranger can keep us busy for long.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Moduli that some old servers have, taken only where their algorithms were asked for by name.
#[cfg(feature = "legacy")]
const SHORT_RSA_BITS: std::ops::RangeInclusive<usize> = 1024..=8192;

/// Public exponents in bytes and the most that the first of five may be: 33 bits, like ring.
const RSA_EXPONENT_MAX: u64 = (1 << 33) - 1;

/// The 32 bytes of an `ssh-ed25519` key (RFC 8709 §4).
///
/// Refuses what is no point of the curve, and the points of small order: with one of them as key,
/// signatures verify that nobody made.
pub(crate) fn ed25519_key(key: &PublicKey) -> Result<[u8; 32], CryptoError> {
    let mut fields = Reader::new(key.as_bytes());
    expect_kind(&mut fields, SSH_ED25519)?;
    let point: &[u8] = fields.read().map_err(malformed)?;
    fields.finish().map_err(malformed)?;
    let Ok(point) = <[u8; 32]>::try_from(point) else {
        return Err(CryptoError::BadKey("an Ed25519 key has 32 bytes"));
    };
    match VerifyingKey::from_bytes(&point) {
        Ok(key) if !key.is_weak() => Ok(point),
        _ => Err(CryptoError::BadKey(
            "not a point of edwards25519, or one of small order",
        )),
    }
}

/// The uncompressed point of an `ecdsa-sha2-*` key (RFC 5656 §3.1).
///
/// The curve must be the type's own: a list that allows one curve must not allow them all. Points off
/// the curve are refused.
pub(crate) fn ecdsa_point(key: &PublicKey, curve: Curve) -> Result<&[u8], CryptoError> {
    let mut fields = Reader::new(key.as_bytes());
    expect_kind(&mut fields, curve.key_kind())?;
    let name: &[u8] = fields.read().map_err(malformed)?;
    let point: &[u8] = fields.read().map_err(malformed)?;
    fields.finish().map_err(malformed)?;
    if name != curve.name().as_bytes() {
        return Err(CryptoError::BadKey(
            "the curve is not the one that the key's type names",
        ));
    }
    if point.len() != 1 + 2 * curve.field_len() || point.first() != Some(&UNCOMPRESSED) {
        return Err(CryptoError::BadKey(
            "not an uncompressed point of its curve",
        ));
    }
    let on_curve = match curve {
        Curve::P256 => p256::PublicKey::from_sec1_bytes(point).is_ok(),
        Curve::P384 => p384::PublicKey::from_sec1_bytes(point).is_ok(),
        Curve::P521 => p521::PublicKey::from_sec1_bytes(point).is_ok(),
    };
    if !on_curve {
        return Err(CryptoError::BadKey("the point is not on its curve"));
    }
    Ok(point)
}

/// The numbers of an `ssh-rsa` key, checked, big-endian and without leading zeros.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RsaPublic<'a> {
    pub(crate) n: &'a [u8],
    pub(crate) e: &'a [u8],
}

impl<'a> RsaPublic<'a> {
    /// Takes an encoded key apart (RFC 4253 §6.6).
    pub(crate) fn parse(key: &'a PublicKey) -> Result<Self, CryptoError> {
        let (n, e) = Self::numbers(key)?;
        Self::check(n, e)
    }

    /// The same for keys from 1024 bits.
    #[cfg(feature = "legacy")]
    pub(crate) fn parse_short(key: &'a PublicKey) -> Result<Self, CryptoError> {
        let (n, e) = Self::numbers(key)?;
        Self::check_short(n, e)
    }

    /// The checks of [`check`](Self::check) for keys from 1024 bits.
    #[cfg(feature = "legacy")]
    pub(crate) fn check_short(n: &'a [u8], e: &'a [u8]) -> Result<Self, CryptoError> {
        Self::check_size(n, e, SHORT_RSA_BITS)
    }

    fn numbers(key: &'a PublicKey) -> Result<(&'a [u8], &'a [u8]), CryptoError> {
        let mut fields = Reader::new(key.as_bytes());
        expect_kind(&mut fields, SSH_RSA)?;
        let e: MpInt<'_> = fields.read().map_err(malformed)?;
        let n: MpInt<'_> = fields.read().map_err(malformed)?;
        fields.finish().map_err(malformed)?;
        Ok((n.magnitude(), e.magnitude()))
    }

    /// Checks the numbers before anything is computed with them: whoever computes first can be kept
    /// busy with a modulus of a million bits.
    pub(crate) fn check(n: &'a [u8], e: &'a [u8]) -> Result<Self, CryptoError> {
        Self::check_size(n, e, RSA_BITS)
    }

    fn check_size(
        n: &'a [u8],
        e: &'a [u8],
        sizes: std::ops::RangeInclusive<usize>,
    ) -> Result<Self, CryptoError> {
        let bits = n
            .first()
            .map_or(0, |top| n.len() * 8 - top.leading_zeros() as usize);
        if !sizes.contains(&bits) {
            return Err(CryptoError::BadKey(match *sizes.start() {
                2048 => "an RSA modulus has 2048 to 8192 bits",
                _ => "an RSA modulus has 1024 to 8192 bits",
            }));
        }
        if n.last().is_none_or(|low| low % 2 == 0) {
            return Err(CryptoError::BadKey("an RSA modulus is odd"));
        }
        let small = e.len() <= 8;
        let value = e.iter().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
        if !small || value < 3 || value % 2 == 0 || value > RSA_EXPONENT_MAX {
            return Err(CryptoError::BadKey(
                "an RSA exponent is odd, at least 3, at most 33 bits",
            ));
        }
        Ok(Self { n, e })
    }

    /// An RSA signature at the modulus's length (RFC 8017 §8.2.2 step 1): some implementations leave
    /// out leading zeros, which is made good as OpenSSH does; longer ones are refused.
    pub(crate) fn signature<'s>(&self, signature: &'s [u8]) -> Result<Cow<'s, [u8]>, CryptoError> {
        let missing = self
            .n
            .len()
            .checked_sub(signature.len())
            .ok_or(CryptoError::BadSignature)?;
        if missing == 0 {
            return Ok(Cow::Borrowed(signature));
        }
        let mut padded = vec![0; missing];
        padded.extend_from_slice(signature);
        Ok(Cow::Owned(padded))
    }
}

/// The `r ‖ s` of an ECDSA signature, each at the curve's width, from its two numbers
/// (RFC 5656 §3.1.2). That both lie in `[1, n)` is for the verifier to see.
pub(crate) fn ecdsa_signature(signature: &[u8], curve: Curve) -> Result<Vec<u8>, CryptoError> {
    let mut fields = Reader::new(signature);
    let width = curve.field_len();
    let mut fixed = Vec::with_capacity(2 * width);
    for _ in 0..2 {
        let number: MpInt<'_> = fields.read().map_err(|_| CryptoError::BadSignature)?;
        let magnitude = number.magnitude();
        let missing = width
            .checked_sub(magnitude.len())
            .ok_or(CryptoError::BadSignature)?;
        fixed.resize(fixed.len() + missing, 0);
        fixed.extend_from_slice(magnitude);
    }
    fields.finish().map_err(|_| CryptoError::BadSignature)?;
    Ok(fixed)
}

/// The two numbers of an ECDSA signature from its `r ‖ s` (RFC 5656 §3.1.2).
pub(crate) fn write_ecdsa_signature(fixed: &[u8]) -> Vec<u8> {
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let mut out = BytesMut::new();
    Unsigned(r).write(&mut out);
    Unsigned(s).write(&mut out);
    out.to_vec()
}

fn expect_kind(fields: &mut Reader<'_>, kind: &str) -> Result<(), CryptoError> {
    let name: &[u8] = fields.read().map_err(malformed)?;
    if name == kind.as_bytes() {
        Ok(())
    } else {
        Err(CryptoError::BadKey(
            "the key is of another type than the signature algorithm",
        ))
    }
}

fn malformed(cause: sansftp_proto::wire::Malformed) -> CryptoError {
    CryptoError::BadKey(cause.0)
}
