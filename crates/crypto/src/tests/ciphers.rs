//! Ciphers: NIST SP 800-38A, OpenSSL's answers, and each provider's packets opened by the other.

use super::{cipher, fixtures, hex, providers};
use sansftp_proto::crypto::{
    AeadAlgorithm, Cipher, CryptoError, CryptoProvider, StreamAlgorithm, Unauthenticated,
};

fn aead(provider: &CryptoProvider, name: &str) -> &'static dyn AeadAlgorithm {
    let Cipher::Aead(algorithm) = cipher(provider, name) else {
        panic!("{name} is an AEAD")
    };
    algorithm
}

fn stream(provider: &CryptoProvider, name: &str) -> &'static dyn StreamAlgorithm {
    let Cipher::Stream(algorithm) = cipher(provider, name) else {
        panic!("{name} is a stream")
    };
    algorithm
}

const AEADS: [&str; 3] = [
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
];

fn key_and_iv(algorithm: &dyn AeadAlgorithm) -> (Vec<u8>, Vec<u8>) {
    let count = |len: usize| {
        (0..len)
            .map(|i| u8::try_from(i).unwrap())
            .collect::<Vec<_>>()
    };
    (count(algorithm.key_len()), count(algorithm.iv_len()))
}

/// A packet of `body` bytes, with room for the tag.
fn packet(body: usize) -> Vec<u8> {
    let mut packet = u32::try_from(body).unwrap().to_be_bytes().to_vec();
    packet.extend((0..body).map(|i| u8::try_from(i % 251).unwrap()));
    packet.resize(4 + body + 16, 0);
    packet
}

#[test]
fn sealed_packets_are_those_of_openssl() {
    use fixtures::*;
    let counted = |len: u8| (0..len).collect::<Vec<_>>();
    let iv = hex("a0a1a2a300000000000000ff");
    for provider in providers() {
        for (name, key, iv, packets) in [
            (
                AEADS[0],
                counted(16),
                &iv[..],
                [(0, AES128_GCM_0), (1, AES128_GCM_1)],
            ),
            (
                AEADS[1],
                counted(32),
                &iv,
                [(0, AES256_GCM_0), (1, AES256_GCM_1)],
            ),
            (
                AEADS[2],
                counted(64),
                &[],
                [
                    (7, CHACHA20_POLY1305_00000007),
                    (0xffff_fffe, CHACHA20_POLY1305_FFFFFFFE),
                ],
            ),
        ] {
            let algorithm = aead(&provider, name);
            let mut sealer = algorithm.sealer(&key, iv).unwrap();
            let mut opener = algorithm.opener(&key, iv).unwrap();
            for (seq, sealed) in packets {
                let clear = hex(PACKET);
                let mut packet = clear.clone();
                packet.resize(clear.len() + sealer.tag_len(), 0);
                sealer.seal(seq, &mut packet).unwrap();
                assert_eq!(packet, hex(sealed), "{name} {seq}");

                assert_eq!(opener.packet_len(seq, &mut packet[..4]), 48, "{name} {seq}");
                assert_eq!(
                    packet,
                    hex(sealed),
                    "{name}: the length was decrypted in place"
                );
                opener.open(seq, &mut packet).unwrap();
                assert_eq!(packet[4..52], clear[4..], "{name} {seq}");
            }
        }
    }
}

#[test]
fn what_one_provider_seals_the_other_opens_at_any_length() {
    let [ring, rustcrypto, _] = providers();
    for name in AEADS {
        for (ours, theirs) in [(&ring, &rustcrypto), (&rustcrypto, &ring)] {
            let (ours, theirs) = (aead(ours, name), aead(theirs, name));
            let (key, iv) = key_and_iv(ours);
            let mut sealer = ours.sealer(&key, &iv).unwrap();
            let mut opener = theirs.opener(&key, &iv).unwrap();
            for (seq, body) in (0..300).chain([1 << 15, 35_000, 1 << 18]).enumerate() {
                let seq = u32::try_from(seq).unwrap();
                let clear = packet(body);
                let mut sealed = clear.clone();
                sealer.seal(seq, &mut sealed).unwrap();
                let len = opener.packet_len(seq, &mut sealed[..4]);
                assert_eq!(len as usize, body, "{name}");
                opener.open(seq, &mut sealed).unwrap();
                assert_eq!(sealed[4..4 + body], clear[4..4 + body], "{name} {body}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_and_nothing_is_let_out() {
    for provider in providers() {
        for name in AEADS {
            let algorithm = aead(&provider, name);
            let (key, iv) = key_and_iv(algorithm);
            let mut sealed = packet(48);
            algorithm
                .sealer(&key, &iv)
                .unwrap()
                .seal(3, &mut sealed)
                .unwrap();
            for bit in 0..sealed.len() * 8 {
                let mut wrong = sealed.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                let mut opener = algorithm.opener(&key, &iv).unwrap();
                assert_eq!(
                    opener.open(3, &mut wrong),
                    Err(Unauthenticated),
                    "{name} {bit}"
                );
                assert_ne!(wrong[4..52], packet(48)[4..52], "{name} {bit}");
            }
        }
    }
}

#[test]
fn packets_are_bound_to_their_place() {
    for provider in providers() {
        for name in AEADS {
            let algorithm = aead(&provider, name);
            let (key, iv) = key_and_iv(algorithm);
            let mut sealer = algorithm.sealer(&key, &iv).unwrap();
            let mut first = packet(16);
            let mut second = packet(16);
            sealer.seal(0, &mut first).unwrap();
            sealer.seal(1, &mut second).unwrap();
            assert_ne!(first, second, "{name}");

            let mut swapped = algorithm.opener(&key, &iv).unwrap();
            assert_eq!(
                swapped.open(0, &mut second.clone()),
                Err(Unauthenticated),
                "{name}"
            );

            let mut replayed = algorithm.opener(&key, &iv).unwrap();
            replayed.open(0, &mut first.clone()).unwrap();
            assert_eq!(replayed.open(1, &mut first), Err(Unauthenticated), "{name}");
        }
    }
}

#[test]
fn packets_too_short_for_length_and_tag_are_refused_and_never_a_panic() {
    for provider in providers() {
        for name in AEADS {
            let algorithm = aead(&provider, name);
            let (key, iv) = key_and_iv(algorithm);
            for len in 0..=64 {
                let mut opener = algorithm.opener(&key, &iv).unwrap();
                assert_eq!(
                    opener.open(0, &mut vec![0; len]),
                    Err(Unauthenticated),
                    "{name}"
                );
                let mut sealer = algorithm.sealer(&key, &iv).unwrap();
                let sealed = sealer.seal(0, &mut vec![0; len]);
                assert_eq!(sealed.is_ok(), len >= 20, "{name} {len}");
            }
            let mut opener = algorithm.opener(&key, &iv).unwrap();
            for len in 0..4 {
                assert_eq!(opener.packet_len(0, &mut vec![0; len]), u32::MAX, "{name}");
            }
        }
    }
}

#[test]
fn keys_and_vectors_of_another_length_are_refused() {
    for provider in providers() {
        for algorithm in provider.ciphers.iter() {
            let (key_len, iv_len) = (algorithm.key_len(), algorithm.iv_len());
            for (key, iv) in [
                (0, iv_len),
                (key_len - 1, iv_len),
                (key_len + 1, iv_len),
                (key_len, iv_len + 1),
                (key_len, iv_len.wrapping_sub(1).min(64)),
            ] {
                let (key, iv) = (vec![1; key], vec![1; iv]);
                let refused = match algorithm {
                    Cipher::Aead(it) => [it.sealer(&key, &iv).err(), it.opener(&key, &iv).err()],
                    Cipher::Stream(it) => {
                        [it.encryptor(&key, &iv).err(), it.decryptor(&key, &iv).err()]
                    }
                };
                for error in refused {
                    assert!(
                        matches!(error, Some(CryptoError::Failed(_))),
                        "{algorithm:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn framing_and_lifetimes_are_those_of_each_cipher() {
    for provider in providers() {
        for (name, key, iv, block, rekey) in [
            (AEADS[0], 16, 12, 16, 64u64 << 30),
            (AEADS[1], 32, 12, 16, 64 << 30),
            (AEADS[2], 64, 0, 8, 1 << 30),
        ] {
            let algorithm = aead(&provider, name);
            assert_eq!((algorithm.key_len(), algorithm.iv_len()), (key, iv));
            assert_eq!(algorithm.rekey_after(), rekey);
            let (key, iv) = key_and_iv(algorithm);
            let sealer = algorithm.sealer(&key, &iv).unwrap();
            let opener = algorithm.opener(&key, &iv).unwrap();
            assert_eq!((sealer.block_len(), sealer.tag_len()), (block, 16));
            assert_eq!((opener.block_len(), opener.tag_len()), (block, 16));
            assert_eq!(opener.prefix_len(), 4);
            assert!(!sealer.length_is_padded() && !opener.length_is_padded());
        }
        for (name, key, block, rekey) in [
            ("aes128-ctr", 16, 16, 64u64 << 30),
            ("aes192-ctr", 24, 16, 64 << 30),
            ("aes256-ctr", 32, 16, 64 << 30),
            ("aes128-cbc", 16, 16, 64 << 30),
            ("aes192-cbc", 24, 16, 64 << 30),
            ("aes256-cbc", 32, 16, 64 << 30),
            #[cfg(feature = "legacy")]
            ("3des-cbc", 24, 8, 1 << 30),
        ] {
            let algorithm = stream(&provider, name);
            assert_eq!((algorithm.key_len(), algorithm.iv_len()), (key, block));
            assert_eq!(
                (algorithm.block_len(), algorithm.rekey_after()),
                (block, rekey)
            );
            assert_eq!(algorithm.is_cbc(), name.ends_with("-cbc"));
        }
    }
}

/// NIST SP 800-38A F.5.
#[test]
fn counter_mode_is_that_of_nist_however_it_is_cut() {
    let iv = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
    let clear = hex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
         30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
    );
    for provider in providers() {
        for (name, key, sealed) in [
            (
                "aes128-ctr",
                "2b7e151628aed2a6abf7158809cf4f3c",
                "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff\
                 5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee",
            ),
            (
                "aes192-ctr",
                "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
                "1abc932417521ca24f2b0459fe7e6e0b090339ec0aa6faefd5ccc2c6f4ce8e94\
                 1e36b26bd1ebc670d1bd1d665620abf74f78a7f6d29809585a97daec58c6b050",
            ),
            (
                "aes256-ctr",
                "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
                "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5\
                 2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6",
            ),
        ] {
            let algorithm = stream(&provider, name);
            for piece in [16, 32, 48, 64] {
                let mut data = clear.clone();
                let mut encryptor = algorithm.encryptor(&hex(key), &iv).unwrap();
                data.chunks_mut(piece).for_each(|it| encryptor.apply(it));
                assert_eq!(data, hex(sealed), "{name}");
                let mut decryptor = algorithm.decryptor(&hex(key), &iv).unwrap();
                data.chunks_mut(piece).for_each(|it| decryptor.apply(it));
                assert_eq!(data, clear, "{name}");
            }
        }
    }
}

/// NIST SP 800-38A F.2, and for 3DES the example values that NIST publishes for SP 800-67.
#[test]
fn cbc_is_that_of_nist_however_it_is_cut() {
    let clear = hex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
         30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
    );
    const COUNTED: &str = "000102030405060708090a0b0c0d0e0f";
    for provider in providers() {
        for (name, key, iv, sealed) in [
            (
                "aes128-cbc",
                "2b7e151628aed2a6abf7158809cf4f3c",
                COUNTED,
                "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2\
                 73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
            ),
            (
                "aes192-cbc",
                "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
                COUNTED,
                "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a\
                 571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
            ),
            (
                "aes256-cbc",
                "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
                COUNTED,
                "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d\
                 39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
            ),
            #[cfg(feature = "legacy")]
            (
                "3des-cbc",
                "0123456789abcdef23456789abcdef01456789abcdef0123",
                "f69f2445df4f9b17",
                "2079c3d53aa763e193b79e2569ab5262516570481f25b50f73c0bda85c8e0da7",
            ),
        ] {
            let algorithm = stream(&provider, name);
            let (sealed, iv) = (hex(sealed), hex(iv));
            assert!(algorithm.is_cbc(), "{name}");
            for piece in [16, 32, 48, 64] {
                let mut data = clear[..sealed.len()].to_vec();
                let mut encryptor = algorithm.encryptor(&hex(key), &iv).unwrap();
                data.chunks_mut(piece).for_each(|it| encryptor.apply(it));
                assert_eq!(data, sealed, "{name}");
                let mut decryptor = algorithm.decryptor(&hex(key), &iv).unwrap();
                data.chunks_mut(piece).for_each(|it| decryptor.apply(it));
                assert_eq!(data, clear[..sealed.len()], "{name}");
            }
        }
    }
}

/// RFC 4344 §4: the counter is one number of 128 bits and wraps to zero.
#[test]
fn the_counter_wraps_at_128_bits() {
    let [provider, ..] = providers();
    let algorithm = stream(&provider, "aes256-ctr");
    let key = [7; 32];
    let mut wrapping = vec![0; 48];
    algorithm
        .encryptor(&key, &[0xff; 16])
        .unwrap()
        .apply(&mut wrapping);
    let mut from_zero = vec![0; 32];
    algorithm
        .encryptor(&key, &[0; 16])
        .unwrap()
        .apply(&mut from_zero);
    assert_eq!(wrapping[16..], from_zero);
}
