//! What the core needs of cryptography: traits only.
//!
//! A provider is a value, a struct of tables, built by whoever has the algorithms; nothing here
//! computes anything. Order in a table is preference.

#![cfg_attr(
    not(test),
    expect(
        clippy::exhaustive_enums,
        clippy::exhaustive_structs,
        reason = "what a provider is made of: whoever builds one must be told of a new part"
    )
)]

mod certificate;
mod cipher;
mod compression;
mod kex;
mod mac;
mod secret;
mod signature;

pub use certificate::{CERTIFICATE, Certified, certificate_algorithm, split_certificate};
pub use cipher::{
    AeadAlgorithm, Cipher, OpenPacket, SealPacket, StreamAlgorithm, StreamCipher, Unauthenticated,
};
pub use compression::{Compress, CompressionAlgorithm, Decompress, Undecompressed};
pub use kex::{
    ActiveKex, GroupExchange, GroupSizes, Hash, Kex, KexAlgorithm, NumberEncoding, ServerGroup,
};
pub use mac::{Mac, MacAlgorithm, MacMode};
pub use secret::Secret;
pub use signature::{
    Curve, KeyLoader, PrivateKey, PublicKey, SignatureAlgorithm, SigningKey, split_signature,
    write_signature,
};

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::sync::Arc;

/// Everything cryptographic that a connection uses. Cheap to clone; compose two by struct update.
#[derive(Debug, Clone)]
pub struct CryptoProvider {
    /// Key exchange methods.
    pub kex: Cow<'static, [Kex]>,
    /// Ciphers, AEAD and stream.
    pub ciphers: Cow<'static, [Cipher]>,
    /// Message authentication codes; used with stream ciphers alone.
    pub macs: Cow<'static, [&'static dyn MacAlgorithm]>,
    /// Signature algorithms that can be verified: for host keys and for users' keys.
    pub signatures: Cow<'static, [&'static dyn SignatureAlgorithm]>,
    /// Turns private keys into things that sign.
    pub keys: Arc<dyn KeyLoader>,
    /// Where cookies, padding and key shares come from.
    pub random: Arc<dyn SecureRandom>,
}

impl CryptoProvider {
    /// The verifier of the signature algorithm `name`.
    pub fn signature(&self, name: &str) -> Option<&'static dyn SignatureAlgorithm> {
        self.signatures.iter().copied().find(|it| it.name() == name)
    }
}

/// A source of unpredictable bytes, from outside so that a run can be repeated from a seed.
pub trait SecureRandom: Debug + Send + Sync {
    /// Fills `out` wholly.
    ///
    /// # Errors
    /// [`CryptoError::Random`] when there is no randomness to be had; the connection then ends.
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError>;
}

/// Why a provider could not do what it was asked. Always fatal to what was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CryptoError {
    /// The system gives no randomness.
    Random,
    /// The peer's key share is not a member of the group, or of the wrong length.
    BadShare,
    /// The peer asks for a group of other sizes than there are, or chose one that is refused.
    BadGroup(&'static str),
    /// A signature does not verify, or is not in the form that its algorithm has.
    BadSignature,
    /// A public or private key does not hold together, or its size is refused.
    BadKey(&'static str),
    /// This provider does not have the algorithm or the size.
    Unsupported(&'static str),
    /// A computation failed that does not fail.
    Failed(&'static str),
}

impl fmt::Display for CryptoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => f.write_str("no randomness to be had from the system"),
            Self::BadShare => f.write_str("the peer's key share is not valid"),
            Self::BadGroup(why) => write!(f, "group refused: {why}"),
            Self::BadSignature => f.write_str("the signature does not verify"),
            Self::BadKey(why) => write!(f, "key refused: {why}"),
            Self::Unsupported(what) => write!(f, "not supported here: {what}"),
            Self::Failed(what) => write!(f, "cryptographic failure: {what}"),
        }
    }
}

impl std::error::Error for CryptoError {}
