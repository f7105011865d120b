//! `ecdsa-sha2-nistp521` (RFC 5656 §3.1) in pure Rust, for both providers: ring does not have the curve.
//!
//! Nonces follow from key and data (RFC 6979): with random ones of 512 bits, reduced, 60 signatures gave
//! keys away elsewhere (CVE-2024-31497).

use crate::encoding::write_ecdsa_signature;
#[cfg(feature = "ring")]
use crate::encoding::{ecdsa_point, ecdsa_signature};
use p521::ecdsa::signature::{Signer as _, Verifier as _};
use sansftp_proto::crypto::{CryptoError, Curve, Secret};
#[cfg(feature = "ring")]
use sansftp_proto::crypto::{PublicKey, SignatureAlgorithm};
use std::fmt;

#[cfg(feature = "ring")]
pub(crate) static ECDSA_P521: EcdsaP521 = EcdsaP521;

#[cfg(feature = "ring")]
#[derive(Debug)]
pub(crate) struct EcdsaP521;

#[cfg(feature = "ring")]
impl SignatureAlgorithm for EcdsaP521 {
    fn name(&self) -> &'static str {
        Curve::P521.key_kind()
    }

    fn key_kind(&self) -> &'static str {
        Curve::P521.key_kind()
    }

    fn verify(&self, key: &PublicKey, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let point = ecdsa_point(key, Curve::P521)?;
        let signature = ecdsa_signature(signature, Curve::P521)?;
        verify(point, data, &signature)
    }
}

/// Verifies `r ‖ s` by an uncompressed point.
pub(crate) fn verify(point: &[u8], data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
    let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point)
        .map_err(|_| CryptoError::BadKey("the point is not on its curve"))?;
    let signature =
        p521::ecdsa::Signature::from_slice(signature).map_err(|_| CryptoError::BadSignature)?;
    key.verify(data, &signature)
        .map_err(|_| CryptoError::BadSignature)
}

/// A private key that signs.
pub(crate) struct Signer(p521::ecdsa::SigningKey);

impl Signer {
    /// Checks that the halves belong together.
    pub(crate) fn new(scalar: &Secret, public: &[u8]) -> Result<Self, CryptoError> {
        const APART: CryptoError =
            CryptoError::BadKey("the halves of the ECDSA key do not belong together");
        if scalar.expose().len() != Curve::P521.field_len() {
            return Err(CryptoError::BadKey(
                "the private scalar is not as wide as its curve",
            ));
        }
        let key = p521::ecdsa::SigningKey::from_slice(scalar.expose()).map_err(|_| APART)?;
        if key.verifying_key().to_sec1_point(false).as_bytes() == public {
            Ok(Self(key))
        } else {
            Err(APART)
        }
    }

    pub(crate) fn sign(&self, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let signature: p521::ecdsa::Signature = self
            .0
            .try_sign(data)
            .map_err(|_| CryptoError::Failed("ECDSA signature not computed"))?;
        Ok(write_ecdsa_signature(&signature.to_bytes()))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P521(..)")
    }
}
