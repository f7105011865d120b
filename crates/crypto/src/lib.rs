//! Cryptography providers for `sansftp-proto`: the traits of its `crypto` module, filled in.
//!
//! | | [`ring::provider`] | [`rustcrypto::provider`] |
//! |---|---|---|
//! | AES-GCM, ChaCha20-Poly1305, HMAC, SHA-2 | ring | aes-gcm, chacha20, poly1305, hmac, sha2 |
//! | Ed25519, ECDSA, RSA | ring | ed25519-dalek, p256, p384, and RSA on crypto-bigint |
//! | AES-CTR, every key exchange | pure Rust in both: ring has no CTR and no finite fields, and its randomness cannot be replaced | |
//! | can be repeated from a seed | no: ring's ECDSA draws its own nonces | yes, with [`SeededRandom`] |
//!
//! A provider is a value: take one, change a table by struct update, hand it to a connection.
//! [`default_provider`] is ring's, and signs in pure Rust with the RSA keys that ring does not.
//! Cargo features add providers and never change one: `ring` (C and assembly) and `rustcrypto` (no C
//! in the tree) are both on by default.
//!
//! This crate reads no files, knows no profile and decides nothing about who is trusted.
//!
//! What is wiped: our own copies of secrets, the keys of the pure-Rust ciphers and signers. What is
//! not, because the libraries offer no way: ring's keys, and the Montgomery parameters of RSA primes.
#![forbid(unsafe_code)]

#[cfg(not(any(feature = "ring", feature = "rustcrypto")))]
compile_error!("sansftp-crypto without a provider is of no use: enable `ring` or `rustcrypto`");

#[cfg(feature = "ring")]
pub mod ring;
#[cfg(feature = "rustcrypto")]
pub mod rustcrypto;

mod cbc;
mod ctr;
#[cfg(all(feature = "ring", feature = "rustcrypto"))]
mod default;
mod encoding;
mod framing;
mod generate;
mod kex;
#[cfg(feature = "legacy")]
mod legacy;
#[cfg(any(feature = "rustcrypto", feature = "legacy"))]
mod mac;
mod nist;
mod nistp521;
#[cfg(any(feature = "rustcrypto", feature = "legacy"))]
mod pkcs1;
mod random;
mod rsa;
mod zlib;

#[cfg(all(feature = "ring", feature = "rustcrypto"))]
pub use default::default_provider;
pub use generate::{generate_ecdsa, generate_ed25519};
#[cfg(feature = "legacy")]
pub use legacy::with_short_rsa;
pub use random::{OsRandom, SeededRandom};
pub use zlib::ZLIB;

#[cfg(all(test, feature = "ring", feature = "rustcrypto"))]
mod tests;
