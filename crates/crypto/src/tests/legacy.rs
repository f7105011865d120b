//! What stands behind the feature `legacy`: DSA by RFC 6979, SHA-1 signatures beside OpenSSL's, short RSA
//! moduli, and keys whose numbers are not what they should be.

use super::keys::rsa2048;
use super::{hex, providers};
use crate::{OsRandom, with_short_rsa};
use bytes::BytesMut;
use sansftp_keys::read_private_key;
use sansftp_proto::crypto::{CryptoError, CryptoProvider, PrivateKey, PublicKey, Secret};
use sansftp_proto::wire::{Field, Unsigned};

const P: &str = "86f5ca03dcfeb225063ff830a0c769b9dd9d6153ad91d7ce27f787c43278b447\
    e6533b86b18bed6e8a48b784a14c252c5be0dbf60b86d6385bd2f12fb763ed88\
    73abfd3f5ba2e0a8c0a59082eac056935e529daf7c610467899c77adedfc846c\
    881870b7b19b2b58f9be0521a17002e3bdd6b86685ee90b3d9a1b02b782b1779";
const Q: &str = "996f967f6c8e388d9e28d01e205fba957a5698b1";
const G: &str = "07b0f92546150b62514bb771e2a0c0ce387f03bda6c56b505209ff25fd3c133d\
    89bbcd97e904e09114d9a7defdeadfc9078ea544d2e401aeecc40bb9fbbf78fd\
    87995a10a1c27cb7789b594ba7efb5c4326a9fe59a070e136db77175464adca4\
    17be5dce2f40d10a46a3a3943f26ab7fd9c0398ff8c76ee0a56826a8a88f1dbd";
const X: &str = "411602cb19a6ccc34494d79d98ef1e7ed5af25f7";
const Y: &str = "5df5e01ded31d0297e274e1691c192fe5868fef9e19a84776454b100cf16f653\
    92195a38b90523e2542ee61871c0440cb87c322fc4b4d2ec5e1e7ec766e1be8d\
    4ce935437dc11c3c8fd426338933ebfe739cb3465f4d3668c5e473508253b1e6\
    82f65cbdc4fae93c2ea212390e54905a86e2223170b44eaa7da5dd9ffcfb7f3b";

/// The key of RFC 6979 A.2.1.
fn dsa() -> PrivateKey {
    PrivateKey::Dsa {
        p: hex(P),
        q: hex(Q),
        g: hex(G),
        y: hex(Y),
        x: Secret::new(hex(X)),
    }
}

fn verify(
    provider: &CryptoProvider,
    algorithm: &str,
    key: &PublicKey,
    signature: &[u8],
) -> Result<(), CryptoError> {
    let verifier = provider.signature(algorithm).unwrap();
    verifier.verify(key, b"sample", signature)
}

/// RFC 6979 A.2.1, with SHA-1.
#[test]
fn dsa_is_that_of_rfc_6979() {
    for provider in providers() {
        let key = provider.keys.load(&dsa()).unwrap();
        assert_eq!(key.algorithms(), ["ssh-dss"]);
        for (data, r, s) in [
            (
                &b"sample"[..],
                "2e1a0c2562b2912caaf89186fb0f42001585da55",
                "29efb6b0aff2d7a68eb70ca313022253b9a88df5",
            ),
            (
                b"test",
                "42ab2052fd43e123f0607f115052a67dcd9c5c77",
                "183916b0230d45b9931491d4c6b0bd2fb4aaf088",
            ),
        ] {
            let signature = key.sign("ssh-dss", data, &OsRandom).unwrap();
            assert_eq!(signature, hex(&format!("{r}{s}")));
            let verifier = provider.signature("ssh-dss").unwrap();
            assert_eq!(verifier.verify(key.public_key(), data, &signature), Ok(()));
            for bit in 0..signature.len() * 8 {
                let mut wrong = signature.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                let refused = verifier.verify(key.public_key(), data, &wrong);
                assert_eq!(refused, Err(CryptoError::BadSignature), "{bit}");
            }
        }
    }
}

#[test]
fn signatures_of_dsa_outside_their_range_are_refused() {
    let [provider, ..] = providers();
    let key = dsa().public_key();
    let (zero, q, long) = ([0; 20], hex(Q), [0xff; 20]);
    let fine = [1; 20];
    for (r, s) in [
        (&zero[..], &fine[..]),
        (&fine, &zero),
        (&q, &fine),
        (&fine, &q),
        (&long, &fine),
        (&zero, &zero),
        (&fine[1..], &fine),
        (&[], &[]),
    ] {
        let refused = verify(&provider, "ssh-dss", &key, &[r, s].concat());
        assert_eq!(refused, Err(CryptoError::BadSignature));
    }
}

/// CVE-2019-17596: numbers that are none of DSA's are refused before anything is divided by them.
#[test]
fn keys_of_dsa_whose_numbers_are_wrong_are_refused() {
    let [p, q, g, y] = [P, Q, G, Y].map(hex);
    let mut even = p.clone();
    *even.last_mut().unwrap() ^= 1;
    let mut other_q = q.clone();
    *other_q.last_mut().unwrap() ^= 2;
    let mut order_two = p.clone();
    *order_two.last_mut().unwrap() -= 1;
    let long = [&[1][..], &[0; 1023], &[1]].concat();
    let no: &[u8] = &[];
    let one: &[u8] = &[1];
    for (what, numbers) in [
        ("p even", [&even[..], &q, &g, &y]),
        ("p none", [no, &q, &g, &y]),
        ("p short", [&q, &q, &g, &y]),
        ("p long", [&long, &q, &g, &y]),
        ("q none", [&p, no, &g, &y]),
        ("q one", [&p, one, &g, &y]),
        ("q no divisor", [&p, &other_q, &g, &y]),
        ("q long", [&p, &p, &g, &y]),
        ("g none", [&p, &q, no, &y]),
        ("g one", [&p, &q, one, &y]),
        ("g of order two", [&p, &q, &order_two, &y]),
        ("g as large as p", [&p, &q, &p, &y]),
        ("g of another group", [&p, &q, &[2], &y]),
        ("y none", [&p, &q, &g, no]),
        ("y one", [&p, &q, &g, one]),
        ("y as large as p", [&p, &q, &g, &p]),
        ("y longer than p", [&p, &q, &g, &long]),
    ] {
        let mut blob = BytesMut::new();
        "ssh-dss".write(&mut blob);
        for number in numbers {
            Unsigned(number).write(&mut blob);
        }
        let key = PublicKey::new(blob.freeze()).unwrap();
        for provider in providers() {
            let refused = verify(&provider, "ssh-dss", &key, &[1; 40]);
            assert!(matches!(refused, Err(CryptoError::BadKey(_))), "{what}");
            let [p, q, g, y] = numbers.map(<[u8]>::to_vec);
            let x = Secret::new(hex(X));
            let refused = provider.keys.load(&PrivateKey::Dsa { p, q, g, y, x });
            assert!(matches!(refused, Err(CryptoError::BadKey(_))), "{what}");
        }
    }
}

#[test]
fn a_private_half_of_dsa_must_be_that_of_its_key() {
    for provider in providers() {
        for x in [vec![], vec![1], hex(Q), vec![0xff; 20], vec![1; 21]] {
            let PrivateKey::Dsa { p, q, g, y, .. } = dsa() else {
                unreachable!()
            };
            let x = Secret::new(x);
            let refused = provider.keys.load(&PrivateKey::Dsa { p, q, g, y, x });
            assert!(matches!(refused, Err(CryptoError::BadKey(_))));
        }
    }
}

/// `openssl dgst -sha1 -sign` with the key of 2048 bits, over `sample`.
#[test]
fn rsa_with_sha_1_is_that_of_openssl() {
    for provider in providers() {
        let key = provider.keys.load(&rsa2048()).unwrap();
        let signature = key.sign("ssh-rsa", b"sample", &OsRandom).unwrap();
        assert_eq!(signature, hex(RSA_SHA1_OF_SAMPLE));
        assert_eq!(
            verify(&provider, "ssh-rsa", key.public_key(), &signature),
            Ok(())
        );
        let other = verify(&provider, "rsa-sha2-256", key.public_key(), &signature);
        assert_eq!(other, Err(CryptoError::BadSignature));
    }
}

/// The key of 1024 bits was made by OpenSSL, and so were the signatures.
#[test]
fn a_short_rsa_key_is_taken_where_it_was_asked_for_and_nowhere_else() {
    let mut blob = BytesMut::new();
    "ssh-rsa".write(&mut blob);
    Unsigned(&[1, 0, 1]).write(&mut blob);
    Unsigned(&hex(SHORT_N)).write(&mut blob);
    let key = PublicKey::new(blob.freeze()).unwrap();
    for provider in providers() {
        assert_eq!(verify(&provider, "ssh-rsa", &key, &hex(SHORT_SHA1)), Ok(()));
        let refused = verify(&provider, "rsa-sha2-256", &key, &hex(SHORT_SHA256));
        assert!(matches!(refused, Err(CryptoError::BadKey(_))));
        let names: Vec<_> = provider.signatures.iter().map(|it| it.name()).collect();
        let short = with_short_rsa(provider);
        let same: Vec<_> = short.signatures.iter().map(|it| it.name()).collect();
        assert_eq!(names, same);
        assert_eq!(
            verify(&short, "rsa-sha2-256", &key, &hex(SHORT_SHA256)),
            Ok(())
        );
        let wrong = verify(&short, "rsa-sha2-512", &key, &hex(SHORT_SHA256));
        assert_eq!(wrong, Err(CryptoError::BadSignature));
    }
}

/// And it signs where it was asked for: in pure Rust with both providers.
#[test]
fn a_short_private_rsa_key_signs_where_it_was_asked_for_and_nowhere_else() {
    let short_key = read_private_key(SHORT_KEY.as_bytes(), None).unwrap().key;
    for provider in providers() {
        let refused = provider.keys.load(&short_key);
        assert!(matches!(refused, Err(CryptoError::BadKey(_))));
        let short = with_short_rsa(provider);
        for key in [&short_key, &rsa2048()] {
            let key = short.keys.load(key).unwrap();
            for algorithm in ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"] {
                let signature = key.sign(algorithm, b"sample", &OsRandom).unwrap();
                let verified = verify(&short, algorithm, key.public_key(), &signature);
                assert_eq!(verified, Ok(()), "{algorithm}");
            }
            let refused = key.sign("ssh-dss", b"sample", &OsRandom);
            assert!(matches!(refused, Err(CryptoError::Unsupported(_))));
        }
        assert_eq!(short.keys.load(&dsa()).unwrap().algorithms(), ["ssh-dss"]);
    }
}

const SHORT_KEY: &str = "\
-----BEGIN RSA PRIVATE KEY-----\n\
MIICWwIBAAKBgQDQF/lPnqKxNnsfGNHEdMPtkUThXistPgVBUgBMNaaUKhlghrSe\n\
EF49gPY515HT+TlJN+bGka0VZsBTTrBs8/Hrbzvd9wCkAvhcmCRZ47pgqdI+x/RU\n\
slMN78LpTzlyNpNfqOxvfBZtL/4x4yb85WrQrd/3Z5+Ib3qp/XQ1Av0QdwIDAQAB\n\
AoGAEVfOKXqZKJfXzxGseekZYzVWPkow4wZmPblt2Ownw/V2Q/s2Fm5azFlxLATx\n\
XG9K/PUxwJ7ng/8aTFckkRALu2Lpau8xCqBGk6SNOR576OH1F/knCY0hEAoxf9Zb\n\
kbtBdOuDtfcq/WnfXqJRBejqsvDL1rrBuclvAEpGBdqCJYECQQD4BgXdHmEgvtwk\n\
V3yw4I0beiNzz41wPhb8GILRJBHDY3fkAh2R8SfLUr5LxddIsRWZBJXOyZ/SKskQ\n\
CrzzZuvXAkEA1sk1V6ie34sm4Q8PFM5rgzC9ZCAm9RgA1EjpK7cSU7qhU3ZLx8rh\n\
PXNHRIfZr9HUCiJdEdSqIVpL6sXLpplsYQJAEE+lFxOmY5bpt2IhiyhZX1M6/aTK\n\
snUC4fVitQpgOK9T9STGeRCZA2Afr7AFJnyu5O9OQtkzr4iszGdIYeGE5QJANB9f\n\
8oXZCCacqMEex83QCWYqj8G9snzAtsN60kD7EZaYz8hFW5bAUklHYjoVebVR36O3\n\
MjyJjM583dxiL2vMAQJAZu2WSQbJkjhU0gI6MfJszFw5jiDpAD1rXNbl8rtTr+GL\n\
DyEsUQCLUt25teiG3EMcWsK/GB3rtrK9/68b58u4Lw==\n\
-----END RSA PRIVATE KEY-----";
const RSA_SHA1_OF_SAMPLE: &str = "\
    1ee2661b14bd08a8cdba544031a1ab0dd45e55bf71c4642c8e56cfd195f67f4a78cb3ebeec84d774\
    35f8c70927d558d644e7db68b40657796732b2879b1351b0b6a698f100ac5185a310dd9dbef4e95c\
    25eb3f5b3ee74b989ec120e6c0cd34deb83301554e922bdfc5a1e87fc53c8daf446121e133e7ea2e\
    6285bdd9518c2fc4ec561007962d378f9c3cc065da73345b46f7040bd6843ee3e4faee74ca8f99a5\
    62921e57bfe98767e249be8242f64ce027fd2d58778abbf50985572ee4e8a6007929de0fa371a594\
    f7109dd65c71f39df8711d202da45a43fb3507e5c0f1e0771b44cfcc3b4aaec4a957f4f88ea52a13\
    e28740f97e5598b1a035f069ac81140f";
const SHORT_N: &str = "\
    e0d0f7b9f06869eac8c36ff4c4bb70734e19e27ec0a18bab455767c764373123a7633c5f7bc786ef\
    d402808ed3279471a55cb8dba841b5dda6941519ef564e8195936bb53456c72a062f74ca0a54303c\
    89adcaeca1c0ef19d7e75874ea7150ecec02d386e9ee5f8d644a9feff94839f589f313015eaffe93\
    ceee9d3180d290cb";
const SHORT_SHA1: &str = "\
    be2b38e8ed92cbd790e28d1c4da9dc819b074c2daa2f00e52c7145c28d666892bbfac3a7002036f9\
    13ea00cb95c613f4330a8177c366a64abe55217943017f36e12527b954a15ccc95d9a752a9a953ac\
    0bd9d660a59368a84c240d8cfbefcda60fda559e32d28ba3e39cce55b745130abc5d4921bcd7b1c2\
    b6d7dc50b254cbdd";
const SHORT_SHA256: &str = "\
    ded572756aa1823058974850cd034742ddabc6eedd399ae4ce898233f7edf3ad0f24a230e67c4b64\
    7afb8d56a3b59beb326b85a5212b5f336fc67ce5e7bb6e1b36e149f215980b0b890d1f17737cc3a4\
    4641de439b7306a225f869111563f8f3a5fb99c31eb6ce314af57a66e0afad1d631f1ae2d0993f01\
    9789f4eee7d458ff";
