//! Key exchange: RFC 7748, RFC 5903, powers computed elsewhere, and shares that must be refused.

use super::{Dealt, fixtures, hex, kex, methods, providers};
#[cfg(feature = "legacy")]
use crate::kex::PRIME1;
use crate::kex::{PRIME14, PRIME16, PRIME18};
use crate::{OsRandom, SeededRandom};
use sansftp_proto::crypto::{CryptoError, KexAlgorithm, NumberEncoding};

/// Private key, public key, the peer's public key, the secret.
struct Vector<'a> {
    method: &'a str,
    private: &'a str,
    share: &'a str,
    peer: &'a str,
    secret: &'a str,
}

const ALICE: &str = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
const ALICE_SHARE: &str = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
const BOB: &str = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
const BOB_SHARE: &str = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
const ALICE_AND_BOB: &str = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";

/// RFC 7748 §6.1, RFC 5903 §8.1 to §8.3, and powers made elsewhere.
const VECTORS: &[Vector<'_>] = &[
    Vector {
        method: "curve25519-sha256",
        private: ALICE,
        share: ALICE_SHARE,
        peer: BOB_SHARE,
        secret: ALICE_AND_BOB,
    },
    Vector {
        method: "curve25519-sha256@libssh.org",
        private: BOB,
        share: BOB_SHARE,
        peer: ALICE_SHARE,
        secret: ALICE_AND_BOB,
    },
    Vector {
        method: "ecdh-sha2-nistp256",
        private: "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
        share: "04\
            dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180\
            5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
        peer: "04\
            d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63\
            56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
        secret: "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de",
    },
    Vector {
        method: "ecdh-sha2-nistp384",
        private: "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f16\
            0647b67414dce655e35b538041e649ee3faef896783ab194",
        share: "04\
            667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6\
            de3ac808acb4bdb4c88732aee95f41aa\
            9482ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38e\
            eb9fcff3c2c947dae69b4c634573a81c",
        peer: "04\
            e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d\
            0d1ac43a0336def96fda41d0774a3571\
            dcfbec7aacf3196472169e838430367f66eebe3c6e70c416dd5f0c68759dd1ff\
            f83fa40142209dff5eaad96db9e6386c",
        secret: "11187331c279962d93d604243fd592cb9d0a926f422e4718\
            7521287e7156c5c4d603135569b9e9d09cf5d4a270f59746",
    },
    Vector {
        method: "ecdh-sha2-nistp521",
        private: "0037ade9319a89f4dabdb3ef411aaccca5123c61acab57b5393dce47608172a095\
            aa85a30fe1c2952c6771d937ba9777f5957b2639bab072462f68c27a57382d4a52",
        share: "04\
            0015417e84dbf28c0ad3c278713349dc7df153c897a1891bd98bab4357c9ecbee1\
            e3bf42e00b8e380aeae57c2d107564941885942af5a7f4601723c4195d176ced3e\
            017cae20b6641d2eeb695786d8c946146239d099e18e1d5a514c739d7cb4a10ad8\
            a788015ac405d7799dc75e7b7d5b6cf2261a6a7f1507438bf01beb6ca3926f9582",
        peer: "04\
            00d0b3975ac4b799f5bea16d5e13e9af971d5e9b984c9f39728b5e5739735a219b\
            97c356436adc6e95bb0352f6be64a6c2912d4ef2d0433ced2b6171640012d9460f\
            015c68226383956e3bd066e797b623c27ce0eac2f551a10c2c724d9852077b8722\
            0b6536c5c408a1d2aebb8e86d678ae49cb57091f4732296579ab44fcd17f0fc56a",
        secret: "01144c7d79ae6956bc8edb8e7c787c4521cb086fa64407f97894e5e6b2d79b04d1\
            427e73ca4baa240a34786859810c06b3c715a3a8cc3151f2bee417996d19f3ddea",
    },
    Vector {
        method: "diffie-hellman-group14-sha256",
        private: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        share: fixtures::GROUP14_OURS,
        peer: fixtures::GROUP14_PEER,
        secret: fixtures::GROUP14_SECRET,
    },
    Vector {
        method: "diffie-hellman-group16-sha512",
        private: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f\
            a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf",
        share: fixtures::GROUP16_OURS,
        peer: fixtures::GROUP16_PEER,
        secret: fixtures::GROUP16_SECRET,
    },
    Vector {
        method: "diffie-hellman-group18-sha512",
        private: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f\
            a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf",
        share: fixtures::GROUP18_OURS,
        peer: fixtures::GROUP18_PEER,
        secret: fixtures::GROUP18_SECRET,
    },
    #[cfg(feature = "legacy")]
    Vector {
        method: "diffie-hellman-group14-sha1",
        private: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        share: fixtures::GROUP14_OURS,
        peer: fixtures::GROUP14_PEER,
        secret: fixtures::GROUP14_SECRET,
    },
    #[cfg(feature = "legacy")]
    Vector {
        method: "diffie-hellman-group1-sha1",
        private: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        share: fixtures::GROUP1_OURS,
        peer: fixtures::GROUP1_PEER,
        secret: fixtures::GROUP1_SECRET,
    },
];

#[test]
fn both_roles_compute_the_published_shares_and_secrets() {
    for provider in providers() {
        for vector in VECTORS {
            let method = kex(&provider, vector.method);
            let client = method.start(&Dealt::new(vector.private)).unwrap();
            assert_eq!(client.share(), hex(vector.share), "{}", vector.method);
            let secret = client.finish(&hex(vector.peer)).unwrap();
            assert_eq!(secret.expose(), hex(vector.secret), "{}", vector.method);

            let (share, secret) = method
                .respond(&hex(vector.peer), &Dealt::new(vector.private))
                .unwrap();
            assert_eq!(share, hex(vector.share), "{}", vector.method);
            assert_eq!(secret.expose(), hex(vector.secret), "{}", vector.method);
        }
    }
}

#[test]
fn the_two_ends_agree_whoever_their_providers_are() {
    let [ring, rustcrypto, _] = providers();
    for (client, server) in [(&ring, &rustcrypto), (&rustcrypto, &ring)] {
        for (client, server) in methods(client).zip(methods(server)) {
            let turn = client.start(&OsRandom).unwrap();
            let (share, theirs) = server.respond(turn.share(), &OsRandom).unwrap();
            assert_eq!(turn.finish(&share).unwrap(), theirs, "{}", client.name());
        }
    }
}

#[test]
fn one_seed_gives_one_exchange_and_another_seed_another() {
    let [_, provider, _] = providers();
    for method in methods(&provider) {
        let share = |seed| {
            let random = SeededRandom::new([seed; 32]);
            method.start(&random).unwrap().share().to_vec()
        };
        assert_eq!(share(1), share(1), "{}", method.name());
        assert_ne!(share(1), share(2), "{}", method.name());
    }
}

#[test]
fn without_randomness_there_is_no_exchange() {
    for provider in providers() {
        for method in methods(&provider) {
            let dry = Dealt::new("00");
            assert_eq!(method.start(&dry).unwrap_err(), CryptoError::Random);
        }
    }
}

#[test]
fn a_scalar_outside_the_curves_order_is_drawn_again() {
    let [ring, ..] = providers();
    let first = "ff".repeat(32) + &"00".repeat(32);
    let dealt = Dealt::new(&(first + VECTORS[2].private));
    let turn = kex(&ring, "ecdh-sha2-nistp256").start(&dealt).unwrap();
    assert_eq!(turn.share(), hex(VECTORS[2].share));
    let broken = Dealt::new(&"ff".repeat(32 * 9));
    assert_eq!(
        kex(&ring, "ecdh-sha2-nistp256").start(&broken).unwrap_err(),
        CryptoError::Random
    );
}

#[test]
fn numbers_are_encoded_as_each_method_says() {
    for provider in providers() {
        for method in methods(&provider) {
            let finite = method.name().starts_with("diffie-hellman");
            let share = if finite {
                NumberEncoding::MpInt
            } else {
                NumberEncoding::String
            };
            let secret = if HYBRIDS.iter().any(|it| it.name == method.name()) {
                NumberEncoding::String
            } else {
                NumberEncoding::MpInt
            };
            assert_eq!(method.share_encoding(), share);
            assert_eq!(method.secret_encoding(), secret);
        }
    }
}

fn refused(method: &dyn KexAlgorithm, share: &[u8]) {
    let turn = method.start(&OsRandom).unwrap();
    let name = method.name();
    assert_eq!(
        turn.finish(share).unwrap_err(),
        CryptoError::BadShare,
        "{name} client"
    );
    let answer = method.respond(share, &OsRandom);
    assert_eq!(answer.unwrap_err(), CryptoError::BadShare, "{name} server");
}

/// Every encoding of the points whose order divides 8, but for the top bit: 0, 1, the two of order 8,
/// p - 1, p and p + 1. The list of twelve that is often quoted goes on beyond 2^255, for code that
/// does not mask the top bit as RFC 7748 §5 demands; masked, those five are ordinary points.
const LOW_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// The five of the quoted twelve that are beyond 2^255.
const BEYOND: [&str; 5] = [
    "cdeb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880",
    "4c9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7",
    "d9ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "daffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "dbffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

#[test]
fn points_of_low_order_and_wrong_length_are_refused_on_curve25519() {
    for provider in providers() {
        let method = kex(&provider, "curve25519-sha256");
        for point in LOW_ORDER {
            let mut point = hex(point);
            refused(method, &point);
            point[31] |= 0x80;
            refused(method, &point);
        }
        for len in (0..=64).filter(|&len| len != 32) {
            refused(method, &vec![9; len]);
        }
    }
}

/// A hybrid, with the lengths of what stands before the X25519 shares.
struct Sizes {
    name: &'static str,
    public: usize,
    ciphertext: usize,
}

const fn sizes(name: &'static str, public: usize, ciphertext: usize) -> Sizes {
    Sizes {
        name,
        public,
        ciphertext,
    }
}

/// draft-ietf-sshm-mlkem-hybrid-kex §2.4, RFC 9941 §3.
const HYBRIDS: [Sizes; 3] = [
    sizes("mlkem768x25519-sha256", 1184, 1088),
    sizes("sntrup761x25519-sha512", 1158, 1039),
    sizes("sntrup761x25519-sha512@openssh.com", 1158, 1039),
];

#[test]
fn shares_of_hybrids_have_one_length_and_points_of_low_order_are_refused_in_them() {
    for provider in providers() {
        for hybrid in &HYBRIDS {
            let method = kex(&provider, hybrid.name);
            let bad = |turn: Result<_, _>| assert_eq!(turn.unwrap_err(), CryptoError::BadShare);
            let public = method.start(&OsRandom).unwrap().share().to_vec();
            let (ciphertext, _) = method.respond(&public, &OsRandom).unwrap();
            assert_eq!(public.len(), hybrid.public + 32);
            assert_eq!(ciphertext.len(), hybrid.ciphertext + 32);

            let finish = |share: &[u8]| method.start(&OsRandom).unwrap().finish(share);
            for (len, answers) in [(hybrid.public, false), (hybrid.ciphertext, true)] {
                for len in [0, 1, 32, len - 1, len, len + 31, len + 33, 2 * len] {
                    let mut share = if answers { &ciphertext } else { &public }.clone();
                    share.resize(len, 9);
                    if answers {
                        bad(finish(&share));
                    } else {
                        bad(method.respond(&share, &OsRandom).map(|(_, secret)| secret));
                    }
                }
            }
            for point in LOW_ORDER {
                for top in [0, 0x80] {
                    let mut point = hex(point);
                    point[31] |= top;
                    let share = [&public[..hybrid.public], &point].concat();
                    bad(method.respond(&share, &OsRandom).map(|(_, secret)| secret));
                    let share = [&ciphertext[..hybrid.ciphertext], &point].concat();
                    bad(finish(&share));
                }
            }
        }
    }
}

/// FIPS 203 §7.2: the modulus check of encapsulation keys.
#[test]
fn an_encapsulation_key_with_a_number_that_is_not_reduced_is_refused() {
    for provider in providers() {
        let method = kex(&provider, "mlkem768x25519-sha256");
        let good = method.start(&OsRandom).unwrap().share().to_vec();
        for at in [0, 3 * 100, 3 * 383] {
            let mut share = good.clone();
            // Twelve bits each, little-endian: 3329, which is the modulus, and its neighbour as it was.
            share[at] = 0x01;
            share[at + 1] = share[at + 1] & 0xf0 | 0x0d;
            let answer = method.respond(&share, &OsRandom);
            assert_eq!(answer.unwrap_err(), CryptoError::BadShare, "{at}");
            share[at] = 0x00;
            assert!(method.respond(&share, &OsRandom).is_ok(), "{at}");
        }
    }
}

#[test]
fn a_forged_ciphertext_gives_a_hybrid_secret_that_the_forger_does_not_have() {
    for provider in providers() {
        for hybrid in &HYBRIDS {
            let method = kex(&provider, hybrid.name);
            let turn = method.start(&OsRandom).unwrap();
            let (mut answer, secret) = method.respond(turn.share(), &OsRandom).unwrap();
            answer[hybrid.ciphertext - 1] ^= 1;
            assert_ne!(turn.finish(&answer).unwrap(), secret, "{}", hybrid.name);
        }
    }
}

/// The secret is a whole hash, and a string: it keeps the zeros that it begins with.
#[test]
fn the_secret_of_a_hybrid_keeps_its_leading_zeros() {
    let [_, provider, _] = providers();
    for (name, seeds) in [
        (HYBRIDS[0].name, [118u32, 157]),
        (HYBRIDS[1].name, [303, 315]),
        (HYBRIDS[2].name, [303, 315]),
    ] {
        let method = kex(&provider, name);
        for number in seeds {
            let mut seed = [0; 32];
            seed[..4].copy_from_slice(&number.to_be_bytes());
            let random = SeededRandom::new(seed);
            let turn = method.start(&random).unwrap();
            let (answer, theirs) = method.respond(turn.share(), &random).unwrap();
            let secret = turn.finish(&answer).unwrap();
            assert_eq!(secret, theirs, "{name}");
            assert_eq!(secret.expose().len(), method.hash().output_len());
            assert_eq!(secret.expose()[0], 0, "seed {number} of {name}");
        }
    }
}

#[test]
fn the_top_bit_of_a_curve25519_share_is_masked() {
    for provider in providers() {
        let method = kex(&provider, "curve25519-sha256");
        let secret = |share: &[u8]| method.start(&Dealt::new(ALICE)).unwrap().finish(share);
        for point in BEYOND.into_iter().chain([BOB_SHARE]) {
            let mut masked = hex(point);
            masked[31] &= 0x7f;
            let mut set = masked.clone();
            set[31] |= 0x80;
            assert_eq!(secret(&masked).unwrap(), secret(&set).unwrap(), "{point}");
        }
    }
}

#[test]
fn what_is_no_uncompressed_point_of_the_curve_is_refused() {
    for provider in providers() {
        for vector in &VECTORS[2..5] {
            let method = kex(&provider, vector.method);
            let good = hex(vector.peer);
            let width = (good.len() - 1) / 2;

            let mut off_curve = good.clone();
            *off_curve.last_mut().unwrap() ^= 1;
            refused(method, &off_curve);

            // Infinity, the compressed and the hybrid form of the good point, and no form at all.
            refused(method, &[0]);
            let compressed = [&[2 | good.last().unwrap() & 1], &good[1..=width]].concat();
            refused(method, &compressed);
            for tag in (0..=255).filter(|&tag| tag != 4) {
                let mut other = good.clone();
                other[0] = tag;
                refused(method, &other);
            }
            for len in (0..good.len()).chain([good.len() + 1]) {
                let mut other = good.clone();
                other.resize(len, 0);
                refused(method, &other);
            }
            // Coordinates that are not below the field's prime.
            refused(method, &[&[4][..], &vec![0xff; 2 * width]].concat());
        }
    }
}

#[test]
fn the_ends_of_a_finite_field_and_what_lies_beyond_are_refused() {
    for provider in providers() {
        for (name, prime) in [
            #[cfg(feature = "legacy")]
            ("diffie-hellman-group1-sha1", PRIME1),
            #[cfg(feature = "legacy")]
            ("diffie-hellman-group14-sha1", PRIME14),
            ("diffie-hellman-group14-sha256", PRIME14),
            ("diffie-hellman-group16-sha512", PRIME16),
            ("diffie-hellman-group18-sha512", PRIME18),
        ] {
            let method = kex(&provider, name);
            let prime = hex(prime);
            let len = prime.len();
            let with_last = |byte: u8| {
                let mut number = prime.clone();
                *number.last_mut().unwrap() = byte;
                number
            };
            refused(method, &[]);
            refused(method, &[0]);
            refused(method, &[1]);
            refused(method, &[vec![0; len - 1], vec![1]].concat());
            // Both primes end in ff: p - 1, p; p + 1 carries through the last eight bytes.
            refused(method, &with_last(0xfe));
            refused(method, &prime);
            let mut above = prime.clone();
            let start = len - 8;
            above[start..].fill(0);
            above[start - 1] += 1;
            refused(method, &above);
            refused(method, &vec![0xff; len]);
            refused(method, &[&[1][..], &prime].concat());
            refused(method, &vec![2; len + 1]);

            // 2 and p - 2 are the last that are let in.
            let turn = method.start(&OsRandom).unwrap();
            assert!(turn.finish(&[2]).is_ok());
            assert!(method.respond(&with_last(0xfd), &OsRandom).is_ok());
        }
    }
}
