//! Opening channels (RFC 4254 §5.1): who may open what, and what may come before that is decided.

use super::*;

fn refusal(reason: u32, said: &[Vec<u8>]) {
    let [said] = said else { panic!("{said:?}") };
    let mut expected = vec![92];
    expected.extend(THEIRS.to_be_bytes());
    expected.extend(reason.to_be_bytes());
    assert_eq!(said.get(..9), Some(&expected[..]));
}

#[test]
fn channels_that_are_not_taken_are_refused_with_the_reason() {
    let open = |kind| Open {
        kind,
        sender: THEIRS,
        window: 1,
        max_packet: 1,
        rest: Rest(&[]),
    };
    let mut server = End::<Server>::new();
    for kind in [&b"x11"[..], b"forwarded-tcpip", b"sessio", b"", b"\xff\0"] {
        server.gets_quietly(&open(kind));
        refusal(3, &server.says());
    }
    let mut client = End::<Client>::new();
    client.gets_quietly(&open(b"session"));
    refusal(1, &client.says());
    client.gets_quietly(&open(b"forwarded-tcpip"));
    refusal(3, &client.says());
    assert_eq!(client.mux.channels.count(), 0);
}

#[test]
fn refused_channels_leave_nothing_behind() {
    let mut server = End::<Server>::with(|limits| limits.channels = 2);
    for _ in 0..10_000 {
        let open = Open {
            kind: b"session",
            sender: THEIRS,
            window: 1,
            max_packet: 1,
            rest: Rest(&[]),
        };
        let mut events = server.gets(&open).unwrap();
        let Some(ChannelEvent::Offered(offer)) = events.pop() else {
            panic!("{events:?}")
        };
        server
            .mux
            .refuse(offer, OpenFailureReason::ConnectFailed, "no");
        refusal(2, &server.says());
    }
    assert_eq!(server.mux.channels.places(), 1);
}

#[test]
fn undecided_offers_count_as_channels() {
    let mut server = End::<Server>::with(|limits| limits.channels = 2);
    let open = Open {
        kind: b"session",
        sender: THEIRS,
        window: 1,
        max_packet: 1,
        rest: Rest(&[]),
    };
    let first = server.gets(&open).unwrap();
    let _second = server.gets(&open).unwrap();
    server.gets_quietly(&open);
    refusal(4, &server.says());
    let Some(ChannelEvent::Offered(offer)) = first.into_iter().next() else {
        panic!()
    };
    server
        .mux
        .refuse(offer, OpenFailureReason::Other(77), "\u{e4}");
    refusal(77, &server.says());
    assert_eq!(server.gets(&open).unwrap().len(), 1);
    let mut client = End::<Client>::with(|limits| limits.channels = 1);
    client.mux.open_session().unwrap();
    assert_eq!(client.mux.open_session(), Err(OpenError::TooManyChannels));
}

#[test]
fn a_direct_tcpip_offer_says_where_to() {
    let mut client = End::<Client>::new();
    let kind = ChannelKind::DirectTcpip {
        host: "inner".into(),
        port: 22,
        originator: "127.0.0.1".into(),
        originator_port: 65535,
    };
    client.mux.open(&kind).unwrap();
    let [open] = &client.says()[..] else { panic!() };
    let mut server = End::<Server>::new();
    let mut events = server.gets_bytes(open).unwrap();
    let Some(ChannelEvent::Offered(offer)) = events.pop() else {
        panic!("{events:?}")
    };
    assert_eq!(offer.kind, kind);
    let id = server.mux.accept(offer).unwrap();
    server.says();
    // It is no session: RFC 4254 §6 does not apply to it.
    for name in [&b"shell"[..], b"signal"] {
        let body = if name == b"signal" {
            string(b"HUP")
        } else {
            vec![]
        };
        let request = Request {
            recipient: id.number,
            name,
            want_reply: true,
            rest: Rest(&body),
        };
        server.gets_quietly(&request);
        assert_eq!(server.says(), [wire(&Failure { recipient: 0 })]);
    }
    for cut in 1..open.len() {
        let cut = server.gets_bytes(&open[..cut]);
        assert!(
            matches!(cut, Err(Error::InvalidMessage { number: 90, .. })),
            "{cut:?}"
        );
    }
    let mut body = string(b"inner");
    body.extend(65536u32.to_be_bytes());
    body.extend(string(b""));
    body.extend(1u32.to_be_bytes());
    let open = Open {
        kind: b"direct-tcpip",
        sender: 1,
        window: 1,
        max_packet: 1,
        rest: Rest(&body),
    };
    assert!(
        matches!(server.gets(&open), Err(Error::InvalidMessage { .. })),
        "port above 65535"
    );
}

#[test]
fn a_refusal_reaches_the_application_in_words_fit_for_a_terminal() {
    let mut client = End::<Client>::new();
    let id = client.mux.open_session().unwrap();
    let (description, language) = (Text(b"go\x1b[2J away"), Text(&[]));
    let events = client
        .gets(&OpenFailure {
            recipient: id.number,
            reason: 4,
            description,
            language,
        })
        .unwrap();
    let [
        ChannelEvent::Refused {
            id: refused,
            reason,
            description,
        },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(
        (*refused, *reason),
        (id, OpenFailureReason::ResourceShortage)
    );
    assert_eq!(description, "go\u{fffd}[2J away");
    let again = client.mux.open_session().unwrap();
    assert_eq!(
        (again.number, again == id),
        (id.number, false),
        "the number is free, the id is not"
    );
    // Texts left out, as some servers do.
    let events = client.gets_bytes(&[92, 0, 0, 0, 0, 0, 0, 0, 9]).unwrap();
    assert!(
        matches!(
            &events[..],
            [ChannelEvent::Refused {
                reason: OpenFailureReason::Other(9),
                ..
            }]
        ),
        "{events:?}"
    );
}

#[test]
fn a_channel_that_takes_no_data_is_refused() {
    let open = Open {
        kind: b"session",
        sender: THEIRS,
        window: 9,
        max_packet: 0,
        rest: Rest(&[]),
    };
    End::<Server>::new().fails(&open, PeerMisbehaved::UselessChannel);
    let mut client = End::<Client>::new();
    let recipient = client.mux.open_session().unwrap().number;
    let rest = Rest(&[][..]);
    let confirmation = OpenConfirmation {
        recipient,
        sender: 0,
        window: 9,
        max_packet: 0,
        rest,
    };
    client.fails(&confirmation, PeerMisbehaved::UselessChannel);
}

#[test]
fn nothing_may_come_on_a_channel_that_is_not_open() {
    let at = |recipient| {
        [
            wire(&WindowAdjust {
                recipient,
                bytes: 1,
            }),
            wire(&data(recipient, b"x")),
            wire(&ExtendedData {
                recipient,
                kind: 1,
                data: b"x",
            }),
            wire(&Eof { recipient }),
            wire(&Close { recipient }),
            wire(&Request {
                recipient,
                name: b"shell",
                want_reply: true,
                rest: Rest(&[]),
            }),
            wire(&Success { recipient }),
            wire(&Failure { recipient }),
        ]
    };
    let mut client = End::<Client>::new();
    let recipient = client.mux.open_session().unwrap().number;
    for message in at(recipient) {
        assert_eq!(
            client.gets_bytes(&message).unwrap_err(),
            PeerMisbehaved::ChannelNotOpen.into()
        );
    }
    let mut server = End::<Server>::new();
    let open = Open {
        kind: b"session",
        sender: THEIRS,
        window: 1,
        max_packet: 1,
        rest: Rest(&[]),
    };
    let _offer = server.gets(&open).unwrap();
    for message in at(0) {
        assert_eq!(
            server.gets_bytes(&message).unwrap_err(),
            PeerMisbehaved::ChannelNotOpen.into()
        );
    }
    for never in [1, THEIRS, u32::MAX] {
        for message in at(never) {
            assert_eq!(
                server.gets_bytes(&message).unwrap_err(),
                PeerMisbehaved::UnknownChannel.into()
            );
        }
    }
    let confirmation = OpenConfirmation {
        recipient: 0,
        sender: 1,
        window: 1,
        max_packet: 1,
        rest: Rest(&[]),
    };
    assert!(matches!(
        server.gets(&confirmation),
        Err(Error::PeerMisbehaved(PeerMisbehaved::UnexpectedMessage {
            number: 91,
            ..
        }))
    ));
    let mut client = End::<Client>::new();
    client.session(1, 1);
    assert!(matches!(
        client.gets(&confirmation),
        Err(Error::PeerMisbehaved(PeerMisbehaved::UnexpectedMessage {
            number: 91,
            ..
        }))
    ));
    let (description, language) = (Text(&[]), Text(&[]));
    assert!(matches!(
        client.gets(&OpenFailure {
            recipient: 0,
            reason: 1,
            description,
            language
        }),
        Err(Error::PeerMisbehaved(PeerMisbehaved::UnexpectedMessage {
            number: 92,
            ..
        }))
    ));
}

#[test]
fn a_channel_given_up_while_it_opens_is_closed_once_it_is_open() {
    let mut client = End::<Client>::new();
    let id = client.mux.open_session().unwrap();
    client.mux.close(id);
    client.says();
    let confirmation = OpenConfirmation {
        recipient: id.number,
        sender: THEIRS,
        window: 1,
        max_packet: 1,
        rest: Rest(&[]),
    };
    client.gets_quietly(&confirmation);
    assert_eq!(client.says(), [wire(&Close { recipient: THEIRS })]);
    let events = client
        .gets(&Close {
            recipient: id.number,
        })
        .unwrap();
    assert!(
        matches!(events[..], [ChannelEvent::Closed(closed)] if closed == id),
        "{events:?}"
    );
    assert!(client.says().is_empty());
}

#[test]
fn after_no_more_sessions_there_are_none() {
    let mut server = End::<Server>::new();
    let name = b"no-more-sessions@openssh.com";
    server.gets_quietly(&GlobalRequest {
        name,
        want_reply: false,
        rest: Rest(&[]),
    });
    let open = Open {
        kind: b"session",
        sender: THEIRS,
        window: 1,
        max_packet: 1,
        rest: Rest(&[]),
    };
    server.gets_quietly(&open);
    refusal(1, &server.says());
}
