//! The AEADs in pure Rust: AES-GCM (RFC 5647) by the aes-gcm crate, and OpenSSH's framing of
//! ChaCha20-Poly1305 (draft-ietf-sshm-chacha20-poly1305), put together from its two parts here.

use crate::framing::{
    AES128_GCM as AES128_GCM_NAME, AES256_GCM as AES256_GCM_NAME, CHACHA_BLOCK_LEN, CHACHA_KEY_LEN,
    CHACHA20_POLY1305 as CHACHA20_POLY1305_NAME, GCM_BLOCK_LEN, GCM_IV_LEN, Lifetime, Nonce,
    REKEY_AFTER_AES, REKEY_AFTER_CHACHA, TAG_LEN, TOO_SHORT, WRONG_KEY_LEN, clear_len, cut,
    cut_tag,
};
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit, KeySizeUser};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use poly1305::Poly1305;
use poly1305::universal_hash::UniversalHash;
use sansftp_proto::crypto::{AeadAlgorithm, CryptoError, OpenPacket, SealPacket, Unauthenticated};
use std::fmt;
use std::marker::PhantomData;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub(super) static AES128_GCM: AesGcm<Aes128Gcm> = AesGcm::new(AES128_GCM_NAME);
pub(super) static AES256_GCM: AesGcm<Aes256Gcm> = AesGcm::new(AES256_GCM_NAME);
pub(super) static CHACHA20_POLY1305: ChaCha20Poly1305 = ChaCha20Poly1305;

pub(super) struct AesGcm<A> {
    name: &'static str,
    aead: PhantomData<fn() -> A>,
}

impl<A> AesGcm<A> {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            aead: PhantomData,
        }
    }
}

impl<A: KeyInit> AesGcm<A> {
    fn start(&self, key: &[u8], iv: &[u8]) -> Result<Box<Gcm<A>>, CryptoError> {
        let aead = A::new_from_slice(key).map_err(|_| WRONG_KEY_LEN)?;
        Ok(Box::new(Gcm {
            aead,
            nonce: Nonce::new(iv)?,
        }))
    }
}

impl<A> AeadAlgorithm for AesGcm<A>
where
    A: KeyInit + AeadInOut<NonceSize = U12, TagSize = U16> + Send + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn key_len(&self) -> usize {
        <A as KeySizeUser>::key_size()
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

impl<A> fmt::Debug for AesGcm<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AesGcm({})", self.name)
    }
}

struct Gcm<A> {
    aead: A,
    nonce: Nonce,
}

impl<A: AeadInOut<NonceSize = U12, TagSize = U16> + Send> SealPacket for Gcm<A> {
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
        let nonce = self.nonce.advance().into();
        *packet.tag = self
            .aead
            .encrypt_inout_detached(&nonce, packet.length, packet.body.into())
            .map_err(|_| CryptoError::Failed("AES-GCM refused to seal a packet"))?
            .into();
        Ok(())
    }
}

impl<A: AeadInOut<NonceSize = U12, TagSize = U16> + Send> OpenPacket for Gcm<A> {
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
        let nonce = self.nonce.advance().into();
        let tag = (*packet.tag).into();
        self.aead
            .decrypt_inout_detached(&nonce, packet.length, packet.body.into(), &tag)
            .map_err(|_| Unauthenticated)
    }
}

impl<A> fmt::Debug for Gcm<A> {
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
        Ok(Box::new(ChaCha::new(key, iv)?))
    }

    fn opener(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn OpenPacket>, CryptoError> {
        Ok(Box::new(ChaCha::new(key, iv)?))
    }
}

/// The two keys. Every packet starts both ciphers anew, with its sequence number as nonce.
struct ChaCha {
    /// `K_1`, for lengths: the last 32 bytes of the key material.
    length_key: Zeroizing<[u8; 32]>,
    /// `K_2`, for everything else: the first 32 bytes.
    body_key: Zeroizing<[u8; 32]>,
    lifetime: Lifetime,
}

impl ChaCha {
    fn new(key: &[u8], iv: &[u8]) -> Result<Self, CryptoError> {
        let split = key.split_first_chunk().filter(|_| iv.is_empty());
        let (body, length) = split.ok_or(WRONG_KEY_LEN)?;
        Ok(Self {
            length_key: Zeroizing::new(length.try_into().map_err(|_| WRONG_KEY_LEN)?),
            body_key: Zeroizing::new(*body),
            lifetime: Lifetime::default(),
        })
    }

    fn crypt_length(&self, seq: u32, length: &mut [u8]) {
        keystream(&self.length_key, seq).apply_keystream(length);
    }

    /// The one-time key of the tag and the keystream of the body: Poly1305 takes the first half of
    /// block 0, and the body begins with block 1.
    fn body(&self, seq: u32) -> (Poly1305, ChaCha20) {
        let mut keystream = keystream(&self.body_key, seq);
        let mut block = Zeroizing::new([0; 64]);
        keystream.apply_keystream(&mut *block);
        let (key, _) = block
            .split_first_chunk::<32>()
            .expect("a block has 64 bytes");
        (Poly1305::new(key.into()), keystream)
    }
}

/// OpenSSH's ChaCha20 has a counter of 64 bits and a nonce of 64, the sequence number in its last
/// four bytes; with the upper half of the counter zero, which it is for 256 GiB, this is the block
/// function of RFC 8439 §2.3 with a nonce of eight zeros and the sequence number.
fn keystream(key: &[u8; 32], seq: u32) -> ChaCha20 {
    let [a, b, c, d] = seq.to_be_bytes();
    ChaCha20::new(key.into(), &[0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d].into())
}

/// The tag over all of `sealed`, unlike RFC 8439's without padding or lengths.
fn tag(mut poly1305: Poly1305, sealed: &[u8]) -> [u8; TAG_LEN] {
    // Whole blocks go in together, because only then are several computed at a time.
    let (blocks, rest) = poly1305::Block::slice_as_chunks(sealed);
    poly1305.update(blocks);
    poly1305.compute_unpadded(rest).into()
}

impl SealPacket for ChaCha {
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
        let (packet, tag_out) = cut_tag(packet).ok_or(TOO_SHORT)?;
        self.lifetime.spend()?;
        let (length, body) = packet.split_at_mut(4);
        let (poly1305, mut keystream) = self.body(seq);
        self.crypt_length(seq, length);
        keystream
            .try_apply_keystream(body)
            .map_err(|_| CryptoError::Failed("packet longer than the keystream"))?;
        *tag_out = tag(poly1305, packet);
        Ok(())
    }
}

impl OpenPacket for ChaCha {
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
        let Some(mut length) = prefix.first_chunk::<4>().copied() else {
            return u32::MAX;
        };
        self.crypt_length(seq, &mut length);
        u32::from_be_bytes(length)
    }

    fn open(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), Unauthenticated> {
        let (packet, tag_in) = cut_tag(packet).ok_or(Unauthenticated)?;
        let (poly1305, mut keystream) = self.body(seq);
        // The tag comes first: nothing is decrypted that the peer did not send.
        if !bool::from(tag(poly1305, packet).ct_eq(tag_in)) {
            return Err(Unauthenticated);
        }
        let (_, body) = packet.split_at_mut(4);
        keystream
            .try_apply_keystream(body)
            .map_err(|_| Unauthenticated)
    }
}

impl fmt::Debug for ChaCha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChaCha20Poly1305(..)")
    }
}
