//! HMAC by ring (RFC 2104, RFC 4253 §6.4, RFC 6668).

use crate::framing::WRONG_KEY_LEN;
use ring::hmac;
use sansftp_proto::crypto::{CryptoError, Mac, MacAlgorithm, MacMode, Unauthenticated};
use std::fmt;
use subtle::ConstantTimeEq;

pub(super) static HMAC_SHA256_ETM: Hmac = Hmac {
    name: "hmac-sha2-256-etm@openssh.com",
    mode: MacMode::EncryptThenMac,
    algorithm: hmac::HMAC_SHA256,
};
pub(super) static HMAC_SHA512_ETM: Hmac = Hmac {
    name: "hmac-sha2-512-etm@openssh.com",
    mode: MacMode::EncryptThenMac,
    algorithm: hmac::HMAC_SHA512,
};
pub(super) static HMAC_SHA256: Hmac = Hmac {
    name: "hmac-sha2-256",
    mode: MacMode::EncryptAndMac,
    algorithm: hmac::HMAC_SHA256,
};
pub(super) static HMAC_SHA512: Hmac = Hmac {
    name: "hmac-sha2-512",
    mode: MacMode::EncryptAndMac,
    algorithm: hmac::HMAC_SHA512,
};
pub(super) static HMAC_SHA1_ETM: Hmac = Hmac {
    name: "hmac-sha1-etm@openssh.com",
    mode: MacMode::EncryptThenMac,
    algorithm: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
};
pub(super) static HMAC_SHA1: Hmac = Hmac {
    name: "hmac-sha1",
    mode: MacMode::EncryptAndMac,
    algorithm: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
};

#[derive(Debug)]
pub(super) struct Hmac {
    name: &'static str,
    mode: MacMode,
    algorithm: hmac::Algorithm,
}

impl MacAlgorithm for Hmac {
    fn name(&self) -> &'static str {
        self.name
    }

    fn mode(&self) -> MacMode {
        self.mode
    }

    fn key_len(&self) -> usize {
        // RFC 4253 §6.4, RFC 6668 §2: the key is as long as the hash.
        self.tag_len()
    }

    fn tag_len(&self) -> usize {
        self.algorithm.digest_algorithm().output_len()
    }

    fn start(&self, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        if key.len() != self.key_len() {
            return Err(WRONG_KEY_LEN);
        }
        Ok(Box::new(State(hmac::Key::new(self.algorithm, key))))
    }
}

struct State(hmac::Key);

impl State {
    fn code(&self, seq: u32, data: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&seq.to_be_bytes());
        context.update(data);
        context.sign()
    }
}

impl Mac for State {
    fn sign(&self, seq: u32, data: &[u8], tag: &mut [u8]) {
        tag.copy_from_slice(self.code(seq, data).as_ref());
    }

    fn verify(&self, seq: u32, data: &[u8], tag: &[u8]) -> Result<(), Unauthenticated> {
        // ring compares only what it is given in one piece, and that would be a copy.
        if self.code(seq, data).as_ref().ct_eq(tag).into() {
            Ok(())
        } else {
            Err(Unauthenticated)
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hmac(..)")
    }
}
