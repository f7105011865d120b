//! HMAC: RFC 4231 and RFC 2202, fitted to SSH: the sequence number is the first four bytes of the data, and keys
//! shorter than SSH's are lengthened with zeros, which HMAC does by itself (RFC 2104 §2).

use super::{hex, mac, providers};
use sansftp_proto::crypto::{CryptoError, MacAlgorithm, MacMode, Unauthenticated};

struct Vector<'a> {
    key: &'a [u8],
    data: &'a [u8],
    sha256: &'a str,
    sha512: &'a str,
}

/// RFC 4231 §4.2 to §4.4.
const VECTORS: &[Vector<'_>] = &[
    Vector {
        key: &[0x0b; 20],
        data: b"Hi There",
        sha256: "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        sha512: "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde\
            daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
    },
    Vector {
        key: b"Jefe",
        data: b"what do ya want for nothing?",
        sha256: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        sha512: "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
            9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
    },
    Vector {
        key: &[0xaa; 20],
        data: &[0xdd; 50],
        sha256: "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        sha512: "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39\
            bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb",
    },
];

#[test]
fn codes_are_those_of_rfc_4231_and_one_wrong_bit_is_noticed() {
    for provider in providers() {
        for vector in VECTORS {
            for (name, code) in [
                ("hmac-sha2-256", vector.sha256),
                ("hmac-sha2-256-etm@openssh.com", vector.sha256),
                ("hmac-sha2-512", vector.sha512),
                ("hmac-sha2-512-etm@openssh.com", vector.sha512),
            ] {
                check(mac(&provider, name), vector.key, vector.data, code);
            }
        }
    }
}

/// That the code is the right one, and that nothing else is taken for it.
fn check(algorithm: &dyn MacAlgorithm, key: &[u8], data: &[u8], code: &str) {
    let name = algorithm.name();
    let (seq, data) = data.split_first_chunk().unwrap();
    let seq = u32::from_be_bytes(*seq);
    let mut key = key.to_vec();
    key.resize(algorithm.key_len(), 0);
    let state = algorithm.start(&key).unwrap();
    let mut tag = vec![0; algorithm.tag_len()];
    state.sign(seq, data, &mut tag);
    assert_eq!(tag, hex(code), "{name}");
    assert_eq!(state.verify(seq, data, &tag), Ok(()));

    assert_eq!(state.verify(seq ^ 1, data, &tag), Err(Unauthenticated));
    assert_eq!(state.verify(seq, &data[1..], &tag), Err(Unauthenticated));
    for bit in 0..tag.len() * 8 {
        let mut wrong = tag.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(state.verify(seq, data, &wrong), Err(Unauthenticated));
    }
    for len in (0..tag.len()).chain([tag.len() + 1]) {
        let mut wrong = tag.clone();
        wrong.resize(len, 0);
        assert_eq!(state.verify(seq, data, &wrong), Err(Unauthenticated));
    }
}

/// RFC 2202 §2 and §3: test cases 1 to 3.
#[test]
fn codes_of_older_hashes_are_those_of_rfc_2202() {
    const HI: &[u8] = b"Hi There";
    const WHAT: &[u8] = b"what do ya want for nothing?";
    const DD: &[u8] = &[0xdd; 50];
    for provider in providers() {
        for name in ["hmac-sha1", "hmac-sha1-etm@openssh.com"] {
            for (key, data, code) in [
                (
                    &[0x0b; 20][..],
                    HI,
                    "b617318655057264e28bc0b6fb378c8ef146be00",
                ),
                (b"Jefe", WHAT, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
                (&[0xaa; 20], DD, "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
            ] {
                check(mac(&provider, name), key, data, code);
            }
        }
        #[cfg(feature = "legacy")]
        for (key, data, code) in [
            (&[0x0b; 16][..], HI, "9294727a3638bb1c13f48ef8158bfc9d"),
            (b"Jefe", WHAT, "750c783e6ab0b503eaa86e310a5db738"),
            (&[0xaa; 16], DD, "56be34521d144c88dbb8c733f0e8b3f6"),
        ] {
            check(mac(&provider, "hmac-md5"), key, data, code);
        }
    }
}

#[test]
fn names_modes_and_lengths_fit_together() {
    for provider in providers() {
        for algorithm in provider.macs.iter() {
            let name = algorithm.name();
            let mode = if name.ends_with("-etm@openssh.com") {
                MacMode::EncryptThenMac
            } else {
                MacMode::EncryptAndMac
            };
            assert_eq!(algorithm.mode(), mode, "{name}");
            let len = match name {
                "hmac-md5" => 16,
                "hmac-sha1" | "hmac-sha1-etm@openssh.com" => 20,
                _ if name.contains("512") => 64,
                _ => 32,
            };
            assert_eq!(
                (algorithm.key_len(), algorithm.tag_len()),
                (len, len),
                "{name}"
            );
            for wrong in [0, len - 1, len + 1] {
                let started = algorithm.start(&vec![0; wrong]);
                assert!(matches!(started, Err(CryptoError::Failed(_))), "{name}");
            }
        }
    }
}
