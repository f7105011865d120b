//! Work of the core whose instructions `cargo xtask budget` counts: the same work so many times over, so that the
//! difference of two counts is what it costs once. Without real cryptography, which depends on the processor.
//!
//! `counted WORK TIMES`

use bytes::{Bytes, BytesMut};
use sansftp_proto::sftp::messages::{Read, Stat};
use sansftp_proto::sftp::transfer::{Download, DownloadPlan, Order, Upload, UploadPlan};
use sansftp_proto::sftp::{Data, StatusCode};
use sansftp_proto::wire::{Message, Reader};
use sansftp_testkit::pair::Ends;
use sansftp_testkit::suite::Suite;
use std::hint::black_box;
use std::process::ExitCode;

const MIB: usize = 1 << 20;
const REQUEST: u32 = 261_120;

/// A request of SFTP written and read, and another with a path.
fn codec(times: usize) {
    let read = Read {
        handle: b"\0\0\0\x07",
        offset: 1 << 40,
        len: REQUEST,
    };
    let mut out = BytesMut::with_capacity(4096);
    for _ in 0..times {
        out.clear();
        black_box(&read).write_body(&mut out);
        black_box(Read::read_body(&mut Reader::new(black_box(&out)))).expect("just written");
        out.clear();
        Stat { path: &[b'a'; 200] }.write_body(&mut out);
        black_box(Stat::read_body(&mut Reader::new(black_box(&out)))).expect("just written");
    }
}

/// A MiB planned, asked for and handed out.
fn download(times: usize) {
    let size = (times * MIB) as u64;
    let block = Bytes::from(vec![1; REQUEST as usize]);
    let mut plan = Download::new(DownloadPlan {
        offset: 0,
        size_hint: Some(size),
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
            let left = size.saturating_sub(read.offset).min(u64::from(read.len));
            let answer = match usize::try_from(left).expect("no more than a request") {
                0 => Err(StatusCode::EOF.into()),
                left => Ok(Data::from(block.slice(..left))),
            };
            plan.done(read, answer);
        }
        while let Some(data) = plan.poll_data() {
            black_box(data);
        }
    }
}

/// A MiB taken, cut into requests and acknowledged.
fn upload(times: usize) {
    let size = times * MIB;
    let block = Bytes::from(vec![1; MIB]);
    let mut plan = Upload::new(UploadPlan {
        offset: 0,
        write_len: REQUEST,
        max_in_flight_bytes: 8 << 20,
    });
    let (mut given, mut under_way) = (0, Vec::new());
    while plan.finished().is_none() {
        while given < size && plan.wants_data() {
            plan.push(block.clone());
            given += MIB;
        }
        if given >= size {
            plan.finish();
        }
        while let Some((write, _)) = plan.next() {
            under_way.push(write);
        }
        for write in under_way.drain(..) {
            plan.done(write, Ok(()));
        }
    }
}

/// A handshake with everything up to the end of authentication.
fn handshake(times: usize) {
    for _ in 0..times {
        let mut pair = Ends::over(Suite::Null).start();
        pair.connect();
        black_box(&pair);
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (work, times) = (arguments.next(), arguments.next());
    let times = times.and_then(|it| it.parse::<usize>().ok());
    let (Some(work), Some(times)) = (work, times) else {
        eprintln!("counted: say which work, and how often");
        return ExitCode::from(2);
    };
    match work.as_str() {
        "codec" => codec(times),
        "download" => download(times),
        "upload" => upload(times),
        "handshake" => handshake(times),
        _ => {
            eprintln!("counted: there is no work '{work}'");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
