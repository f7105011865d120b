//! Channel data through both ends of a connection in one thread, for each cipher: layering, copying, sealing and
//! opening together.

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sansftp_testkit::pair::Ends;
use sansftp_testkit::suite::Suite;

const CHUNK: usize = 32 * 1024;
const ROUND: usize = 8 * 1024 * 1024;

fn throughput(c: &mut Criterion) {
    let mut group = c.benchmark_group("channel");
    group.throughput(Throughput::Bytes(ROUND as u64));
    group.sample_size(20);
    let ciphers = [
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
        "aes128-ctr",
    ];
    for cipher in ciphers {
        let mut ends = Ends::over(Suite::Ring);
        ends.client.algorithms.cipher = vec![cipher.to_owned()];
        let mut pair = ends.start();
        pair.connect();
        let (ours, theirs) = pair.channel();
        let chunk = Bytes::from(vec![3; CHUNK]);
        group.bench_function(BenchmarkId::from_parameter(cipher), |b| {
            b.iter(|| {
                let (mut sent, mut read) = (0, 0);
                while read < ROUND {
                    while sent < ROUND {
                        let mux = pair.client.mux().expect("open");
                        if mux.write(ours, chunk.clone()).is_err() {
                            break;
                        }
                        sent += CHUNK;
                    }
                    pair.drive();
                    while let Some(data) = pair.server.mux().expect("open").read(theirs) {
                        read += data.len();
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, throughput);
criterion_main!(benches);
