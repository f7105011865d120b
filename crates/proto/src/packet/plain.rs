//! The "none" cipher (RFC 4253 §6.3): what is spoken before the first NEWKEYS.

use crate::crypto::{CryptoError, OpenPacket, SealPacket, Unauthenticated};

/// Neither encrypts nor authenticates.
#[derive(Debug)]
pub(super) struct Plain;

impl SealPacket for Plain {
    fn tag_len(&self) -> usize {
        0
    }

    fn block_len(&self) -> usize {
        8
    }

    fn length_is_padded(&self) -> bool {
        true
    }

    fn seal(&mut self, _seq: u32, _packet: &mut [u8]) -> Result<(), CryptoError> {
        Ok(())
    }
}

impl OpenPacket for Plain {
    fn tag_len(&self) -> usize {
        0
    }

    fn block_len(&self) -> usize {
        8
    }

    fn length_is_padded(&self) -> bool {
        true
    }

    fn prefix_len(&self) -> usize {
        4
    }

    fn packet_len(&mut self, _seq: u32, prefix: &mut [u8]) -> u32 {
        super::decode::length_field(prefix)
    }

    fn open(&mut self, _seq: u32, _packet: &mut [u8]) -> Result<(), Unauthenticated> {
        Ok(())
    }
}
