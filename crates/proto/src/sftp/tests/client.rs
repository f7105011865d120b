//! The client against a scripted server.

use super::*;
use crate::error::{Error, PeerMisbehaved};
use crate::limits;
use crate::sftp::extensions::{GetLimits, Ids, OwnerNames, UsersGroupsById};
use crate::sftp::messages::{Close, Lstat, Open, Opendir, Read, Readdir, Realpath, Remove};
use proptest::prelude::*;

const OPEN: Open<'static> = Open {
    filename: b"f",
    pflags: OpenFlags::READ,
    attrs: Attrs {
        size: None,
        owner: None,
        permissions: None,
        times: None,
    },
};

fn ready_with(bounds: Bounds) -> Client {
    let mut client = Client::new(bounds);
    sent(|| client.poll_transmit());
    client.handle_data(version(3, Extensions::ALL)).unwrap();
    client
}

fn ready() -> Client {
    ready_with(Bounds::default())
}

fn read(len: u32) -> Read<'static> {
    Read {
        handle: b"h",
        offset: 0,
        len,
    }
}

/// The ids that the client has given its requests, in order.
fn ids(client: &mut Client) -> Vec<u32> {
    heads(sent(|| client.poll_transmit()))
        .into_iter()
        .map(|(_, id)| id)
        .collect()
}

/// What a single request gets for an answer that `reply` makes.
fn answered<'a, Q: Request<'a>>(
    request: &Q,
    reply: impl FnOnce(u32) -> Bytes,
) -> Result<Result<<Q::Reply as Kind>::Value, Status>, Error> {
    let mut client = ready();
    let pending = client.send(request).unwrap();
    let id = ids(&mut client)[0];
    client.handle_data(reply(id))?;
    Ok(pending.claim(client.poll_completion().unwrap()).unwrap())
}

fn misbehaved<'a, Q: Request<'a>>(request: &Q, reply: impl FnOnce(u32) -> Bytes) -> PeerMisbehaved {
    match answered(request, reply).map(|_| "an answer") {
        Err(Error::PeerMisbehaved(how)) => how,
        other => panic!("expected misbehaviour, got {other:?}"),
    }
}

/// draft-ietf-secsh-filexfer-02 §3, §4
#[test]
fn init_comes_first_and_without_an_id() {
    let mut client = Client::default();
    assert_eq!(client.send(&OPEN).unwrap_err(), Blocked::NotReady);
    assert_eq!(
        sent(|| client.poll_transmit()),
        &b"\0\0\0\x05\x01\0\0\0\x03"[..]
    );
    assert!(!client.is_ready());
    client
        .handle_data(version(3, Extensions::NONE.with(Extension::Fsync)))
        .unwrap();
    assert_eq!(client.version(), Some(3));
    assert!(client.extensions().contains(Extension::Fsync));
    assert!(!client.extensions().contains(Extension::Limits));
}

/// draft-ietf-secsh-filexfer-02 §4: the lower version counts.
#[test]
fn a_later_version_means_ours_and_an_earlier_one_is_refused() {
    let mut client = Client::default();
    client.handle_data(version(6, Extensions::NONE)).unwrap();
    assert_eq!(client.version(), Some(3));
    let mut client = Client::default();
    let error = client
        .handle_data(version(2, Extensions::NONE))
        .unwrap_err();
    assert_eq!(error, PeerMisbehaved::BadSftpVersion.into());
}

#[test]
fn nothing_but_one_version_opens_a_session() {
    for number in (0..=255).filter(|it| *it != 2) {
        let mut client = Client::default();
        let error = client
            .handle_data(raw(number, Some(0), b"\0\0\0\0"))
            .unwrap_err();
        assert_eq!(
            error,
            PeerMisbehaved::UnexpectedSftpMessage { number }.into()
        );
    }
    let error = ready()
        .handle_data(version(3, Extensions::NONE))
        .unwrap_err();
    assert_eq!(
        error,
        PeerMisbehaved::UnexpectedSftpMessage { number: 2 }.into()
    );
    let mut client = Client::default();
    let error = client
        .handle_data(raw(2, None, b"\0\0\0\x03\0\0\0\x09x"))
        .unwrap_err();
    assert!(
        matches!(error, Error::InvalidMessage { number: 2, .. }),
        "{error}"
    );
}

/// draft-ietf-secsh-filexfer-02 §6.1
#[test]
fn answers_come_in_any_order() {
    let mut client = ready();
    let open = client.send(&OPEN).unwrap();
    let remove = client.send(&Remove { filename: b"g" }).unwrap();
    let ids = ids(&mut client);
    client.handle_data(status(ids[1], StatusCode::OK)).unwrap();
    client.handle_data(handle_reply(ids[0], b"h")).unwrap();
    let first = client.poll_completion().unwrap();
    assert_eq!(first.id(), remove.id());
    let first = open.claim(first).map(|_| ()).unwrap_err();
    assert_eq!(remove.claim(first).unwrap(), Ok(()));
    assert!(client.poll_completion().is_some());
}

/// draft-ietf-secsh-filexfer-02 §3, §7
#[test]
fn a_reply_to_no_request_ends_the_session() {
    let mut client = ready();
    let _pending = client.send(&OPEN).unwrap();
    let id = ids(&mut client)[0];
    client.handle_data(handle_reply(id, b"h")).unwrap();
    let error: Error = PeerMisbehaved::UnknownRequestId.into();
    assert_eq!(
        client.handle_data(handle_reply(id, b"h")),
        Err(error.clone()),
        "answered before"
    );
    assert_eq!(
        client.handle_data(Bytes::new()),
        Err(error.clone()),
        "errors are sticky"
    );
    assert_eq!(client.error(), Some(&error));
    assert!(
        client.poll_completion().is_some(),
        "the answer that came before is kept"
    );
    assert_eq!(client.send(&OPEN).unwrap_err(), Blocked::Ended);
}

/// draft-ietf-secsh-filexfer-02 §7: each kind of request has its kinds of replies.
#[test]
fn a_reply_of_another_kind_ends_the_session() {
    type Answer = fn(u32) -> Bytes;
    let replies: [(&str, Answer); 6] = [
        ("ok", |id| status(id, StatusCode::OK)),
        ("handle", |id| handle_reply(id, b"h")),
        ("data", |id| data_reply(id, b"d")),
        ("name", |id| name_reply(id, &[b"n"])),
        ("attrs", |id| {
            framed(
                id,
                &messages::AttrsReply {
                    attrs: Attrs::default(),
                },
            )
        }),
        ("extended", |id| raw(201, Some(id), &[0; 32])),
    ];
    for (name, reply) in replies {
        let outcomes = [
            ("ok", answered(&Close { handle: b"h" }, reply).err()),
            ("handle", answered(&OPEN, reply).err()),
            ("data", answered(&read(9), reply).err()),
            ("name", answered(&Readdir { handle: b"h" }, reply).err()),
            ("name", answered(&Realpath { path: b"p" }, reply).err()),
            ("attrs", answered(&Lstat { path: b"p" }, reply).err()),
            ("extended", answered(&GetLimits {}, reply).err()),
        ];
        for (wanted, error) in outcomes {
            let expected = (wanted != name).then(|| PeerMisbehaved::WrongReplyKind.into());
            assert_eq!(error, expected, "{name} where {wanted} was due");
        }
    }
    for number in (0..=255).filter(|it| !matches!(it, 2 | 101..=105 | 201)) {
        let how = misbehaved(&OPEN, |id| raw(number, Some(id), b""));
        assert_eq!(how, PeerMisbehaved::UnexpectedSftpMessage { number });
    }
}

/// draft-ietf-secsh-filexfer-02 §7: failures are values, and their texts may lack.
#[test]
fn failures_are_values_with_or_without_texts() {
    for fields in [
        &b"\0\0\0\x02"[..],
        b"\0\0\0\x02\0\0\0\0",
        b"\0\0\0\x02\0\0\0\0\0\0\0\0",
    ] {
        let status = answered(&OPEN, |id| raw(101, Some(id), fields))
            .unwrap()
            .unwrap_err();
        assert_eq!(
            (status.code, status.message.len()),
            (StatusCode::NO_SUCH_FILE, 0)
        );
    }
    let later = answered(&OPEN, |id| status(id, StatusCode(31)))
        .unwrap()
        .unwrap_err();
    assert_eq!(
        (later.code, &later.message[..]),
        (StatusCode(31), &b"text"[..])
    );
    let error = answered(&OPEN, |id| raw(101, Some(id), b"\0\0\0\x02\0\0\0\x09x")).unwrap_err();
    assert!(matches!(error, Error::InvalidMessage { number: 101, .. }));
    let close = answered(&Close { handle: b"h" }, |id| {
        status(id, StatusCode::FAILURE)
    });
    assert!(
        close.unwrap().is_err(),
        "delayed write errors come with the answer to CLOSE (§6.3)"
    );
}

/// draft-ietf-secsh-filexfer-02 §7: NO_CONNECTION and CONNECTION_LOST are made up by clients only.
#[test]
fn a_server_cannot_say_that_the_connection_is_lost() {
    for code in [StatusCode::NO_CONNECTION, StatusCode::CONNECTION_LOST] {
        let status = answered(&OPEN, |id| status(id, code)).unwrap().unwrap_err();
        assert_eq!(status.code, StatusCode::FAILURE);
    }
}

/// draft-ietf-secsh-filexfer-02 §6.4
#[test]
fn data_may_be_shorter_than_asked_for_and_not_longer() {
    for len in [0, 1, 9] {
        let data = answered(&read(9), |id| data_reply(id, &vec![7; len]))
            .unwrap()
            .unwrap();
        assert_eq!(data.len(), len);
    }
    let how = misbehaved(&read(9), |id| data_reply(id, &[7; 10]));
    assert_eq!(how, PeerMisbehaved::ReplyTooLong);
    assert_eq!(
        misbehaved(&read(0), |id| data_reply(id, b"x")),
        PeerMisbehaved::ReplyTooLong
    );
    for fields in [&b""[..], b"\0\0\0", b"\0\0\0\x02x", b"\0\0\0\x01xy"] {
        let error = answered(&read(9), |id| raw(103, Some(id), fields)).unwrap_err();
        assert!(
            matches!(error, Error::InvalidMessage { number: 103, .. }),
            "{error}"
        );
    }
}

/// draft-ietf-secsh-filexfer-02 §6.2
#[test]
fn handles_have_256_bytes_at_most() {
    let handle = answered(&OPEN, |id| handle_reply(id, &[1; 256]))
        .unwrap()
        .unwrap();
    assert_eq!(handle.as_bytes(), [1; 256]);
    let how = misbehaved(&OPEN, |id| handle_reply(id, &[1; 257]));
    assert_eq!(how, PeerMisbehaved::HandleTooLong);
}

/// draft-ietf-secsh-filexfer-02 §6.11
#[test]
fn realpath_has_exactly_one_name() {
    let realpath = Realpath { path: b"." };
    let path = answered(&realpath, |id| name_reply(id, &[b"/\xff"]))
        .unwrap()
        .unwrap();
    assert_eq!(path, &b"/\xff"[..]);
    for names in [&[][..], &[b"a".as_slice(), b"b"]] {
        let how = misbehaved(&realpath, |id| name_reply(id, names));
        assert_eq!(how, PeerMisbehaved::WrongNameCount);
    }
    let names = answered(&Readdir { handle: b"h" }, |id| name_reply(id, &[]))
        .unwrap()
        .unwrap();
    assert!(names.is_empty(), "no names are an answer to READDIR");
}

/// OpenSSH PROTOCOL §4.12
#[test]
fn as_many_owner_names_as_were_asked_about() {
    let (mut users, mut groups) = (BytesMut::new(), BytesMut::new());
    let question = UsersGroupsById {
        uids: Ids::pack(&[0, 7], &mut users),
        gids: Ids::pack(&[5], &mut groups),
    };
    let names = |users: &[&'static str]| {
        let users = users.iter().map(|&it| it.into()).collect();
        OwnerNames {
            users,
            groups: vec!["g".into()],
        }
    };
    let reply = |names: OwnerNames| {
        let mut fields = BytesMut::new();
        names.write(&mut fields);
        move |id| raw(201, Some(id), &fields)
    };
    let right = names(&["root", ""]);
    assert_eq!(
        answered(&question, reply(right.clone())).unwrap().unwrap(),
        right
    );
    let how = misbehaved(&question, reply(names(&["root"])));
    assert_eq!(how, PeerMisbehaved::WrongNameCount);
}

#[test]
fn lengths_and_counts_of_the_server_size_nothing() {
    let error = answered(&Readdir { handle: b"h" }, |id| {
        raw(104, Some(id), &[0xff; 4])
    })
    .unwrap_err();
    assert!(matches!(error, Error::InvalidMessage { number: 104, .. }));
    let error = ready()
        .handle_data(Bytes::from_static(&[0xff; 4]))
        .unwrap_err();
    assert_eq!(error, PeerMisbehaved::BadSftpLength.into());
}

#[test]
fn what_is_in_flight_is_bounded_by_count_until_it_is_taken() {
    let mut client = ready_with(Bounds {
        requests: 2,
        ..Bounds::default()
    });
    let _first = client.send(&OPEN).unwrap();
    let _second = client.send(&OPEN).unwrap();
    assert_eq!(client.send(&OPEN).unwrap_err(), Blocked::Full);
    let id = ids(&mut client)[1];
    client.handle_data(handle_reply(id, b"h")).unwrap();
    assert_eq!(
        client.send(&OPEN).unwrap_err(),
        Blocked::Full,
        "the answer was not taken"
    );
    let _done = client.poll_completion().unwrap();
    let _third = client.send(&OPEN).unwrap();
    assert_eq!(client.in_flight(), 2);
}

#[test]
fn what_is_in_flight_is_bounded_by_bytes_both_ways() {
    let mut client = ready_with(Bounds {
        bytes: 100,
        ..Bounds::default()
    });
    let _read = client.send(&read(60)).unwrap();
    assert_eq!(client.send(&read(41)).unwrap_err(), Blocked::Full);
    let handle = Handle::new(Bytes::from_static(b"h")).unwrap();
    let data = Data::from(Bytes::from(vec![1; 41]));
    assert_eq!(client.write(&handle, 0, &data).unwrap_err(), Blocked::Full);
    assert!(client.has_room_for(40) && !client.has_room_for(41));
    let id = ids(&mut client)[0];
    client.handle_data(data_reply(id, &[0; 30])).unwrap();
    assert!(client.has_room_for(70), "what did not come is not held");
    let _done = client.poll_completion().unwrap();
    let _large = client.send(&read(1000)).unwrap();
    assert_eq!(client.send(&OPEN).unwrap_err(), Blocked::Full);
}

#[test]
fn directory_entries_that_nobody_takes_stop_the_reading() {
    let mut client = ready_with(Bounds {
        bytes: 0,
        ..Bounds::default()
    });
    let name = vec![b'x'; 200_000];
    let mut pending = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..100 {
        pending.push(client.send(&Readdir { handle: b"h" }));
        ids.extend(self::ids(&mut client));
    }
    let mut answers = 0;
    for id in ids {
        if !client.wants_data() {
            break;
        }
        client.handle_data(name_reply(id, &[&name])).unwrap();
        answers += 1;
    }
    assert!(answers <= limits::SFTP_UNSENT / name.len() + 1, "{answers}");
    while client.poll_completion().is_some() {}
    assert!(client.wants_data());
}

#[test]
fn ids_are_never_used_twice_at_once_and_old_ones_find_nothing() {
    let mut client = ready();
    let _stuck = client.send(&OPEN).unwrap();
    let stuck = ids(&mut client)[0];
    let mut last = stuck;
    for _ in 0..200_000 {
        let pending = client.send(&Remove { filename: b"" }).unwrap();
        let id = ids(&mut client)[0];
        assert!(id != stuck && id != last, "an id is used again at once");
        last = id;
        client.handle_data(status(id, StatusCode::OK)).unwrap();
        pending
            .claim(client.poll_completion().unwrap())
            .unwrap()
            .unwrap();
    }
    assert_eq!(client.in_flight(), 1);
    assert_eq!(
        client.handle_data(status(last, StatusCode::OK)),
        Err(PeerMisbehaved::UnknownRequestId.into())
    );
}

#[test]
fn a_request_that_can_never_fit_says_so_and_leaves_nothing_behind() {
    let mut client = ready();
    let path = vec![b'x'; limits::SFTP_MESSAGE];
    assert_eq!(
        client.send(&Remove { filename: &path }).unwrap_err(),
        Blocked::TooLong
    );
    assert_eq!((client.in_flight(), client.poll_transmit()), (0, None));
}

/// Whoever waits when the channel ends is answered at once.
#[test]
fn every_waiter_fails_at_once_when_the_session_ends() {
    let mut client = ready();
    let open = client.send(&OPEN).unwrap();
    let remove = client.send(&Remove { filename: b"g" }).unwrap();
    let dropped = client.send(&read(5)).unwrap();
    let id = ids(&mut client)[1];
    client.handle_data(status(id, StatusCode::OK)).unwrap();
    client.abandon(dropped.id());
    client.abort(Error::ConnectionLost { stage: "transfer" });
    client.abort(Error::Closed);
    assert_eq!(
        client.error(),
        Some(&Error::ConnectionLost { stage: "transfer" })
    );
    assert_eq!(
        remove.claim(client.poll_completion().unwrap()).unwrap(),
        Ok(())
    );
    let lost = open
        .claim(client.poll_completion().unwrap())
        .unwrap()
        .unwrap_err();
    assert_eq!(lost.code, StatusCode::CONNECTION_LOST);
    assert!(client.poll_completion().is_none());
    assert_eq!((client.in_flight(), client.poll_transmit()), (0, None));
}

#[test]
fn an_abandoned_open_is_closed_when_it_succeeds() {
    for opens_directory in [false, true] {
        let mut client = ready_with(Bounds {
            requests: 1,
            ..Bounds::default()
        });
        let id = if opens_directory {
            client.send(&Opendir { path: b"d" }).unwrap().id()
        } else {
            client.send(&OPEN).unwrap().id()
        };
        let number = ids(&mut client)[0];
        client.abandon(id);
        client.handle_data(handle_reply(number, b"orphan")).unwrap();
        assert!(client.poll_completion().is_none());
        let transmitted = sent(|| client.poll_transmit());
        let close = heads(transmitted.clone())[0];
        assert_eq!(transmitted, framed(close.1, &Close { handle: b"orphan" }));
        assert_eq!(client.in_flight(), 1);
        client
            .handle_data(status(close.1, StatusCode::FAILURE))
            .unwrap();
        assert!(client.poll_completion().is_none());
        assert_eq!(client.in_flight(), 0);
    }
}

#[test]
fn an_open_that_is_abandoned_late_is_closed_as_well() {
    let mut client = ready_with(Bounds {
        requests: 2,
        ..Bounds::default()
    });
    let (first, second) = (client.send(&OPEN).unwrap(), client.send(&OPEN).unwrap());
    let opened = ids(&mut client);
    for (id, handle) in opened.iter().zip([b"a", b"b"]) {
        client.handle_data(handle_reply(*id, handle)).unwrap();
    }
    client.abandon(second.id());
    let taken = client.poll_completion().unwrap();
    assert_eq!(taken.id(), first.id());
    client.discard(taken);
    assert!(client.poll_completion().is_none());
    let closes = messages_in(sent(|| client.poll_transmit()));
    let handles: Vec<u8> = closes.iter().map(|it| *it.last().unwrap()).collect();
    assert_eq!((handles.as_slice(), client.in_flight()), (&b"ab"[..], 2));
}

#[test]
fn abandoned_answers_of_other_kinds_are_dropped() {
    let mut client = ready();
    let dropped = client.send(&read(9)).unwrap();
    let id = ids(&mut client)[0];
    client.abandon(dropped.id());
    client.handle_data(data_reply(id, b"late")).unwrap();
    assert!(client.poll_completion().is_none() && client.poll_transmit().is_none());
    assert!(client.has_room_for(Bounds::default().bytes));
}

proptest! {
    #[test]
    fn nothing_that_a_server_sends_does_more_than_end_the_session(
        garbage in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
        numbers in prop::collection::vec(prop::sample::select(vec![101_u8, 102, 103, 104, 105, 201]), 20),
    ) {
        let mut client = ready();
        let mut waiting = 0;
        for (fields, number) in garbage.iter().zip(numbers) {
            let sent = match number {
                102 => client.send(&OPEN).map(|_| ()),
                103 => client.send(&read(40)).map(|_| ()),
                104 => client.send(&Readdir { handle: b"h" }).map(|_| ()),
                105 => client.send(&Lstat { path: b"p" }).map(|_| ()),
                201 => client.send(&GetLimits {}).map(|_| ()),
                _ => client.send(&Remove { filename: b"f" }).map(|_| ()),
            };
            if sent.is_err() {
                break;
            }
            waiting += 1;
            let id = ids(&mut client)[0];
            if client.handle_data(raw(number, Some(id), fields)).is_err() {
                break;
            }
        }
        let answered = std::iter::from_fn(|| client.poll_completion()).count();
        prop_assert_eq!(answered, waiting);
        prop_assert_eq!(client.in_flight(), 0);
    }
}
