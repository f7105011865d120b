//! The provider in pure Rust, which has no C in its tree and can be run from a seed.

mod cipher;
mod hash;
mod sign;
mod verify;

#[cfg(feature = "legacy")]
use crate::cbc::TRIPLE_DES_CBC;
use crate::cbc::{AES128_CBC, AES192_CBC, AES256_CBC};
use crate::ctr::{AES128_CTR, AES192_CTR, AES256_CTR};
#[cfg(feature = "legacy")]
use crate::legacy::{DSA, RSA_SHA1};
#[cfg(feature = "legacy")]
use crate::mac::HMAC_MD5;
use crate::mac::{
    HMAC_SHA1, HMAC_SHA1_ETM, HMAC_SHA256, HMAC_SHA256_ETM, HMAC_SHA512, HMAC_SHA512_ETM,
};
use cipher::{AES128_GCM, AES256_GCM, CHACHA20_POLY1305};
#[cfg(feature = "legacy")]
use hash::SHA1;
use hash::{SHA256, SHA384, SHA512};

use sansftp_proto::crypto::{
    Cipher, CryptoProvider, Kex, KeyLoader, MacAlgorithm, SecureRandom, SignatureAlgorithm,
};
use std::borrow::Cow;
use std::sync::Arc;
use verify::{ECDSA_P256, ECDSA_P384, ECDSA_P521, ED25519, RSA_SHA256, RSA_SHA512};

/// The provider in pure Rust, with `random` for cookies, padding and key shares. Nothing else in it
/// is random: ECDSA signs by RFC 6979, and RSA without blinding, in constant time.
pub fn provider(random: Arc<dyn SecureRandom>) -> CryptoProvider {
    CryptoProvider {
        kex: Cow::Borrowed(KEX),
        ciphers: Cow::Borrowed(CIPHERS),
        macs: Cow::Borrowed(MACS),
        signatures: Cow::Borrowed(SIGNATURES),
        keys: Arc::new(LOADER),
        random,
    }
}

/// Loads Ed25519, ECDSA on the three curves, and RSA of 2048 to 8192 bits; with the feature `legacy` DSA.
pub static LOADER: &dyn KeyLoader = &sign::Loader;

crate::kex::methods!();

static CIPHERS: &[Cipher] = &[
    Cipher::Aead(&AES128_GCM),
    Cipher::Aead(&AES256_GCM),
    Cipher::Aead(&CHACHA20_POLY1305),
    Cipher::Stream(&AES128_CTR),
    Cipher::Stream(&AES192_CTR),
    Cipher::Stream(&AES256_CTR),
    Cipher::Stream(&AES128_CBC),
    Cipher::Stream(&AES192_CBC),
    Cipher::Stream(&AES256_CBC),
    #[cfg(feature = "legacy")]
    Cipher::Stream(&TRIPLE_DES_CBC),
];

static MACS: &[&dyn MacAlgorithm] = &[
    &HMAC_SHA256_ETM,
    &HMAC_SHA512_ETM,
    &HMAC_SHA256,
    &HMAC_SHA512,
    &HMAC_SHA1_ETM,
    &HMAC_SHA1,
    #[cfg(feature = "legacy")]
    &HMAC_MD5,
];

static SIGNATURES: &[&dyn SignatureAlgorithm] = &[
    &ED25519,
    &ECDSA_P256,
    &ECDSA_P384,
    &ECDSA_P521,
    &RSA_SHA512,
    &RSA_SHA256,
    #[cfg(feature = "legacy")]
    &RSA_SHA1,
    #[cfg(feature = "legacy")]
    &DSA,
];
