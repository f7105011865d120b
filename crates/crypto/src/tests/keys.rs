//! Private keys: loaded, refused when their halves do not fit, generated, and named by fingerprint.

use super::{fixtures, hex, providers, public};
use crate::{
    OsRandom, SeededRandom, default_provider, generate_ecdsa, generate_ed25519, ring, rustcrypto,
};
use sansftp_keys::sha256_fingerprint;
use sansftp_proto::crypto::{CryptoError, Curve, KeyLoader, PrivateKey, Secret, SecureRandom};
use std::sync::Arc;

pub(super) fn ed25519() -> PrivateKey {
    let public = public(fixtures::ED25519_BLOB);
    PrivateKey::Ed25519 {
        seed: Secret::new(hex(fixtures::ED25519_SEED)),
        public: public.as_bytes()[19..].try_into().unwrap(),
    }
}

pub(super) fn p256() -> PrivateKey {
    PrivateKey::Ecdsa {
        curve: Curve::P256,
        scalar: Secret::new(hex(fixtures::P256_SCALAR)),
        public: hex(fixtures::P256_BLOB).split_off(39),
    }
}

pub(super) fn p384() -> PrivateKey {
    PrivateKey::Ecdsa {
        curve: Curve::P384,
        scalar: Secret::new(hex(fixtures::P384_SCALAR)),
        public: hex(fixtures::P384_BLOB).split_off(39),
    }
}

pub(super) fn p521() -> PrivateKey {
    generate_ecdsa(Curve::P521, &SeededRandom::new([52; 32])).unwrap()
}

/// What an RSA key signs with.
const RSA: &[&str] = &[
    "rsa-sha2-512",
    "rsa-sha2-256",
    #[cfg(feature = "legacy")]
    "ssh-rsa",
];

fn rsa([n, e, d, p, q, iqmp]: [&str; 6]) -> PrivateKey {
    let secret = |number| Secret::new(hex(number));
    PrivateKey::Rsa {
        n: hex(n),
        e: hex(e),
        d: secret(d),
        p: secret(p),
        q: secret(q),
        iqmp: secret(iqmp),
    }
}

pub(crate) fn rsa2048() -> PrivateKey {
    use fixtures::*;
    rsa([
        RSA2048_N,
        RSA2048_E,
        RSA2048_D,
        RSA2048_P,
        RSA2048_Q,
        RSA2048_IQMP,
    ])
}

pub(super) fn rsa3072() -> PrivateKey {
    use fixtures::*;
    rsa([
        RSA3072_N,
        RSA3072_E,
        RSA3072_D,
        RSA3072_P,
        RSA3072_Q,
        RSA3072_IQMP,
    ])
}

/// A size and an exponent that ring does not sign with.
pub(super) fn rsa2304() -> PrivateKey {
    use fixtures::*;
    rsa([
        RSA2304_N,
        RSA2304_E,
        RSA2304_D,
        RSA2304_P,
        RSA2304_Q,
        RSA2304_IQMP,
    ])
}

fn loaders() -> [Arc<dyn KeyLoader>; 3] {
    [
        Arc::new(ring::LOADER),
        Arc::new(rustcrypto::LOADER),
        default_provider().keys,
    ]
}

#[test]
fn keys_made_by_openssh_load_and_give_their_public_half_and_algorithms() {
    for loader in loaders() {
        for (key, blob, algorithms) in [
            (ed25519(), fixtures::ED25519_BLOB, &["ssh-ed25519"][..]),
            (p256(), fixtures::P256_BLOB, &["ecdsa-sha2-nistp256"]),
            (p384(), fixtures::P384_BLOB, &["ecdsa-sha2-nistp384"]),
            (rsa2048(), fixtures::RSA2048_BLOB, RSA),
            (rsa3072(), fixtures::RSA3072_BLOB, RSA),
        ] {
            let loaded = loader.load(&key).unwrap();
            assert_eq!(loaded.public_key(), &public(blob));
            assert_eq!(loaded.algorithms(), algorithms);
            let refused = loaded.sign("rsa-sha2-1", b"", &OsRandom);
            assert!(matches!(refused, Err(CryptoError::Unsupported(_))));
            assert!(!format!("{loaded:?}").contains("seed"));
        }
    }
}

#[test]
fn rsa_keys_that_ring_does_not_sign_with_go_to_pure_rust() {
    assert!(matches!(
        ring::LOADER.load(&rsa2304()),
        Err(CryptoError::Unsupported(_))
    ));
    let key = default_provider().keys.load(&rsa2304()).unwrap();
    assert_eq!(key.public_key(), &public(fixtures::RSA2304_BLOB));
}

#[test]
fn halves_that_do_not_belong_together_are_refused() {
    let mut wrong = Vec::new();
    let PrivateKey::Ed25519 { seed, mut public } = ed25519() else {
        unreachable!()
    };
    public[0] ^= 1;
    wrong.push(PrivateKey::Ed25519 {
        seed: seed.clone(),
        public,
    });
    public[0] ^= 1;
    wrong.push(PrivateKey::Ed25519 {
        seed: Secret::from(&seed.expose()[1..]),
        public,
    });
    wrong.push(PrivateKey::Ed25519 {
        seed: Secret::default(),
        public,
    });

    for (key, other) in [(p256(), 32), (p384(), 48)] {
        let PrivateKey::Ecdsa {
            curve,
            scalar,
            public,
        } = key
        else {
            unreachable!()
        };
        let with = |bytes: Vec<u8>| PrivateKey::Ecdsa {
            curve,
            scalar: Secret::new(bytes),
            public: public.clone(),
        };
        let mut next = scalar.expose().to_vec();
        *next.last_mut().unwrap() ^= 1;
        wrong.push(with(next));
        wrong.push(with(vec![0; other]));
        wrong.push(with(vec![0xff; other]));
        wrong.push(with(scalar.expose()[1..].to_vec()));
        wrong.push(with([&[0], scalar.expose()].concat()));
        wrong.push(with(Vec::new()));
        wrong.push(PrivateKey::Ecdsa {
            curve,
            scalar: scalar.clone(),
            public: Vec::new(),
        });
    }
    for key in wrong {
        for loader in loaders() {
            assert!(
                matches!(loader.load(&key), Err(CryptoError::BadKey(_))),
                "{key:?}"
            );
        }
    }
}

/// Every number of an RSA key, changed alone in every byte's lowest bit or in its length.
#[test]
fn an_rsa_key_with_one_wrong_number_is_refused() {
    use fixtures::*;
    let good = [
        RSA2048_N,
        RSA2048_E,
        RSA2048_D,
        RSA2048_P,
        RSA2048_Q,
        RSA2048_IQMP,
    ];
    for loader in loaders() {
        for which in 0..good.len() {
            let len = good[which].len() / 2;
            for at in [0, len / 2, len - 1] {
                let mut number = hex(good[which]);
                // The exponent is odd and stays it.
                number[at] ^= 2;
                refused(&*loader, good, which, &number);
            }
            refused(&*loader, good, which, &[]);
            refused(&*loader, good, which, &[1]);
            refused(&*loader, good, which, &hex(good[which])[1..]);
            refused(
                &*loader,
                good,
                which,
                &[&[1], &hex(good[which])[..]].concat(),
            );
            refused(&*loader, good, which, &vec![0xff; 5000]);
        }
        // Swapped primes, without a new inverse.
        let [n, e, d, p, q, iqmp] = good;
        let swapped = loader.load(&rsa([n, e, d, q, p, iqmp]));
        assert!(matches!(swapped, Err(CryptoError::BadKey(_))));
        // p = n, q = 1.
        let degenerate = loader.load(&rsa([n, e, d, n, "01", iqmp]));
        assert!(matches!(degenerate, Err(CryptoError::BadKey(_))));
    }

    fn refused(loader: &dyn KeyLoader, good: [&str; 6], which: usize, number: &[u8]) {
        let mut key = rsa(good);
        if let PrivateKey::Rsa {
            n,
            e,
            d,
            p,
            q,
            iqmp,
        } = &mut key
        {
            match which {
                0 => *n = number.to_vec(),
                1 => *e = number.to_vec(),
                2 => *d = Secret::from(number),
                3 => *p = Secret::from(number),
                4 => *q = Secret::from(number),
                _ => *iqmp = Secret::from(number),
            }
        }
        let loaded = loader.load(&key);
        assert!(
            matches!(loaded, Err(CryptoError::BadKey(_))),
            "{which} {number:x?} {loaded:?}"
        );
    }
}

#[test]
fn leading_zeros_of_rsa_numbers_do_not_matter() {
    use fixtures::*;
    let zeros = [
        RSA2048_N,
        RSA2048_E,
        RSA2048_D,
        RSA2048_P,
        RSA2048_Q,
        RSA2048_IQMP,
    ]
    .map(|number| format!("0000{number}"));
    for loader in loaders() {
        let key = loader
            .load(&rsa(zeros.each_ref().map(String::as_str)))
            .unwrap();
        assert_eq!(key.public_key(), &public(RSA2048_BLOB));
    }
}

#[test]
fn fingerprints_are_those_of_ssh_keygen() {
    use fixtures::*;
    for (blob, fingerprint) in [
        (ED25519_BLOB, ED25519_FINGERPRINT),
        (P256_BLOB, P256_FINGERPRINT),
        (P384_BLOB, P384_FINGERPRINT),
        (RSA2048_BLOB, RSA2048_FINGERPRINT),
        (RSA3072_BLOB, RSA3072_FINGERPRINT),
        (RSA2304_BLOB, RSA2304_FINGERPRINT),
    ] {
        assert_eq!(sha256_fingerprint(&public(blob)), fingerprint);
    }
}

#[test]
fn generated_keys_load_sign_and_follow_from_their_seed() {
    for loader in loaders() {
        for make in [
            generate_ed25519,
            |random: &dyn SecureRandom| generate_ecdsa(Curve::P256, random),
            |random: &dyn SecureRandom| generate_ecdsa(Curve::P384, random),
        ] {
            let key = make(&SeededRandom::new([3; 32])).unwrap();
            let again = make(&SeededRandom::new([3; 32])).unwrap();
            let other = make(&SeededRandom::new([4; 32])).unwrap();
            assert_eq!(key.public_key(), again.public_key());
            assert_ne!(key.public_key(), other.public_key());
            let loaded = loader.load(&key).unwrap();
            let [algorithm] = loaded.algorithms() else {
                panic!("one algorithm")
            };
            let signature = loaded.sign(algorithm, b"data", &OsRandom).unwrap();
            for provider in providers() {
                let verifier = provider.signature(algorithm).unwrap();
                assert_eq!(
                    verifier.verify(loaded.public_key(), b"data", &signature),
                    Ok(())
                );
            }
        }
    }
}

#[test]
fn the_seeded_stream_is_chacha20s_and_goes_on() {
    // RFC 8439 appendix A.1, test vectors 1 and 2: the keystream of the zero key.
    let random = SeededRandom::new([0; 32]);
    let mut bytes = [1; 96];
    let (first, second) = bytes.split_at_mut(10);
    random.fill(first).unwrap();
    random.fill(second).unwrap();
    let expected = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7\
                    da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586\
                    9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed";
    assert_eq!(bytes.to_vec(), hex(expected));
}
