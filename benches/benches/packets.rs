//! Sealing and opening packets of 32 KiB with each cipher of both providers.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sansftp_crypto::{OsRandom, ring, rustcrypto};
use sansftp_proto::crypto::{Cipher, CryptoProvider};
use std::hint::black_box;
use std::sync::Arc;

const PAYLOAD: usize = 32 * 1024;

fn ciphers(c: &mut Criterion, name: &str, provider: &CryptoProvider) {
    let mut group = c.benchmark_group(format!("seal and open, {name}"));
    group.throughput(Throughput::Bytes(PAYLOAD as u64));
    for cipher in provider.ciphers.iter() {
        // Stream ciphers are framed inside the core; `channel` measures them whole.
        let Cipher::Aead(aead) = cipher else { continue };
        let (key, iv) = (vec![7; aead.key_len()], vec![9; aead.iv_len()]);
        let mut sealer = aead
            .sealer(&key, &iv)
            .expect("key and IV have their lengths");
        let mut opener = aead
            .opener(&key, &iv)
            .expect("key and IV have their lengths");
        let body = PAYLOAD + 16;
        let mut packet = vec![0; 4 + body + sealer.tag_len()];
        let mut seq = 0u32;
        group.bench_function(BenchmarkId::from_parameter(aead.name()), |b| {
            b.iter(|| {
                let length = u32::try_from(body).expect("a packet is short");
                packet[..4].copy_from_slice(&length.to_be_bytes());
                sealer.seal(seq, &mut packet).expect("seals");
                let prefix = opener.prefix_len();
                black_box(opener.packet_len(seq, &mut packet[..prefix]));
                opener
                    .open(seq, &mut packet)
                    .expect("opens what was sealed");
                seq = seq.wrapping_add(1);
            });
        });
    }
    group.finish();
}

fn both(c: &mut Criterion) {
    ciphers(c, "ring", &ring::provider(Arc::new(OsRandom)));
    ciphers(c, "rustcrypto", &rustcrypto::provider(Arc::new(OsRandom)));
}

criterion_group!(benches, both);
criterion_main!(benches);
