//! Signatures verified by ring, after the common checks of keys and encodings.

use crate::encoding::{
    RSA_SHA2_256, RSA_SHA2_512, RsaPublic, SSH_ED25519, SSH_RSA, ecdsa_point, ecdsa_signature,
    ed25519_key,
};
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use sansftp_proto::crypto::{CryptoError, Curve, PublicKey, SignatureAlgorithm};

pub(super) static ED25519: Ed25519 = Ed25519;
pub(super) static ECDSA_P256: Ecdsa = Ecdsa {
    curve: Curve::P256,
    algorithm: &ECDSA_P256_SHA256_FIXED,
};
pub(super) static ECDSA_P384: Ecdsa = Ecdsa {
    curve: Curve::P384,
    algorithm: &ECDSA_P384_SHA384_FIXED,
};
pub(super) static RSA_SHA256: Rsa = Rsa {
    name: RSA_SHA2_256,
    parameters: &RSA_PKCS1_2048_8192_SHA256,
};
pub(super) static RSA_SHA512: Rsa = Rsa {
    name: RSA_SHA2_512,
    parameters: &RSA_PKCS1_2048_8192_SHA512,
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
        let key = ed25519_key(key)?;
        // ring insists on 64 bytes and on S < L (RFC 8032 §5.1.7).
        UnparsedPublicKey::new(&signature::ED25519, key)
            .verify(data, signature)
            .map_err(|_| CryptoError::BadSignature)
    }
}

/// `ecdsa-sha2-*` (RFC 5656 §3.1).
#[derive(Debug)]
pub(super) struct Ecdsa {
    curve: Curve,
    algorithm: &'static EcdsaVerificationAlgorithm,
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
        UnparsedPublicKey::new(self.algorithm, point)
            .verify(data, &signature)
            .map_err(|_| CryptoError::BadSignature)
    }
}

/// `rsa-sha2-*` (RFC 8332).
#[derive(Debug)]
pub(super) struct Rsa {
    name: &'static str,
    parameters: &'static RsaParameters,
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
        RsaPublicKeyComponents { n: key.n, e: key.e }
            .verify(self.parameters, data, &signature)
            .map_err(|_| CryptoError::BadSignature)
    }
}
