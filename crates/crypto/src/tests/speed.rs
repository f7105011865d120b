//! How fast everything is: printed, not asserted. Run in release mode with
//! `cargo test --release -p sansftp-crypto speed -- --ignored --nocapture`.

use super::keys::{ed25519, p256, rsa2048, rsa3072};
use super::{methods, providers};
use crate::OsRandom;
use sansftp_proto::crypto::{Cipher, CryptoProvider};
use std::hint::black_box;
use std::time::{Duration, Instant};

const PACKET: usize = 32 * 1024;

/// Calls per second in the best of fifty slices of 4 ms, so that a busy machine shows less.
fn rate(mut work: impl FnMut()) -> f64 {
    let slice = || {
        let started = Instant::now();
        let mut calls = 0u32;
        while started.elapsed() < Duration::from_millis(4) {
            work();
            calls += 1;
        }
        f64::from(calls) / started.elapsed().as_secs_f64()
    };
    std::iter::repeat_with(slice).take(50).fold(0.0, f64::max)
}

fn gigabytes(rate: f64) -> f64 {
    rate * f64::from(u32::try_from(PACKET).unwrap()) / 1e9
}

fn sealing(cipher: &Cipher) -> (f64, f64) {
    let key = vec![1; cipher.key_len()];
    let iv = vec![2; cipher.iv_len()];
    let mut packet = vec![0; PACKET];
    match cipher {
        Cipher::Aead(it) => {
            let mut sealer = it.sealer(&key, &iv).unwrap();
            packet.resize(4 + PACKET + sealer.tag_len(), 0);
            let sealed = rate(|| sealer.seal(0, black_box(&mut packet)).unwrap());
            // Opening destroys what it opens, so it is timed by batches that fit into the cache.
            let mut sealer = it.sealer(&key, &iv).unwrap();
            let mut opener = it.opener(&key, &iv).unwrap();
            let mut batch = vec![packet; 16];
            let mut opened = 0f64;
            for _ in 0..200 {
                batch
                    .iter_mut()
                    .for_each(|packet| sealer.seal(0, packet).unwrap());
                let started = Instant::now();
                batch
                    .iter_mut()
                    .for_each(|packet| opener.open(0, black_box(packet)).unwrap());
                opened = opened.max(16.0 / started.elapsed().as_secs_f64());
                // ChaCha20 leaves the length encrypted; the next round starts from a clear packet.
                batch.iter_mut().for_each(|packet| packet[..4].fill(0));
            }
            (gigabytes(sealed), gigabytes(opened))
        }
        Cipher::Stream(it) => {
            let mut encryptor = it.encryptor(&key, &iv).unwrap();
            let mut decryptor = it.decryptor(&key, &iv).unwrap();
            (
                gigabytes(rate(|| encryptor.apply(black_box(&mut packet)))),
                gigabytes(rate(|| decryptor.apply(black_box(&mut packet)))),
            )
        }
    }
}

fn report(provider: &CryptoProvider) {
    for cipher in provider.ciphers.iter() {
        let (seal, open) = sealing(cipher);
        println!(
            "{:32} seal {seal:6.2} GB/s   open {open:6.2} GB/s",
            cipher.name()
        );
    }
    for mac in provider.macs.iter() {
        let state = mac.start(&vec![1; mac.key_len()]).unwrap();
        let mut tag = vec![0; mac.tag_len()];
        let data = vec![0; PACKET];
        let speed = gigabytes(rate(|| state.sign(0, black_box(&data), &mut tag)));
        println!("{:32} {speed:6.2} GB/s", mac.name());
    }
    for kex in methods(provider) {
        let (share, _) = {
            let client = kex.start(&OsRandom).unwrap();
            kex.respond(client.share(), &OsRandom).unwrap()
        };
        let client = rate(|| {
            let turn = kex.start(&OsRandom).unwrap();
            black_box(turn.finish(&share).unwrap());
        });
        println!("{:32} client side {:9.1} us", kex.name(), 1e6 / client);
    }
    for (name, key) in [
        ("ed25519", ed25519()),
        ("p256", p256()),
        ("rsa2048", rsa2048()),
        ("rsa3072", rsa3072()),
    ] {
        let loading = rate(|| drop(black_box(provider.keys.load(&key).unwrap())));
        let key = provider.keys.load(&key).unwrap();
        let algorithm = key.algorithms()[0];
        let signing = rate(|| drop(black_box(key.sign(algorithm, b"data", &OsRandom).unwrap())));
        let signature = key.sign(algorithm, b"data", &OsRandom).unwrap();
        let verifier = provider.signature(algorithm).unwrap();
        let verifying = rate(|| {
            verifier
                .verify(key.public_key(), b"data", &signature)
                .unwrap()
        });
        println!(
            "{name:12} load {:9.1} us   sign {:9.1} us   verify {:9.1} us",
            1e6 / loading,
            1e6 / signing,
            1e6 / verifying
        );
    }
}

#[test]
#[ignore = "prints figures for people to read; nothing in it can fail"]
fn speed() {
    let [ring, rustcrypto, _] = providers();
    println!("\n--- ring");
    report(&ring);
    println!("\n--- rustcrypto");
    report(&rustcrypto);
}
