//! Streamlined NTRU Prime sntrup761, the key encapsulation (NTRU Prime, round 3, §3; as SSH uses it,
//! RFC 9941 §3).
//!
//! Written from the specification. What depends on a secret neither branches on it nor divides nor looks
//! anything up by it; only public keys and ciphertexts are taken apart by division. Secrets are wiped.
//! The parts: `field` numbers modulo 3 and q, `ring` polynomials of them, `sample` and `sort` the random
//! ones, `encoding` all of them as bytes.

mod encoding;
mod field;
mod ring;
mod sample;
mod sort;

use super::{Encapsulated, Kem};
use encoding::{decode_public, decode_rounded, encode_public, encode_rounded, encode_small};
use field::{mod_q, mod3};
use ring::{Polynomial, product};
use sansftp_proto::crypto::{CryptoError, SecureRandom};
use sha2::{Digest, Sha512};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

/// The degree of the modulus x^p - x - 1.
const P: usize = 761;
/// The modulus of coefficients.
const Q: i16 = 4591;
/// How many coefficients of a short polynomial are not zero.
const WEIGHT: usize = 286;
/// Bytes of an encoded polynomial with coefficients -1, 0 and 1.
const SMALL_LEN: usize = P.div_ceil(4);
/// Bytes of a rounded polynomial, which a ciphertext begins with.
const ROUNDED_LEN: usize = 1007;
/// Bytes of the hashes.
const HASH_LEN: usize = 32;

/// sntrup761.
pub(crate) enum Sntrup761 {}

/// What opens ciphertexts.
pub(crate) struct Private {
    f: Polynomial,
    /// 1/g modulo 3.
    g_inverse: Polynomial,
    /// Goes into the secret in the place of what a forged ciphertext had in it.
    rho: Zeroizing<[u8; SMALL_LEN]>,
    public: Public,
}

/// A public key, taken apart.
struct Public {
    h: Polynomial,
    /// Its cached hash.
    hash: [u8; HASH_LEN],
}

impl Kem for Sntrup761 {
    type Private = Private;
    const PUBLIC_LEN: usize = 1158;
    const CIPHERTEXT_LEN: usize = ROUNDED_LEN + HASH_LEN;

    fn generate(random: &dyn SecureRandom) -> Result<(Private, Vec<u8>), CryptoError> {
        let (g, g_inverse) = invertible(random)?;
        let f = sample::short(random)?;
        // h = g / 3f. In the field R/q everything but zero has an inverse, and f is not zero.
        let h = ring::reciprocal_of_triple(&f);
        let h = product(&h, &g, mod_q);
        let encoded = encode_public(&h);
        let mut rho = Zeroizing::new([0; SMALL_LEN]);
        random.fill(rho.as_mut())?;
        let public = Public::new(h, &encoded);
        let private = Private {
            f,
            g_inverse,
            rho,
            public,
        };
        Ok((private, encoded))
    }

    fn encapsulate(
        public: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Encapsulated), CryptoError> {
        if public.len() != Self::PUBLIC_LEN {
            return Err(CryptoError::BadShare);
        }
        let public = Public::new(decode_public(public), public);
        let r = sample::short(random)?;
        let (ciphertext, r) = public.hide(&r);
        let secret = session(1, &r, &ciphertext);
        Ok((ciphertext, secret))
    }

    fn decapsulate(private: &Private, ciphertext: &[u8]) -> Result<Encapsulated, CryptoError> {
        if ciphertext.len() != Self::CIPHERTEXT_LEN {
            return Err(CryptoError::BadShare);
        }
        let r = private.decrypt(&decode_rounded(ciphertext));
        // Whoever did not make the ciphertext as it is made here gets a secret that is of no use.
        let (again, mut r) = private.public.hide(&r);
        let same = again.as_slice().ct_eq(ciphertext);
        for (byte, rho) in r.iter_mut().zip(private.rho.iter()) {
            byte.conditional_assign(rho, !same);
        }
        Ok(session(same.unwrap_u8(), &r, ciphertext))
    }
}

/// A small polynomial that has an inverse modulo 3, and the inverse.
fn invertible(random: &dyn SecureRandom) -> Result<(Polynomial, Polynomial), CryptoError> {
    // One in 3^19 has none: a generator that gives eight of them is broken.
    for _ in 0..8 {
        let g = sample::small(random)?;
        if let Some(inverse) = ring::reciprocal_mod3(&g) {
            return Ok((g, inverse));
        }
    }
    Err(CryptoError::Random)
}

impl Public {
    fn new(h: Polynomial, encoded: &[u8]) -> Self {
        Self {
            h,
            hash: *hash(4, &[encoded]),
        }
    }

    /// The ciphertext that has `r` in it: Round(h·r) with a confirmation behind; and `r` as bytes.
    fn hide(&self, r: &Polynomial) -> (Vec<u8>, Zeroizing<Vec<u8>>) {
        let mut rounded = product(&self.h, r, mod_q);
        for number in rounded.iter_mut() {
            *number -= mod3(i32::from(*number));
        }
        let r = encode_small(r);
        let mut ciphertext = encode_rounded(&rounded);
        ciphertext.extend_from_slice(&*hash(2, &[&*hash(3, &[&r]), &self.hash]));
        (ciphertext, r)
    }
}

impl Private {
    /// The short polynomial in a ciphertext; (1, .., 1, 0, .., 0) where there is none in it.
    fn decrypt(&self, c: &Polynomial) -> Polynomial {
        let mut e = product(c, &self.f, |number| {
            // 3·f·c modulo q, then modulo 3.
            mod3(i32::from(mod_q(3 * i32::from(mod_q(number)))))
        });
        e = product(&e, &self.g_inverse, mod3);
        let weight: i16 = e.iter().map(|number| number & 1).sum();
        let good = weight.ct_eq(&(WEIGHT as i16));
        for (position, number) in e.iter_mut().enumerate() {
            number.conditional_assign(&i16::from(position < WEIGHT), !good);
        }
        e
    }
}

/// The secret of a session: of `r`, or of what stands for it, and the ciphertext.
fn session(prefix: u8, r: &[u8], ciphertext: &[u8]) -> Encapsulated {
    hash(prefix, &[&*hash(3, &[r]), ciphertext])
}

/// The first half of SHA-512, with a prefix that tells its uses apart.
fn hash(prefix: u8, parts: &[&[u8]]) -> Encapsulated {
    let mut state = Sha512::new();
    state.update([prefix]);
    parts.iter().for_each(|part| state.update(part));
    let mut all = Zeroizing::new([0; 64]);
    all.copy_from_slice(&state.finalize());
    let mut half = Zeroizing::new([0; HASH_LEN]);
    half.copy_from_slice(&all[..HASH_LEN]);
    half
}

#[cfg(all(test, feature = "ring", feature = "rustcrypto"))]
mod tests;
