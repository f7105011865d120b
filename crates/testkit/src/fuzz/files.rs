//! SFTP: a client opposite any server, a server opposite any client, and transfers against a file whose server answers
//! short, late and out of order (draft-ietf-secsh-filexfer-02).

use super::assert_not_ours;
use crate::memfs::MemFs;
use crate::seeds::Choices;
use ::bytes::Bytes;
use sansftp_proto::sftp::extensions::CheckFileName;
use sansftp_proto::sftp::transfer::{Download, DownloadPlan, Order, Upload, UploadPlan};
use sansftp_proto::sftp::{Bounds, Client, Data, Handle, Server, Status, StatusCode, messages};
use std::collections::BTreeSet;

/// A message with its length in front.
fn framed(message: &[u8]) -> Bytes {
    let len = u32::try_from(message.len()).expect("a fuzzer's messages are short");
    [&len.to_be_bytes(), message].concat().into()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).expect("a fuzzer's strings are short");
    [&len.to_be_bytes(), bytes].concat()
}

/// The first message that a machine has to say, without its length; drops the others.
fn said(pieces: impl Iterator<Item = Bytes>) -> Vec<Vec<u8>> {
    let bytes = pieces.fold(Vec::new(), |mut all, piece| {
        all.extend_from_slice(&piece);
        all
    });
    let mut rest = bytes.as_slice();
    let mut messages = Vec::new();
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let (message, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
        messages.push(message.to_vec());
        rest = tail;
    }
    assert!(rest.is_empty(), "only whole messages are said");
    messages
}

/// Requests, and whatever a server might answer: each is answered once at most, and after an error all are.
pub fn sftp_client(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut client = Client::new(Bounds {
        requests: 8,
        bytes: 4096,
    });
    let handle = Handle::new(Bytes::from_static(b"h")).expect("one byte is no more than 256");
    let mut ids: Vec<[u8; 4]> = Vec::new();
    let mut waiting = BTreeSet::new();
    if choices.byte() & 7 != 0 {
        let version = [
            &[2, 0, 0, 0, 3][..],
            &string(b"fsync@openssh.com"),
            &string(b"1"),
        ]
        .concat();
        client
            .handle_data(framed(&version))
            .expect("a good VERSION");
    }
    while !choices.is_empty() {
        let id = match choices.below(9) {
            8 => client
                .send(&CheckFileName {
                    name: b"f",
                    hash_algorithm_list: b"sha256",
                    start_offset: 0,
                    length: 0,
                    block_size: 0,
                })
                .map(|it| it.id()),
            0 => client
                .send(&messages::Open {
                    filename: b"f",
                    pflags: sansftp_proto::sftp::OpenFlags::READ,
                    attrs: Default::default(),
                })
                .map(|it| it.id()),
            1 => client
                .send(&messages::Read {
                    handle: b"h",
                    offset: 0,
                    len: choices.number() & 0xfff,
                })
                .map(|it| it.id()),
            2 => client
                .write(
                    &handle,
                    5,
                    &Data::from(Bytes::copy_from_slice(choices.bytes(99))),
                )
                .map(|it| it.id()),
            3 => client
                .send(&messages::Readdir { handle: b"h" })
                .map(|it| it.id()),
            4 => client
                .send(&messages::Realpath { path: b"." })
                .map(|it| it.id()),
            5 => client
                .send(&messages::Stat {
                    path: choices.bytes(20),
                })
                .map(|it| it.id()),
            _ => {
                let error = client.error().cloned();
                let answer = answer(&mut choices, &ids);
                let result = client.handle_data(answer);
                assert!(error.is_none() || result.err() == error, "an error changed");
                assert_not_ours(client.error());
                Err(sansftp_proto::sftp::Blocked::Full)
            }
        };
        if let Ok(id) = id {
            assert!(waiting.insert(id), "one id for two requests");
        }
        for message in said(std::iter::from_fn(|| client.poll_transmit())) {
            if let Some(id) = message.get(1..5).filter(|_| message[0] != 1) {
                ids.push(id.try_into().expect("four bytes"));
            }
        }
        if choices.byte() & 1 == 0 {
            while let Some(done) = client.poll_completion() {
                assert!(waiting.remove(&done.id()), "answered twice, or not asked");
                client.discard(done);
            }
        }
        assert!(client.in_flight() <= 8);
    }
    client.close();
    while let Some(done) = client.poll_completion() {
        assert!(waiting.remove(&done.id()), "answered twice, or not asked");
    }
    assert!(waiting.is_empty(), "nobody waits for ever");
}

/// Mostly an answer to something that was asked.
fn answer(choices: &mut Choices<'_>, ids: &[[u8; 4]]) -> Bytes {
    if choices.byte() & 15 == 0 {
        return Bytes::copy_from_slice(choices.bytes(40));
    }
    let recent = &ids[ids.len().saturating_sub(8)..];
    let id = match recent {
        [] => [0; 4],
        _ => recent[choices.below(recent.len())],
    };
    let fields = match choices.below(8) {
        7 => [&[201][..], &id, &string(b"sha256"), choices.bytes(40)].concat(),
        0 => [
            &[101][..],
            &id,
            &[0, 0, 0, choices.byte() & 15],
            &string(b"text"),
            &string(b""),
        ]
        .concat(),
        1 => [&[101][..], &id, &[0, 0, 0, 0]].concat(),
        2 => [&[102][..], &id, &string(choices.bytes(255))].concat(),
        3 => [&[103][..], &id, &string(choices.bytes(200))].concat(),
        4 => {
            let count = choices.byte() & 3;
            let name = [string(choices.bytes(9)), string(b""), vec![0; 4]].concat();
            [
                &[104][..],
                &id,
                &[0, 0, 0, count],
                &name.repeat(usize::from(count)),
            ]
            .concat()
        }
        5 => [&[105][..], &id, &[0, 0, 0, 1], &[choices.byte(); 8]].concat(),
        _ => [&[choices.byte()][..], &id, choices.bytes(30)].concat(),
    };
    framed(&fields)
}

/// Requests of any client, answered out of a file tree or held back: one answer to each, with its id, and to no other.
pub fn sftp_server(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut server = Server::new(MemFs::extensions());
    let mut files = MemFs::default();
    files.put(b"/f", b"contents".as_slice());
    if choices.byte() & 15 != 0 {
        server
            .handle_data(framed(&[1, 0, 0, 0, 3]))
            .expect("a good INIT");
    }
    let (mut asked, mut answered, mut next_id) = (0_usize, 0_usize, 0_u32);
    let mut held = Vec::new();
    while !choices.is_empty() {
        let message = request(&mut choices, next_id);
        next_id += 1;
        let _ = server.handle_data(message);
        while let Ok(Some(question)) = server.poll_request() {
            asked += 1;
            if choices.byte() & 3 == 0 {
                held.push(question);
            } else {
                files.answer(&mut server, question);
                answered += 1;
            }
        }
        if choices.byte() & 3 == 0 && !held.is_empty() {
            let question = held.swap_remove(choices.below(held.len().min(256)));
            files.answer(&mut server, question);
            answered += 1;
        }
        assert_eq!(server.unanswered(), asked - answered);
        assert_not_ours(server.poll_request().err().as_ref());
        for message in said(std::iter::from_fn(|| server.poll_transmit())) {
            let is_reply = matches!(message[0], 101..=105 | 201) && message.len() >= 5;
            assert!(is_reply || message[0] == 2, "a server says {}", message[0]);
        }
    }
    for question in held {
        files.answer(&mut server, question);
    }
    assert_eq!(server.unanswered(), 0);
}

/// Mostly a request in good form.
fn request(choices: &mut Choices<'_>, id: u32) -> Bytes {
    let id = id.to_be_bytes();
    let path = |choices: &mut Choices<'_>| {
        string([&b"/"[..], b"/f", b"/d", b"/d/g", b"", b"nowhere"][choices.below(6)])
    };
    let handle = |choices: &mut Choices<'_>| string(&[0, 0, 0, choices.byte() & 7]);
    let fields = match choices.below(14) {
        0 => [
            &[3][..],
            &id,
            &path(choices),
            &[0, 0, 0, choices.byte() & 0x3f],
            &[0; 4],
        ]
        .concat(),
        1 => [&[4][..], &id, &handle(choices)].concat(),
        2..=3 => [
            &[5][..],
            &id,
            &handle(choices),
            &[0; 7],
            &[choices.byte()],
            &[0, 0, 0, choices.byte()],
        ]
        .concat(),
        4..=5 => [
            &[6][..],
            &id,
            &handle(choices),
            &[0; 7],
            &[choices.byte()],
            &string(choices.bytes(99)),
        ]
        .concat(),
        6 => [&[11][..], &id, &path(choices)].concat(),
        7 => [&[12][..], &id, &handle(choices)].concat(),
        8 => [
            &[[7, 13, 15, 16, 17][choices.below(5)]][..],
            &id,
            &path(choices),
        ]
        .concat(),
        9 => [&[14][..], &id, &path(choices), &[0; 4]].concat(),
        10 => [&[18][..], &id, &path(choices), &path(choices)].concat(),
        11 => [
            &[200][..],
            &id,
            &string(b"posix-rename@openssh.com"),
            &path(choices),
            &path(choices),
        ]
        .concat(),
        12 => [&[choices.byte()][..], &id, choices.bytes(40)].concat(),
        _ => return Bytes::copy_from_slice(choices.bytes(12)),
    };
    framed(&fields)
}

/// A download and an upload of one file, with answers short, late, out of order and failing: what was read or written is
/// the file, or an error says from where on it is not.
pub fn transfer(data: &[u8]) {
    let mut choices = Choices::new(data);
    let size = choices.number() as usize % 5000;
    let file: Vec<u8> = (0..size).map(|at| (at % 253) as u8).collect();
    download(&file, &mut choices);
    upload(&file, &mut choices);
}

fn download(file: &[u8], choices: &mut Choices<'_>) {
    let plan = DownloadPlan {
        offset: 0,
        size_hint: (choices.byte() & 1 == 0).then_some(u64::from(choices.byte()) * 20),
        request_len: u32::from(choices.byte()) + 1,
        max_in_flight_bytes: usize::from(choices.byte()) * 16,
        order: if choices.byte() & 1 == 0 {
            Order::InFile
        } else {
            Order::Arrival
        },
    };
    let in_file = matches!(plan.order, Order::InFile);
    let mut download = Download::new(plan);
    let mut asked = Vec::new();
    let mut got = vec![None; file.len()];
    let mut next = 0;
    let mut failing = false;
    for _ in 0..100_000 {
        while let Some(read) = download.next() {
            asked.push(read);
        }
        let mut taken = false;
        while let Some(piece) = download.poll_data() {
            taken = true;
            assert!(!in_file || piece.offset == next, "out of order");
            next = piece.offset + piece.data.len() as u64;
            for (at, byte) in (piece.offset as usize..).zip(piece.data.pieces().flatten()) {
                assert_eq!(got[at].replace(*byte), None, "byte {at} twice");
            }
        }
        if let Some(result) = download.finished() {
            match result {
                Ok(bytes) => assert_eq!(bytes, file.len() as u64),
                Err(error) => assert!(failing && error.offset <= file.len() as u64, "{error}"),
            }
            let whole = match download.finished() {
                Some(Ok(_)) => file.len(),
                Some(Err(error)) => error.offset as usize,
                None => unreachable!("it has finished"),
            };
            for (at, byte) in file.iter().enumerate().take(whole) {
                assert_eq!(got[at], Some(*byte), "byte {at}");
            }
            return;
        }
        if asked.is_empty() {
            // What was taken has made room.
            assert!(taken, "nothing is asked, and nothing finished");
            continue;
        }
        let read = asked.swap_remove(choices.below(asked.len().min(256)));
        let (at, len) = (read.offset as usize, read.len as usize);
        let whole = file.get(at..).unwrap_or_default();
        let whole = &whole[..whole.len().min(len)];
        let fails = choices.byte() == 255;
        failing |= fails;
        let result = match whole {
            _ if fails => Err(Status::new(StatusCode::FAILURE)),
            [] => Err(Status::new(StatusCode::EOF)),
            // Short now and then, and never empty.
            _ if choices.byte() & 3 == 3 => Ok(&whole[..1 + choices.below(whole.len().min(256))]),
            _ => Ok(whole),
        };
        download.done(
            read,
            result.map(|it| Data::from(Bytes::copy_from_slice(it))),
        );
    }
    panic!("the download never finishes");
}

fn upload(file: &[u8], choices: &mut Choices<'_>) {
    let mut upload = Upload::new(UploadPlan {
        offset: 0,
        write_len: u32::from(choices.byte()) + 1,
        max_in_flight_bytes: usize::from(choices.byte()) * 16,
    });
    let (mut given, mut asked, mut failing) = (0, Vec::new(), false);
    let mut written = vec![None; file.len()];
    for _ in 0..100_000 {
        while given < file.len() && upload.wants_data() {
            let piece = &file[given..file.len().min(given + 1 + usize::from(choices.byte()))];
            upload.push(Bytes::copy_from_slice(piece));
            given += piece.len();
        }
        if given == file.len() {
            upload.finish();
        }
        while let Some((write, data)) = upload.next() {
            assert_eq!(write.len as usize, data.len());
            asked.push((write, data));
        }
        if let Some(result) = upload.finished() {
            let whole = match result {
                Ok(bytes) => {
                    assert_eq!(bytes, file.len() as u64);
                    file.len()
                }
                Err(error) => {
                    assert!(failing, "{error}");
                    error.offset as usize
                }
            };
            assert_eq!(upload.acknowledged(), whole as u64);
            for (at, byte) in file.iter().enumerate().take(whole) {
                assert_eq!(written[at], Some(*byte), "byte {at}");
            }
            return;
        }
        if asked.is_empty() {
            continue;
        }
        let (write, data) = asked.swap_remove(choices.below(asked.len().min(256)));
        if choices.byte() == 255 {
            failing = true;
            upload.done(write, Err(Status::new(StatusCode::FAILURE)));
            continue;
        }
        for (at, byte) in (write.offset as usize..).zip(data.pieces().flatten()) {
            written[at] = Some(*byte);
        }
        upload.done(write, Ok(()));
    }
    panic!("the upload never finishes");
}
