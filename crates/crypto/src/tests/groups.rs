//! Group exchange: which groups a client takes, and which one a server chooses (RFC 4419 §3, RFC 8270 §3).

use super::{group_exchange, hex, providers};
use crate::OsRandom;
use crate::kex::{PRIME14, PRIME16, PRIME18};
use sansftp_proto::crypto::{CryptoError, GroupSizes};

const SHA256: &str = "diffie-hellman-group-exchange-sha256";
#[cfg(feature = "legacy")]
const SHA1: &str = "diffie-hellman-group-exchange-sha1";

const fn sizes(min: u32, preferred: u32, max: u32) -> GroupSizes {
    GroupSizes {
        min,
        preferred,
        max,
    }
}

#[test]
fn a_server_chooses_the_smallest_group_that_is_as_large_as_wished_or_else_the_largest_that_fits() {
    for provider in providers() {
        let method = group_exchange(&provider, SHA256);
        assert_eq!(method.sizes(), sizes(2048, 3072, 8192));
        for (asked, bits) in [
            (method.sizes(), 4096),
            (sizes(2048, 2048, 8192), 2048),
            (sizes(1024, 1024, 8192), 2048),
            (sizes(2048, 8192, 8192), 8192),
            (sizes(2048, 4096, 4096), 4096),
            (sizes(2048, 7680, 7680), 4096),
            (sizes(2048, 3072, 3072), 2048),
            (sizes(0, 0, u32::MAX), 2048),
            (sizes(0, u32::MAX, u32::MAX), 8192),
        ] {
            let group = method.choose(asked).unwrap();
            assert_eq!(group.prime().len() * 8, bits, "{asked:?}");
            assert_eq!(group.generator(), [2]);
        }
        for asked in [
            sizes(1024, 1024, 1024),
            sizes(1024, 2047, 2047),
            sizes(3072, 3072, 3072),
            sizes(8193, 9000, 10_000),
            // Contradictions.
            sizes(4096, 2048, 8192),
            sizes(2048, 8192, 4096),
            sizes(8192, 4096, 2048),
        ] {
            let refused = method.choose(asked).map(|group| group.prime().len());
            assert!(
                matches!(refused, Err(CryptoError::BadGroup(_))),
                "{asked:?}"
            );
        }
    }
}

#[test]
fn both_ends_agree_in_each_group_of_the_server() {
    for provider in providers() {
        let method = group_exchange(&provider, SHA256);
        for bits in [2048, 4096, 8192] {
            let group = method.choose(sizes(bits, bits, bits)).unwrap();
            let turn = method.start(group.prime(), group.generator(), &OsRandom);
            let turn = turn.unwrap();
            let (share, theirs) = group.respond(turn.share(), &OsRandom).unwrap();
            assert_eq!(turn.finish(&share).unwrap(), theirs, "{bits}");
            let refused = group.respond(&[1], &OsRandom).unwrap_err();
            assert_eq!(refused, CryptoError::BadShare);
        }
    }
}

/// Told apart by what a share is: a power of the generator.
#[test]
fn the_generator_is_the_one_that_the_server_names() {
    let [ring, ..] = providers();
    let method = group_exchange(&ring, SHA256);
    let turn = method.start(&hex(PRIME14), &[5], &OsRandom).unwrap();
    let other = method.start(&hex(PRIME14), &[2], &OsRandom).unwrap();
    // 2 is a square modulo p and 5 is none: only the powers of 2 are all squares.
    assert_ne!(turn.share(), other.share());
    // The peer's exponent is 1, so its share is the generator, and the secret is our share.
    let ours = turn.share().to_vec();
    assert_eq!(turn.finish(&[5]).unwrap().expose(), ours);
    let ours = other.share().to_vec();
    assert_eq!(other.finish(&[2]).unwrap().expose(), ours);
}

#[test]
fn a_group_of_another_size_even_composite_or_with_a_useless_generator_is_refused() {
    let with_last = |prime: &str, byte: u8| {
        let mut number = hex(prime);
        *number.last_mut().unwrap() = byte;
        number
    };
    let mut above = hex(PRIME18);
    above.insert(0, 1);
    let mut below = hex(PRIME14);
    below[0] = 0x7f;
    let groups: &[(Vec<u8>, Vec<u8>, &str)] = &[
        (vec![], vec![2], "size"),
        (vec![23], vec![2], "size"),
        (vec![0xff; 128], vec![2], "size"),
        (below, vec![2], "size"),
        (above, vec![2], "size"),
        (vec![0xff; 100_000], vec![2], "size"),
        (with_last(PRIME14, 0xfe), vec![2], "even"),
        (with_last(PRIME14, 0xfd), vec![2], "no prime"),
        (vec![0xff; 256], vec![2], "no prime"),
        (with_last(PRIME16, 0x01), vec![2], "no prime"),
        (hex(PRIME14), vec![], "generator"),
        (hex(PRIME14), vec![1], "generator"),
        (hex(PRIME14), with_last(PRIME14, 0xfe), "generator"),
        (hex(PRIME14), hex(PRIME14), "generator"),
        (hex(PRIME14), hex(PRIME16), "generator"),
    ];
    for provider in providers() {
        let method = group_exchange(&provider, SHA256);
        for (prime, generator, why) in groups {
            let refused = method.start(prime, generator, &OsRandom).unwrap_err();
            let CryptoError::BadGroup(said) = refused else {
                panic!("{refused:?}")
            };
            assert!(said.contains(why), "{why}: {said}");
        }
        // p - 2 is the last generator that is let in.
        let last = with_last(PRIME14, 0xfd);
        assert!(method.start(&hex(PRIME14), &last, &OsRandom).is_ok());
    }
}

#[cfg(feature = "legacy")]
#[test]
fn only_the_method_with_sha_1_takes_groups_of_1024_bits() {
    let group = hex(crate::kex::PRIME1);
    for provider in providers() {
        let old = group_exchange(&provider, SHA1);
        assert_eq!(old.sizes(), sizes(1024, 2048, 8192));
        assert_eq!(old.hash().output_len(), 20);
        assert!(old.start(&group, &[2], &OsRandom).is_ok());
        let refused = group_exchange(&provider, SHA256).start(&group, &[2], &OsRandom);
        assert!(matches!(refused.unwrap_err(), CryptoError::BadGroup(_)));
        let chosen = old.choose(old.sizes()).unwrap();
        assert_eq!(chosen.prime().len(), 256);
    }
}
