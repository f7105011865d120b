//! Signatures verified in pure Rust, after the common checks of keys and encodings.

use crate::encoding::{
    RSA_SHA2_256, RSA_SHA2_512, RsaPublic, SSH_ED25519, SSH_RSA, ecdsa_point, ecdsa_signature,
    ed25519_key,
};
use crate::{nistp521, pkcs1};
use ed25519_dalek::VerifyingKey;
use p256::ecdsa::signature::Verifier;
use sansftp_proto::crypto::{CryptoError, Curve, PublicKey, SignatureAlgorithm};

pub(super) static ED25519: Ed25519 = Ed25519;
pub(super) static ECDSA_P256: Ecdsa = Ecdsa { curve: Curve::P256 };
pub(super) static ECDSA_P384: Ecdsa = Ecdsa { curve: Curve::P384 };
pub(super) static ECDSA_P521: Ecdsa = Ecdsa { curve: Curve::P521 };
pub(super) static RSA_SHA256: Rsa = Rsa {
    name: RSA_SHA2_256,
    digest: pkcs1::Digest::Sha256,
};
pub(super) static RSA_SHA512: Rsa = Rsa {
    name: RSA_SHA2_512,
    digest: pkcs1::Digest::Sha512,
};

/// `ssh-ed25519` (RFC 8709).
#[derive(Debug)]
pub(super) struct Ed25519;

impl SignatureAlgorithm for Ed25519 {
    fn name(&self) -> &'static str {
        SSH_ED25519
    }

    fn key_kind(&self) -> &'static str {
        SSH_ED25519
    }

    fn verify(&self, key: &PublicKey, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let key = VerifyingKey::from_bytes(&ed25519_key(key)?)
            .expect("the key was decompressed when it was checked");
        let signature = signature
            .try_into()
            .map_err(|_| CryptoError::BadSignature)?;
        // Strict: S < L (RFC 8032 §5.1.7), and no R of small order.
        key.verify_strict(data, &signature)
            .map_err(|_| CryptoError::BadSignature)
    }
}

/// `ecdsa-sha2-*` (RFC 5656 §3.1).
#[derive(Debug)]
pub(super) struct Ecdsa {
    curve: Curve,
}

impl SignatureAlgorithm for Ecdsa {
    fn name(&self) -> &'static str {
        self.curve.key_kind()
    }

    fn key_kind(&self) -> &'static str {
        self.curve.key_kind()
    }

    fn verify(&self, key: &PublicKey, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let point = ecdsa_point(key, self.curve)?;
        let signature = ecdsa_signature(signature, self.curve)?;
        match self.curve {
            Curve::P256 => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(off_curve)?;
                let signature = p256::ecdsa::Signature::from_slice(&signature).map_err(bad)?;
                key.verify(data, &signature).map_err(bad)
            }
            Curve::P384 => {
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(off_curve)?;
                let signature = p384::ecdsa::Signature::from_slice(&signature).map_err(bad)?;
                key.verify(data, &signature).map_err(bad)
            }
            Curve::P521 => nistp521::verify(point, data, &signature),
        }
    }
}

/// `rsa-sha2-*` (RFC 8332).
#[derive(Debug)]
pub(super) struct Rsa {
    name: &'static str,
    digest: pkcs1::Digest,
}

impl SignatureAlgorithm for Rsa {
    fn name(&self) -> &'static str {
        self.name
    }

    fn key_kind(&self) -> &'static str {
        SSH_RSA
    }

    fn verify(&self, key: &PublicKey, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let key = RsaPublic::parse(key)?;
        let signature = key.signature(signature)?;
        pkcs1::verify(&key, self.digest, data, &signature)
    }
}

fn bad(_: p256::ecdsa::Error) -> CryptoError {
    CryptoError::BadSignature
}

fn off_curve(_: p256::ecdsa::Error) -> CryptoError {
    CryptoError::BadKey("the point is not on its curve")
}
