//! The planners of SFTP against a server that answers at once: their own cost, no bytes moved.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sansftp_proto::sftp::transfer::{Download, DownloadPlan, Order, Upload, UploadPlan};
use sansftp_proto::sftp::{Data, StatusCode};

const FILE: u64 = 64 * 1024 * 1024;
const REQUEST: u32 = 261_120;

fn download(c: &mut Criterion) {
    let block = Bytes::from(vec![1; REQUEST as usize]);
    let mut group = c.benchmark_group("planners");
    group.throughput(Throughput::Bytes(FILE));
    group.bench_function("download", |b| {
        b.iter(|| {
            let mut plan = Download::new(DownloadPlan {
                offset: 0,
                size_hint: Some(FILE),
                request_len: REQUEST,
                max_in_flight_bytes: 8 << 20,
                order: Order::InFile,
            });
            let mut under_way = Vec::new();
            while plan.finished().is_none() {
                while let Some(read) = plan.next() {
                    under_way.push(read);
                }
                for read in under_way.drain(..) {
                    let left = FILE.saturating_sub(read.offset).min(u64::from(read.len));
                    let answer = match usize::try_from(left).expect("no more than a request") {
                        0 => Err(StatusCode::EOF.into()),
                        left => Ok(Data::from(block.slice(..left))),
                    };
                    plan.done(read, answer);
                }
                while plan.poll_data().is_some() {}
            }
        });
    });
    group.finish();
}

fn upload(c: &mut Criterion) {
    let block = Bytes::from(vec![1; 1 << 20]);
    let mut group = c.benchmark_group("planners");
    group.throughput(Throughput::Bytes(FILE));
    group.bench_function("upload", |b| {
        b.iter(|| {
            let mut plan = Upload::new(UploadPlan {
                offset: 0,
                write_len: REQUEST,
                max_in_flight_bytes: 8 << 20,
            });
            let mut given = 0;
            let mut under_way = Vec::new();
            while plan.finished().is_none() {
                while given < FILE && plan.wants_data() {
                    plan.push(block.clone());
                    given += block.len() as u64;
                }
                if given >= FILE {
                    plan.finish();
                }
                while let Some((write, _)) = plan.next() {
                    under_way.push(write);
                }
                for write in under_way.drain(..) {
                    plan.done(write, Ok(()));
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, download, upload);
criterion_main!(benches);
