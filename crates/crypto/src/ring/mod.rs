//! The provider on ring: sealing, hashing, signing and verifying by ring's C and assembly; counter
//! mode and key exchange in pure Rust.

mod cipher;
mod hash;
mod mac;
mod sign;
mod verify;

#[cfg(feature = "legacy")]
use crate::cbc::TRIPLE_DES_CBC;
use crate::cbc::{AES128_CBC, AES192_CBC, AES256_CBC};
use crate::ctr::{AES128_CTR, AES192_CTR, AES256_CTR};
#[cfg(feature = "legacy")]
use crate::kex::GROUP1;
use crate::kex::{
    Curve25519, Ecdh, FiniteField, GROUP14, GROUP16, GROUP18, Hybrid, MlKem768, ServerChooses,
    Sntrup761,
};
#[cfg(feature = "legacy")]
use crate::legacy::{DSA, RSA_SHA1};
#[cfg(feature = "legacy")]
use crate::mac::HMAC_MD5;
use crate::nistp521::ECDSA_P521;
use cipher::{AES128_GCM, AES256_GCM, CHACHA20_POLY1305};
#[cfg(feature = "legacy")]
use hash::SHA1;
use hash::{SHA256, SHA384, SHA512};
use mac::{HMAC_SHA1, HMAC_SHA1_ETM, HMAC_SHA256, HMAC_SHA256_ETM, HMAC_SHA512, HMAC_SHA512_ETM};
use p256::NistP256;
use p384::NistP384;
use p521::NistP521;
use sansftp_proto::crypto::{
    Cipher, CryptoProvider, Kex, KeyLoader, MacAlgorithm, SecureRandom, SignatureAlgorithm,
};
use std::borrow::Cow;
use std::sync::Arc;
use verify::{ECDSA_P256, ECDSA_P384, ED25519, RSA_SHA256, RSA_SHA512};

/// ring's provider, with `random` for cookies, padding and key shares. ECDSA signatures take their
/// nonces from the system in any case.
pub fn provider(random: Arc<dyn SecureRandom>) -> CryptoProvider {
    CryptoProvider {
        kex: Cow::Borrowed(KEX),
        ciphers: Cow::Borrowed(CIPHERS),
        macs: Cow::Borrowed(MACS),
        signatures: Cow::Borrowed(SIGNATURES),
        keys: LOADER,
        random,
    }
}

/// Loads Ed25519, ECDSA on the three curves, and RSA of 2048, 3072 and 4096 bits with an exponent of
/// at least 65537; with the feature `legacy` DSA.
pub static LOADER: &dyn KeyLoader = &sign::Loader;

static KEX: &[Kex] = &[
    Kex::Shares(&MLKEM768),
    Kex::Shares(&SNTRUP761),
    Kex::Shares(&SNTRUP761_OPENSSH),
    Kex::Shares(&CURVE25519),
    Kex::Shares(&CURVE25519_LIBSSH),
    Kex::Shares(&ECDH_P256),
    Kex::Shares(&ECDH_P384),
    Kex::Shares(&ECDH_P521),
    Kex::Shares(&DH_GROUP16),
    Kex::Shares(&DH_GROUP18),
    Kex::Shares(&DH_GROUP14),
    Kex::GroupExchange(&DH_CHOSEN),
    #[cfg(feature = "legacy")]
    Kex::Shares(&DH_GROUP14_SHA1),
    #[cfg(feature = "legacy")]
    Kex::GroupExchange(&DH_CHOSEN_SHA1),
    #[cfg(feature = "legacy")]
    Kex::Shares(&DH_GROUP1_SHA1),
];

static MLKEM768: Hybrid<MlKem768> = Hybrid::new("mlkem768x25519-sha256", &SHA256);
static SNTRUP761: Hybrid<Sntrup761> = Hybrid::new("sntrup761x25519-sha512", &SHA512);
static SNTRUP761_OPENSSH: Hybrid<Sntrup761> =
    Hybrid::new("sntrup761x25519-sha512@openssh.com", &SHA512);
static CURVE25519: Curve25519 = Curve25519::new("curve25519-sha256", &SHA256);
static CURVE25519_LIBSSH: Curve25519 = Curve25519::new("curve25519-sha256@libssh.org", &SHA256);
static ECDH_P256: Ecdh<NistP256> = Ecdh::new("ecdh-sha2-nistp256", &SHA256);
static ECDH_P384: Ecdh<NistP384> = Ecdh::new("ecdh-sha2-nistp384", &SHA384);
static ECDH_P521: Ecdh<NistP521> = Ecdh::new("ecdh-sha2-nistp521", &SHA512);
static DH_GROUP16: FiniteField =
    FiniteField::new("diffie-hellman-group16-sha512", &SHA512, &GROUP16);
static DH_GROUP18: FiniteField =
    FiniteField::new("diffie-hellman-group18-sha512", &SHA512, &GROUP18);
static DH_GROUP14: FiniteField =
    FiniteField::new("diffie-hellman-group14-sha256", &SHA256, &GROUP14);
static DH_CHOSEN: ServerChooses =
    ServerChooses::new("diffie-hellman-group-exchange-sha256", &SHA256);
#[cfg(feature = "legacy")]
static DH_CHOSEN_SHA1: ServerChooses =
    ServerChooses::with_small_groups("diffie-hellman-group-exchange-sha1", &SHA1);
#[cfg(feature = "legacy")]
static DH_GROUP14_SHA1: FiniteField =
    FiniteField::new("diffie-hellman-group14-sha1", &SHA1, &GROUP14);
#[cfg(feature = "legacy")]
static DH_GROUP1_SHA1: FiniteField = FiniteField::new("diffie-hellman-group1-sha1", &SHA1, &GROUP1);

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
