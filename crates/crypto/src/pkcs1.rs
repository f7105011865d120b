//! RSASSA-PKCS1-v1_5 on crypto-bigint (RFC 8017 §8.2): verification in variable time over public
//! numbers, signing in constant time by the Chinese remainder theorem.

use crate::encoding::RsaPublic;
use crate::rsa::{CrtNumbers, RsaPrivate};
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, ConcatenatingMul, Odd};
use sansftp_proto::crypto::CryptoError;
use sha2::{Sha256, Sha512};
use std::cmp::Ordering;
use std::fmt;
use zeroize::Zeroizing;

/// The hashes of RFC 8332 §3, and that of RFC 4253 §6.6.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Digest {
    #[cfg(feature = "legacy")]
    Sha1,
    Sha256,
    Sha512,
}

impl Digest {
    /// EMSA-PKCS1-v1_5 (RFC 8017 §9.2): `00 01 FF .. FF 00`, the DigestInfo, the hash.
    fn encode(self, data: &[u8], len: usize) -> Vec<u8> {
        let (info, hash) = match self {
            #[cfg(feature = "legacy")]
            Self::Sha1 => (DIGEST_INFO_SHA1, digest::<sha1::Sha1>(data)),
            Self::Sha256 => (DIGEST_INFO_SHA256, digest::<Sha256>(data)),
            Self::Sha512 => (DIGEST_INFO_SHA512, digest::<Sha512>(data)),
        };
        let mut encoded = Vec::with_capacity(len);
        encoded.extend([0, 1]);
        encoded.resize(len - 1 - info.len() - hash.len(), 0xff);
        encoded.push(0);
        encoded.extend_from_slice(info);
        encoded.extend_from_slice(&hash);
        encoded
    }
}

/// Verifies a signature that has the modulus's length (RFC 8017 §8.2.2).
pub(crate) fn verify(
    key: &RsaPublic<'_>,
    digest: Digest,
    data: &[u8],
    signature: &[u8],
) -> Result<(), CryptoError> {
    let public = Public::new(key)?;
    let expected = digest.encode(data, public.len);
    // Comparison with the one right encoding: taking the wrong ones apart is what went wrong elsewhere.
    if public.recover(signature)? == expected {
        Ok(())
    } else {
        Err(CryptoError::BadSignature)
    }
}

/// A public key, made ready.
struct Public {
    params: BoxedMontyParams,
    e: BoxedUint,
    /// Length of modulus and signatures in bytes.
    len: usize,
}

impl Public {
    fn new(key: &RsaPublic<'_>) -> Result<Self, CryptoError> {
        let n = Odd::new(BoxedUint::from_be_slice_vartime(key.n))
            .into_option()
            .ok_or(CryptoError::BadKey("an RSA modulus is odd"))?;
        let e = BoxedUint::from_be_slice_vartime(key.e);
        Ok(Self {
            params: BoxedMontyParams::new_vartime(n),
            e,
            len: key.n.len(),
        })
    }

    /// signature^e mod n (RFC 8017 §5.2.2).
    fn recover(&self, signature: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let precision = self.params.bits_precision();
        let signature = BoxedUint::from_be_slice(signature, precision)
            .map_err(|_| CryptoError::BadSignature)?;
        if signature.cmp_vartime(self.params.modulus().as_ref()) != Ordering::Less {
            return Err(CryptoError::BadSignature);
        }
        let power = BoxedMontyForm::new(signature, &self.params)
            .pow_bounded_exp(&self.e, self.e.bits_vartime());
        Ok(last_bytes(&power.retrieve(), self.len))
    }
}

/// A private key, made ready.
pub(crate) struct Signer {
    public: Public,
    numbers: CrtNumbers,
    modulo_p: BoxedMontyParams,
    modulo_q: BoxedMontyParams,
}

impl Signer {
    /// Checks the numbers against each other.
    pub(crate) fn new(key: &RsaPrivate<'_>) -> Result<Self, CryptoError> {
        let numbers = key.crt()?;
        let modulo_p = params(&numbers.p)?;
        let modulo_q = params(&numbers.q)?;
        Ok(Self {
            public: Public::new(&key.public)?,
            numbers,
            modulo_p,
            modulo_q,
        })
    }

    /// RFC 8017 §8.2.1 with §5.2.1 step 2(b).
    pub(crate) fn sign(&self, digest: Digest, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let encoded = digest.encode(data, self.public.len);
        let message = BoxedUint::from_be_slice_vartime(&encoded);
        let CrtNumbers { dp, dq, qinv, .. } = &self.numbers;
        let of_p = power(&message, dp, &self.modulo_p);
        let of_q = Zeroizing::new(power(&message, dq, &self.modulo_q).retrieve());
        let inverse = Zeroizing::new(BoxedMontyForm::new((**qinv).clone(), &self.modulo_p));
        let of_q_modulo_p = reduce(&of_q, &self.modulo_p);
        let difference = Zeroizing::new(of_p.sub(&of_q_modulo_p));
        let factor = Zeroizing::new(Zeroizing::new(inverse.mul(&difference)).retrieve());
        let multiple = Zeroizing::new(factor.concatenating_mul(&*self.numbers.q));
        let sum = Zeroizing::new(multiple.wrapping_add(&*of_q));
        let signature = last_bytes(&sum, self.public.len);
        // A fault in one half would give a prime away to whoever sees the signature.
        if self.public.recover(&signature) != Ok(encoded) {
            return Err(CryptoError::Failed(
                "an RSA signature came out wrong and was withheld",
            ));
        }
        Ok(signature)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rsa(..)")
    }
}

fn params(prime: &BoxedUint) -> Result<BoxedMontyParams, CryptoError> {
    let prime = prime
        .to_odd()
        .into_option()
        .ok_or(CryptoError::BadKey("an RSA prime is odd"))?;
    Ok(BoxedMontyParams::new(prime))
}

fn power(
    message: &BoxedUint,
    exponent: &BoxedUint,
    params: &BoxedMontyParams,
) -> Zeroizing<BoxedMontyForm> {
    Zeroizing::new(reduce(message, params).pow(exponent))
}

fn reduce(number: &BoxedUint, params: &BoxedMontyParams) -> Zeroizing<BoxedMontyForm> {
    let reduced = number.rem(params.modulus().as_nz_ref());
    Zeroizing::new(BoxedMontyForm::new(reduced, params))
}

/// The number in exactly `len` bytes; it is known to fit.
fn last_bytes(number: &BoxedUint, len: usize) -> Vec<u8> {
    let bytes = Zeroizing::new(number.to_be_bytes().into_vec());
    let mut out = vec![0; len];
    for (to, from) in out.iter_mut().rev().zip(bytes.iter().rev()) {
        *to = *from;
    }
    out
}

fn digest<D: sha2::Digest>(data: &[u8]) -> Vec<u8> {
    D::digest(data).to_vec()
}

/// RFC 8017 §9.2, note 1.
#[cfg(feature = "legacy")]
const DIGEST_INFO_SHA1: &[u8] = &[
    0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14,
];
const DIGEST_INFO_SHA256: &[u8] = &[
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];
const DIGEST_INFO_SHA512: &[u8] = &[
    0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05,
    0x00, 0x04, 0x40,
];

#[cfg(all(test, feature = "ring"))]
mod tests {
    use super::*;
    use crate::tests::keys::rsa2048;
    use sansftp_proto::crypto::PrivateKey;

    fn signer() -> Signer {
        let PrivateKey::Rsa {
            n,
            e,
            d,
            p,
            q,
            iqmp,
        } = rsa2048()
        else {
            unreachable!()
        };
        Signer::new(&RsaPrivate::new(&n, &e, [&d, &p, &q, &iqmp]).unwrap()).unwrap()
    }

    /// Boneh, DeMillo and Lipton: one signature with a fault in one half, and the key is known.
    #[test]
    fn a_signature_with_a_fault_in_it_is_withheld() {
        assert!(signer().sign(Digest::Sha256, b"data").is_ok());
        let faults: [fn(&mut CrtNumbers) -> &mut BoxedUint; 4] = [
            |numbers| &mut numbers.dp,
            |numbers| &mut numbers.dq,
            |numbers| &mut numbers.qinv,
            |numbers| &mut numbers.q,
        ];
        for fault in faults {
            let mut signer = signer();
            let number = fault(&mut signer.numbers);
            *number = number.wrapping_sub(BoxedUint::one());
            let withheld = signer.sign(Digest::Sha256, b"data");
            assert!(matches!(withheld, Err(CryptoError::Failed(_))));
        }
    }

    /// RFC 8017 §9.2, spelled out.
    #[test]
    fn the_encoding_is_that_of_pkcs_1() {
        let encoded = Digest::Sha256.encode(b"abc", 256);
        assert_eq!(encoded.len(), 256);
        assert_eq!(encoded[..2], [0, 1]);
        assert!(encoded[2..204].iter().all(|&byte| byte == 0xff));
        assert_eq!(encoded[204], 0);
        assert_eq!(encoded[205..224], *DIGEST_INFO_SHA256);
        assert_eq!(encoded[224..], digest::<Sha256>(b"abc"));
        assert_eq!(Digest::Sha512.encode(b"", 300).len(), 300);
    }
}
