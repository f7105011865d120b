//! The server against a scripted client.

use super::*;
use crate::error::{Error, PeerMisbehaved};
use crate::limits;
use crate::sftp::extensions::{CopyData, PosixRename, RequestLengths};
use crate::sftp::messages::{Close, Mkdir, Open, Read, Readdir, Realpath, Remove, Symlink, Write};
use proptest::prelude::*;

fn greeted_with(extensions: Extensions) -> Server {
    let mut server = Server::new(extensions);
    server.handle_data(raw(1, None, b"\0\0\0\x03")).unwrap();
    assert!(server.poll_request().unwrap().is_none());
    assert_eq!(sent(|| server.poll_transmit()), version(3, extensions));
    server
}

fn greeted() -> Server {
    greeted_with(Extensions::ALL)
}

fn ask(server: &mut Server, message: Bytes) -> Option<Asked> {
    server.handle_data(message).unwrap();
    server.poll_request().unwrap()
}

/// The code with which the server answers by itself.
fn refused(server: &mut Server, message: Bytes) -> StatusCode {
    assert!(ask(server, message).is_none());
    let answer = sent(|| server.poll_transmit());
    assert_eq!(heads(answer.clone()), [(101, 7)]);
    StatusCode(u32::from_be_bytes(answer[9..13].try_into().unwrap()))
}

/// draft-ietf-secsh-filexfer-02 §4
#[test]
fn init_comes_first_and_once() {
    for number in (0..=255).filter(|it| *it != 1) {
        let mut server = Server::new(Extensions::NONE);
        server.handle_data(raw(number, Some(3), b"")).unwrap();
        let error = server.poll_request().unwrap_err();
        assert_eq!(
            error,
            PeerMisbehaved::UnexpectedSftpMessage { number }.into()
        );
        assert_eq!(
            server.handle_data(Bytes::new()),
            Err(error),
            "errors are sticky"
        );
    }
    let mut server = greeted();
    server.handle_data(raw(1, None, b"\0\0\0\x03")).unwrap();
    let error = server.poll_request().unwrap_err();
    assert_eq!(
        error,
        PeerMisbehaved::UnexpectedSftpMessage { number: 1 }.into()
    );
}

/// draft-ietf-secsh-filexfer-02 §4
#[test]
fn the_lower_version_counts_and_below_3_there_is_none() {
    let mut server = Server::new(Extensions::NONE);
    server
        .handle_data(raw(1, None, b"\0\0\0\x06\0\0\0\x01x\0\0\0\x01y"))
        .unwrap();
    assert!(server.poll_request().unwrap().is_none());
    assert_eq!(
        sent(|| server.poll_transmit()),
        version(3, Extensions::NONE)
    );
    for (fields, expected) in [
        (&b"\0\0\0\x02"[..], Some(PeerMisbehaved::BadSftpVersion)),
        (b"\0\0\0\x03\0\0\0\x01x", None),
    ] {
        let mut server = Server::new(Extensions::NONE);
        server.handle_data(raw(1, None, fields)).unwrap();
        match (server.poll_request().unwrap_err(), expected) {
            (Error::PeerMisbehaved(how), Some(expected)) => assert_eq!(how, expected),
            (error, _) => assert!(matches!(error, Error::InvalidMessage { number: 1, .. })),
        }
    }
}

#[test]
fn unanswered_writes_keep_few_of_the_buffers_that_they_came_in() {
    const FEW: usize = 64;
    let mut server = greeted();
    let write = framed(
        7,
        &Write {
            handle: b"h",
            offset: 0,
            data: b"a few bytes",
        },
    );
    let buffer = [&write[..], &raw(99, Some(8), &[0; 10_000])].concat();
    let give = |server: &mut Server| {
        let buffer = Bytes::from(buffer.clone());
        server.handle_data(buffer.clone()).unwrap();
        let asked = server.poll_request().unwrap().unwrap();
        assert!(server.poll_request().unwrap().is_none());
        (asked, buffer)
    };
    let (asked, buffers): (Vec<_>, Vec<_>) = (0..FEW * 3).map(|_| give(&mut server)).unzip();
    let pinned = buffers.iter().filter(|it| !it.is_unique()).count();
    assert_eq!(pinned, FEW);
    for asked in asked {
        let Asked::Write { data, reply, .. } = asked else {
            panic!("a write: {asked:?}");
        };
        assert_eq!(data, Bytes::from_static(b"a few bytes").into());
        server.reply(reply, Ok(()));
    }
    let (_asked, buffer) = give(&mut server);
    assert!(!buffer.is_unique(), "those that were answered do not count");
}

/// draft-ietf-secsh-filexfer-02 §6.1, §8
#[test]
fn unknown_requests_are_answered_and_change_nothing() {
    let mut server = greeted_with(Extensions::ALL.without(Extension::PosixRename));
    for number in (0..=255).filter(|it| !matches!(it, 1 | 3..=20 | 200)) {
        let code = refused(&mut server, raw(number, Some(7), b"anything"));
        assert_eq!(code, StatusCode::OP_UNSUPPORTED, "{number}");
    }
    let unknown = raw(200, Some(7), b"\0\0\0\x03foobar");
    assert_eq!(refused(&mut server, unknown), StatusCode::OP_UNSUPPORTED);
    let unannounced = framed(
        7,
        &PosixRename {
            oldpath: b"a",
            newpath: b"b",
        },
    );
    assert_eq!(
        refused(&mut server, unannounced),
        StatusCode::OP_UNSUPPORTED
    );
    assert!(ask(&mut server, framed(8, &Remove { filename: b"x" })).is_some());
}

#[test]
fn a_malformed_request_is_answered_and_the_next_one_is_read() {
    let mut server = greeted();
    let requests = [
        framed(
            7,
            &Open {
                filename: b"f",
                pflags: OpenFlags::READ,
                attrs: Attrs::default(),
            },
        ),
        framed(7, &Close { handle: b"h" }),
        framed(
            7,
            &Read {
                handle: b"h",
                offset: 1,
                len: 2,
            },
        ),
        framed(
            7,
            &Write {
                handle: b"h",
                offset: 1,
                data: b"data",
            },
        ),
        framed(
            7,
            &Mkdir {
                path: b"p",
                attrs: Attrs {
                    size: Some(1),
                    ..Attrs::default()
                },
            },
        ),
        framed(
            7,
            &PosixRename {
                oldpath: b"a",
                newpath: b"b",
            },
        ),
    ];
    for request in requests {
        let (number, fields) = (request[4], &request[9..]);
        for cut in 0..fields.len() {
            // A name that is cut off names another extension.
            let code = refused(&mut server, raw(number, Some(7), &fields[..cut]));
            assert_eq!(
                code,
                StatusCode::BAD_MESSAGE,
                "message {number} cut at {cut}"
            );
        }
        if number != Write::NUMBER {
            let long = [fields, b"x"].concat();
            let code = refused(&mut server, raw(number, Some(7), &long));
            assert_eq!(code, StatusCode::BAD_MESSAGE, "message {number} too long");
        }
        assert!(ask(&mut server, request).is_some());
    }
    let error = {
        server
            .handle_data(Bytes::from_static(b"\0\0\0\x04\x0d\0\0\0"))
            .unwrap();
        server.poll_request().unwrap_err()
    };
    assert_eq!(
        error,
        PeerMisbehaved::BadSftpLength.into(),
        "without an id there is nothing to answer"
    );
}

/// As rclone 1.60 sends the last block of a file, and sftp-server takes it.
#[test]
fn what_follows_the_data_of_a_write_is_not_written() {
    let mut server = greeted();
    let write = Write {
        handle: b"h",
        offset: 5,
        data: b"data",
    };
    let long = [&framed(7, &write)[9..], b"the rest of a buffer"].concat();
    let asked = ask(&mut server, raw(Write::NUMBER, Some(7), &long)).unwrap();
    let Asked::Write { data, .. } = asked else {
        panic!("{asked:?}")
    };
    assert_eq!(data, Bytes::from_static(b"data").into());
}

/// draft-ietf-secsh-filexfer-02 §6.2
#[test]
fn handles_and_paths_are_bounded() {
    let mut server = greeted();
    for handle in [&[1; 257][..], &[1; 60_000]] {
        let read = framed(
            7,
            &Read {
                handle,
                offset: 0,
                len: 1,
            },
        );
        assert_eq!(refused(&mut server, read), StatusCode::BAD_MESSAGE);
        let write = framed(
            7,
            &Write {
                handle,
                offset: 0,
                data: b"",
            },
        );
        assert_eq!(refused(&mut server, write), StatusCode::BAD_MESSAGE);
    }
    assert!(ask(&mut server, framed(7, &Close { handle: &[1; 256] })).is_some());
    let path = vec![b'x'; limits::SFTP_PATH + 1];
    assert_eq!(
        refused(&mut server, framed(7, &Remove { filename: &path })),
        StatusCode::BAD_MESSAGE
    );
    assert!(
        ask(
            &mut server,
            framed(
                7,
                &Remove {
                    filename: &path[1..]
                }
            )
        )
        .is_some()
    );
}

/// draft-ietf-secsh-filexfer-02 §6.3
#[test]
fn flags_of_open_that_cannot_be_are_refused() {
    let mut server = greeted();
    for flags in [0x10_u8, 0x22, 0x40] {
        let fields = [&b"\0\0\0\x01f\0\0\0"[..], &[flags], &[0; 4]].concat();
        assert_eq!(
            refused(&mut server, raw(3, Some(7), &fields)),
            StatusCode::BAD_MESSAGE
        );
    }
}

/// OpenSSH PROTOCOL §4.1
#[test]
fn symlink_names_its_target_first() {
    let mut server = greeted();
    let asked = ask(
        &mut server,
        raw(20, Some(7), b"\0\0\0\x06target\0\0\0\x04link"),
    )
    .unwrap();
    let Asked::Symlink { target, link, .. } = asked else {
        panic!("{asked:?}")
    };
    assert_eq!((&target[..], &link[..]), (&b"target"[..], &b"link"[..]));
    let ours = framed(
        7,
        &Symlink {
            targetpath: b"target",
            linkpath: b"link",
        },
    );
    assert_eq!(ours, raw(20, Some(7), b"\0\0\0\x06target\0\0\0\x04link"));
}

/// draft-ietf-secsh-filexfer-02 §6.4; 256 KiB of data as OpenSSH takes them (PROTOCOL §4.8).
#[test]
fn written_data_is_handed_on_uncopied() {
    let mut server = greeted();
    let data = vec![9; 256 * 1024];
    let message = framed(
        7,
        &Write {
            handle: b"h",
            offset: 5,
            data: &data,
        },
    );
    let bytes = message.as_ptr() as usize..message.as_ptr() as usize + message.len();
    let asked = ask(&mut server, message).unwrap();
    let Asked::Write {
        handle,
        offset,
        data: written,
        reply,
    } = asked
    else {
        panic!("{asked:?}")
    };
    assert_eq!((handle.as_bytes(), offset), (&b"h"[..], 5));
    assert!(
        written
            .pieces()
            .all(|it| bytes.contains(&(it.as_ptr() as usize)))
    );
    assert_eq!(written, Bytes::from(data).into());
    server.reply(reply, Ok(()));
    assert_eq!(heads(sent(|| server.poll_transmit())), [(101, 7)]);
    assert!(matches!(
        ask(&mut server, framed(8, &Write { handle: b"h", offset: 0, data: b"" })),
        Some(Asked::Write { data, .. }) if data.is_empty()
    ));
}

/// draft-ietf-secsh-filexfer-02 §6.4
#[test]
fn a_read_is_cut_to_what_a_message_holds_and_so_is_its_answer() {
    let mut server = greeted();
    let asked = ask(
        &mut server,
        framed(
            7,
            &Read {
                handle: b"h",
                offset: 0,
                len: u32::MAX,
            },
        ),
    );
    let Some(Asked::Read { len, reply, .. }) = asked else {
        panic!("{asked:?}")
    };
    assert_eq!(len, RequestLengths::LONGEST);
    server.reply(reply, Ok(Bytes::from(vec![1; len as usize + 1]).into()));
    let answer = sent(|| server.poll_transmit());
    assert_eq!(answer.len(), 13 + len as usize);
    assert_eq!(answer[9..13], len.to_be_bytes());
    let asked = ask(
        &mut server,
        framed(
            7,
            &Read {
                handle: b"h",
                offset: 0,
                len: 0,
            },
        ),
    );
    let Some(Asked::Read { len: 0, reply, .. }) = asked else {
        panic!("{asked:?}")
    };
    server.reply(reply, Ok(Data::default()));
    assert_eq!(sent(|| server.poll_transmit()), data_reply(7, b""));
}

#[test]
fn answers_go_out_in_the_order_in_which_they_are_given() {
    let mut server = greeted();
    server
        .handle_data(framed(1, &Remove { filename: b"a" }))
        .unwrap();
    server
        .handle_data(framed(2, &Realpath { path: b"b" }))
        .unwrap();
    let Some(Asked::Remove { path, reply: first }) = server.poll_request().unwrap() else {
        panic!()
    };
    assert_eq!(path, &b"a"[..]);
    let Some(Asked::Realpath { reply: second, .. }) = server.poll_request().unwrap() else {
        panic!()
    };
    server.reply(second, Ok(Bytes::from_static(b"/b")));
    server.reply(first, Err(StatusCode::PERMISSION_DENIED.into()));
    assert_eq!(heads(sent(|| server.poll_transmit())), [(104, 2), (101, 1)]);
    assert_eq!(server.unanswered(), 0);
}

#[test]
fn a_failure_carries_text_and_language_and_is_never_ok() {
    let mut server = greeted();
    let Some(Asked::Remove { reply, .. }) = ask(&mut server, framed(7, &Remove { filename: b"a" }))
    else {
        panic!()
    };
    server.reply(reply, Err(StatusCode::OK.into()));
    let expected = b"\0\0\0\x04\0\0\0\x07success\0\0\0\x02en";
    assert_eq!(sent(|| server.poll_transmit()), raw(101, Some(7), expected));
}

#[test]
fn an_answer_that_does_not_fit_becomes_a_failure() {
    let mut server = greeted();
    let Some(Asked::Readdir { reply, .. }) = ask(&mut server, framed(7, &Readdir { handle: b"h" }))
    else {
        panic!()
    };
    let name = Entry {
        filename: vec![b'x'; 200_000].into(),
        longname: Bytes::new(),
        attrs: Attrs::default(),
    };
    server.reply(reply, Ok(vec![name.clone(), name]));
    let answer = sent(|| server.poll_transmit());
    assert_eq!(heads(answer.clone()), [(101, 7)]);
    assert_eq!(answer[9..13], StatusCode::FAILURE.0.to_be_bytes());
}

/// OpenSSH PROTOCOL §4.10
#[test]
fn a_file_is_not_copied_onto_itself() {
    let mut server = greeted();
    let copy = |to| CopyData {
        read_from_handle: b"a",
        read_from_offset: 0,
        read_data_length: 0,
        write_to_handle: to,
        write_to_offset: 0,
    };
    assert_eq!(
        refused(&mut server, framed(7, &copy(b"a"))),
        StatusCode::INVALID_PARAMETER
    );
    assert!(matches!(
        ask(&mut server, framed(7, &copy(b"b"))),
        Some(Asked::CopyData { len: 0, .. })
    ));
}

#[test]
fn unanswered_requests_stop_the_reading() {
    let mut server = greeted();
    let mut stream = BytesMut::new();
    for id in 0..2000 {
        stream.extend(framed(id, &Remove { filename: b"a" }));
    }
    server.handle_data(stream.freeze()).unwrap();
    let mut replies = Vec::new();
    while let Some(Asked::Remove { reply, .. }) = server.poll_request().unwrap() {
        replies.push(reply);
    }
    assert_eq!(
        (replies.len(), server.wants_data()),
        (limits::SFTP_UNANSWERED, false)
    );
    for reply in replies {
        server.reply(reply, Ok(()));
    }
    assert!(!server.wants_data(), "whole requests wait to be read");
    while server.poll_request().unwrap().is_some() {}
    assert!(server.wants_data());
}

#[test]
fn bytes_that_are_asked_for_or_unsent_stop_the_reading() {
    let mut server = greeted();
    let mut replies = Vec::new();
    for id in 0.. {
        let Some(asked) = ask(
            &mut server,
            framed(
                id,
                &Read {
                    handle: b"h",
                    offset: 0,
                    len: 200_000,
                },
            ),
        ) else {
            break;
        };
        let Asked::Read { len, reply, .. } = asked else {
            panic!("{asked:?}")
        };
        replies.push((len, reply));
    }
    // The last one may come while the largest that can be would still fit.
    let most = (limits::SFTP_UNSENT - limits::SFTP_MESSAGE) / 200_000 + 1;
    assert_eq!(replies.len(), most);
    for (len, reply) in replies {
        server.reply(reply, Ok(Bytes::from(vec![0; len as usize]).into()));
    }
    assert!(
        server.poll_request().unwrap().is_none(),
        "all of it is unsent"
    );
    sent(|| server.poll_transmit());
    assert!(server.poll_request().unwrap().is_some());
}

/// A client that asks nonsense and reads no answer costs no more than one that asks sense.
#[test]
fn refusals_are_bounded_like_answers() {
    let mut server = greeted();
    let mut stream = BytesMut::new();
    for _ in 0..300_000 {
        stream.extend(raw(99, Some(7), b""));
    }
    server.handle_data(stream.freeze()).unwrap();
    assert!(server.poll_request().unwrap().is_none());
    assert!(!server.wants_data());
    assert!(sent(|| server.poll_transmit()).len() < limits::SFTP_UNSENT + 100);
}

#[test]
fn answers_to_a_session_that_has_ended_are_dropped() {
    let mut server = greeted();
    let Some(Asked::Remove { reply, .. }) = ask(&mut server, framed(7, &Remove { filename: b"a" }))
    else {
        panic!()
    };
    server.abort(Error::Closed);
    server.reply(reply, Ok(()));
    assert_eq!((server.poll_transmit(), server.unanswered()), (None, 0));
    assert_eq!(server.poll_request().unwrap_err(), Error::Closed);
}

proptest! {
    #[test]
    fn every_request_is_asked_or_answered_once(
        requests in prop::collection::vec((3_u8..=20, prop::collection::vec(any::<u8>(), 0..60)), 0..40),
        cut in 1_usize..100,
    ) {
        let mut server = greeted();
        let stream: Vec<u8> = requests
            .iter()
            .zip(0..)
            .flat_map(|((number, fields), id)| raw(*number, Some(id), fields))
            .collect();
        let mut asked = 0;
        for chunk in stream.chunks(cut) {
            server.handle_data(Bytes::copy_from_slice(chunk)).unwrap();
            while server.poll_request().unwrap().is_some() {
                asked += 1;
            }
        }
        prop_assert!(server.wants_data());
        let answered = heads(sent(|| server.poll_transmit())).len();
        prop_assert_eq!(asked + answered, requests.len());
    }
}

/// What is set aside for requests and what waits to be sent is never more than the bound.
#[test]
fn requests_and_answers_together_are_bounded() {
    let bytes = 1024 * 1024;
    let mut server = Server::new(Extensions::ALL).bounded(ServerBounds {
        unanswered: 1024,
        bytes,
    });
    server.handle_data(raw(1, None, b"\0\0\0\x03")).unwrap();
    assert!(server.poll_request().unwrap().is_none());
    sent(|| server.poll_transmit());
    let read = |id| {
        let len = RequestLengths::LONGEST;
        let handle = b"h";
        framed(
            id,
            &Read {
                handle,
                offset: 0,
                len,
            },
        )
    };
    let stream: Vec<u8> = (0..1000).flat_map(read).collect();
    server.handle_data(stream.into()).unwrap();
    let (mut answered, mut held) = (0, 0);
    while answered < 1000 {
        let mut replies = Vec::new();
        while let Some(asked) = server.poll_request().unwrap() {
            let Asked::Read { len, reply, .. } = asked else {
                panic!("{asked:?}")
            };
            held += len as usize;
            replies.push((len, reply));
        }
        assert!(held <= bytes, "{held}");
        assert!(!replies.is_empty(), "nothing is asked and nothing waits");
        for (len, reply) in replies {
            server.reply(reply, Ok(Bytes::from(vec![0; len as usize]).into()));
            answered += 1;
        }
        sent(|| server.poll_transmit());
        held = 0;
    }
    assert!(server.is_idle());
}

#[test]
fn however_low_the_bound_one_request_may_come() {
    let mut server = Server::new(Extensions::ALL).bounded(ServerBounds {
        unanswered: 0,
        bytes: 0,
    });
    server.handle_data(raw(1, None, b"\0\0\0\x03")).unwrap();
    assert!(server.poll_request().unwrap().is_none());
    sent(|| server.poll_transmit());
    for id in 0..3 {
        let asked = ask(&mut server, framed(id, &Remove { filename: b"x" })).unwrap();
        let second = framed(id, &Remove { filename: b"y" });
        assert!(ask(&mut server, second).is_none(), "one is unanswered");
        server.give(asked.refuse(StatusCode::PERMISSION_DENIED.into()));
        assert!(server.poll_request().unwrap().is_none(), "one is unsent");
        sent(|| server.poll_transmit());
        let asked = server.poll_request().unwrap().unwrap();
        server.give(asked.refuse(StatusCode::PERMISSION_DENIED.into()));
        sent(|| server.poll_transmit());
    }
}

#[test]
fn every_request_has_its_name_and_can_be_refused() {
    let mut server = greeted_with(Extensions::NONE).knowing(Extensions::ALL);
    let path = b"\0\0\0\x01p";
    let attrs = [0; 4];
    let number = [0; 8];
    let extended: Vec<(&str, Vec<u8>)> = vec![
        ("posix-rename", [path, &path[..]].concat()),
        ("statvfs", path.to_vec()),
        ("fstatvfs", path.to_vec()),
        ("hardlink", [path, &path[..]].concat()),
        ("fsync", path.to_vec()),
        ("lsetstat", [&path[..], &attrs].concat()),
        ("limits", Vec::new()),
        ("expand-path", path.to_vec()),
        (
            "copy-data",
            [&path[..], &number, &number, b"\0\0\0\x01q", &number].concat(),
        ),
        ("home-directory", path.to_vec()),
        ("users-groups-by-id", [0; 8].to_vec()),
        (
            "check-file-handle",
            [&path[..], path, &number, &number, &attrs].concat(),
        ),
        (
            "check-file-name",
            [&path[..], path, &number, &number, &attrs].concat(),
        ),
    ];
    let numbered: Vec<(u8, Vec<u8>)> = vec![
        (3, [&path[..], b"\0\0\0\x01", &attrs].concat()),
        (4, path.to_vec()),
        (5, [&path[..], &number, &attrs].concat()),
        (6, [&path[..], &number, path].concat()),
        (7, path.to_vec()),
        (8, path.to_vec()),
        (9, [&path[..], &attrs].concat()),
        (10, [&path[..], &attrs].concat()),
        (11, path.to_vec()),
        (12, path.to_vec()),
        (13, path.to_vec()),
        (14, [&path[..], &attrs].concat()),
        (15, path.to_vec()),
        (16, path.to_vec()),
        (17, path.to_vec()),
        (18, [path, &path[..]].concat()),
        (19, path.to_vec()),
        (20, [path, &path[..]].concat()),
    ];
    let mut names = Vec::new();
    let mut refuse = |server: &mut Server, message| {
        let asked = ask(server, message).unwrap();
        names.push(asked.name());
        server.give(asked.refuse(StatusCode::PERMISSION_DENIED.into()));
        let answer = sent(|| server.poll_transmit());
        assert_eq!(heads(answer.clone()), [(101, 7)]);
        assert_eq!(answer[9..13], StatusCode::PERMISSION_DENIED.0.to_be_bytes());
    };
    for (number, fields) in numbered {
        refuse(&mut server, raw(number, Some(7), &fields));
    }
    for (name, fields) in extended {
        let extension = Extension::ALL.iter().find(|it| {
            let full = it.name();
            full.split('@').next() == Some(name)
        });
        let mut body = BytesMut::new();
        extension.unwrap().name().write(&mut body);
        body.extend_from_slice(&fields);
        refuse(&mut server, raw(200, Some(7), &body));
    }
    assert_eq!(names, Asked::NAMES);
    assert_eq!(server.unanswered(), 0);
}
