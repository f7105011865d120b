//! Inputs that announce more than they bring: nothing is allocated by a number that came from outside. The bounds are of
//! whole runs, the test's own buffers included.

use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use sansftp_proto::session::{Config, Connection};
use sansftp_proto::sftp::{Bounds, Client, Request, Server, messages};
use sansftp_testkit::fuzz::BODIES;
use sansftp_testkit::memfs::MemFs;
use sansftp_testkit::pair::Ends;
use sansftp_testkit::seeds::Rng;
use sansftp_testkit::suite::Suite;
use std::sync::Arc;
use std::time::Instant;

/// What a connection that has authenticated nobody may allocate beyond its input, in bytes: its own buffers, lists and keys.
const BEFORE_LOGIN: u64 = 64 * 1024;
/// What an SFTP session may allocate beyond its input.
const SFTP: u64 = 64 * 1024;

/// What the fuzz bodies may allocate at most, the ends, files and links that they set up included.
const BODY: [(&str, u64); 15] = [
    ("wire", 16 << 10),
    ("ident", 16 << 10),
    ("decoder", 64 << 10),
    ("negotiate", 64 << 10),
    ("client_bytes", 64 << 10),
    ("server_bytes", 64 << 10),
    // Whole sessions with data in both directions, within windows of their own.
    ("script", 1 << 20),
    ("mux_model", 512 << 10),
    ("sftp_client", 16 << 10),
    ("sftp_server", 64 << 10),
    // Files of up to as many bytes as the body draws.
    ("transfer", 2 << 20),
    ("keys", 16 << 10),
    ("known_hosts", 16 << 10),
    ("ssh_config", 64 << 10),
    // What one packet may inflate to, and the state of both directions.
    ("zlib", 1 << 20),
];

/// Lengths that somebody might believe.
const LIES: [u32; 6] = [
    u32::MAX,
    i32::MAX as u32,
    0x1000_0000,
    0x0010_0000,
    0x0003_ffff,
    0x0000_ffff,
];

/// The input with the lie at every place in turn.
fn with_lies(input: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let places = 0..input.len().saturating_sub(3);
    places.flat_map(move |at| {
        LIES.iter().map(move |lie| {
            let mut changed = input.to_vec();
            changed[at..at + 4].copy_from_slice(&lie.to_be_bytes());
            changed
        })
    })
}

#[test]
fn random_inputs_full_of_lies_cost_no_fuzz_body_more_than_its_bound() {
    for (name, body) in BODIES {
        let bound = BODY.iter().find(|(it, _)| *it == name);
        let &(_, bound) = bound.expect("each body has a bound");
        for seed in 0..400 {
            let mut rng = Rng::new(seed);
            let mut data = rng.bytes(600);
            for _ in 0..seed % 5 {
                if let Some(places) = data.len().checked_sub(4).filter(|it| *it > 0) {
                    let (at, lie) = (rng.below(places), LIES[rng.below(LIES.len())]);
                    data[at..at + 4].copy_from_slice(&lie.to_be_bytes());
                }
            }
            let counted = measure(|| body(&data));
            assert!(
                counted.bytes_max <= bound,
                "{name}, seed {seed}: {counted:?}"
            );
        }
    }
}

/// All that an end says in a handshake up to its NEWKEYS, as the other end hears it.
fn plain_bytes(of_client: bool) -> Vec<u8> {
    let mut pair = Ends::over(Suite::Null).start();
    let line = if of_client {
        &mut pair.to_server
    } else {
        &mut pair.to_client
    };
    line.record();
    let _ = pair.exchange_keys();
    let line = if of_client {
        &pair.to_server
    } else {
        &pair.to_client
    };
    line.written().to_vec()
}

#[test]
fn a_handshake_with_a_lie_anywhere_in_it_allocates_next_to_nothing() {
    let now = Instant::now();
    for input in with_lies(&plain_bytes(false)) {
        let counted = measure(|| {
            let config = Config::client(Suite::Null.provider(1)).with_all_algorithms();
            let mut client = Connection::client(Arc::new(config), now).unwrap();
            let mut input = BytesMut::from(&input[..]);
            client.transmit(now, 4096).clear();
            let _ = client.handle_input(now, &mut input);
            client.transmit(now, 4096).clear();
        });
        assert!(counted.bytes_max < BEFORE_LOGIN, "{counted:?}: {input:?}");
    }
    for input in with_lies(&plain_bytes(true)) {
        let counted = measure(|| {
            let keys = vec![Suite::Null.key(0)];
            let config = Config::server(Suite::Null.provider(1), keys).with_all_algorithms();
            let mut server = Connection::server(Arc::new(config), now).unwrap();
            let mut input = BytesMut::from(&input[..]);
            server.transmit(now, 4096).clear();
            let _ = server.handle_input(now, &mut input);
            server.transmit(now, 4096).clear();
        });
        assert!(counted.bytes_max < BEFORE_LOGIN, "{counted:?}: {input:?}");
    }
}

/// Nothing that can be understood, without end: no more is held than a packet may have.
#[test]
fn a_megabyte_of_noise_is_not_collected() {
    let now = Instant::now();
    for first in [0, b'S', b'\n', 0xff] {
        let config = Config::client(Suite::Null.provider(1)).with_all_algorithms();
        let mut client = Connection::client(Arc::new(config), now).unwrap();
        let counted = measure(|| {
            let mut input = BytesMut::new();
            let ended = (0..1024).any(|_| {
                input.extend_from_slice(&[first; 1024]);
                client.handle_input(now, &mut input).is_err()
            });
            assert!(ended, "{first}");
        });
        assert!(counted.bytes_max < BEFORE_LOGIN, "{first}: {counted:?}");
    }
}

/// A message with its length in front.
fn framed(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap();
    [&len.to_be_bytes(), message].concat()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    framed(bytes)
}

const VERSION: &[u8] = b"\0\0\0\x05\x02\0\0\0\x03";

/// Asks for something and hears an answer, in pieces. How much that allocates beyond what is kept of it.
fn hears<'a, Q: Request<'a>>(request: &Q, version: &[u8], answer: &[u8]) {
    let counted = measure(|| {
        let mut client = Client::new(Bounds {
            requests: 8,
            bytes: 1 << 20,
        });
        if client.handle_data(Bytes::copy_from_slice(version)).is_err() {
            return;
        }
        let Ok(pending) = client.send(request) else {
            return;
        };
        for piece in answer.chunks(7) {
            if client.handle_data(Bytes::copy_from_slice(piece)).is_err() {
                break;
            }
        }
        match client.poll_completion() {
            Some(done) => drop(pending.claim(done).expect("there is one request")),
            None => client.abandon(pending.id()),
        }
    });
    assert!(
        counted.bytes_max < SFTP,
        "{counted:?}: {version:?} {answer:?}"
    );
}

#[test]
fn an_answer_of_sftp_with_a_lie_anywhere_in_it_allocates_next_to_nothing() {
    let version = [
        &[2, 0, 0, 0, 3][..],
        &string(b"limits@openssh.com"),
        &string(b"1"),
    ];
    for version in with_lies(&framed(&version.concat())) {
        hears(&messages::Remove { filename: b"f" }, &version, b"");
    }
    let attributes = [&[0, 0, 0, 15][..], &[0; 24]].concat();
    let answer = |number: u8, body: &[&[u8]]| {
        let body = [&[&[number, 0, 0, 0, 0][..]], body].concat().concat();
        with_lies(&framed(&body)).collect::<Vec<_>>()
    };
    let name = [&string(b"name")[..], &string(b"long name"), &attributes].concat();
    for names in answer(104, &[&[0, 0, 0, 2], &name, &name]) {
        hears(&messages::Readdir { handle: b"h" }, VERSION, &names);
    }
    for handle in answer(102, &[&string(b"handle")]) {
        hears(&messages::Opendir { path: b"d" }, VERSION, &handle);
    }
    for attributes in answer(105, &[&attributes]) {
        hears(&messages::Lstat { path: b"f" }, VERSION, &attributes);
    }
    for status in answer(101, &[&[0, 0, 0, 4], &string(b"words"), &string(b"en")]) {
        hears(&messages::Remove { filename: b"f" }, VERSION, &status);
    }
    for data in answer(103, &[&string(b"some data")]) {
        let read = messages::Read {
            handle: b"h",
            offset: 0,
            len: 1 << 18,
        };
        hears(&read, VERSION, &data);
    }
}

#[test]
fn a_request_of_sftp_with_a_lie_anywhere_in_it_allocates_next_to_nothing() {
    let init = framed(&[1, 0, 0, 0, 3]);
    let attributes = [&[0, 0, 0, 15][..], &[0; 24]].concat();
    let handle = string(b"\0\0\0\0");
    let requests = [
        framed(
            &[
                &[3, 0, 0, 0, 0][..],
                &string(b"/f"),
                &[0, 0, 0, 0x1a],
                &attributes,
            ]
            .concat(),
        ),
        framed(&[&[5, 0, 0, 0, 0][..], &handle, &[0; 8], &[0, 0, 1, 0]].concat()),
        framed(&[&[6, 0, 0, 0, 0][..], &handle, &[0; 8], &string(b"data")].concat()),
        framed(&[&[9, 0, 0, 0, 0][..], &string(b"/f"), &attributes].concat()),
        framed(&[&[18, 0, 0, 0, 0][..], &string(b"/f"), &string(b"/g")].concat()),
        framed(
            &[
                &[200, 0, 0, 0, 0][..],
                &string(b"posix-rename@openssh.com"),
                &string(b"/f"),
                &string(b"/g"),
            ]
            .concat(),
        ),
    ];
    let session = requests
        .iter()
        .flat_map(|it| with_lies(it))
        .map(|request| [init.clone(), request].concat());
    for input in session.chain(with_lies(&init)) {
        let counted = measure(|| {
            let mut server = Server::new(MemFs::extensions());
            for piece in input.chunks(7) {
                let taken = server.handle_data(Bytes::copy_from_slice(piece));
                while let Ok(Some(question)) = server.poll_request() {
                    drop(question);
                }
                if taken.is_err() {
                    break;
                }
            }
        });
        assert!(counted.bytes_max < SFTP, "{counted:?}: {input:?}");
    }
}
