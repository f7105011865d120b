//! New key pairs, from injected randomness. Writing them to files is another crate's work.

use crate::nist::random_scalar;
use ed25519_dalek::SigningKey;
use p256::NistP256;
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize};
use p384::NistP384;
use p521::NistP521;
use sansftp_proto::crypto::{CryptoError, Curve, PrivateKey, Secret, SecureRandom};
use zeroize::Zeroizing;

/// A new Ed25519 key pair (RFC 8032 §5.1.5).
///
/// # Errors
/// [`CryptoError::Random`] when there is no randomness to be had.
pub fn generate_ed25519(random: &dyn SecureRandom) -> Result<PrivateKey, CryptoError> {
    let mut seed = Zeroizing::new([0; 32]);
    random.fill(&mut *seed)?;
    let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
    Ok(PrivateKey::Ed25519 {
        seed: Secret::from(seed.as_slice()),
        public,
    })
}

/// A new ECDSA key pair (FIPS 186-5 A.2.2).
///
/// # Errors
/// [`CryptoError::Random`] when there is no randomness to be had.
pub fn generate_ecdsa(curve: Curve, random: &dyn SecureRandom) -> Result<PrivateKey, CryptoError> {
    let (scalar, public) = match curve {
        Curve::P256 => key_pair::<NistP256>(random)?,
        Curve::P384 => key_pair::<NistP384>(random)?,
        Curve::P521 => key_pair::<NistP521>(random)?,
    };
    Ok(PrivateKey::Ecdsa {
        curve,
        scalar,
        public,
    })
}

fn key_pair<C>(random: &dyn SecureRandom) -> Result<(Secret, Vec<u8>), CryptoError>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
{
    let scalar = random_scalar::<C>(random)?;
    let public = scalar
        .public_key()
        .as_affine()
        .to_sec1_point(false)
        .as_bytes()
        .to_vec();
    let bytes = Zeroizing::new(scalar.to_bytes());
    Ok((Secret::from(bytes.as_slice()), public))
}
