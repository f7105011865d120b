//! The providers that tests run over, by name: the null provider, ring's, and the one in pure Rust run from a seed. Not a
//! choice of algorithms: that is in a connection's configuration.

use crate::null::{self, NullKey};
use sansftp_crypto::{SeededRandom, rustcrypto};
use sansftp_proto::crypto::{CryptoProvider, SigningKey};
use std::sync::Arc;

/// One provider, with keys that it can sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Secures nothing, and can be repeated.
    Null,
    /// What users run. Cannot be repeated.
    Ring,
    /// Pure Rust from a seed.
    RustCrypto,
}

impl Suite {
    /// The provider. Two of one seed draw the same bytes, where the provider can.
    pub fn provider(self, seed: u8) -> CryptoProvider {
        match self {
            Self::Null => null::provider(u64::from(seed)),
            Self::Ring => sansftp_crypto::default_provider(),
            Self::RustCrypto => rustcrypto::provider(Arc::new(SeededRandom::new([seed; 32]))),
        }
    }

    /// A key that `number` stands for; another for another number.
    pub fn key(self, number: u8) -> Arc<dyn SigningKey> {
        if self == Self::Null {
            return NullKey::named(&format!("key {number}"));
        }
        let key = sansftp_crypto::generate_ed25519(&SeededRandom::new([number; 32]))
            .expect("a seed has enough bytes for a key");
        self.provider(0)
            .keys
            .load(&key)
            .expect("every provider signs with Ed25519")
    }
}
