//! Message authentication codes (RFC 4253 §6.4, RFC 6668) and when they are taken.

use super::CryptoError;
use super::cipher::Unauthenticated;
use std::fmt::Debug;

/// What the code is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacMode {
    /// Over the plaintext packet, length included (RFC 4253 §6.4).
    EncryptAndMac,
    /// Over the length in clear and the ciphertext (OpenSSH's PROTOCOL §1.5).
    EncryptThenMac,
}

/// A MAC as negotiated by name.
pub trait MacAlgorithm: Debug + Send + Sync {
    /// The name in KEXINIT.
    fn name(&self) -> &'static str;
    /// What the code is taken over.
    fn mode(&self) -> MacMode;
    /// Length of the key in bytes.
    fn key_len(&self) -> usize;
    /// Length of the code in bytes.
    fn tag_len(&self) -> usize;
    /// One direction's code.
    ///
    /// # Errors
    /// [`CryptoError::Failed`] when the key has the wrong length.
    fn start(&self, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError>;
}

/// One direction of a MAC under way; keeps no state from packet to packet.
pub trait Mac: Debug + Send {
    /// Writes the code over `seq ‖ data` to `tag`, which has [`MacAlgorithm::tag_len`] bytes.
    fn sign(&self, seq: u32, data: &[u8], tag: &mut [u8]);
    /// Compares in constant time.
    ///
    /// # Errors
    /// [`Unauthenticated`] when `tag` is not the code over `seq ‖ data`.
    fn verify(&self, seq: u32, data: &[u8], tag: &[u8]) -> Result<(), Unauthenticated>;
}
