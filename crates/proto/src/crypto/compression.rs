//! Compression of payloads (RFC 4253 §6.2): traits only, passed in as cryptography is.
//!
//! Only methods that begin behind authentication, as `zlib@openssh.com` does
//! (draft-miller-secsh-compression-delayed): nobody unknown gets to feed a decompressor.

use super::CryptoError;
use bytes::BytesMut;
use std::fmt::Debug;

/// A method of compression that begins behind authentication.
pub trait CompressionAlgorithm: Debug + Send + Sync {
    /// The name in KEXINIT.
    fn name(&self) -> &'static str;
    /// A new stream, for what is sent under new keys.
    fn compressor(&self) -> Box<dyn Compress>;
    /// A new stream, for what is received under new keys.
    fn decompressor(&self) -> Box<dyn Decompress>;
}

/// The sending direction, from one key exchange to the next.
pub trait Compress: Debug + Send {
    /// Appends the compressed payload to `out`, flushed so that it can be read without the next one.
    ///
    /// # Errors
    /// [`CryptoError::Failed`], after which the stream is of no use.
    fn compress(&mut self, payload: &[u8], out: &mut BytesMut) -> Result<(), CryptoError>;
}

/// The receiving direction, from one key exchange to the next.
pub trait Decompress: Debug + Send {
    /// The payload that a packet holds, of at most `ceiling` bytes. The work and the memory are bounded
    /// by the packet's length and the ceiling.
    ///
    /// # Errors
    /// [`Undecompressed`], after which the stream is of no use.
    fn decompress(&mut self, packet: &[u8], ceiling: usize) -> Result<BytesMut, Undecompressed>;
}

/// It is not what the method writes, or longer than the ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecompressed;
