//! Ciphers, cut at packet level: SSH has four framings, and some implementations come only as a whole.

use super::CryptoError;
use std::fmt::Debug;

/// A packet did not authenticate. Carries nothing: there is nothing more to say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unauthenticated;

/// Seals one packet in place.
pub trait SealPacket: Debug + Send {
    /// Bytes behind the padding that hold the tag or MAC.
    fn tag_len(&self) -> usize;

    /// What the padded part must be a multiple of; at least 8 (RFC 4253 §6).
    fn block_len(&self) -> usize;

    /// Whether the four length bytes count towards that multiple: yes in plain and
    /// encrypt-and-MAC packets (RFC 4253 §6), no where the length is not encrypted with the rest.
    fn length_is_padded(&self) -> bool;

    /// Seals `length ‖ padding length ‖ payload ‖ padding ‖ room for the tag`.
    ///
    /// # Errors
    /// [`CryptoError::Failed`]; nothing of the packet may then leave.
    fn seal(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), CryptoError>;
}

/// Opens one packet in place.
pub trait OpenPacket: Debug + Send {
    /// Bytes behind the padding that hold the tag or MAC.
    fn tag_len(&self) -> usize;

    /// What the padded part must be a multiple of; at least 8.
    fn block_len(&self) -> usize;

    /// Whether the four length bytes count towards that multiple.
    fn length_is_padded(&self) -> bool;

    /// How many bytes must be there before the length can be told: 4, or a block where the length
    /// is encrypted with what follows it.
    fn prefix_len(&self) -> usize;

    /// Tells `packet_length` from the first [`prefix_len`](Self::prefix_len) bytes. Called exactly
    /// once per packet; may decrypt them in place.
    fn packet_len(&mut self, seq: u32, prefix: &mut [u8]) -> u32;

    /// Whether it must not be seen what was wrong with a packet, its length or its tag: the length is
    /// known before the tag is checked, and was decrypted in a mode that an attacker can ask questions.
    fn hides_what_was_wrong(&self) -> bool {
        false
    }

    /// Checks and decrypts the whole packet, tag included. Nothing of it is looked at before this
    /// says yes.
    ///
    /// # Errors
    /// [`Unauthenticated`] when tag or MAC is wrong.
    fn open(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), Unauthenticated>;
}

/// A cipher as negotiated by name.
#[derive(Debug, Clone, Copy)]
pub enum Cipher {
    /// Encrypts and authenticates; the MAC negotiated beside it is not used.
    Aead(&'static dyn AeadAlgorithm),
    /// Encrypts only; a MAC is needed.
    Stream(&'static dyn StreamAlgorithm),
}

impl Cipher {
    /// The name in KEXINIT.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Aead(it) => it.name(),
            Self::Stream(it) => it.name(),
        }
    }

    /// Length of the key in bytes.
    pub fn key_len(&self) -> usize {
        match self {
            Self::Aead(it) => it.key_len(),
            Self::Stream(it) => it.key_len(),
        }
    }

    /// Length of the initial vector in bytes.
    pub fn iv_len(&self) -> usize {
        match self {
            Self::Aead(it) => it.iv_len(),
            Self::Stream(it) => it.iv_len(),
        }
    }

    /// Bytes after which keys are to be changed.
    pub fn rekey_after(&self) -> u64 {
        match self {
            Self::Aead(it) => it.rekey_after(),
            Self::Stream(it) => it.rekey_after(),
        }
    }
}

/// An authenticated cipher that frames whole packets itself.
pub trait AeadAlgorithm: Debug + Send + Sync {
    /// The name in KEXINIT.
    fn name(&self) -> &'static str;
    /// Length of the key in bytes.
    fn key_len(&self) -> usize;
    /// Length of the initial vector in bytes; 0 where there is none.
    fn iv_len(&self) -> usize;
    /// Bytes after which keys are to be changed (RFC 4344 §3.2, RFC 4253 §9).
    fn rekey_after(&self) -> u64;
    /// The sending half.
    ///
    /// # Errors
    /// [`CryptoError::Failed`] when key or IV has the wrong length.
    fn sealer(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn SealPacket>, CryptoError>;
    /// The receiving half.
    ///
    /// # Errors
    /// [`CryptoError::Failed`] when key or IV has the wrong length.
    fn opener(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn OpenPacket>, CryptoError>;
}

/// A cipher whose state runs on from packet to packet (RFC 4344 §4, RFC 4253 §6.3).
pub trait StreamAlgorithm: Debug + Send + Sync {
    /// The name in KEXINIT.
    fn name(&self) -> &'static str;
    /// Length of the key in bytes.
    fn key_len(&self) -> usize;
    /// Length of the initial vector in bytes.
    fn iv_len(&self) -> usize;
    /// Length of a block in bytes; 16 for AES.
    fn block_len(&self) -> usize;
    /// Bytes after which keys are to be changed (RFC 4344 §3.2).
    fn rekey_after(&self) -> u64;
    /// Whether it is a mode in which whoever decrypts what was put together from recorded blocks, and
    /// shows what became of it, gives plain text away: CBC (RFC 4253 §6.3; CVE-2008-5161).
    fn is_cbc(&self) -> bool {
        false
    }
    /// The encrypting half.
    ///
    /// # Errors
    /// [`CryptoError::Failed`] when key or IV has the wrong length.
    fn encryptor(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError>;
    /// The decrypting half.
    ///
    /// # Errors
    /// [`CryptoError::Failed`] when key or IV has the wrong length.
    fn decryptor(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError>;
}

/// One direction of a stream cipher under way.
pub trait StreamCipher: Debug + Send {
    /// Encrypts or decrypts `data` in place and moves on. Whole blocks only.
    fn apply(&mut self, data: &mut [u8]);
}
