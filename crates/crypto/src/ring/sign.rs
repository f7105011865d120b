//! Private keys that sign by ring.

#[cfg(feature = "legacy")]
use crate::encoding::SSH_RSA;
use crate::encoding::{
    RSA_ALGORITHMS, RSA_SHA2_512, RsaPublic, SSH_ED25519, write_ecdsa_signature,
};
#[cfg(feature = "legacy")]
use crate::legacy::{DsaSigner, SSH_DSS};
use crate::nistp521;
#[cfg(feature = "legacy")]
use crate::pkcs1;
use crate::rsa::{CrtNumbers, RsaPrivate};
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
};
use sansftp_proto::crypto::{
    CryptoError, Curve, KeyLoader, PrivateKey, PublicKey, Secret, SecureRandom, SigningKey,
};
use std::sync::Arc;
use zeroize::Zeroizing;

#[derive(Debug)]
pub(super) struct Loader;

impl KeyLoader for Loader {
    fn load(&self, key: &PrivateKey) -> Result<Arc<dyn SigningKey>, CryptoError> {
        let (signer, algorithms): (_, &'static [&'static str]) = match key {
            PrivateKey::Ed25519 { seed, public } => (ed25519(seed, public)?, &[SSH_ED25519]),
            PrivateKey::Ecdsa {
                curve: Curve::P521,
                scalar,
                public,
            } => {
                let signer = nistp521::Signer::new(scalar, public)?;
                (Signer::P521(signer), &[const { Curve::P521.key_kind() }])
            }
            PrivateKey::Ecdsa {
                curve,
                scalar,
                public,
            } => ecdsa(*curve, scalar, public)?,
            PrivateKey::Rsa {
                n,
                e,
                d,
                p,
                q,
                iqmp,
            } => {
                let numbers = RsaPrivate::new(n, e, [d, p, q, iqmp])?;
                (rsa(&numbers)?, RSA_ALGORITHMS)
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

#[derive(Debug)]
enum Signer {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    P521(nistp521::Signer),
    Rsa(RsaSigner),
    #[cfg(feature = "legacy")]
    Dsa(Box<DsaSigner>),
}

#[derive(Debug)]
struct RsaSigner {
    pair: Box<RsaKeyPair>,
    /// ring does not sign over SHA-1.
    #[cfg(feature = "legacy")]
    sha1: Box<pkcs1::Signer>,
}

impl SigningKey for Key {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn algorithms(&self) -> &'static [&'static str] {
        self.algorithms
    }

    /// Signs. `random` is not used: Ed25519 and RSA need none, and ring takes no other than its own.
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
            Signer::Ed25519(key) => Ok(key.sign(data).as_ref().to_vec()),
            Signer::Ecdsa(key) => {
                let fixed = key
                    .sign(&SystemRandom::new(), data)
                    .map_err(|_| CryptoError::Random)?;
                Ok(write_ecdsa_signature(fixed.as_ref()))
            }
            Signer::P521(key) => key.sign(data),
            #[cfg(feature = "legacy")]
            Signer::Dsa(key) => key.sign(data),
            #[cfg(feature = "legacy")]
            Signer::Rsa(key) if algorithm == SSH_RSA => key.sha1.sign(pkcs1::Digest::Sha1, data),
            Signer::Rsa(RsaSigner { pair: key, .. }) => {
                let padding = match algorithm {
                    RSA_SHA2_512 => &RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public().modulus_len()];
                // ring verifies what it has computed before it hands it out.
                key.sign(padding, &SystemRandom::new(), data, &mut signature)
                    .map_err(|_| CryptoError::Failed("RSA signature not computed"))?;
                Ok(signature)
            }
        }
    }
}

fn ed25519(seed: &Secret, public: &[u8; 32]) -> Result<Signer, CryptoError> {
    Ed25519KeyPair::from_seed_and_public_key(seed.expose(), public)
        .map(Signer::Ed25519)
        .map_err(|_| CryptoError::BadKey("the halves of the Ed25519 key do not belong together"))
}

fn ecdsa(
    curve: Curve,
    scalar: &Secret,
    public: &[u8],
) -> Result<(Signer, &'static [&'static str]), CryptoError> {
    let (algorithm, names): (_, &'static [&'static str]) = match curve {
        Curve::P256 => (
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &[const { Curve::P256.key_kind() }],
        ),
        Curve::P384 => (
            &ECDSA_P384_SHA384_FIXED_SIGNING,
            &[const { Curve::P384.key_kind() }],
        ),
        Curve::P521 => return Err(CryptoError::Unsupported("ring has no P-521")),
    };
    EcdsaKeyPair::from_private_key_and_public_key(
        algorithm,
        scalar.expose(),
        public,
        &SystemRandom::new(),
    )
    .map(|pair| (Signer::Ecdsa(pair), names))
    .map_err(|_| CryptoError::BadKey("the halves of the ECDSA key do not belong together"))
}

fn rsa(key: &RsaPrivate<'_>) -> Result<Signer, CryptoError> {
    // ring does not compare d with e, so the numbers are checked before.
    let CrtNumbers { p, q, dp, dq, qinv } = key.crt()?;
    let [p, q, dp, dq, qinv] =
        [p, q, dp, dq, qinv].map(|number| Zeroizing::new(number.to_be_bytes().into_vec()));
    let RsaPublic { n, e } = key.public;
    let pair = RsaKeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents { n, e },
        d: key.d,
        p: p.as_slice(),
        q: q.as_slice(),
        dP: dp.as_slice(),
        dQ: dq.as_slice(),
        qInv: qinv.as_slice(),
    })
    .map_err(|_| {
        CryptoError::Unsupported(
            "ring signs with RSA keys of 2048, 3072 and 4096 bits and exponents from 65537",
        )
    })?;
    Ok(Signer::Rsa(RsaSigner {
        pair: Box::new(pair),
        #[cfg(feature = "legacy")]
        sha1: Box::new(pkcs1::Signer::new(key)?),
    }))
}
