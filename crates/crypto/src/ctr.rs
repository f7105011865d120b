//! AES in counter mode (RFC 4344 §4): in both providers, because ring has none.
//!
//! The aes crate uses the processor's instructions where it finds them, eight blocks and more at a
//! time; a whole packet should therefore be applied at once.

use crate::framing::{REKEY_AFTER_AES, WRONG_KEY_LEN};
use aes::{Aes128, Aes192, Aes256};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher as Keystream};
use sansftp_proto::crypto::{CryptoError, StreamAlgorithm, StreamCipher};
use std::fmt;

pub(crate) static AES128_CTR: AesCtr = AesCtr {
    name: "aes128-ctr",
    size: Size::Aes128,
};
pub(crate) static AES192_CTR: AesCtr = AesCtr {
    name: "aes192-ctr",
    size: Size::Aes192,
};
pub(crate) static AES256_CTR: AesCtr = AesCtr {
    name: "aes256-ctr",
    size: Size::Aes256,
};

#[derive(Debug)]
pub(crate) struct AesCtr {
    name: &'static str,
    size: Size,
}

#[derive(Debug, Clone, Copy)]
enum Size {
    Aes128,
    Aes192,
    Aes256,
}

impl AesCtr {
    fn start(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError> {
        match self.size {
            Size::Aes128 => state::<Ctr128BE<Aes128>>(key, iv),
            Size::Aes192 => state::<Ctr128BE<Aes192>>(key, iv),
            Size::Aes256 => state::<Ctr128BE<Aes256>>(key, iv),
        }
    }
}

impl StreamAlgorithm for AesCtr {
    fn name(&self) -> &'static str {
        self.name
    }

    fn key_len(&self) -> usize {
        match self.size {
            Size::Aes128 => 16,
            Size::Aes192 => 24,
            Size::Aes256 => 32,
        }
    }

    fn iv_len(&self) -> usize {
        16
    }

    fn block_len(&self) -> usize {
        16
    }

    fn rekey_after(&self) -> u64 {
        REKEY_AFTER_AES
    }

    fn encryptor(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError> {
        self.start(key, iv)
    }

    fn decryptor(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError> {
        self.start(key, iv)
    }
}

fn state<C>(key: &[u8], iv: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError>
where
    C: KeyIvInit + Keystream + Send + 'static,
{
    let keystream = C::new_from_slices(key, iv).map_err(|_| WRONG_KEY_LEN)?;
    Ok(Box::new(State(keystream)))
}

struct State<C>(C);

impl<C: Keystream + Send> StreamCipher for State<C> {
    fn apply(&mut self, data: &mut [u8]) {
        // The counter is 128 bits wide and wraps (RFC 4344 §4): the keystream ends after 2^128
        // blocks, and keys are changed after 2^32.
        self.0.apply_keystream(data);
    }
}

impl<C> fmt::Debug for State<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesCtr(..)")
    }
}
