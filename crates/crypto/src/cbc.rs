//! Ciphers in CBC mode (RFC 4253 §6.3): in both providers, because ring has none. AES, and with the
//! feature `legacy` 3DES.
//!
//! Not safe by themselves: what is decrypted before its MAC is checked tells about other blocks. The
//! framing has to hide which of the two was wrong, and is told so by
//! [`is_cbc`](StreamAlgorithm::is_cbc).

use crate::framing::{REKEY_AFTER_AES, WRONG_KEY_LEN};
use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::{
    Array, Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt,
    BlockSizeUser, InnerIvInit, KeyInit, KeySizeUser,
};
use cbc::{Decryptor, Encryptor};
use sansftp_proto::crypto::{CryptoError, StreamAlgorithm, StreamCipher};
use std::fmt;
use std::marker::PhantomData;

pub(crate) static AES128_CBC: Cbc<Aes128> = Cbc::new("aes128-cbc", REKEY_AFTER_AES);
pub(crate) static AES192_CBC: Cbc<Aes192> = Cbc::new("aes192-cbc", REKEY_AFTER_AES);
pub(crate) static AES256_CBC: Cbc<Aes256> = Cbc::new("aes256-cbc", REKEY_AFTER_AES);
#[cfg(feature = "legacy")]
pub(crate) static TRIPLE_DES_CBC: Cbc<des::TdesEde3> =
    Cbc::new("3des-cbc", crate::framing::REKEY_AFTER_SHORT_BLOCKS);

pub(crate) struct Cbc<C> {
    name: &'static str,
    rekey_after: u64,
    block: PhantomData<fn() -> C>,
}

impl<C> Cbc<C> {
    const fn new(name: &'static str, rekey_after: u64) -> Self {
        Self {
            name,
            rekey_after,
            block: PhantomData,
        }
    }
}

impl<C> Cbc<C>
where
    C: KeyInit + BlockCipherEncrypt + BlockCipherDecrypt + Send + 'static,
{
    fn block_cipher(&self, key: &[u8], iv: &[u8]) -> Result<(C, Block<C>), CryptoError> {
        let cipher = C::new_from_slice(key).map_err(|_| WRONG_KEY_LEN)?;
        let iv = Block::<C>::try_from(iv).map_err(|_| WRONG_KEY_LEN)?;
        Ok((cipher, iv))
    }
}

impl<C> StreamAlgorithm for Cbc<C>
where
    C: KeyInit + BlockCipherEncrypt + BlockCipherDecrypt + Send + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn key_len(&self) -> usize {
        <C as KeySizeUser>::key_size()
    }

    fn iv_len(&self) -> usize {
        self.block_len()
    }

    fn block_len(&self) -> usize {
        <C as BlockSizeUser>::block_size()
    }

    fn rekey_after(&self) -> u64 {
        self.rekey_after
    }

    fn is_cbc(&self) -> bool {
        true
    }

    fn encryptor(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError> {
        let (cipher, iv) = self.block_cipher(key, iv)?;
        Ok(Box::new(Encrypting(Encryptor::inner_iv_init(cipher, &iv))))
    }

    fn decryptor(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError> {
        let (cipher, iv) = self.block_cipher(key, iv)?;
        Ok(Box::new(Decrypting(Decryptor::inner_iv_init(cipher, &iv))))
    }
}

impl<C> fmt::Debug for Cbc<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cbc({})", self.name)
    }
}

/// The last block stays inside as the next one's vector, from packet to packet (RFC 4253 §6.3).
struct Encrypting<C: BlockCipherEncrypt>(Encryptor<C>);

struct Decrypting<C: BlockCipherDecrypt>(Decryptor<C>);

impl<C: BlockCipherEncrypt + Send> StreamCipher for Encrypting<C> {
    fn apply(&mut self, data: &mut [u8]) {
        let (blocks, _) = Array::slice_as_chunks_mut(data);
        self.0.encrypt_blocks(blocks);
    }
}

impl<C: BlockCipherDecrypt + Send> StreamCipher for Decrypting<C> {
    fn apply(&mut self, data: &mut [u8]) {
        let (blocks, _) = Array::slice_as_chunks_mut(data);
        self.0.decrypt_blocks(blocks);
    }
}

impl<C: BlockCipherEncrypt> fmt::Debug for Encrypting<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cbc(..)")
    }
}

impl<C: BlockCipherDecrypt> fmt::Debug for Decrypting<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cbc(..)")
    }
}
