//! The two AEAD framings, as far as they do not depend on who computes: how a packet is cut
//! (RFC 5647 §7.2, draft-ietf-sshm-chacha20-poly1305), the counter of GCM, and the lifetimes.

use sansftp_proto::crypto::CryptoError;

pub(crate) const AES128_GCM: &str = "aes128-gcm@openssh.com";
pub(crate) const AES256_GCM: &str = "aes256-gcm@openssh.com";
pub(crate) const CHACHA20_POLY1305: &str = "chacha20-poly1305@openssh.com";

/// Both AEADs have tags of 16 bytes.
pub(crate) const TAG_LEN: usize = 16;
/// Length of GCM's nonce: four fixed bytes and a counter of eight (RFC 5647 §7.1).
pub(crate) const GCM_IV_LEN: usize = 12;
/// GCM pads to the block of AES (RFC 5647 §7.2).
pub(crate) const GCM_BLOCK_LEN: usize = 16;
/// Two keys of 32 bytes, the one for payloads first.
pub(crate) const CHACHA_KEY_LEN: usize = 64;
/// A stream cipher pads to the least that RFC 4253 §6 allows.
pub(crate) const CHACHA_BLOCK_LEN: usize = 8;

/// 2^32 blocks of 16 bytes (RFC 4344 §3.2 for L = 128).
pub(crate) const REKEY_AFTER_AES: u64 = 64 << 30;
/// RFC 4253 §9's gigabyte: the bound of RFC 4344 §3.2 does not speak of ciphers without blocks.
pub(crate) const REKEY_AFTER_CHACHA: u64 = 1 << 30;

/// RFC 4344 §3.2 asks for much less of blocks of 64 bits, 2^16 of them; RFC 4253 §9's gigabyte is what
/// servers that have no other cipher are used to.
#[cfg(feature = "legacy")]
pub(crate) const REKEY_AFTER_SHORT_BLOCKS: u64 = 1 << 30;

pub(crate) const WRONG_KEY_LEN: CryptoError =
    CryptoError::Failed("key or initial vector of the wrong length");
pub(crate) const TOO_SHORT: CryptoError =
    CryptoError::Failed("packet without room for its length and tag");

/// A packet, cut into what is authenticated alone, what is encrypted, and the tag.
pub(crate) struct Cut<'a> {
    pub(crate) length: &'a mut [u8; 4],
    pub(crate) body: &'a mut [u8],
    pub(crate) tag: &'a mut [u8; TAG_LEN],
}

/// Cuts `length ‖ body ‖ tag`; nothing when the packet is too short for it.
pub(crate) fn cut(packet: &mut [u8]) -> Option<Cut<'_>> {
    let (length, rest) = packet.split_first_chunk_mut()?;
    let (body, tag) = rest.split_last_chunk_mut()?;
    Some(Cut { length, body, tag })
}

/// Cuts `length ‖ body` from `tag`, for where length and body are authenticated as one.
pub(crate) fn cut_tag(packet: &mut [u8]) -> Option<(&mut [u8], &mut [u8; TAG_LEN])> {
    let (sealed, tag) = packet.split_last_chunk_mut()?;
    (sealed.len() >= 4).then_some((sealed, tag))
}

/// Reads a length that travels in clear.
pub(crate) fn clear_len(prefix: &[u8]) -> u32 {
    // A prefix that is too short cannot come from a packet layer that keeps the contract; the largest
    // length of all is refused by any.
    prefix
        .first_chunk()
        .map_or(u32::MAX, |bytes| u32::from_be_bytes(*bytes))
}

/// GCM's nonce: counts packets, not sequence numbers, and starts where the initial vector says
/// (RFC 5647 §7.1).
pub(crate) struct Nonce([u8; GCM_IV_LEN]);

impl Nonce {
    pub(crate) fn new(iv: &[u8]) -> Result<Self, CryptoError> {
        iv.try_into().map(Self).map_err(|_| WRONG_KEY_LEN)
    }

    /// The nonce of this packet; the next call gives the next one. The counter wraps by itself and
    /// alone: it takes 2^64 packets to come round, and keys are changed before 2^32.
    pub(crate) fn advance(&mut self) -> [u8; GCM_IV_LEN] {
        let nonce = self.0;
        let (_, counter) = self.0.split_at_mut(4);
        for byte in counter.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        nonce
    }
}

/// Refuses the packet whose sequence number, which is ChaCha20's nonce, was used under the same key.
#[derive(Debug, Default)]
pub(crate) struct Lifetime {
    sealed: u32,
}

impl Lifetime {
    pub(crate) fn spend(&mut self) -> Result<(), CryptoError> {
        const USED_UP: CryptoError =
            CryptoError::Failed("every sequence number was used once under this key");
        self.sealed = self.sealed.checked_add(1).ok_or(USED_UP)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_of_gcm_wraps_and_leaves_the_fixed_bytes_alone() {
        let mut nonce = Nonce::new(&[7, 7, 7, 7, 255, 255, 255, 255, 255, 255, 255, 254]).unwrap();
        assert_eq!(
            nonce.advance(),
            [7, 7, 7, 7, 255, 255, 255, 255, 255, 255, 255, 254]
        );
        assert_eq!(
            nonce.advance(),
            [7, 7, 7, 7, 255, 255, 255, 255, 255, 255, 255, 255]
        );
        assert_eq!(nonce.advance(), [7, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(nonce.advance(), [7, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_key_of_chacha_dies_before_a_sequence_number_returns() {
        let mut lifetime = Lifetime {
            sealed: u32::MAX - 1,
        };
        assert_eq!(lifetime.spend(), Ok(()));
        assert!(lifetime.spend().is_err());
        assert!(lifetime.spend().is_err());
    }
}
