//! The AEADs by ring: AES-GCM (RFC 5647) and ChaCha20-Poly1305 in OpenSSH's framing
//! (draft-ietf-sshm-chacha20-poly1305), which ring offers as a whole.

use crate::framing::{
    AES128_GCM as AES128_GCM_NAME, AES256_GCM as AES256_GCM_NAME, CHACHA_BLOCK_LEN, CHACHA_KEY_LEN,
    CHACHA20_POLY1305 as CHACHA20_POLY1305_NAME, GCM_BLOCK_LEN, GCM_IV_LEN, Lifetime, Nonce,
    REKEY_AFTER_AES, REKEY_AFTER_CHACHA, TAG_LEN, TOO_SHORT, WRONG_KEY_LEN, clear_len, cut,
    cut_tag,
};
use ring::aead::chacha20_poly1305_openssh::{OpeningKey, SealingKey};
use ring::aead::{self, Aad, LessSafeKey, UnboundKey};
use sansftp_proto::crypto::{AeadAlgorithm, CryptoError, OpenPacket, SealPacket, Unauthenticated};
use std::fmt;

pub(super) static AES128_GCM: AesGcm = AesGcm {
    name: AES128_GCM_NAME,
    algorithm: &aead::AES_128_GCM,
};
pub(super) static AES256_GCM: AesGcm = AesGcm {
    name: AES256_GCM_NAME,
    algorithm: &aead::AES_256_GCM,
};
pub(super) static CHACHA20_POLY1305: ChaCha20Poly1305 = ChaCha20Poly1305;

#[derive(Debug)]
pub(super) struct AesGcm {
    name: &'static str,
    algorithm: &'static aead::Algorithm,
}

impl AesGcm {
    fn start(&self, key: &[u8], iv: &[u8]) -> Result<Box<Gcm>, CryptoError> {
        let key = UnboundKey::new(self.algorithm, key).map_err(|_| WRONG_KEY_LEN)?;
        Ok(Box::new(Gcm {
            key: LessSafeKey::new(key),
            nonce: Nonce::new(iv)?,
        }))
    }
}

impl AeadAlgorithm for AesGcm {
    fn name(&self) -> &'static str {
        self.name
    }

    fn key_len(&self) -> usize {
        self.algorithm.key_len()
    }

    fn iv_len(&self) -> usize {
        GCM_IV_LEN
    }

    fn rekey_after(&self) -> u64 {
        REKEY_AFTER_AES
    }

    fn sealer(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn SealPacket>, CryptoError> {
        Ok(self.start(key, iv)?)
    }

    fn opener(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn OpenPacket>, CryptoError> {
        Ok(self.start(key, iv)?)
    }
}

struct Gcm {
    key: LessSafeKey,
    nonce: Nonce,
}

impl Gcm {
    fn next_nonce(&mut self) -> aead::Nonce {
        aead::Nonce::assume_unique_for_key(self.nonce.advance())
    }
}

impl SealPacket for Gcm {
    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn block_len(&self) -> usize {
        GCM_BLOCK_LEN
    }

    fn length_is_padded(&self) -> bool {
        false
    }

    fn seal(&mut self, _seq: u32, packet: &mut [u8]) -> Result<(), CryptoError> {
        let packet = cut(packet).ok_or(TOO_SHORT)?;
        let nonce = self.next_nonce();
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(*packet.length), packet.body)
            .map_err(|_| CryptoError::Failed("AES-GCM refused to seal a packet"))?;
        packet.tag.copy_from_slice(tag.as_ref());
        Ok(())
    }
}

impl OpenPacket for Gcm {
    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn block_len(&self) -> usize {
        GCM_BLOCK_LEN
    }

    fn length_is_padded(&self) -> bool {
        false
    }

    fn prefix_len(&self) -> usize {
        4
    }

    fn packet_len(&mut self, _seq: u32, prefix: &mut [u8]) -> u32 {
        clear_len(prefix)
    }

    fn open(&mut self, _seq: u32, packet: &mut [u8]) -> Result<(), Unauthenticated> {
        let packet = cut(packet).ok_or(Unauthenticated)?;
        let nonce = self.next_nonce();
        let tag = aead::Tag::from(*packet.tag);
        self.key
            .open_in_place_separate_tag(nonce, Aad::from(*packet.length), tag, packet.body, 0..)
            .map_err(|_| Unauthenticated)?;
        Ok(())
    }
}

impl fmt::Debug for Gcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesGcm(..)")
    }
}

#[derive(Debug)]
pub(super) struct ChaCha20Poly1305;

impl AeadAlgorithm for ChaCha20Poly1305 {
    fn name(&self) -> &'static str {
        CHACHA20_POLY1305_NAME
    }

    fn key_len(&self) -> usize {
        CHACHA_KEY_LEN
    }

    fn iv_len(&self) -> usize {
        0
    }

    fn rekey_after(&self) -> u64 {
        REKEY_AFTER_CHACHA
    }

    fn sealer(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn SealPacket>, CryptoError> {
        let key = SealingKey::new(chacha_key(key, iv)?);
        Ok(Box::new(ChaChaSealer {
            key,
            lifetime: Lifetime::default(),
        }))
    }

    fn opener(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn OpenPacket>, CryptoError> {
        Ok(Box::new(ChaChaOpener(OpeningKey::new(chacha_key(
            key, iv,
        )?))))
    }
}

fn chacha_key<'a>(key: &'a [u8], iv: &[u8]) -> Result<&'a [u8; CHACHA_KEY_LEN], CryptoError> {
    if !iv.is_empty() {
        return Err(WRONG_KEY_LEN);
    }
    key.try_into().map_err(|_| WRONG_KEY_LEN)
}

struct ChaChaSealer {
    key: SealingKey,
    lifetime: Lifetime,
}

impl SealPacket for ChaChaSealer {
    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn block_len(&self) -> usize {
        CHACHA_BLOCK_LEN
    }

    fn length_is_padded(&self) -> bool {
        false
    }

    fn seal(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), CryptoError> {
        let (packet, tag) = cut_tag(packet).ok_or(TOO_SHORT)?;
        self.lifetime.spend()?;
        self.key.seal_in_place(seq, packet, tag);
        Ok(())
    }
}

impl fmt::Debug for ChaChaSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChaCha20Poly1305(..)")
    }
}

struct ChaChaOpener(OpeningKey);

impl OpenPacket for ChaChaOpener {
    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn block_len(&self) -> usize {
        CHACHA_BLOCK_LEN
    }

    fn length_is_padded(&self) -> bool {
        false
    }

    fn prefix_len(&self) -> usize {
        4
    }

    fn packet_len(&mut self, seq: u32, prefix: &mut [u8]) -> u32 {
        // Not decrypted in place: the tag is over the encrypted length.
        prefix.first_chunk().map_or(u32::MAX, |length| {
            u32::from_be_bytes(self.0.decrypt_packet_length(seq, *length))
        })
    }

    fn open(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), Unauthenticated> {
        let (packet, tag) = cut_tag(packet).ok_or(Unauthenticated)?;
        self.0
            .open_in_place(seq, packet, tag)
            .map_err(|_| Unauthenticated)?;
        Ok(())
    }
}

impl fmt::Debug for ChaChaOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChaCha20Poly1305(..)")
    }
}
