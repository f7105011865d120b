//! Hybrids: a key encapsulation that stands against quantum computers beside X25519, so that either
//! alone keeps the secret (draft-ietf-sshm-mlkem-hybrid-kex §2, RFC 9941 §3).
//!
//! The client sends a public key of the encapsulation and behind it its X25519 share, the server a
//! ciphertext and behind it its own. The two secrets, one behind the other, are hashed into one, which is
//! a `string` and keeps its leading zeros. The encapsulations themselves are beside this file.

mod mlkem;
mod sntrup;

pub(crate) use mlkem::MlKem768;
pub(crate) use sntrup::Sntrup761;

use super::curve25519::{agree, random_secret};
use sansftp_proto::crypto::{
    ActiveKex, CryptoError, Hash, KexAlgorithm, NumberEncoding, Secret, SecureRandom,
};
use std::fmt;
use std::marker::PhantomData;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// The secret that an encapsulation makes.
pub(crate) type Encapsulated = Zeroizing<[u8; 32]>;

/// A key encapsulation.
pub(crate) trait Kem: Send + Sync + 'static {
    /// What opens ciphertexts; wiped when dropped.
    type Private: Send;
    /// Bytes of a public key.
    const PUBLIC_LEN: usize;
    /// Bytes of a ciphertext.
    const CIPHERTEXT_LEN: usize;

    /// A new pair.
    fn generate(random: &dyn SecureRandom) -> Result<(Self::Private, Vec<u8>), CryptoError>;
    /// A ciphertext for whoever has the private half of `public`, and the secret in it.
    fn encapsulate(
        public: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Encapsulated), CryptoError>;
    /// The secret in a ciphertext. A ciphertext that was not made for this key gives a secret that
    /// nobody else has, as both encapsulations prescribe; the signature over the exchange shows it then.
    fn decapsulate(private: &Self::Private, ciphertext: &[u8])
    -> Result<Encapsulated, CryptoError>;
}

/// The method with the encapsulation `K`.
pub(crate) struct Hybrid<K> {
    name: &'static str,
    hash: &'static dyn Hash,
    kem: PhantomData<fn() -> K>,
}

impl<K> Hybrid<K> {
    pub(crate) const fn new(name: &'static str, hash: &'static dyn Hash) -> Self {
        Self {
            name,
            hash,
            kem: PhantomData,
        }
    }
}

impl<K: Kem> KexAlgorithm for Hybrid<K> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn hash(&self) -> &'static dyn Hash {
        self.hash
    }

    fn share_encoding(&self) -> NumberEncoding {
        NumberEncoding::String
    }

    fn secret_encoding(&self) -> NumberEncoding {
        NumberEncoding::String
    }

    fn start(&self, random: &dyn SecureRandom) -> Result<Box<dyn ActiveKex>, CryptoError> {
        let (private, mut share) = K::generate(random)?;
        let secret = random_secret(random)?;
        share.extend_from_slice(PublicKey::from(&secret).as_bytes());
        Ok(Box::new(Exchange::<K> {
            hash: self.hash,
            private,
            secret,
            share,
        }))
    }

    fn respond(
        &self,
        client_share: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Secret), CryptoError> {
        let (public, theirs) = cut(client_share, K::PUBLIC_LEN)?;
        let secret = random_secret(random)?;
        let classical = agree(&secret, theirs)?;
        let (mut share, quantum) = K::encapsulate(public, random)?;
        share.extend_from_slice(PublicKey::from(&secret).as_bytes());
        Ok((share, combine(self.hash, &quantum, &classical)))
    }
}

impl<K> fmt::Debug for Hybrid<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hybrid({})", self.name)
    }
}

struct Exchange<K: Kem> {
    hash: &'static dyn Hash,
    private: K::Private,
    secret: StaticSecret,
    share: Vec<u8>,
}

impl<K: Kem> ActiveKex for Exchange<K> {
    fn share(&self) -> &[u8] {
        &self.share
    }

    fn finish(self: Box<Self>, server_share: &[u8]) -> Result<Secret, CryptoError> {
        let (ciphertext, theirs) = cut(server_share, K::CIPHERTEXT_LEN)?;
        let classical = agree(&self.secret, theirs)?;
        let quantum = K::decapsulate(&self.private, ciphertext)?;
        Ok(combine(self.hash, &quantum, &classical))
    }
}

impl<K: Kem> fmt::Debug for Exchange<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hybrid(..)")
    }
}

/// A share's part of the encapsulation, and what is behind it, whose length the curve looks at.
fn cut(share: &[u8], len: usize) -> Result<(&[u8], &[u8]), CryptoError> {
    share.split_at_checked(len).ok_or(CryptoError::BadShare)
}

/// K = HASH(K_PQ ‖ K_CL).
fn combine(hash: &dyn Hash, quantum: &Encapsulated, classical: &Secret) -> Secret {
    hash.digest(&[quantum.as_slice(), classical.expose()])
}
