//! Private keys that sign in pure Rust.

#[cfg(feature = "legacy")]
use crate::encoding::SSH_RSA;
use crate::encoding::{RSA_ALGORITHMS, RSA_SHA2_512, SSH_ED25519, write_ecdsa_signature};
#[cfg(feature = "legacy")]
use crate::legacy::{DsaSigner, SSH_DSS};
use crate::rsa::RsaPrivate;
use crate::{nistp521, pkcs1};
use ed25519_dalek::Signer as _;
use sansftp_proto::crypto::{
    CryptoError, Curve, KeyLoader, PrivateKey, PublicKey, Secret, SecureRandom, SigningKey,
};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

#[derive(Debug)]
pub(super) struct Loader;

impl KeyLoader for Loader {
    fn load(&self, key: &PrivateKey) -> Result<Arc<dyn SigningKey>, CryptoError> {
        let (signer, algorithms): (_, &'static [&'static str]) = match key {
            PrivateKey::Ed25519 { seed, public } => (ed25519(seed, public)?, &[SSH_ED25519]),
            PrivateKey::Ecdsa {
                curve: Curve::P256,
                scalar,
                public,
            } => (p256(scalar, public)?, &[const { Curve::P256.key_kind() }]),
            PrivateKey::Ecdsa {
                curve: Curve::P384,
                scalar,
                public,
            } => (p384(scalar, public)?, &[const { Curve::P384.key_kind() }]),
            PrivateKey::Ecdsa {
                curve: Curve::P521,
                scalar,
                public,
            } => {
                let signer = Signer::P521(nistp521::Signer::new(scalar, public)?);
                (signer, &[const { Curve::P521.key_kind() }])
            }
            PrivateKey::Rsa {
                n,
                e,
                d,
                p,
                q,
                iqmp,
            } => {
                let numbers = RsaPrivate::new(n, e, [d, p, q, iqmp])?;
                let signer = Signer::Rsa(Box::new(pkcs1::Signer::new(&numbers)?));
                (signer, RSA_ALGORITHMS)
            }
            #[cfg(feature = "legacy")]
            PrivateKey::Dsa { p, q, g, y, x } => {
                let signer = DsaSigner::new([p, q, g, y], x)?;
                (Signer::Dsa(Box::new(signer)), &[SSH_DSS])
            }
            #[cfg(not(feature = "legacy"))]
            PrivateKey::Dsa { .. } => {
                return Err(CryptoError::Unsupported(
                    "DSA keys without the feature `legacy`",
                ));
            }
        };
        Ok(Arc::new(Key {
            public: key.public_key(),
            algorithms,
            signer,
        }))
    }
}

#[derive(Debug)]
struct Key {
    public: PublicKey,
    algorithms: &'static [&'static str],
    signer: Signer,
}

enum Signer {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(nistp521::Signer),
    Rsa(Box<pkcs1::Signer>),
    #[cfg(feature = "legacy")]
    Dsa(Box<DsaSigner>),
}

impl SigningKey for Key {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn algorithms(&self) -> &'static [&'static str] {
        self.algorithms
    }

    /// Signs. `random` is not used: all of these signatures follow from key and data alone
    /// (RFC 8032, RFC 6979, RFC 8017 §8.2).
    fn sign(
        &self,
        algorithm: &str,
        data: &[u8],
        _random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, CryptoError> {
        if !self.algorithms.contains(&algorithm) {
            return Err(CryptoError::Unsupported(
                "a signature algorithm of another type of key",
            ));
        }
        match &self.signer {
            Signer::Ed25519(key) => Ok(key.sign(data).to_bytes().to_vec()),
            Signer::P256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(data).map_err(not_signed)?;
                Ok(write_ecdsa_signature(&signature.to_bytes()))
            }
            Signer::P384(key) => {
                let signature: p384::ecdsa::Signature = key.try_sign(data).map_err(not_signed)?;
                Ok(write_ecdsa_signature(&signature.to_bytes()))
            }
            Signer::P521(key) => key.sign(data),
            Signer::Rsa(key) => match algorithm {
                RSA_SHA2_512 => key.sign(pkcs1::Digest::Sha512, data),
                #[cfg(feature = "legacy")]
                SSH_RSA => key.sign(pkcs1::Digest::Sha1, data),
                _ => key.sign(pkcs1::Digest::Sha256, data),
            },
            #[cfg(feature = "legacy")]
            Signer::Dsa(key) => key.sign(data),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519(_) => "Ed25519(..)",
            Self::P256(_) => "P256(..)",
            Self::P384(_) => "P384(..)",
            Self::P521(_) => "P521(..)",
            Self::Rsa(_) => "Rsa(..)",
            #[cfg(feature = "legacy")]
            Self::Dsa(_) => "Dsa(..)",
        })
    }
}

const APART: CryptoError = CryptoError::BadKey("the halves of the key do not belong together");

fn ed25519(seed: &Secret, public: &[u8; 32]) -> Result<Signer, CryptoError> {
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(
        seed.expose()
            .try_into()
            .map_err(|_| CryptoError::BadKey("an Ed25519 seed has 32 bytes"))?,
    );
    let key = Box::new(ed25519_dalek::SigningKey::from_bytes(&seed));
    if key.verifying_key().as_bytes() == public {
        Ok(Signer::Ed25519(key))
    } else {
        Err(APART)
    }
}

fn p256(scalar: &Secret, public: &[u8]) -> Result<Signer, CryptoError> {
    full_width(scalar, Curve::P256)?;
    let key = p256::ecdsa::SigningKey::from_slice(scalar.expose()).map_err(|_| APART)?;
    let derived = key.verifying_key().to_sec1_point(false);
    if derived.as_bytes() == public {
        Ok(Signer::P256(key))
    } else {
        Err(APART)
    }
}

fn p384(scalar: &Secret, public: &[u8]) -> Result<Signer, CryptoError> {
    full_width(scalar, Curve::P384)?;
    let key = p384::ecdsa::SigningKey::from_slice(scalar.expose()).map_err(|_| APART)?;
    let derived = key.verifying_key().to_sec1_point(false);
    if derived.as_bytes() == public {
        Ok(Signer::P384(key))
    } else {
        Err(APART)
    }
}

fn full_width(scalar: &Secret, curve: Curve) -> Result<(), CryptoError> {
    if scalar.expose().len() == curve.field_len() {
        Ok(())
    } else {
        Err(CryptoError::BadKey(
            "the private scalar is not as wide as its curve",
        ))
    }
}

fn not_signed(_: ed25519_dalek::SignatureError) -> CryptoError {
    CryptoError::Failed("ECDSA signature not computed")
}
