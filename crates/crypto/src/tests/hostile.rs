//! Keys and signatures that strangers might send: each must be refused by every provider, in the
//! same way, quickly, and without a panic.

use super::keys::{ed25519, p256, p384, rsa2048};
use super::{fixtures, hex, providers, public};
use crate::OsRandom;
use bytes::BytesMut;
use sansftp_proto::crypto::{CryptoError, PublicKey};
use sansftp_proto::wire::{Field, Unsigned};
use std::time::Instant;

const MESSAGE: &[u8] = b"sansftp fixture";

/// One of each: algorithm, key, signature of [`MESSAGE`].
fn good() -> Vec<(&'static str, PublicKey, Vec<u8>)> {
    use fixtures::*;
    [
        ("ssh-ed25519", ED25519_BLOB, ED25519_SIGNATURE),
        ("ecdsa-sha2-nistp256", P256_BLOB, P256_SIGNATURE),
        ("ecdsa-sha2-nistp384", P384_BLOB, P384_SIGNATURE),
        ("rsa-sha2-256", RSA2048_BLOB, RSA2048_SIGNATURE_256),
        ("rsa-sha2-512", RSA2048_BLOB, RSA2048_SIGNATURE_512),
    ]
    .map(|(algorithm, blob, signature)| (algorithm, public(blob), hex(signature)))
    .into()
}

fn verdicts(algorithm: &str, key: &PublicKey, signature: &[u8]) -> Vec<Result<(), CryptoError>> {
    let verify = |provider: &sansftp_proto::crypto::CryptoProvider| {
        provider
            .signature(algorithm)
            .unwrap()
            .verify(key, MESSAGE, signature)
    };
    providers().iter().map(verify).collect()
}

fn bad_signature(algorithm: &str, key: &PublicKey, signature: &[u8]) {
    for verdict in verdicts(algorithm, key, signature) {
        assert_eq!(
            verdict,
            Err(CryptoError::BadSignature),
            "{algorithm} {signature:x?}"
        );
    }
}

fn bad_key(algorithm: &str, blob: impl Into<Vec<u8>>) {
    let key = PublicKey::new(blob.into()).unwrap();
    for verdict in verdicts(algorithm, &key, &[0; 256]) {
        assert!(
            matches!(verdict, Err(CryptoError::BadKey(_))),
            "{algorithm} {verdict:?} {key:?}"
        );
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_signature_is_refused() {
    for (algorithm, key, signature) in good() {
        for bit in 0..signature.len() * 8 {
            let mut wrong = signature.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            bad_signature(algorithm, &key, &wrong);
        }
    }
}

#[test]
fn a_signature_of_any_other_length_is_refused() {
    for (algorithm, key, signature) in good() {
        for len in 0..signature.len() {
            bad_signature(algorithm, &key, &signature[..len]);
        }
        for more in 1..=64 {
            let mut longer = signature.clone();
            longer.resize(signature.len() + more, 0);
            bad_signature(algorithm, &key, &longer);
        }
    }
}

#[test]
fn a_flipped_bit_in_a_key_is_never_a_success() {
    for (algorithm, key, signature) in good() {
        for bit in 0..key.as_bytes().len() * 8 {
            let mut blob = key.as_bytes().to_vec();
            blob[bit / 8] ^= 1 << (bit % 8);
            let Ok(other) = PublicKey::new(blob) else {
                continue;
            };
            let verdicts = verdicts(algorithm, &other, &signature);
            assert!(verdicts.iter().all(Result::is_err), "{algorithm} bit {bit}");
            assert!(
                verdicts.windows(2).all(|pair| pair[0] == pair[1]),
                "{algorithm} bit {bit}"
            );
        }
    }
}

#[test]
fn keys_cut_short_or_with_trailing_bytes_are_refused() {
    for (algorithm, key, _) in good() {
        let blob = key.as_bytes();
        for len in 4 + key.kind().len()..blob.len() {
            bad_key(algorithm, &blob[..len]);
        }
        bad_key(algorithm, [blob, &[0][..]].concat());
        bad_key(algorithm, [blob, &b"\0\0\0\0"[..]].concat());
    }
}

#[test]
fn a_key_of_another_type_is_refused_by_every_algorithm() {
    for (algorithm, own, _) in good() {
        for (_, key, _) in good() {
            if key.kind() != own.kind() {
                bad_key(algorithm, key.as_bytes().to_vec());
            }
        }
    }
}

#[test]
fn the_curve_inside_an_ecdsa_key_must_be_its_types() {
    let blob = |kind: &str, curve: &str, point: &[u8]| {
        let mut blob = BytesMut::new();
        kind.write(&mut blob);
        curve.write(&mut blob);
        point.write(&mut blob);
        blob.to_vec()
    };
    let p256 = &hex(fixtures::P256_BLOB)[39..];
    let p384 = &hex(fixtures::P384_BLOB)[39..];
    for curve in ["nistp384", "nistp521", "", "nistp256\0", "NISTP256"] {
        bad_key(
            "ecdsa-sha2-nistp256",
            blob("ecdsa-sha2-nistp256", curve, p256),
        );
    }
    bad_key(
        "ecdsa-sha2-nistp256",
        blob("ecdsa-sha2-nistp256", "nistp256", p384),
    );
    bad_key(
        "ecdsa-sha2-nistp384",
        blob("ecdsa-sha2-nistp384", "nistp384", p256),
    );
    bad_key(
        "ecdsa-sha2-nistp384",
        blob("ecdsa-sha2-nistp384", "nistp256", p256),
    );
    for len in 0..p256.len() {
        bad_key(
            "ecdsa-sha2-nistp256",
            blob("ecdsa-sha2-nistp256", "nistp256", &p256[..len]),
        );
    }
    for tag in [0, 2, 3, 5, 6, 7, 255] {
        let mut point = p256.to_vec();
        point[0] = tag;
        bad_key(
            "ecdsa-sha2-nistp256",
            blob("ecdsa-sha2-nistp256", "nistp256", &point),
        );
    }
    let compressed = [&[2 | p256[64] & 1], &p256[1..33]].concat();
    bad_key(
        "ecdsa-sha2-nistp256",
        blob("ecdsa-sha2-nistp256", "nistp256", &compressed),
    );
}

/// Numbers of 0, of the order n and above, negative, or not in their shortest form.
#[test]
fn ecdsa_numbers_outside_their_range_are_refused() {
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let (_, key, good) = good().swap_remove(1);
    let mut fields = sansftp_proto::wire::Reader::new(&good);
    let r: &[u8] = fields.read().unwrap();
    let s: &[u8] = fields.read().unwrap();
    let signature = |r: &[u8], s: &[u8]| {
        let mut out = BytesMut::new();
        r.write(&mut out);
        s.write(&mut out);
        out.to_vec()
    };
    for verdict in verdicts("ecdsa-sha2-nistp256", &key, &signature(r, s)) {
        assert_eq!(verdict, Ok(()));
    }
    let order = [&[0], &hex(order)[..]].concat();
    let wide = [&[0], &[0xff; 32][..]].concat();
    let negative = [&[0x80], &[1; 31][..]].concat();
    for number in [
        &[][..],
        &[0],
        &order,
        &wide,
        &negative,
        &[1; 33],
        &[1; 4000],
    ] {
        bad_signature("ecdsa-sha2-nistp256", &key, &signature(number, s));
        bad_signature("ecdsa-sha2-nistp256", &key, &signature(r, number));
        bad_signature("ecdsa-sha2-nistp256", &key, &signature(number, number));
    }
    let padded = [&[0], r].concat();
    bad_signature("ecdsa-sha2-nistp256", &key, &signature(&padded, s));
}

#[test]
fn an_ed25519_key_of_any_other_length_is_refused() {
    for len in (0..=64).filter(|&len| len != 32) {
        let mut blob = BytesMut::new();
        "ssh-ed25519".write(&mut blob);
        vec![1; len].as_slice().write(&mut blob);
        bad_key("ssh-ed25519", blob.to_vec());
    }
}

/// With a key of small order, signatures verify that nobody made.
#[test]
fn ed25519_keys_of_small_order_are_refused() {
    for point in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ] {
        let mut blob = BytesMut::new();
        "ssh-ed25519".write(&mut blob);
        hex(point).as_slice().write(&mut blob);
        bad_key("ssh-ed25519", blob.to_vec());
    }
}

/// RFC 8032 §5.1.7: S + L verifies in the equation and must not.
#[test]
fn ed25519_with_s_plus_l_is_refused() {
    let (_, key, mut signature) = good().swap_remove(0);
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    bad_signature("ssh-ed25519", &key, &signature);
}

fn rsa_blob(e: &[u8], n: &[u8]) -> Vec<u8> {
    let mut blob = BytesMut::new();
    "ssh-rsa".write(&mut blob);
    Unsigned(e).write(&mut blob);
    Unsigned(n).write(&mut blob);
    blob.to_vec()
}

#[test]
fn rsa_keys_that_are_small_huge_or_even_are_refused_at_once() {
    let started = Instant::now();
    let odd = |bits: usize| {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] >>= (8 - bits % 8) % 8;
        n
    };
    let e = [1, 0, 1];
    for bits in [
        1,
        512,
        1024,
        2040,
        2041,
        2047,
        8193,
        16_384,
        65_536,
        262_144,
        1 << 22,
    ] {
        bad_key("rsa-sha2-256", rsa_blob(&e, &odd(bits)));
    }
    let mut even = odd(2048);
    *even.last_mut().unwrap() = 0xfe;
    bad_key("rsa-sha2-512", rsa_blob(&e, &even));
    bad_key("rsa-sha2-512", rsa_blob(&e, &[]));
    let n = hex(fixtures::RSA2048_N);
    for e in [
        &[][..],
        &[1],
        &[2],
        &[4],
        &[1, 0, 0],
        &[2, 0, 0, 0, 1],
        &[0xff; 8],
        &[0xff; 9],
        &[1, 0, 0, 0, 0, 0, 0, 0, 3],
        &[0xff; 256],
    ] {
        bad_key("rsa-sha2-256", rsa_blob(e, &n));
    }
    assert!(
        started.elapsed().as_secs() < 5,
        "refusing took {:?}",
        started.elapsed()
    );
}

#[test]
fn the_largest_rsa_keys_are_let_in_and_cost_milliseconds() {
    let mut n = vec![0xff; 1024];
    n[0] = 0x80;
    let key = PublicKey::new(rsa_blob(&[1, 0xff, 0xff, 0xff, 0xff], &n)).unwrap();
    let started = Instant::now();
    let mut signature = vec![0x11; 1024];
    bad_signature("rsa-sha2-512", &key, &signature);
    // Not below the modulus.
    signature.fill(0xff);
    bad_signature("rsa-sha2-512", &key, &signature);
    assert!(
        started.elapsed().as_secs() < 5,
        "refusing took {:?}",
        started.elapsed()
    );
}

/// OpenSSH and others leave out leading zeros of RSA signatures now and then.
#[test]
fn an_rsa_signature_without_its_leading_zeros_verifies_and_one_with_more_does_not() {
    for provider in providers() {
        let key = provider.keys.load(&rsa2048()).unwrap();
        let (data, signature) = (0u32..)
            .map(|i| i.to_be_bytes())
            .map(|data| (data, key.sign("rsa-sha2-256", &data, &OsRandom).unwrap()))
            .find(|(_, signature)| signature[0] == 0)
            .unwrap();
        for verifier in providers() {
            let verifier = verifier.signature("rsa-sha2-256").unwrap();
            let verify = |signature: &[u8]| verifier.verify(key.public_key(), &data, signature);
            assert_eq!(verify(&signature), Ok(()));
            assert_eq!(verify(&signature[1..]), Ok(()));
            assert_eq!(
                verify(&[&[0], &signature[..]].concat()),
                Err(CryptoError::BadSignature)
            );
        }
    }
}

#[test]
fn rsa_signatures_of_one_hash_are_none_of_the_other() {
    use fixtures::*;
    let key = public(RSA2048_BLOB);
    bad_signature("rsa-sha2-512", &key, &hex(RSA2048_SIGNATURE_256));
    bad_signature("rsa-sha2-256", &key, &hex(RSA2048_SIGNATURE_512));
}

#[test]
fn a_signature_by_another_key_of_the_same_type_is_refused() {
    for (key, name) in [
        (ed25519(), "ssh-ed25519"),
        (p256(), ""),
        (p384(), ""),
        (rsa2048(), ""),
    ] {
        let algorithm = if name.is_empty() {
            key.public_key().kind().to_owned()
        } else {
            name.into()
        };
        let algorithm = if algorithm == "ssh-rsa" {
            "rsa-sha2-256"
        } else {
            &algorithm
        };
        let [provider, ..] = providers();
        let signature = provider
            .keys
            .load(&key)
            .unwrap()
            .sign(algorithm, MESSAGE, &OsRandom)
            .unwrap();
        let other = match algorithm {
            "ssh-ed25519" => crate::generate_ed25519(&OsRandom).unwrap().public_key(),
            "ecdsa-sha2-nistp256" => {
                crate::generate_ecdsa(sansftp_proto::crypto::Curve::P256, &OsRandom)
                    .unwrap()
                    .public_key()
            }
            "ecdsa-sha2-nistp384" => {
                crate::generate_ecdsa(sansftp_proto::crypto::Curve::P384, &OsRandom)
                    .unwrap()
                    .public_key()
            }
            _ => public(fixtures::RSA2304_BLOB),
        };
        bad_signature(algorithm, &other, &signature);
    }
}
