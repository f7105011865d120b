//! The provider for whoever has no opinion: ring's, with pure Rust for what ring lacks.
//!
//! The only place that looks at the processor, so that the two providers themselves stay the same
//! everywhere.

use crate::random::OsRandom;
use crate::{ring, rustcrypto};
use sansftp_proto::crypto::{
    Cipher, CryptoError, CryptoProvider, KeyLoader, PrivateKey, SigningKey,
};
use std::borrow::Cow;
use std::sync::Arc;

/// ring wherever ring has the algorithm, pure Rust for the rest, randomness from the system.
///
/// Where the processor has no AES instructions, ChaCha20-Poly1305 is preferred to AES: it is faster
/// there, and software AES is hard to keep from leaking through the cache.
pub fn default_provider() -> CryptoProvider {
    let provider = ring::provider(Arc::new(OsRandom));
    let ciphers = if has_aes() {
        provider.ciphers
    } else {
        Cow::Owned(chacha_first(&provider.ciphers))
    };
    CryptoProvider {
        ciphers,
        keys: Arc::new(RingThenRustcrypto),
        ..provider
    }
}

fn chacha_first(ciphers: &[Cipher]) -> Vec<Cipher> {
    let mut ciphers = ciphers.to_vec();
    // A stable sort: the order among the others stays.
    ciphers.sort_by_key(|cipher| !cipher.name().starts_with("chacha20-"));
    ciphers
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

/// ring signs with most keys; the RSA sizes and exponents that it refuses go to pure Rust.
#[derive(Debug)]
struct RingThenRustcrypto;

impl KeyLoader for RingThenRustcrypto {
    fn load(&self, key: &PrivateKey) -> Result<Arc<dyn SigningKey>, CryptoError> {
        match ring::LOADER.load(key) {
            Err(CryptoError::Unsupported(_)) => rustcrypto::LOADER.load(key),
            loaded => loaded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_aes_chacha_comes_first_and_the_rest_keeps_its_order() {
        let names = |ciphers: &[Cipher]| ciphers.iter().map(Cipher::name).collect::<Vec<_>>();
        let ciphers = ring::provider(Arc::new(OsRandom)).ciphers;
        let mut expected = names(&ciphers);
        let chacha = expected.remove(2);
        expected.insert(0, chacha);
        assert_eq!(chacha, "chacha20-poly1305@openssh.com");
        assert_eq!(names(&chacha_first(&ciphers)), expected);
    }
}
