//! RSA as both providers need it (RFC 8017): the numbers of a private key checked against each other,
//! and those computed that OpenSSH's files leave out. Signing itself is each provider's own.

use crate::encoding::RsaPublic;
use crypto_bigint::{BoxedUint, ConcatenatingMul};
use sansftp_proto::crypto::{CryptoError, Secret};
use zeroize::Zeroizing;

/// The private numbers in the form that the Chinese remainder theorem wants (RFC 8017 §3.2), all at
/// one precision so that no timing tells their lengths.
pub(crate) struct CrtNumbers {
    pub(crate) p: Zeroizing<BoxedUint>,
    pub(crate) q: Zeroizing<BoxedUint>,
    /// d mod (p - 1).
    pub(crate) dp: Zeroizing<BoxedUint>,
    /// d mod (q - 1).
    pub(crate) dq: Zeroizing<BoxedUint>,
    /// q⁻¹ mod p.
    pub(crate) qinv: Zeroizing<BoxedUint>,
}

/// The numbers of a private key as a file gives them.
pub(crate) struct RsaPrivate<'a> {
    pub(crate) public: RsaPublic<'a>,
    pub(crate) d: &'a [u8],
    pub(crate) p: &'a [u8],
    pub(crate) q: &'a [u8],
    pub(crate) iqmp: &'a [u8],
}

impl<'a> RsaPrivate<'a> {
    /// Checks the public half and strips leading zeros, which files of other tools have.
    pub(crate) fn new(
        n: &'a [u8],
        e: &'a [u8],
        secrets: [&'a Secret; 4],
    ) -> Result<Self, CryptoError> {
        let public = RsaPublic::check(without_zeros(n), without_zeros(e))?;
        Ok(Self::with(public, secrets))
    }

    /// The same for keys from 1024 bits.
    #[cfg(feature = "legacy")]
    pub(crate) fn new_short(
        n: &'a [u8],
        e: &'a [u8],
        secrets: [&'a Secret; 4],
    ) -> Result<Self, CryptoError> {
        let public = RsaPublic::check_short(without_zeros(n), without_zeros(e))?;
        Ok(Self::with(public, secrets))
    }

    fn with(public: RsaPublic<'a>, secrets: [&'a Secret; 4]) -> Self {
        let [d, p, q, iqmp] = secrets.map(|it| without_zeros(it.expose()));
        Self {
            public,
            d,
            p,
            q,
            iqmp,
        }
    }

    /// Checks that the numbers belong together, so that no signature is ever computed with numbers
    /// that would give the primes away: p·q = n, e·d = 1 modulo p - 1 and q - 1, and q·q⁻¹ = 1
    /// modulo p.
    pub(crate) fn crt(&self) -> Result<CrtNumbers, CryptoError> {
        let n_len = self.public.n.len();
        let half_len = self.p.len().max(self.q.len());
        // So that nothing is computed with numbers of absurd length; what passes here is at most
        // twice too long.
        if half_len >= n_len || self.d.len() > n_len || self.iqmp.len() > half_len {
            return Err(APART);
        }
        let p = number(self.p, half_len);
        let q = number(self.q, half_len);
        let product = Zeroizing::new(p.concatenating_mul(&*q));
        if product.to_be_bytes_trimmed_vartime().as_ref() != self.public.n {
            return Err(APART);
        }
        let d = number(self.d, n_len);
        let dp = self.reduced_exponent(&d, &p)?;
        let dq = self.reduced_exponent(&d, &q)?;
        let qinv = number(self.iqmp, half_len);
        let product = Zeroizing::new(qinv.concatenating_mul(&*q));
        if qinv.cmp_vartime(&*p).is_ge() || !is_one_modulo(&product, &p)? {
            return Err(APART);
        }
        Ok(CrtNumbers { p, q, dp, dq, qinv })
    }

    /// d mod (prime - 1), which must be the inverse of e.
    fn reduced_exponent(
        &self,
        d: &BoxedUint,
        prime: &BoxedUint,
    ) -> Result<Zeroizing<BoxedUint>, CryptoError> {
        let order = Zeroizing::new(prime.wrapping_sub(BoxedUint::one()));
        let modulus = Zeroizing::new(order.to_nz().into_option().ok_or(APART)?);
        let reduced = Zeroizing::new(d.rem(&*modulus));
        let product = Zeroizing::new(
            reduced.concatenating_mul(BoxedUint::from_be_slice_vartime(self.public.e)),
        );
        if is_one_modulo(&product, &order)? {
            Ok(reduced)
        } else {
            Err(APART)
        }
    }
}

const APART: CryptoError = CryptoError::BadKey("the numbers of the RSA key do not fit together");

fn is_one_modulo(number: &BoxedUint, modulus: &BoxedUint) -> Result<bool, CryptoError> {
    let modulus = Zeroizing::new(modulus.to_nz().into_option().ok_or(APART)?);
    Ok(Zeroizing::new(number.rem(&*modulus)).is_one().to_bool())
}

/// A number at the precision of `len` bytes; the caller has checked that it is not longer.
fn number(bytes: &[u8], len: usize) -> Zeroizing<BoxedUint> {
    let bits = u32::try_from(len * 8).expect("RSA numbers have at most 8192 bits");
    Zeroizing::new(BoxedUint::from_be_slice_truncated(bytes, bits))
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    bytes.split_at(zeros).1
}
