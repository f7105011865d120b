//! Reading and writing messages: the cost of the nom parsers and of the table.

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sansftp_proto::sftp::messages::{Read, Stat};
use sansftp_proto::wire::{Message, NameList, Reader};
use std::hint::black_box;

fn messages(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    let read = Read {
        handle: b"\0\0\0\x07",
        offset: 1 << 40,
        len: 261_120,
    };
    group.bench_function("write READ", |b| {
        let mut out = BytesMut::with_capacity(4096);
        b.iter(|| {
            out.clear();
            black_box(&read).write_body(&mut out);
            black_box(out.len())
        });
    });
    let mut body = BytesMut::new();
    read.write_body(&mut body);
    group.bench_function("read READ", |b| {
        b.iter(|| Read::read_body(&mut Reader::new(black_box(&body))));
    });
    let mut body = BytesMut::new();
    Stat { path: &[b'a'; 200] }.write_body(&mut body);
    group.bench_function("read STAT of 200 bytes", |b| {
        b.iter(|| Stat::read_body(&mut Reader::new(black_box(&body))));
    });
    group.finish();
}

fn name_lists(c: &mut Criterion) {
    let mut buffer = String::new();
    let names: Vec<String> = (0..40)
        .map(|n| format!("algorithm-{n}@example.org"))
        .collect();
    let list = NameList::join(&names, &mut buffer);
    let mut group = c.benchmark_group("names");
    group.throughput(Throughput::Elements(40));
    group.bench_function("find the last of 40", |b| {
        b.iter(|| black_box(list).contains(black_box("algorithm-39@example.org")));
    });
    group.finish();
}

criterion_group!(benches, messages, name_lists);
criterion_main!(benches);
