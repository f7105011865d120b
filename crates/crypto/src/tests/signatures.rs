//! Signatures: published vectors, OpenSSL's and OpenSSH's, and each provider's verified by the others.

use super::keys::{ed25519, p256, p384, p521, rsa2048, rsa2304, rsa3072};
use super::{fixtures, hex, providers, public};
use crate::{OsRandom, rustcrypto};
use bytes::BytesMut;
use sansftp_proto::crypto::{CryptoError, Curve, PrivateKey, PublicKey, Secret};
use sansftp_proto::wire::{Field, Unsigned};

const MESSAGE: &[u8] = b"sansftp fixture";

fn verified(algorithm: &str, key: &PublicKey, data: &[u8], signature: &[u8]) {
    for provider in providers() {
        let verifier = provider.signature(algorithm).unwrap();
        assert_eq!(verifier.verify(key, data, signature), Ok(()), "{algorithm}");
        assert_eq!(verifier.key_kind(), key.kind());
    }
}

#[test]
fn signatures_of_openssl_verify() {
    use fixtures::*;
    for (algorithm, blob, signature) in [
        ("ssh-ed25519", ED25519_BLOB, ED25519_SIGNATURE),
        ("ecdsa-sha2-nistp256", P256_BLOB, P256_SIGNATURE),
        ("ecdsa-sha2-nistp384", P384_BLOB, P384_SIGNATURE),
        ("rsa-sha2-256", RSA2048_BLOB, RSA2048_SIGNATURE_256),
        ("rsa-sha2-512", RSA2048_BLOB, RSA2048_SIGNATURE_512),
        ("rsa-sha2-256", RSA3072_BLOB, RSA3072_SIGNATURE_256),
        ("rsa-sha2-512", RSA3072_BLOB, RSA3072_SIGNATURE_512),
        ("rsa-sha2-256", RSA2304_BLOB, RSA2304_SIGNATURE_256),
        ("rsa-sha2-512", RSA2304_BLOB, RSA2304_SIGNATURE_512),
    ] {
        verified(algorithm, &public(blob), MESSAGE, &hex(signature));
    }
}

/// Ed25519 and PKCS #1 v1.5 leave nothing to chance.
#[test]
fn deterministic_signatures_are_those_of_openssl() {
    use fixtures::*;
    for provider in providers() {
        for (key, algorithm, signature) in [
            (ed25519(), "ssh-ed25519", ED25519_SIGNATURE),
            (rsa2048(), "rsa-sha2-256", RSA2048_SIGNATURE_256),
            (rsa2048(), "rsa-sha2-512", RSA2048_SIGNATURE_512),
            (rsa3072(), "rsa-sha2-256", RSA3072_SIGNATURE_256),
            (rsa3072(), "rsa-sha2-512", RSA3072_SIGNATURE_512),
            (rsa2304(), "rsa-sha2-256", RSA2304_SIGNATURE_256),
            (rsa2304(), "rsa-sha2-512", RSA2304_SIGNATURE_512),
        ] {
            // ring does not sign with the last, which another test is about.
            let Ok(key) = provider.keys.load(&key) else {
                continue;
            };
            let ours = key.sign(algorithm, MESSAGE, &OsRandom).unwrap();
            assert_eq!(ours, hex(signature), "{algorithm}");
        }
    }
}

#[test]
fn what_one_provider_signs_all_verify_and_no_other_data() {
    for provider in providers() {
        for key in [ed25519(), p256(), p384(), p521(), rsa2048(), rsa3072()] {
            let key = provider.keys.load(&key).unwrap();
            for algorithm in key.algorithms() {
                for data in [&b""[..], b"a", &[7; 300]] {
                    let signature = key.sign(algorithm, data, &OsRandom).unwrap();
                    verified(algorithm, key.public_key(), data, &signature);
                    for verifier in providers() {
                        let verifier = verifier.signature(algorithm).unwrap();
                        let other = [data, b"!"].concat();
                        assert_eq!(
                            verifier.verify(key.public_key(), &other, &signature),
                            Err(CryptoError::BadSignature)
                        );
                    }
                }
            }
        }
    }
}

/// RFC 8032 §7.1, tests 1 to 3, signed and verified.
#[test]
fn ed25519_is_that_of_rfc_8032() {
    for (seed, key, data, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555\
             fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        let public = hex(key).try_into().unwrap();
        let key = PrivateKey::Ed25519 {
            seed: Secret::new(hex(seed)),
            public,
        };
        verified(
            "ssh-ed25519",
            &key.public_key(),
            &hex(data),
            &hex(signature),
        );
        for provider in providers() {
            let key = provider.keys.load(&key).unwrap();
            let ours = key.sign("ssh-ed25519", &hex(data), &OsRandom).unwrap();
            assert_eq!(ours, hex(signature));
        }
    }
}

/// RFC 6979 A.2.5 to A.2.7: message "sample"; signed by the pure provider, verified by all.
#[test]
fn ecdsa_is_that_of_rfc_6979() {
    for (curve, scalar, x, y, r, s) in [
        (
            Curve::P256,
            "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
            "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
            "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
            "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        ),
        (
            Curve::P384,
            "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8\
             96d5724e4c70a825f872c9ea60d2edf5",
            "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64\
             def8f0ea9055866064a254515480bc13",
            "8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1\
             288b231c3ae0d4fe7344fd2533264720",
            "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c\
             81a648152e44acf96e36dd1e80fabe46",
            "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94f\
             a329c145786e679e7b82c71a38628ac8",
        ),
        (
            Curve::P521,
            "00fad06daa62ba3b25d2fb40133da757205de67f5bb0018fee8c86e1b68c7e75caa8\
             96eb32f1f47c70855836a6d16fcc1466f6d8fbec67db89ec0c08b0e996b83538",
            "01894550d0785932e00eaa23b694f213f8c3121f86dc97a04e5a7167db4e5bcd3711\
             23d46e45db6b5d5370a7f20fb633155d38ffa16d2bd761dcac474b9a2f5023a4",
            "00493101c962cd4d2fddf782285e64584139c2f91b47f87ff82354d6630f746a28a0\
             db25741b5b34a828008b22acc23f924faafbd4d33f81ea66956dfeaa2bfdfcf5",
            "00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e\
             25a1ee9017b5d450606add152b534931d7d4e8455cc91f9b15bf05ec36e377fa",
            "00617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af2826\
             23eaa63e5b5c0723d8b8c37ff0777b1a20f8ccb1dccc43997f1ee0e44da4a67a",
        ),
    ] {
        let key = PrivateKey::Ecdsa {
            curve,
            scalar: Secret::new(hex(scalar)),
            public: hex(&format!("04{x}{y}")),
        };
        let mut signature = BytesMut::new();
        Unsigned(&hex(r)).write(&mut signature);
        Unsigned(&hex(s)).write(&mut signature);
        verified(curve.key_kind(), &key.public_key(), b"sample", &signature);
        let key = rustcrypto::LOADER.load(&key).unwrap();
        assert_eq!(
            key.sign(curve.key_kind(), b"sample", &OsRandom).unwrap(),
            signature
        );
    }
}

/// NIST FIPS 186-3 SigGen15 with a modulus of 2048 bits and the exponent 0x1001.
#[test]
fn rsa_is_that_of_nist() {
    use fixtures::*;
    let mut blob = BytesMut::new();
    "ssh-rsa".write(&mut blob);
    Unsigned(&[0x10, 0x01]).write(&mut blob);
    Unsigned(&hex(NIST_N)).write(&mut blob);
    let key = PublicKey::new(blob.freeze()).unwrap();
    for (algorithm, data, signature) in [
        ("rsa-sha2-256", NIST_MESSAGE_256, NIST_SIGNATURE_256),
        ("rsa-sha2-512", NIST_MESSAGE_512, NIST_SIGNATURE_512),
    ] {
        verified(algorithm, &key, &hex(data), &hex(signature));
    }
}
