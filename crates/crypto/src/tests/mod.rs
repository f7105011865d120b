//! Both providers against published vectors, against OpenSSL's answers and against each other.

mod ciphers;
mod drbg;
pub(crate) mod fixtures;
mod groups;
mod hostile;
mod kex;
pub(crate) mod keys;
#[cfg(feature = "legacy")]
mod legacy;
mod macs;
mod profiles;
mod signatures;
mod speed;
mod zlib;

pub(crate) use drbg::{Drbg, kat};

use crate::{OsRandom, default_provider, ring, rustcrypto};
use sansftp_proto::crypto::{
    Cipher, CryptoError, CryptoProvider, GroupExchange, Kex, KexAlgorithm, MacAlgorithm, PublicKey,
    SecureRandom,
};
use std::sync::{Arc, Mutex};

/// ring, pure Rust, and what most will use.
fn providers() -> [CryptoProvider; 3] {
    let random = Arc::new(OsRandom);
    [
        ring::provider(random.clone()),
        rustcrypto::provider(random),
        default_provider(),
    ]
}

fn kex(provider: &CryptoProvider, name: &str) -> &'static dyn KexAlgorithm {
    methods(provider).find(|it| it.name() == name).unwrap()
}

/// The methods of one round trip.
fn methods(provider: &CryptoProvider) -> impl Iterator<Item = &'static dyn KexAlgorithm> {
    provider.kex.iter().filter_map(|it| match it {
        Kex::Shares(it) => Some(*it),
        Kex::GroupExchange(_) => None,
    })
}

fn group_exchange(provider: &CryptoProvider, name: &str) -> &'static dyn GroupExchange {
    let mut exchanges = provider.kex.iter().filter_map(|it| match it {
        Kex::Shares(_) => None,
        Kex::GroupExchange(it) => Some(*it),
    });
    exchanges.find(|it| it.name() == name).unwrap()
}

fn cipher(provider: &CryptoProvider, name: &str) -> Cipher {
    *provider
        .ciphers
        .iter()
        .find(|it| it.name() == name)
        .unwrap()
}

fn mac(provider: &CryptoProvider, name: &str) -> &'static dyn MacAlgorithm {
    *provider.macs.iter().find(|it| it.name() == name).unwrap()
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0);
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

fn public(blob: &str) -> PublicKey {
    PublicKey::new(hex(blob)).unwrap()
}

/// Hands out bytes that the test chose, so that published private keys can be put in.
#[derive(Debug)]
struct Dealt(Mutex<Vec<u8>>);

impl Dealt {
    fn new(bytes: &str) -> Self {
        Self(Mutex::new(hex(bytes)))
    }
}

impl SecureRandom for Dealt {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        let mut left = self.0.lock().unwrap();
        if left.len() < out.len() {
            return Err(CryptoError::Random);
        }
        out.copy_from_slice(&left[..out.len()]);
        left.drain(..out.len());
        Ok(())
    }
}

#[test]
fn the_tables_are_in_the_order_of_preference_and_the_same_for_all_providers() {
    for provider in providers() {
        let kex: Vec<_> = provider.kex.iter().map(|it| it.name()).collect();
        assert_eq!(
            kex,
            [
                "mlkem768x25519-sha256",
                "sntrup761x25519-sha512",
                "sntrup761x25519-sha512@openssh.com",
                "curve25519-sha256",
                "curve25519-sha256@libssh.org",
                "ecdh-sha2-nistp256",
                "ecdh-sha2-nistp384",
                "ecdh-sha2-nistp521",
                "diffie-hellman-group16-sha512",
                "diffie-hellman-group18-sha512",
                "diffie-hellman-group14-sha256",
                "diffie-hellman-group-exchange-sha256",
                #[cfg(feature = "legacy")]
                "diffie-hellman-group14-sha1",
                #[cfg(feature = "legacy")]
                "diffie-hellman-group-exchange-sha1",
                #[cfg(feature = "legacy")]
                "diffie-hellman-group1-sha1",
            ]
        );
        let macs: Vec<_> = provider.macs.iter().map(|it| it.name()).collect();
        assert_eq!(
            macs,
            [
                "hmac-sha2-256-etm@openssh.com",
                "hmac-sha2-512-etm@openssh.com",
                "hmac-sha2-256",
                "hmac-sha2-512",
                "hmac-sha1-etm@openssh.com",
                "hmac-sha1",
                #[cfg(feature = "legacy")]
                "hmac-md5",
            ]
        );
        let signatures: Vec<_> = provider.signatures.iter().map(|it| it.name()).collect();
        assert_eq!(
            signatures,
            [
                "ssh-ed25519",
                "ecdsa-sha2-nistp256",
                "ecdsa-sha2-nistp384",
                "ecdsa-sha2-nistp521",
                "rsa-sha2-512",
                "rsa-sha2-256",
                #[cfg(feature = "legacy")]
                "ssh-rsa",
                #[cfg(feature = "legacy")]
                "ssh-dss",
            ]
        );
    }
    let [ring, rustcrypto, _] = providers();
    for provider in [ring, rustcrypto] {
        let ciphers: Vec<_> = provider.ciphers.iter().map(Cipher::name).collect();
        assert_eq!(
            ciphers,
            [
                "aes128-gcm@openssh.com",
                "aes256-gcm@openssh.com",
                "chacha20-poly1305@openssh.com",
                "aes128-ctr",
                "aes192-ctr",
                "aes256-ctr",
                "aes128-cbc",
                "aes192-cbc",
                "aes256-cbc",
                #[cfg(feature = "legacy")]
                "3des-cbc",
            ]
        );
    }
}

#[test]
fn hashes_are_those_of_fips_180() {
    for provider in providers() {
        for (name, len, of_abc) in [
            (
                "curve25519-sha256",
                32,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            #[cfg(feature = "legacy")]
            (
                "diffie-hellman-group1-sha1",
                20,
                "a9993e364706816aba3e25717850c26c9cd0d89d",
            ),
            (
                "ecdh-sha2-nistp384",
                48,
                "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
                 8086072ba1e7cc2358baeca134c825a7",
            ),
            (
                "diffie-hellman-group16-sha512",
                64,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
        ] {
            let hash = kex(&provider, name).hash();
            assert_eq!(hash.output_len(), len);
            assert_eq!(hash.digest(&[b"abc"]).expose(), hex(of_abc));
            assert_eq!(hash.digest(&[b"a", b"", b"bc"]).expose(), hex(of_abc));
        }
    }
}
