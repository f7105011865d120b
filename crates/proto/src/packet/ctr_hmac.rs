//! Framing of a stream cipher, or one in CBC mode, with a MAC: encrypt-and-MAC (RFC 4253 §6.4) and encrypt-then-MAC
//! (OpenSSH's PROTOCOL §1.5).

use super::decode::length_field;
use crate::crypto::{CryptoError, Mac, OpenPacket, SealPacket, StreamCipher, Unauthenticated};

/// A stream cipher and a MAC, and the lengths that framing needs.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) cipher: Box<dyn StreamCipher>,
    pub(super) mac: Box<dyn Mac>,
    pub(super) block_len: usize,
    pub(super) tag_len: usize,
    pub(super) is_cbc: bool,
}

/// The MAC is taken over the plaintext; the length is encrypted with the rest.
#[derive(Debug)]
pub(super) struct EncryptAndMac(pub(super) Parts);

/// The MAC is taken over the length in clear and the ciphertext, and checked first.
#[derive(Debug)]
pub(super) struct EncryptThenMac(pub(super) Parts);

impl Parts {
    /// Body and tag of a packet; the core only passes packets that have both.
    fn split<'p>(&self, packet: &'p mut [u8]) -> Option<(&'p mut [u8], &'p mut [u8])> {
        packet.split_at_mut_checked(packet.len().checked_sub(self.tag_len)?)
    }
}

const NO_ROOM: CryptoError = CryptoError::Failed("packet shorter than its framing");

impl SealPacket for EncryptAndMac {
    fn tag_len(&self) -> usize {
        self.0.tag_len
    }

    fn block_len(&self) -> usize {
        self.0.block_len
    }

    fn length_is_padded(&self) -> bool {
        true
    }

    fn seal(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), CryptoError> {
        let (body, tag) = self.0.split(packet).ok_or(NO_ROOM)?;
        self.0.mac.sign(seq, body, tag);
        self.0.cipher.apply(body);
        Ok(())
    }
}

impl OpenPacket for EncryptAndMac {
    fn tag_len(&self) -> usize {
        self.0.tag_len
    }

    fn block_len(&self) -> usize {
        self.0.block_len
    }

    fn length_is_padded(&self) -> bool {
        true
    }

    fn prefix_len(&self) -> usize {
        self.0.block_len
    }

    fn packet_len(&mut self, _seq: u32, prefix: &mut [u8]) -> u32 {
        self.0.cipher.apply(prefix);
        length_field(prefix)
    }

    fn hides_what_was_wrong(&self) -> bool {
        self.0.is_cbc
    }

    fn open(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), Unauthenticated> {
        let (body, tag) = self.0.split(packet).ok_or(Unauthenticated)?;
        // The first block was decrypted to learn the length.
        let rest = body.get_mut(self.0.block_len..).ok_or(Unauthenticated)?;
        self.0.cipher.apply(rest);
        self.0.mac.verify(seq, body, tag)
    }
}

impl SealPacket for EncryptThenMac {
    fn tag_len(&self) -> usize {
        self.0.tag_len
    }

    fn block_len(&self) -> usize {
        self.0.block_len
    }

    fn length_is_padded(&self) -> bool {
        false
    }

    fn seal(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), CryptoError> {
        let (body, tag) = self.0.split(packet).ok_or(NO_ROOM)?;
        self.0.cipher.apply(body.get_mut(4..).ok_or(NO_ROOM)?);
        self.0.mac.sign(seq, body, tag);
        Ok(())
    }
}

impl OpenPacket for EncryptThenMac {
    fn tag_len(&self) -> usize {
        self.0.tag_len
    }

    fn block_len(&self) -> usize {
        self.0.block_len
    }

    fn length_is_padded(&self) -> bool {
        false
    }

    fn prefix_len(&self) -> usize {
        4
    }

    fn packet_len(&mut self, _seq: u32, prefix: &mut [u8]) -> u32 {
        length_field(prefix)
    }

    fn open(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), Unauthenticated> {
        let (body, tag) = self.0.split(packet).ok_or(Unauthenticated)?;
        let verified = self.0.mac.verify(seq, body, tag);
        #[cfg(sansftp_bugs)]
        let verified = if crate::bugs::seeded("mac-unchecked") {
            Ok(())
        } else {
            verified
        };
        verified?;
        self.0
            .cipher
            .apply(body.get_mut(4..).ok_or(Unauthenticated)?);
        Ok(())
    }
}
