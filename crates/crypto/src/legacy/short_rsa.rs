//! Private RSA keys below the 2048 bits that every provider signs with: in pure Rust in both, because ring
//! has none so short.

use crate::encoding::{RSA_ALGORITHMS, RSA_SHA2_512, SSH_RSA};
use crate::pkcs1::{self, Digest};
use crate::rsa::RsaPrivate;
use sansftp_proto::crypto::{
    CryptoError, KeyLoader, PrivateKey, PublicKey, SecureRandom, SigningKey,
};
use std::sync::Arc;

/// Loads RSA keys of 1024 to 2047 bits, and leaves every other key to whoever did so before.
#[derive(Debug)]
pub(super) struct Loader(pub(super) Arc<dyn KeyLoader>);

impl KeyLoader for Loader {
    fn load(&self, key: &PrivateKey) -> Result<Arc<dyn SigningKey>, CryptoError> {
        let PrivateKey::Rsa {
            n,
            e,
            d,
            p,
            q,
            iqmp,
        } = key
        else {
            return self.0.load(key);
        };
        if RsaPrivate::new(n, e, [d, p, q, iqmp]).is_ok() {
            return self.0.load(key);
        }
        let numbers = RsaPrivate::new_short(n, e, [d, p, q, iqmp])?;
        Ok(Arc::new(Key {
            public: key.public_key(),
            signer: pkcs1::Signer::new(&numbers)?,
        }))
    }
}

#[derive(Debug)]
struct Key {
    public: PublicKey,
    signer: pkcs1::Signer,
}

impl SigningKey for Key {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn algorithms(&self) -> &'static [&'static str] {
        RSA_ALGORITHMS
    }

    /// Signs. `random` is not used: the signature follows from key and data alone (RFC 8017 §8.2).
    fn sign(
        &self,
        algorithm: &str,
        data: &[u8],
        _random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, CryptoError> {
        if !RSA_ALGORITHMS.contains(&algorithm) {
            return Err(CryptoError::Unsupported(
                "a signature algorithm of another type of key",
            ));
        }
        let digest = match algorithm {
            RSA_SHA2_512 => Digest::Sha512,
            SSH_RSA => Digest::Sha1,
            _ => Digest::Sha256,
        };
        self.signer.sign(digest, data)
    }
}
