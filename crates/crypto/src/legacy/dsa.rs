//! `ssh-dss` (RFC 4253 §6.6, FIPS 186-4 §4) with q of 160 bits and SHA-1, which is all that SSH has of
//! DSA. Nonces follow from key and data (RFC 6979), and each signature is verified before it is sent.

use crypto_bigint::BoxedUint;
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use hmac::{Hmac, KeyInit, Mac};
use sansftp_proto::crypto::{CryptoError, PublicKey, Secret, SignatureAlgorithm};
use sansftp_proto::wire::{MpInt, Reader};
use sha1::{Digest, Sha1};
use std::fmt;
use zeroize::Zeroizing;

pub(crate) const SSH_DSS: &str = "ssh-dss";

/// p in bits. FIPS 186-2 has 1024 alone; PuTTY makes longer ones. Above, a stranger can keep us busy.
const P_BITS: std::ops::RangeInclusive<u32> = 1024..=3072;

/// q in bytes: r and s are written at this width (RFC 4253 §6.6).
const Q_LEN: usize = 20;
const Q_BITS: u32 = 160;

pub(crate) static DSA: Dsa = Dsa;

#[derive(Debug)]
pub(crate) struct Dsa;

impl SignatureAlgorithm for Dsa {
    fn name(&self) -> &'static str {
        SSH_DSS
    }

    fn key_kind(&self) -> &'static str {
        SSH_DSS
    }

    fn verify(&self, key: &PublicKey, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let mut fields = Reader::new(key.as_bytes());
        let malformed = |cause: sansftp_proto::wire::Malformed| CryptoError::BadKey(cause.0);
        let kind: &[u8] = fields.read().map_err(malformed)?;
        if kind != SSH_DSS.as_bytes() {
            return Err(CryptoError::BadKey(
                "the key is of another type than the signature algorithm",
            ));
        }
        let mut number = || {
            let number: MpInt<'_> = fields.read().map_err(malformed)?;
            Ok(number.magnitude())
        };
        let [p, q, g, y] = [number()?, number()?, number()?, number()?];
        fields.finish().map_err(malformed)?;
        Public::new(p, q, g, y)?.verify(data, signature)
    }
}

/// A public key, its numbers checked before anything long is computed with them.
struct Public {
    modulo_q: BoxedMontyParams,
    g: BoxedMontyForm,
    y: BoxedMontyForm,
}

const BAD_NUMBERS: CryptoError = CryptoError::BadKey("the numbers of the DSA key are not DSA's");

impl Public {
    fn new(p: &[u8], q: &[u8], g: &[u8], y: &[u8]) -> Result<Self, CryptoError> {
        let bits = |number: &[u8]| {
            let top = number.first().map_or(0, |top| 8 - top.leading_zeros());
            let below = u32::try_from(number.len().saturating_sub(1)).unwrap_or(u32::MAX / 16);
            8 * below + top
        };
        if !P_BITS.contains(&bits(p)) || bits(q) != Q_BITS {
            return Err(CryptoError::BadKey(
                "a DSA key has p of 1024 to 3072 bits and q of 160",
            ));
        }
        if bits(g) > bits(p) || bits(y) > bits(p) {
            return Err(BAD_NUMBERS);
        }
        let modulo_p = modulus(p)?;
        let modulo_q = modulus(q)?;
        let q = modulo_q.modulus().as_ref().clone();
        // q divides p - 1.
        let order = modulo_p.modulus().as_ref().wrapping_sub(BoxedUint::one());
        if !bool::from(order.rem(modulo_q.modulus().as_nz_ref()).is_zero()) {
            return Err(BAD_NUMBERS);
        }
        // Members of the subgroup of order q, and neither of them 1 or less.
        let member = |number: &[u8]| {
            let number = BoxedUint::from_be_slice(number, modulo_p.bits_precision())
                .map_err(|_| BAD_NUMBERS)?;
            let less = number.cmp_vartime(modulo_p.modulus().as_ref()).is_lt();
            if !less || number.cmp_vartime(BoxedUint::one()).is_le() {
                return Err(BAD_NUMBERS);
            }
            let number = BoxedMontyForm::new(number, &modulo_p);
            if bool::from(number.pow_bounded_exp(&q, Q_BITS).retrieve().is_one()) {
                Ok(number)
            } else {
                Err(BAD_NUMBERS)
            }
        };
        let (g, y) = (member(g)?, member(y)?);
        Ok(Self { modulo_q, g, y })
    }

    /// FIPS 186-4 §4.7.
    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        const BAD: CryptoError = CryptoError::BadSignature;
        let signature: &[u8; 2 * Q_LEN] = signature.try_into().map_err(|_| BAD)?;
        let (r, s) = signature.split_at(Q_LEN);
        let q = self.modulo_q.modulus().as_ref();
        let in_range = |bytes| {
            let number =
                BoxedUint::from_be_slice(bytes, self.modulo_q.bits_precision()).map_err(|_| BAD)?;
            let zero = bool::from(number.is_zero());
            if zero || number.cmp_vartime(q).is_ge() {
                return Err(BAD);
            }
            Ok(number)
        };
        let (r, s) = (in_range(r)?, in_range(s)?);
        let w = self.inverse(&BoxedMontyForm::new(s, &self.modulo_q));
        let u1 = w.mul(&self.hash(data)).retrieve();
        let u2 = w
            .mul(&BoxedMontyForm::new(r.clone(), &self.modulo_q))
            .retrieve();
        let power = self
            .g
            .pow_bounded_exp(&u1, Q_BITS)
            .mul(&self.y.pow_bounded_exp(&u2, Q_BITS));
        let v = power.retrieve().rem(self.modulo_q.modulus().as_nz_ref());
        if v.cmp_vartime(&r).is_eq() {
            Ok(())
        } else {
            Err(BAD)
        }
    }

    /// The hash as a number modulo q: SHA-1 is as wide as q.
    fn hash(&self, data: &[u8]) -> BoxedMontyForm {
        self.number(&Sha1::digest(data))
    }

    /// Twenty bytes as a number modulo q.
    fn number(&self, bytes: &[u8]) -> BoxedMontyForm {
        let number = BoxedUint::from_be_slice_truncated(bytes, self.modulo_q.bits_precision());
        let reduced = number.rem(self.modulo_q.modulus().as_nz_ref());
        BoxedMontyForm::new(reduced, &self.modulo_q)
    }

    /// The inverse modulo q, which is prime (Fermat): in a time that does not depend on the number.
    fn inverse(&self, number: &BoxedMontyForm) -> BoxedMontyForm {
        let exponent = self
            .modulo_q
            .modulus()
            .as_ref()
            .wrapping_sub(BoxedUint::from(2u8));
        number.pow_bounded_exp(&exponent, Q_BITS)
    }
}

/// A private key that signs.
pub(crate) struct Signer {
    public: Public,
    /// Twenty bytes, below q.
    x: Zeroizing<[u8; Q_LEN]>,
}

impl Signer {
    /// Checks the numbers, and that the halves belong together.
    pub(crate) fn new([p, q, g, y]: [&[u8]; 4], x: &Secret) -> Result<Self, CryptoError> {
        const APART: CryptoError =
            CryptoError::BadKey("the halves of the DSA key do not belong together");
        let public = Public::new(p, q, g, y)?;
        let given = x.expose();
        let missing = Q_LEN.checked_sub(given.len()).ok_or(APART)?;
        let mut x = Zeroizing::new([0; Q_LEN]);
        x.split_at_mut(missing).1.copy_from_slice(given);
        let precision = public.modulo_q.bits_precision();
        let number = Zeroizing::new(BoxedUint::from_be_slice_truncated(&*x, precision));
        let q = public.modulo_q.modulus().as_ref();
        if number.cmp_vartime(q).is_ge() {
            return Err(APART);
        }
        let derived = public.g.pow_bounded_exp(&number, Q_BITS).retrieve();
        if derived.cmp_vartime(public.y.retrieve()).is_ne() {
            return Err(APART);
        }
        Ok(Self { public, x })
    }

    /// FIPS 186-4 §4.6: r and s, each of twenty bytes.
    pub(crate) fn sign(&self, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let public = &self.public;
        let hash = public.hash(data);
        let nonce =
            Nonces::new(&*self.x, &twenty(&hash.retrieve())).next_below(&public.modulo_q)?;
        let power = public.g.pow_bounded_exp(&nonce, Q_BITS).retrieve();
        let r = power.rem(public.modulo_q.modulus().as_nz_ref());
        let inverse = Zeroizing::new(public.inverse(&Zeroizing::new(BoxedMontyForm::new(
            (*nonce).clone(),
            &public.modulo_q,
        ))));
        let x = Zeroizing::new(public.number(&*self.x));
        let of_x = Zeroizing::new(x.mul(&BoxedMontyForm::new(r.clone(), &public.modulo_q)));
        let s = inverse.mul(&of_x.add(&hash)).retrieve();
        let signature = [twenty(&r), twenty(&s)].concat();
        match public.verify(data, &signature) {
            Ok(()) => Ok(signature),
            Err(_) => Err(CryptoError::Failed(
                "a DSA signature came out wrong and was withheld",
            )),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dsa(..)")
    }
}

/// The generator of RFC 6979 §3.2 with HMAC-SHA-1, for q of exactly 160 bits.
struct Nonces {
    key: Zeroizing<[u8; Q_LEN]>,
    value: Zeroizing<[u8; Q_LEN]>,
}

impl Nonces {
    /// Steps a to g, from the private key and the hash reduced modulo q.
    fn new(x: &[u8], hash: &[u8]) -> Self {
        let mut this = Self {
            key: Zeroizing::new([0; Q_LEN]),
            value: Zeroizing::new([1; Q_LEN]),
        };
        for separator in [0, 1] {
            this.key = this.code(&[&*this.value, &[separator], x, hash]);
            this.value = this.code(&[&*this.value]);
        }
        this
    }

    /// Step h.
    fn next_below(&mut self, q: &BoxedMontyParams) -> Result<Zeroizing<BoxedUint>, CryptoError> {
        // One try in two at the very worst fails; a hundred in a row do not.
        for _ in 0..100 {
            self.value = self.code(&[&*self.value]);
            let precision = q.bits_precision();
            let number =
                Zeroizing::new(BoxedUint::from_be_slice_truncated(&*self.value, precision));
            let zero = bool::from(number.is_zero());
            if !zero && number.cmp_vartime(q.modulus().as_ref()).is_lt() {
                return Ok(number);
            }
            self.key = self.code(&[&*self.value, &[0]]);
            self.value = self.code(&[&*self.value]);
        }
        Err(CryptoError::Failed("no nonce below q was found"))
    }

    fn code(&self, parts: &[&[u8]]) -> Zeroizing<[u8; Q_LEN]> {
        let mut code = Hmac::<Sha1>::new_from_slice(&*self.key).expect("HMAC takes any key");
        parts.iter().for_each(|part| code.update(part));
        Zeroizing::new(code.finalize().into_bytes().into())
    }
}

fn modulus(bytes: &[u8]) -> Result<BoxedMontyParams, CryptoError> {
    let odd = BoxedUint::from_be_slice_vartime(bytes).to_odd();
    let odd = odd.into_option().ok_or(BAD_NUMBERS)?;
    Ok(BoxedMontyParams::new_vartime(odd))
}

/// A number below q at its width.
fn twenty(number: &BoxedUint) -> [u8; Q_LEN] {
    let bytes = Zeroizing::new(number.to_be_bytes().into_vec());
    let mut out = [0; Q_LEN];
    for (to, from) in out.iter_mut().rev().zip(bytes.iter().rev()) {
        *to = *from;
    }
    out
}
