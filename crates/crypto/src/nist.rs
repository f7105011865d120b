//! What key exchange and key generation both need of the curves of NIST (RFC 5656 §10.1): a private
//! scalar from injected randomness.

use p256::elliptic_curve::bigint::BitOps;
use p256::elliptic_curve::{Curve, CurveArithmetic, FieldBytes, SecretKey};
use sansftp_proto::crypto::{CryptoError, SecureRandom};
use zeroize::Zeroizing;

/// A uniform scalar in `[1, n)` by rejection (FIPS 186-5 A.2.2): no bias, unlike reduction.
pub(crate) fn random_scalar<C: CurveArithmetic>(
    random: &dyn SecureRandom,
) -> Result<SecretKey<C>, CryptoError> {
    // As many bits as the order has: the 66 bytes of P-521 have seven more.
    let bits = C::ORDER.as_ref().bits_vartime();
    let top = u8::MAX >> (bits.wrapping_neg() % 8);
    // One try in 2^32 fails on P-256, one in 2^194 on P-384 and in 2^262 on P-521: a generator that
    // fails eight is broken.
    for _ in 0..8 {
        let mut bytes = Zeroizing::new(FieldBytes::<C>::default());
        random.fill(&mut bytes)?;
        if let Some(first) = bytes.first_mut() {
            *first &= top;
        }
        if let Ok(scalar) = SecretKey::from_bytes(&bytes) {
            return Ok(scalar);
        }
    }
    Err(CryptoError::Random)
}

/// Bytes of an uncompressed point: its tag and two coordinates (SEC 1 §2.3.3).
pub(crate) fn uncompressed_len<C: Curve>() -> usize {
    1 + 2 * FieldBytes::<C>::default().len()
}

/// The tag of an uncompressed point (SEC 1 §2.3.3).
pub(crate) const UNCOMPRESSED: u8 = 4;
