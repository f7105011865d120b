//! Key exchange methods (RFC 4253 §8, RFC 4419, RFC 5656, RFC 8731) and their hashes.

use super::{CryptoError, Secret, SecureRandom};
use std::fmt::Debug;

/// A hash function.
pub trait Hash: Debug + Send + Sync {
    /// Length of the output in bytes.
    fn output_len(&self) -> usize;
    /// The hash of the parts, one behind the other. May be derived key material, hence secret.
    fn digest(&self, parts: &[&[u8]]) -> Secret;
}

/// How a number goes into messages and hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberEncoding {
    /// As `mpint` (RFC 4251 §5).
    MpInt,
    /// As `string`, every byte as it is.
    String,
}

/// A method of either kind.
#[derive(Debug, Clone, Copy)]
pub enum Kex {
    /// The name says what shares are made in: one round trip.
    Shares(&'static dyn KexAlgorithm),
    /// The server says it: two round trips.
    GroupExchange(&'static dyn GroupExchange),
}

impl Kex {
    /// The name in KEXINIT.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Shares(it) => it.name(),
            Self::GroupExchange(it) => it.name(),
        }
    }

    /// The hash of the exchange and of key derivation (RFC 4253 §7.2).
    pub fn hash(&self) -> &'static dyn Hash {
        match self {
            Self::Shares(it) => it.hash(),
            Self::GroupExchange(it) => it.hash(),
        }
    }

    /// How the shared secret goes into the hashes.
    pub fn secret_encoding(&self) -> NumberEncoding {
        match self {
            Self::Shares(it) => it.secret_encoding(),
            Self::GroupExchange(_) => NumberEncoding::MpInt,
        }
    }
}

/// A method whose client sends one share and whose server answers with one.
pub trait KexAlgorithm: Debug + Send + Sync {
    /// The name in KEXINIT.
    fn name(&self) -> &'static str;
    /// The hash of the exchange and of key derivation (RFC 4253 §7.2).
    fn hash(&self) -> &'static dyn Hash;
    /// How shares go over the wire and into the exchange hash: `mpint` for finite fields
    /// (RFC 4253 §8), `string` for curves (RFC 5656 §4).
    fn share_encoding(&self) -> NumberEncoding;
    /// How the shared secret goes into the hashes: `mpint`, but `string` for hybrids.
    fn secret_encoding(&self) -> NumberEncoding;
    /// The client's half: the share goes out, the secret comes back later.
    ///
    /// # Errors
    /// [`CryptoError::Random`] or [`CryptoError::Failed`].
    fn start(&self, random: &dyn SecureRandom) -> Result<Box<dyn ActiveKex>, CryptoError>;
    /// The server's half, in one step because hybrids need the client's share to make theirs:
    /// our share and the secret.
    ///
    /// # Errors
    /// [`CryptoError::BadShare`] when the client's share is not valid.
    fn respond(
        &self,
        client_share: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Secret), CryptoError>;
}

/// A client's exchange under way.
pub trait ActiveKex: Debug + Send {
    /// Our share; for [`NumberEncoding::MpInt`] a big-endian magnitude.
    fn share(&self) -> &[u8];
    /// The shared secret; for [`NumberEncoding::MpInt`] a big-endian magnitude.
    ///
    /// # Errors
    /// [`CryptoError::BadShare`] when the server's share is not valid.
    fn finish(self: Box<Self>, server_share: &[u8]) -> Result<Secret, CryptoError>;
}

/// What a client asks of a group (RFC 4419 §3), in bits of its prime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupSizes {
    /// The least that it takes.
    pub min: u32,
    /// What it would like best.
    pub preferred: u32,
    /// The most that it takes.
    pub max: u32,
}

/// A method whose server chooses the field that shares are numbers of (RFC 4419). Shares and secret are
/// `mpint`.
pub trait GroupExchange: Debug + Send + Sync {
    /// The name in KEXINIT.
    fn name(&self) -> &'static str;
    /// The hash of the exchange and of key derivation (RFC 4253 §7.2).
    fn hash(&self) -> &'static dyn Hash;
    /// What the client asks for.
    fn sizes(&self) -> GroupSizes;
    /// The client's half in the group that the server chose, by its prime and its generator as
    /// big-endian magnitudes.
    ///
    /// # Errors
    /// [`CryptoError::BadGroup`] when the prime is not of the sizes asked for, or the group is not what
    /// a group must be; [`CryptoError::Random`].
    fn start(
        &self,
        prime: &[u8],
        generator: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Box<dyn ActiveKex>, CryptoError>;
    /// The server's choice for what a client asks.
    ///
    /// # Errors
    /// [`CryptoError::BadGroup`] when there is no group between these bounds.
    fn choose(&self, asked: GroupSizes) -> Result<&'static dyn ServerGroup, CryptoError>;
}

/// A group that a server has chosen.
pub trait ServerGroup: Debug + Send + Sync {
    /// Its prime, as a big-endian magnitude.
    fn prime(&self) -> &[u8];
    /// Its generator, as a big-endian magnitude.
    fn generator(&self) -> &[u8];
    /// The server's half: our share and the secret.
    ///
    /// # Errors
    /// [`CryptoError::BadShare`] when the client's share is not valid.
    fn respond(
        &self,
        client_share: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Secret), CryptoError>;
}
