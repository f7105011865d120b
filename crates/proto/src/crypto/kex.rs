//! Key exchange methods (RFC 4253 §8, RFC 5656, RFC 8731) and their hashes.

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
