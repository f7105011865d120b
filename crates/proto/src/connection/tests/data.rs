//! Data, windows, EOF and CLOSE (RFC 4254 §5.2, §5.3).

use super::*;
use crate::connection::channel::Inbox;
use crate::limits::{PINNED_PIECES, SMALL_PIECE};

// ---- data and windows (RFC 4254 §5.2)

#[test]
fn the_peers_window_may_not_pass_its_limit() {
    let mut server = End::<Server>::new();
    server.session(0, 1);
    server.gets_quietly(&WindowAdjust {
        recipient: 0,
        bytes: u32::MAX,
    });
    server.gets_quietly(&WindowAdjust {
        recipient: 0,
        bytes: 0,
    });
    server.fails(
        &WindowAdjust {
            recipient: 0,
            bytes: 1,
        },
        PeerMisbehaved::WindowOverflow,
    );
}

#[test]
fn data_beyond_the_window_is_refused_extended_data_included() {
    for kind in [1, 99] {
        let mut server = End::<Server>::new();
        let id = server.session(0, 1);
        let full = [7; MAX_PACKET as usize];
        server.gets(&data(0, &full)).unwrap();
        for _ in 0..3 {
            server
                .gets(&ExtendedData {
                    recipient: 0,
                    kind: 1,
                    data: &full,
                })
                .unwrap();
        }
        server.fails(&data(0, b"x"), PeerMisbehaved::WindowExceeded);
        server.fails(
            &ExtendedData {
                recipient: 0,
                kind,
                data: b"x",
            },
            PeerMisbehaved::WindowExceeded,
        );
        assert_eq!(
            server.mux.read_extended(id).map(|it| it.len()),
            Some(full.len())
        );
    }
}

#[test]
fn a_message_longer_than_announced_is_refused() {
    let mut server = End::<Server>::new();
    server.session(0, 1);
    let long = [0; MAX_PACKET as usize + 1];
    server.fails(&data(0, &long), PeerMisbehaved::ChannelPacketTooLong);
    let extended = ExtendedData {
        recipient: 0,
        kind: 99,
        data: &long,
    };
    server.fails(&extended, PeerMisbehaved::ChannelPacketTooLong);
}

#[test]
fn only_reading_gives_credit_back_and_only_a_quarter_of_a_window_at_a_time() {
    let mut server = End::<Server>::new();
    let id = server.session(0, 1);
    let kilobyte = [7; 1024];
    assert!(matches!(
        server.gets(&data(0, &kilobyte)).unwrap()[..],
        [ChannelEvent::Readable(_)]
    ));
    server.gets_quietly(&data(0, &kilobyte));
    let stderr = ExtendedData {
        recipient: 0,
        kind: 1,
        data: &kilobyte,
    };
    assert!(matches!(
        server.gets(&stderr).unwrap()[..],
        [ChannelEvent::ExtendedReadable(_)]
    ));
    server.gets_quietly(&stderr);
    assert!(server.says().is_empty(), "nothing was read");
    assert_eq!(server.mux.read(id).unwrap().len(), 1024);
    assert_eq!(server.says(), [adjust(1024)]);
    assert_eq!(server.mux.read_extended(id).unwrap().len(), 1024);
    assert_eq!(server.says(), [adjust(1024)]);
    assert_eq!(server.mux.read(id).unwrap().len(), 1024);
    assert_eq!(server.mux.read(id), None);
    assert!(
        matches!(
            server.gets(&data(0, b"more")).unwrap()[..],
            [ChannelEvent::Readable(_)]
        ),
        "told again"
    );
}

#[test]
fn extended_data_of_unknown_type_is_counted_and_dropped() {
    let mut client = End::<Client>::new();
    let id = client.session(0, 1);
    let most = [7; 1023];
    client.gets_quietly(&ExtendedData {
        recipient: 0,
        kind: 0,
        data: &most,
    });
    assert!(client.says().is_empty());
    client.gets_quietly(&ExtendedData {
        recipient: 0,
        kind: u32::MAX,
        data: &most,
    });
    assert_eq!(client.says(), [adjust(2046)]);
    assert_eq!(
        (client.mux.read(id), client.mux.read_extended(id)),
        (None, None)
    );
}

#[test]
fn dribbled_bytes_keep_their_order_among_whole_packets() {
    let mut server = End::<Server>::new();
    let id = server.session(0, 1);
    let mut sent = Vec::new();
    for length in [1, 0, 2, 1024, 1023, 1024, 3, 4] {
        let piece: Vec<u8> = (sent.len()..sent.len() + length)
            .map(|it| it as u8)
            .collect();
        server.gets(&data(0, &piece)).unwrap();
        sent.extend(piece);
    }
    let pieces: Vec<Bytes> = std::iter::from_fn(|| server.mux.read(id)).collect();
    assert_eq!(pieces.concat(), sent);
    assert_eq!(
        pieces.iter().map(Bytes::len).collect::<Vec<_>>(),
        [3, 1024, 1023, 1024, 7]
    );
}

#[test]
fn pieces_are_joined_up_to_what_the_peer_takes() {
    let mut server = End::<Server>::new();
    let id = server.session(u32::MAX, 10);
    for piece in ["ab", "cdefghi", "", "jklmnopqrstu"] {
        server.mux.write(id, piece.into()).unwrap();
    }
    assert_eq!(
        server.says(),
        [&b"abcdefghij"[..], b"klmnopqrst", b"u"].map(|piece| wire(&data(THEIRS, piece)))
    );
    let id = server.session(u32::MAX, u32::MAX);
    server.mux.write(id, vec![1; 21].into()).unwrap();
    server.mux.write(id, vec![2; 300 * 1024].into()).unwrap();
    let lengths: Vec<usize> = server.says().iter().map(|it| it.len() - 9).collect();
    assert_eq!(
        lengths,
        [256 * 1024, 44 * 1024 + 21],
        "header and data together, in our largest packets"
    );
}

#[test]
fn what_goes_to_standard_error_shares_the_window_and_keeps_its_place() {
    let stderr = |data: &[u8]| {
        wire(&ExtendedData {
            recipient: THEIRS,
            kind: STDERR,
            data,
        })
    };
    let mut server = End::<Server>::with(|limits| limits.send_queue = 14);
    let id = server.session(8, 4);
    server.mux.write(id, "out".into()).unwrap();
    for piece in ["er", "", "ror"] {
        server.mux.write_extended(id, piece.into()).unwrap();
    }
    server.mux.write(id, "put".into()).unwrap();
    server.mux.write(id, "end".into()).unwrap();
    assert_eq!(server.mux.queued(id), 14);
    let refused = server.mux.write_extended(id, "!".into());
    assert_eq!(refused, Err(WriteError::Blocked("!".into())));
    assert_eq!(
        server.says(),
        [wire(&data(THEIRS, b"out")), stderr(b"erro"), stderr(b"r")],
        "8 bytes of window, whatever their kind"
    );
    server.mux.finish(id);
    let refused = server.mux.write_extended(id, "!".into());
    assert_eq!(refused, Err(WriteError::Closed));
    let bytes = 100;
    drop(
        server
            .gets(&WindowAdjust {
                recipient: 0,
                bytes,
            })
            .unwrap(),
    );
    let end = wire(&Eof { recipient: THEIRS });
    assert_eq!(
        server.says(),
        [
            wire(&data(THEIRS, b"pute")),
            wire(&data(THEIRS, b"nd")),
            end
        ]
    );
    assert_eq!(server.mux.queued(id), 0);
}

#[test]
fn short_pieces_that_wait_pin_no_buffer_and_leave_as_one() {
    let mut server = End::<Server>::new();
    let id = server.session(0, 100_000);
    let buffer = Bytes::from(vec![7; 64 * 1024]);
    for at in 0..1000 {
        server.mux.write(id, buffer.slice(at..=at)).unwrap();
        // What cannot leave is not looked at.
        assert_eq!(server.says(), Vec::<Vec<u8>>::new());
    }
    assert!(buffer.is_unique(), "all were copied");
    server.mux.write(id, buffer.slice(..5000)).unwrap();
    assert!(!buffer.is_unique(), "long ones are not");
    let bytes = 6000;
    let adjust = WindowAdjust {
        recipient: 0,
        bytes,
    };
    drop(server.gets(&adjust).unwrap());
    assert_eq!(server.says(), [wire(&data(THEIRS, &[7; 6000]))]);
    assert!(buffer.is_unique());
}

#[test]
fn a_channel_that_nobody_reads_pins_few_buffers() {
    let mut inbox = Inbox::default();
    let buffers: Vec<_> = (0..PINNED_PIECES + 10)
        .map(|n| Bytes::from(vec![n as u8; SMALL_PIECE]))
        .collect();
    for buffer in &buffers {
        inbox.push(buffer.clone());
    }
    let pinned = buffers.iter().filter(|it| !it.is_unique()).count();
    assert_eq!(pinned, PINNED_PIECES);
    for buffer in &buffers {
        assert_eq!(inbox.pop().as_ref(), Some(buffer));
    }
    assert_eq!(inbox.pop(), None);
}

#[test]
fn a_window_stops_data_and_nothing_else() {
    let mut client = End::<Client>::new();
    let id = client.session(3, 2);
    client.mux.write(id, "abcdef".into()).unwrap();
    let two = wire(&data(THEIRS, b"ab"));
    assert_eq!(client.says(), [two, wire(&data(THEIRS, b"c"))]);
    assert_eq!(
        client.mux.peer_limits(id),
        Some(PeerLimits {
            max_packet: 2,
            window: 0
        })
    );
    client.mux.request(id, &ToServer::Shell).unwrap();
    assert_eq!(client.says().len(), 1, "a request needs no window");
    client.gets_quietly(&WindowAdjust {
        recipient: 0,
        bytes: 2,
    });
    assert_eq!(client.says(), [wire(&data(THEIRS, b"de"))]);
}

#[test]
fn adjustments_and_replies_go_before_data() {
    let mut server = End::<Server>::new();
    let id = server.session(u32::MAX, 4);
    server.mux.write(id, "abcdefgh".into()).unwrap();
    for _ in 0..2 {
        server.gets(&data(0, &[0; 1024])).unwrap();
    }
    let (_, answer) = server.asks(b"shell", b"", true).unwrap();
    server.mux.read(id).unwrap();
    server.mux.read(id).unwrap();
    server.mux.answer(answer.unwrap(), true);
    let pieces = [wire(&data(THEIRS, b"abcd")), wire(&data(THEIRS, b"efgh"))];
    assert_eq!(
        server.says(),
        [&[adjust(1024), adjust(1024), success()][..], &pieces].concat()
    );
}

#[test]
fn channels_take_turns() {
    let mut client = End::<Client>::new();
    let ids = [
        client.session(100, 1),
        client.session(100, 1),
        client.session(2, 1),
    ];
    for id in ids {
        client.mux.write(id, vec![0; 3].into()).unwrap();
    }
    let turns: Vec<u8> = client.says().iter().map(|it| it[4] - 0xe8).collect();
    assert_eq!(turns, [0, 1, 2, 0, 1, 2, 0, 1]);
}

#[test]
fn a_writer_is_stopped_at_the_bound_and_told_at_half_of_it() {
    let mut client = End::<Client>::with(|limits| limits.send_queue = 100);
    let id = client.session(0, 10);
    assert_eq!(client.mux.room(id), 100);
    client.mux.write(id, vec![0; 60].into()).unwrap();
    assert_eq!(client.mux.room(id), 40);
    client.mux.write(id, vec![0; 60].into()).unwrap();
    assert_eq!(client.mux.room(id), 0);
    let back = client.mux.write(id, "given back".into());
    assert_eq!(back, Err(WriteError::Blocked("given back".into())));
    client.gets_quietly(&WindowAdjust {
        recipient: 0,
        bytes: 70,
    });
    assert_eq!(client.says().len(), 7);
    assert!(client.mux.poll_event().is_none(), "50 of 100 wait");
    let room = client.mux.room(id);
    assert_eq!(room, 50);
    client.gets_quietly(&WindowAdjust {
        recipient: 0,
        bytes: 20,
    });
    assert_eq!(client.says().len(), 2);
    assert!(matches!(client.mux.poll_event(), Some(ChannelEvent::Writable(told)) if told == id));
    assert!(client.mux.poll_event().is_none(), "told once");
    // Whoever asks only what came in is told then.
    client.mux.write(id, vec![0; 70].into()).unwrap();
    client.mux.write(id, "given back".into()).unwrap_err();
    client.gets_quietly(&WindowAdjust {
        recipient: 0,
        bytes: 90,
    });
    client.says();
    let events = client
        .gets(&WindowAdjust {
            recipient: 0,
            bytes: 1,
        })
        .unwrap();
    assert!(
        matches!(events[..], [ChannelEvent::Writable(_)]),
        "{events:?}"
    );
}

#[test]
fn a_window_can_grow_while_the_channel_lives() {
    let mut client = End::<Client>::new();
    let id = client.session(0, 1);
    client.mux.set_window(id, 2 * WINDOW);
    assert_eq!(client.says(), [adjust(WINDOW)]);
    client.mux.set_window(id, 2 * WINDOW + 1);
    assert!(client.says().is_empty(), "not worth a message");
    let id = client.mux.open_session().unwrap();
    client.mux.set_window(id, 4 * WINDOW);
    let (recipient, rest) = (id.number, Rest(&[][..]));
    assert_eq!(client.says().len(), 1, "OPEN alone");
    client
        .gets(&OpenConfirmation {
            recipient,
            sender: THEIRS,
            window: 0,
            max_packet: 1,
            rest,
        })
        .unwrap();
    assert_eq!(client.says(), [adjust(3 * WINDOW)]);
}

// ---- EOF and CLOSE (RFC 4254 §5.3)

#[test]
fn eof_follows_the_data_needs_no_window_and_leaves_the_other_direction_open() {
    let mut client = End::<Client>::new();
    let id = client.session(3, 100);
    client.mux.write(id, "abc".into()).unwrap();
    client.mux.finish(id);
    assert_eq!(client.mux.write(id, "x".into()), Err(WriteError::Closed));
    assert_eq!(
        client.says(),
        [
            wire(&data(THEIRS, b"abc")),
            wire(&Eof { recipient: THEIRS })
        ]
    );
    client.mux.finish(id);
    assert!(client.says().is_empty(), "once");
    client.gets_quietly(&WindowAdjust {
        recipient: 0,
        bytes: 5,
    });
    client.gets(&data(0, b"reply")).unwrap();
    assert_eq!(client.mux.read(id).unwrap(), "reply");
    assert!(!client.mux.at_eof(id));
}

/// Clients in Go close their channel while requests of theirs are under way; sshd, too, drops what comes then.
#[test]
fn what_follows_the_peers_eof_costs_window_and_is_dropped() {
    let mut client = End::<Client>::new();
    let id = client.session(3, 100);
    client.gets(&data(0, b"last")).unwrap();
    client.gets_quietly(&Eof { recipient: 0 });
    assert!(!client.mux.at_eof(id), "not read yet");
    assert_eq!(client.mux.read(id).unwrap(), "last");
    assert!(client.mux.at_eof(id));
    client.gets_quietly(&WindowAdjust {
        recipient: 0,
        bytes: 5,
    });
    client.says();
    for _ in 0..3 {
        client.gets_quietly(&data(0, &[7; MAX_PACKET as usize]));
        client.gets_quietly(&ExtendedData {
            recipient: 0,
            kind: 1,
            data: b"x",
        });
        client.gets_quietly(&Eof { recipient: 0 });
    }
    assert_eq!(client.mux.read(id), None);
    assert!(client.mux.at_eof(id));
    // Nothing is given back any more: a window's worth may come, and no more.
    assert_eq!(client.says(), Vec::<Vec<u8>>::new());
    let more = data(0, &[7; MAX_PACKET as usize]);
    client.fails(&more, PeerMisbehaved::WindowExceeded);
    let status = 3u32.to_be_bytes();
    let request = Request {
        recipient: 0,
        name: b"exit-status",
        want_reply: false,
        rest: Rest(&status),
    };
    let events = client.gets(&request).unwrap();
    assert!(
        matches!(
            events[..],
            [ChannelEvent::Request {
                request: ToClient::ExitStatus(3),
                answer: None,
                ..
            }]
        ),
        "{events:?}"
    );
}

#[test]
fn close_is_answered_and_what_came_before_it_can_still_be_read() {
    let mut client = End::<Client>::new();
    let id = client.session(100, 100);
    client.gets(&data(0, b"abc")).unwrap();
    client
        .gets(&ExtendedData {
            recipient: 0,
            kind: 1,
            data: b"err",
        })
        .unwrap();
    client.mux.write(id, "never sent".into()).unwrap();
    let events = client.gets(&Close { recipient: 0 }).unwrap();
    assert!(
        matches!(events[..], [ChannelEvent::Closed(closed)] if closed == id),
        "{events:?}"
    );
    assert_eq!(client.says(), [wire(&Close { recipient: THEIRS })]);
    assert_eq!(client.mux.write(id, "x".into()), Err(WriteError::Closed));
    assert_eq!(
        client.mux.request(id, &ToServer::Shell),
        Err(RequestError::NotOpen)
    );
    client.gets_quietly(&WindowAdjust {
        recipient: 0,
        bytes: 1,
    });
    client.fails(&data(0, b"x"), PeerMisbehaved::UnknownChannel);
    client.fails(&Close { recipient: 0 }, PeerMisbehaved::UnknownChannel);
    let other = client.mux.open_session().unwrap();
    assert_ne!(
        other.number, id.number,
        "its number is held while there is data to read"
    );
    assert_eq!(client.mux.read(id).unwrap(), "abc");
    assert!(client.mux.at_eof(id));
    assert_eq!(client.mux.read_extended(id).unwrap(), "err");
    assert_eq!(client.mux.open_session().unwrap().number, id.number);
    assert_eq!(
        (client.mux.read(id), client.mux.at_eof(id)),
        (None, true),
        "the old id finds nothing"
    );
}

#[test]
fn closing_what_the_peer_has_closed_gives_up_what_is_left_to_read() {
    let mut client = End::<Client>::new();
    let id = client.session(0, 1);
    client.gets(&data(0, b"abc")).unwrap();
    client.gets(&Close { recipient: 0 }).unwrap();
    client.says();
    client.mux.close(id);
    assert_eq!(client.mux.read(id), None);
    assert_eq!(client.mux.channels.count(), 0);
    assert!(client.says().is_empty(), "CLOSE has been");
}

#[test]
fn a_peer_that_has_finished_is_given_no_more_window() {
    let mut client = End::<Client>::new();
    let id = client.session(0, 1);
    for _ in 0..4 {
        client.gets(&data(0, &[0; 1024])).unwrap();
    }
    client.gets_quietly(&Eof { recipient: 0 });
    while client.mux.read(id).is_some() {}
    assert!(client.says().is_empty());
}

#[test]
fn adjustments_on_closed_channels_are_ignored_and_on_others_they_are_not() {
    let mut client = End::<Client>::new();
    let id = client.session(u32::MAX, 100);
    client.mux.close(id);
    client.gets_quietly(&WindowAdjust {
        recipient: 0,
        bytes: u32::MAX,
    });
    client.gets(&Close { recipient: 0 }).unwrap();
    client.gets_quietly(&WindowAdjust {
        recipient: 0,
        bytes: u32::MAX,
    });
    client.fails(
        &WindowAdjust {
            recipient: 1,
            bytes: 1,
        },
        PeerMisbehaved::UnknownChannel,
    );
}

#[test]
fn after_our_close_nothing_leaves_and_what_was_under_way_is_dropped() {
    let mut server = End::<Server>::new();
    let id = server.session(100, 100);
    let (_, answer) = server.asks(b"shell", b"", true).unwrap();
    server.mux.write(id, "never sent".into()).unwrap();
    server.gets(&data(0, b"never read")).unwrap();
    server.mux.close(id);
    assert_eq!(server.says(), [wire(&Close { recipient: THEIRS })]);
    server.mux.answer(answer.unwrap(), true);
    assert_eq!(server.mux.read(id), None);
    for _ in 0..3 {
        server.gets_quietly(&data(0, &[0; 1024]));
    }
    server.fails(&data(0, &[0; 1024]), PeerMisbehaved::WindowExceeded);
    assert!(server.asks(b"signal", &string(b"HUP"), true).is_none());
    server.gets_quietly(&Eof { recipient: 0 });
    assert!(server.says().is_empty());
    assert!(matches!(
        server.gets(&Close { recipient: 0 }).unwrap()[..],
        [ChannelEvent::Closed(_)]
    ));
    assert!(server.says().is_empty(), "not a second CLOSE");
    assert_eq!(server.mux.channels.count(), 0);
}

#[test]
fn close_after_finish_waits_until_everything_has_left() {
    let mut server = End::<Server>::new();
    let id = server.session(2, 100);
    server.mux.write(id, "abcd".into()).unwrap();
    server.mux.request(id, &ToClient::ExitStatus(0)).unwrap();
    server.mux.finish(id);
    server.mux.close(id);
    let said = server.says();
    assert_eq!(said[1..], [wire(&data(THEIRS, b"ab"))]);
    // A client that first wants to be rid of its own data is not left without a window.
    for _ in 0..4 {
        server.gets_quietly(&data(0, &[0; 1024]));
    }
    assert_eq!(server.says(), [(); 4].map(|()| adjust(1024)));
    server.gets_quietly(&WindowAdjust {
        recipient: 0,
        bytes: 2,
    });
    let end = [
        wire(&Eof { recipient: THEIRS }),
        wire(&Close { recipient: THEIRS }),
    ];
    assert_eq!(
        server.says(),
        [&[wire(&data(THEIRS, b"cd"))][..], &end].concat()
    );
    assert!(matches!(
        server.gets(&Close { recipient: 0 }).unwrap()[..],
        [ChannelEvent::Closed(_)]
    ));
    assert!(server.says().is_empty());
}

#[test]
fn a_waiting_reader_learns_of_the_end() {
    let mut client = End::<Client>::new();
    let id = client.session(0, 1);
    assert_eq!(client.mux.read(id), None);
    assert!(matches!(
        client.gets(&Eof { recipient: 0 }).unwrap()[..],
        [ChannelEvent::Readable(_)]
    ));
    let id = client.session(0, 1);
    let events = client
        .gets(&Close {
            recipient: id.number,
        })
        .unwrap();
    assert!(
        matches!(
            events[..],
            [ChannelEvent::Readable(_), ChannelEvent::Closed(_)]
        ),
        "{events:?}"
    );
    assert!(client.mux.at_eof(id));
}
