//! HMAC in pure Rust (RFC 2104, RFC 4253 §6.4, RFC 6668): all of the provider in pure Rust, and those of
//! both that ring does not have.

use crate::framing::WRONG_KEY_LEN;
use hmac::{KeyInit, Mac as Code};
use sansftp_proto::crypto::{CryptoError, Mac, MacAlgorithm, MacMode, Unauthenticated};
#[cfg(feature = "rustcrypto")]
use sha1::Sha1;
#[cfg(feature = "rustcrypto")]
use sha2::{Sha256, Sha512};
use std::fmt;
use std::marker::PhantomData;

#[cfg(feature = "rustcrypto")]
pub(crate) static HMAC_SHA256_ETM: Hmac<hmac::Hmac<Sha256>> =
    Hmac::new("hmac-sha2-256-etm@openssh.com", MacMode::EncryptThenMac);
#[cfg(feature = "rustcrypto")]
pub(crate) static HMAC_SHA512_ETM: Hmac<hmac::Hmac<Sha512>> =
    Hmac::new("hmac-sha2-512-etm@openssh.com", MacMode::EncryptThenMac);
#[cfg(feature = "rustcrypto")]
pub(crate) static HMAC_SHA256: Hmac<hmac::Hmac<Sha256>> =
    Hmac::new("hmac-sha2-256", MacMode::EncryptAndMac);
#[cfg(feature = "rustcrypto")]
pub(crate) static HMAC_SHA512: Hmac<hmac::Hmac<Sha512>> =
    Hmac::new("hmac-sha2-512", MacMode::EncryptAndMac);
#[cfg(feature = "rustcrypto")]
pub(crate) static HMAC_SHA1_ETM: Hmac<hmac::Hmac<Sha1>> =
    Hmac::new("hmac-sha1-etm@openssh.com", MacMode::EncryptThenMac);
#[cfg(feature = "rustcrypto")]
pub(crate) static HMAC_SHA1: Hmac<hmac::Hmac<Sha1>> =
    Hmac::new("hmac-sha1", MacMode::EncryptAndMac);
#[cfg(feature = "legacy")]
pub(crate) static HMAC_MD5: Hmac<hmac::Hmac<md5::Md5>> =
    Hmac::new("hmac-md5", MacMode::EncryptAndMac);

pub(crate) struct Hmac<H> {
    name: &'static str,
    mode: MacMode,
    code: PhantomData<fn() -> H>,
}

impl<H> Hmac<H> {
    const fn new(name: &'static str, mode: MacMode) -> Self {
        Self {
            name,
            mode,
            code: PhantomData,
        }
    }
}

impl<H: Code + KeyInit + Clone + Send + 'static> MacAlgorithm for Hmac<H> {
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
        H::output_size()
    }

    fn start(&self, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        if key.len() != self.key_len() {
            return Err(WRONG_KEY_LEN);
        }
        let keyed = <H as KeyInit>::new_from_slice(key).map_err(|_| WRONG_KEY_LEN)?;
        Ok(Box::new(State(keyed)))
    }
}

impl<H> fmt::Debug for Hmac<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hmac({})", self.name)
    }
}

/// The state after the key, cloned for each packet.
struct State<H>(H);

impl<H: Code + Clone> State<H> {
    fn over(&self, seq: u32, data: &[u8]) -> H {
        let mut code = self.0.clone();
        code.update(&seq.to_be_bytes());
        code.update(data);
        code
    }
}

impl<H: Code + Clone + Send> Mac for State<H> {
    fn sign(&self, seq: u32, data: &[u8], tag: &mut [u8]) {
        tag.copy_from_slice(&self.over(seq, data).finalize().into_bytes());
    }

    fn verify(&self, seq: u32, data: &[u8], tag: &[u8]) -> Result<(), Unauthenticated> {
        self.over(seq, data)
            .verify_slice(tag)
            .map_err(|_| Unauthenticated)
    }
}

impl<H> fmt::Debug for State<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hmac(..)")
    }
}
