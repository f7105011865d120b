//! Where random bytes come from: the operating system, or a seed where a run must be repeatable.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use sansftp_proto::crypto::{CryptoError, SecureRandom};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl SecureRandom for OsRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        getrandom::fill(out).map_err(|_| CryptoError::Random)
    }
}

/// The same bytes from the same seed, every time: the keystream of ChaCha20 (RFC 8439 §2.4).
///
/// For tests, recordings and fuzzing only. Whoever knows the seed knows every key of the session, and
/// two connections from one seed share their keys.
pub struct SeededRandom(Mutex<ChaCha20>);

impl SeededRandom {
    /// Begins the stream that belongs to `seed`. It ends, with an error, after 256 GiB.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(Mutex::new(ChaCha20::new(&seed.into(), &[0; 12].into())))
    }
}

impl SecureRandom for SeededRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        out.fill(0);
        // A panic elsewhere cannot leave the stream half way: it moves in this call alone.
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream
            .try_apply_keystream(out)
            .map_err(|_| CryptoError::Random)
    }
}

impl fmt::Debug for SeededRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeededRandom(..)")
    }
}
