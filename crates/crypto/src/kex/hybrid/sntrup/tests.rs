//! The encapsulation against its published known answer, and what it must refuse or hide.

use super::*;
use crate::OsRandom;
use crate::tests::{Drbg, hex, kat};

/// A private key as the specification writes it.
fn encode_private(private: &Private, public: &[u8]) -> Vec<u8> {
    [
        &encode_small(&private.f)[..],
        &encode_small(&private.g_inverse),
        public,
        &*private.rho,
        &private.public.hash,
    ]
    .concat()
}

/// SHA-256 of the first answer in the list of the submission to NIST, as PQClean publishes it: of both
/// keys, the ciphertext and the secret.
#[test]
fn the_first_known_answer_of_the_submission_is_given() {
    let published = "afc42c3a5b10f4ef69654250097ebda9b9564570f4086744b24a6daf2bd1f89a";
    let random = Drbg::new();
    let (private, public) = Sntrup761::generate(&random).unwrap();
    let (ciphertext, secret) = Sntrup761::encapsulate(&public, &random).unwrap();
    let written = encode_private(&private, &public);
    assert_eq!(
        kat(&public, &written, &ciphertext, &*secret),
        hex(published)
    );
    assert_eq!(
        Sntrup761::decapsulate(&private, &ciphertext).unwrap(),
        secret
    );
}

#[test]
fn lengths_are_those_of_the_specification_and_no_other_is_taken() {
    let (private, public) = Sntrup761::generate(&OsRandom).unwrap();
    let (ciphertext, _) = Sntrup761::encapsulate(&public, &OsRandom).unwrap();
    assert_eq!((public.len(), ciphertext.len()), (1158, 1039));
    assert_eq!(encode_private(&private, &public).len(), 1763);
    for len in [0, 1, 1157, 1159] {
        let mut other = public.clone();
        other.resize(len, 0);
        assert_eq!(
            Sntrup761::encapsulate(&other, &OsRandom).unwrap_err(),
            CryptoError::BadShare
        );
    }
    for len in [0, 1, 1038, 1040] {
        let mut other = ciphertext.clone();
        other.resize(len, 0);
        assert_eq!(
            Sntrup761::decapsulate(&private, &other).unwrap_err(),
            CryptoError::BadShare
        );
    }
}

/// The specification's answer to a forged ciphertext: a secret made of rho, the same each time.
#[test]
fn a_ciphertext_with_a_changed_bit_gives_a_secret_that_only_the_key_knows() {
    let (private, public) = Sntrup761::generate(&OsRandom).unwrap();
    let (ciphertext, secret) = Sntrup761::encapsulate(&public, &OsRandom).unwrap();
    for at in [0, 500, ROUNDED_LEN - 1, ROUNDED_LEN, 1038] {
        let mut forged = ciphertext.clone();
        forged[at] ^= 1;
        let other = Sntrup761::decapsulate(&private, &forged).unwrap();
        assert_ne!(other, secret);
        assert_eq!(other, session(0, private.rho.as_ref(), &forged));
    }
}

#[test]
fn any_bytes_of_the_right_length_are_taken_apart_without_a_panic() {
    let (private, _) = Sntrup761::generate(&OsRandom).unwrap();
    for byte in [0, 1, 0x55, 0x7f, 0x80, 0xff] {
        assert!(Sntrup761::encapsulate(&[byte; 1158], &OsRandom).is_ok());
        assert!(Sntrup761::decapsulate(&private, &[byte; 1039]).is_ok());
    }
}

#[test]
fn what_is_encoded_is_decoded() {
    let numbers = |modulus: i16, factor: i16| -> Polynomial {
        let number = |at: i16| (at.wrapping_mul(7919)).rem_euclid(modulus) * factor - Q / 2;
        Zeroizing::new((0..P as i16).map(number).collect())
    };
    let h = numbers(Q, 1);
    assert_eq!(decode_public(&encode_public(&h)), h);
    let rounded = numbers(1531, 3);
    assert_eq!(decode_rounded(&encode_rounded(&rounded)), rounded);
}

#[test]
fn reciprocals_times_what_they_are_of_are_one() {
    let mut one = Zeroizing::new(vec![0; P]);
    one[0] = 1;
    for _ in 0..3 {
        let (g, inverse) = invertible(&OsRandom).unwrap();
        assert_eq!(product(&g, &inverse, mod3), one);
        let f = sample::short(&OsRandom).unwrap();
        let third = ring::reciprocal_of_triple(&f);
        assert_eq!(
            product(&third, &f, |number| mod_q(3 * i32::from(mod_q(number)))),
            one
        );
    }
    assert!(ring::reciprocal_mod3(&Zeroizing::new(vec![0; P])).is_none());
}

#[test]
fn short_polynomials_have_their_weight_and_small_ones_all_three_numbers() {
    let count = |it: &Polynomial, number| it.iter().filter(|&&it| it == number).count();
    for _ in 0..5 {
        let short = sample::short(&OsRandom).unwrap();
        assert_eq!(count(&short, 0), P - WEIGHT);
        assert_eq!(count(&short, 1) + count(&short, -1), WEIGHT);
    }
    let seeded = crate::SeededRandom::new([7; 32]);
    let small = sample::small(&seeded).unwrap();
    for number in -1..=1 {
        assert!((200..300).contains(&count(&small, number)), "{number}");
    }
}
