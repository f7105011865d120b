//! Channel requests and their replies (RFC 4254 §5.4, §6), and messages that are none.

use super::*;

#[test]
fn replies_leave_in_the_order_of_requests_whatever_the_order_of_answers() {
    let mut server = End::<Server>::new();
    server.session(0, 1);
    let env = [string(b"A"), string(b"1")].concat();
    let (_, first) = server.asks(b"env", &env, true).unwrap();
    let (_, second) = server.asks(b"env", &env, true).unwrap();
    assert!(server.asks(b"keepalive@openssh.com", b"", true).is_none());
    let (_, third) = server.asks(b"shell", b"", true).unwrap();
    server.mux.answer(third.unwrap(), true);
    server.mux.answer(second.unwrap(), false);
    assert!(server.says().is_empty());
    server.mux.answer(first.unwrap(), true);
    assert_eq!(server.says(), [success(), failure(), failure(), success()]);
}

#[test]
fn requests_without_want_reply_get_none() {
    let mut server = End::<Server>::new();
    server.session(0, 1);
    let env = [string(b"A"), string(b"1")].concat();
    let Some((ToServer::Env { .. }, None)) = server.asks(b"env", &env, false) else {
        panic!()
    };
    assert!(server.asks(b"eow@openssh.com", b"", false).is_none());
    let Some((ToServer::Shell, None)) = server.asks(b"shell", b"", false) else {
        panic!()
    };
    assert!(
        server.asks(b"shell", b"", false).is_none(),
        "one runs already"
    );
    assert!(server.says().is_empty());
}

#[test]
fn one_program_runs_per_session_and_is_prepared_before_it_starts() {
    let mut server = End::<Server>::new();
    server.session(0, 1);
    let sftp = string(b"sftp");
    let env = [string(b"A"), string(b"1")].concat();
    let (request, answer) = server.asks(b"subsystem", &sftp, true).unwrap();
    assert_eq!(request, ToServer::Subsystem("sftp".into()));
    assert!(
        server.asks(b"exec", &sftp, true).is_none(),
        "while another is being decided"
    );
    server.mux.answer(answer.unwrap(), false);
    assert_eq!(server.says(), [failure(), failure()]);
    // RFC 4254 §6.5: only one can *succeed*.
    let (_, answer) = server.asks(b"exec", &sftp, true).unwrap();
    server.mux.answer(answer.unwrap(), true);
    assert_eq!(server.says(), [success()]);
    for (name, body) in [
        (&b"shell"[..], &[][..]),
        (b"exec", &sftp),
        (b"subsystem", &sftp),
        (b"env", &env),
    ] {
        assert!(server.asks(name, body, true).is_none());
        assert_eq!(server.says(), [failure()]);
    }
    let (request, answer) = server.asks(b"signal", &string(b"TERM"), true).unwrap();
    assert_eq!(
        (request, answer.is_none()),
        (ToServer::Signal("TERM".into()), true)
    );
    assert_eq!(
        server.says(),
        [success()],
        "nobody may ask for it, and nobody waits for us"
    );
}

#[test]
fn window_changes_of_any_size_are_only_told() {
    let mut server = End::<Server>::new();
    server.session(0, 1);
    for size in [0, u32::MAX] {
        let body = size.to_be_bytes().repeat(4);
        let (request, _) = server.asks(b"window-change", &body, false).unwrap();
        let expected = WindowSize {
            columns: size,
            rows: size,
            width: size,
            height: size,
        };
        assert_eq!(request, ToServer::WindowChange(expected));
    }
}

#[test]
fn only_so_many_requests_wait_for_the_application() {
    let mut server = End::<Server>::new();
    server.session(0, 1);
    let env = [string(b"A"), string(b"1")].concat();
    let answers: Vec<_> = (0..limits::UNANSWERED_REQUESTS)
        .map(|_| server.asks(b"env", &env, true).unwrap().1)
        .collect();
    let request = Request {
        recipient: 0,
        name: b"env",
        want_reply: true,
        rest: Rest(&env),
    };
    server.fails(&request, PeerMisbehaved::TooManyRequests);
    let unknown = Request {
        recipient: 0,
        name: b"?",
        want_reply: true,
        rest: Rest(&[]),
    };
    server.fails(&unknown, PeerMisbehaved::TooManyRequests);
    for answer in answers.into_iter().flatten() {
        server.mux.answer(answer, true);
    }
    assert_eq!(server.says().len(), limits::UNANSWERED_REQUESTS);
    assert!(server.asks(b"env", &env, true).is_some());
}

#[test]
fn answers_come_in_order_and_none_unasked() {
    let mut client = End::<Client>::new();
    let id = client.session(0, 1);
    client
        .mux
        .request(id, &ToServer::Pty(Pty::default()))
        .unwrap();
    client
        .mux
        .request(id, &ToServer::WindowChange(WindowSize::default()))
        .unwrap();
    client
        .mux
        .request(id, &ToServer::Subsystem("sftp".into()))
        .unwrap();
    let wanted: Vec<u8> = client
        .says()
        .iter()
        .map(|it| it[9 + it[8] as usize])
        .collect();
    assert_eq!(
        wanted,
        [1, 0, 1],
        "RFC 4254 §6.7 has window-change ask for no reply"
    );
    let events = client.gets(&Failure { recipient: 0 }).unwrap();
    assert!(
        matches!(events[..], [ChannelEvent::Answered { ok: false, .. }]),
        "{events:?}"
    );
    let events = client.gets(&Success { recipient: 0 }).unwrap();
    assert!(
        matches!(events[..], [ChannelEvent::Answered { ok: true, .. }]),
        "{events:?}"
    );
    client.fails(&Success { recipient: 0 }, PeerMisbehaved::UnsolicitedReply);
    client.fails(&Failure { recipient: 0 }, PeerMisbehaved::UnsolicitedReply);
    for _ in 0..limits::AWAITED_REPLIES {
        client.mux.request(id, &ToServer::Shell).unwrap();
    }
    assert_eq!(
        client.mux.request(id, &ToServer::Shell),
        Err(RequestError::TooMany)
    );
    client
        .mux
        .request(id, &ToServer::Signal("INT".into()))
        .unwrap();
}

#[test]
fn malformed_requests_are_errors_and_unknown_ones_are_not_looked_into() {
    let mut server = End::<Server>::new();
    server.session(0, 1);
    for (name, body) in [
        (&b"exec"[..], &[0, 0, 0, 5, b'a'][..]),
        (b"shell", &[0]),
        (b"window-change", &[0; 15]),
        (b"window-change", &[0; 17]),
        (b"pty-req", &[0xff; 40]),
    ] {
        let failed = server.gets(&Request {
            recipient: 0,
            name,
            want_reply: true,
            rest: Rest(body),
        });
        assert!(
            matches!(failed, Err(Error::InvalidMessage { number: 98, .. })),
            "{failed:?}"
        );
    }
    assert!(server.asks(b"x11-req", &[0xff; 3], true).is_none());
    assert_eq!(server.says(), [failure()]);
}

#[test]
fn each_message_cut_at_each_byte_is_an_error_and_so_is_a_byte_too_many() {
    let whole = [
        wire(&WindowAdjust {
            recipient: 0,
            bytes: 1,
        }),
        wire(&data(0, b"xyz")),
        wire(&ExtendedData {
            recipient: 0,
            kind: 1,
            data: b"xyz",
        }),
        wire(&Eof { recipient: 0 }),
        wire(&Close { recipient: 0 }),
        wire(&Success { recipient: 0 }),
        wire(&Failure { recipient: 0 }),
    ];
    for message in whole {
        let mut server = End::<Server>::new();
        server.session(1, 1);
        for cut in 1..message.len() {
            let failed = server.gets_bytes(&message[..cut]);
            assert!(
                matches!(failed, Err(Error::InvalidMessage { .. })),
                "{message:?} cut at {cut}"
            );
        }
        let failed = server.gets_bytes(&[&message[..], &[0]].concat());
        assert!(
            matches!(failed, Err(Error::InvalidMessage { .. })),
            "{message:?} and a byte"
        );
    }
    for number in (83..=89).chain(101..=127) {
        let failed = End::<Client>::new().gets_bytes(&[number]);
        assert!(matches!(
            failed,
            Err(Error::PeerMisbehaved(PeerMisbehaved::UnexpectedMessage { number: n, .. })) if n == number
        ));
    }
}

/// The same of what opens, is asked for and is told: whatever is known is read to its end, and no further.
#[test]
fn each_opening_and_request_cut_at_each_byte_is_an_error() {
    fn cut<R: Role>(message: &[u8], end: impl Fn() -> End<R>) {
        for at in 1..message.len() {
            let failed = end().gets_bytes(&message[..at]);
            // A refusal without its words is one all the same (RFC 4254 §5.1).
            let wordless = message[0] == 92 && at >= 9 && failed.is_ok();
            assert!(
                wordless || matches!(failed, Err(Error::InvalidMessage { .. })),
                "{message:?} cut at {at}: {failed:?}"
            );
        }
        assert!(end().gets_bytes(message).is_ok(), "{message:?}");
    }
    let asks = |name, body: &[u8]| {
        wire(&Request {
            recipient: 0,
            name,
            want_reply: true,
            rest: Rest(body),
        })
    };
    let numbers = [7; 16];
    let served = || {
        let mut server = End::<Server>::new();
        server.session(1, 1);
        server
    };
    for (name, body) in [
        (&b"subsystem"[..], string(b"sftp")),
        (b"exec", string(b"true")),
        (b"env", [string(b"A"), string(b"1")].concat()),
        (
            b"pty-req",
            [
                string(b"vt100"),
                numbers.to_vec(),
                string(&[1, 0, 0, 0, 1, 0]),
            ]
            .concat(),
        ),
        (b"window-change", numbers.to_vec()),
        (b"signal", string(b"TERM")),
    ] {
        cut(&asks(name, &body), served);
    }
    let onward = [string(b"h"), vec![0, 0, 0, 9], string(b"o"), vec![0; 4]].concat();
    let opens = Open {
        kind: b"direct-tcpip",
        sender: 1,
        window: 1,
        max_packet: 1,
        rest: Rest(&onward),
    };
    cut(&wire(&opens), served);
    let global = GlobalRequest {
        name: b"x",
        want_reply: true,
        rest: Rest(&[]),
    };
    cut(&wire(&global), served);

    let running = || {
        let mut client = End::<Client>::new();
        client.session(1, 1);
        client
    };
    let killed = [string(b"KILL"), vec![1], string(b"words"), string(b"en")].concat();
    cut(&asks(b"exit-status", &[0; 4]), running);
    cut(&asks(b"exit-signal", &killed), running);
    let opening = || {
        let mut client = End::<Client>::new();
        client.mux.open_session().unwrap();
        client
    };
    let confirmation = OpenConfirmation {
        recipient: 0,
        sender: 1,
        window: 1,
        max_packet: 1,
        rest: Rest(&[]),
    };
    cut(&wire(&confirmation), opening);
    let failure = OpenFailure {
        recipient: 0,
        reason: 1,
        description: Text(b"no"),
        language: Text(b"en"),
    };
    cut(&wire(&failure), opening);
}

#[test]
fn an_id_of_a_channel_that_is_gone_does_nothing() {
    let mut server = End::<Server>::new();
    let old = server.session(1, 1);
    let (_, answer) = server.asks(b"shell", b"", true).unwrap();
    server.gets(&Close { recipient: 0 }).unwrap();
    server.says();
    let new = server.session(1, 1);
    assert_eq!(old.number, new.number);
    server.mux.answer(answer.unwrap(), true);
    server.mux.finish(old);
    server.mux.close(old);
    server.mux.set_window(old, u32::MAX);
    assert_eq!(server.mux.write(old, "x".into()), Err(WriteError::Closed));
    assert_eq!(
        (server.mux.room(old), server.mux.peer_limits(old)),
        (0, None)
    );
    assert!(server.says().is_empty());
    assert_eq!(server.mux.authenticated().user(), "ann");
    let mut channels = Channels::default();
    channels.remove(old);
    assert_eq!(channels.count(), 0);
}
