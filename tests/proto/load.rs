//! Traffic: keys changed under it, readers slower than writers, and data that is not copied (RFC 4253 §9, RFC 4254 §5.2).

use bytes::{Bytes, BytesMut};
use sansftp_proto::connection::{ChannelEvent, WriteError};
use sansftp_proto::error::Error;
use sansftp_proto::session::ClientEvent;
use sansftp_testkit::pair::{Ends, Pair};
use sansftp_testkit::suite::Suite;

/// Sends `total` bytes from the client, counted in a pattern, while `disturb` does what it likes after each step.
fn transfer(pair: &mut Pair, total: usize, mut disturb: impl FnMut(&mut Pair, usize)) {
    pair.client_events.clear();
    pair.server_events.clear();
    let (ours, theirs) = pair.channel();
    let pattern = |at: usize| (at % 251) as u8;
    let (mut sent, mut got) = (0, 0);
    let mut idle = 0;
    while got < total {
        while sent < total {
            let block: Vec<u8> = (sent..total.min(sent + 50_000)).map(pattern).collect();
            let len = block.len();
            match pair.client_mux().write(ours, block.into()) {
                Ok(()) => sent += len,
                Err(WriteError::Blocked(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let moved = pair.step();
        let before = got;
        while let Some(data) = pair.server_mux().read(theirs) {
            for &byte in &data {
                assert_eq!(byte, pattern(got), "byte {got}");
                got += 1;
            }
        }
        disturb(pair, got);
        idle = if moved || got > before { 0 } else { idle + 1 };
        assert!(
            idle < 1000,
            "stuck at {got} of {total}: {:?}",
            pair.errors()
        );
    }
    pair.drive();
}

#[test]
fn rekeying_under_load_from_either_side_and_both_at_once_loses_nothing() {
    for suite in [Suite::Null, Suite::Ring] {
        let mut pair = Pair::over(suite);
        pair.connect();
        let mut next = 0;
        transfer(&mut pair, 8 << 20, |pair, got| {
            if got < next {
                return;
            }
            next = got + 300_000;
            match next % 3 {
                0 => pair.client.rekey().unwrap(),
                1 => pair.server.rekey().unwrap(),
                _ => {
                    pair.client.rekey().unwrap();
                    pair.server.rekey().unwrap();
                }
            }
        });
        assert!(pair.client.exchanges() > 10, "{}", pair.client.exchanges());
        assert_eq!(pair.client.exchanges(), pair.server.exchanges());
        assert!(
            !pair
                .client_events
                .iter()
                .any(|it| matches!(it, ClientEvent::HostKey(_)))
        );
    }
}

#[test]
fn keys_are_changed_by_amount_and_by_packets() {
    let mut ends = Ends::over(Suite::Null);
    ends.client.limits.rekey_bytes = Some(1 << 20);
    let mut pair = ends.start();
    pair.connect();
    transfer(&mut pair, 8 << 20, |_, _| {});
    assert!(
        (8..=10).contains(&pair.client.exchanges()),
        "{}",
        pair.client.exchanges()
    );

    let mut ends = Ends::over(Suite::Null);
    ends.client.limits.rekey_packets = 20;
    ends.server.limits.max_packet = 1 << 10;
    let mut pair = ends.start();
    pair.connect();
    transfer(&mut pair, 200 << 10, |_, _| {});
    assert!(pair.client.exchanges() >= 9, "{}", pair.client.exchanges());
}

#[test]
fn a_slow_reader_stops_the_writer() {
    let mut pair = Pair::over(Suite::Null);
    pair.connect();
    let (ours, theirs) = pair.channel();
    let (window, queue) = (2 << 20, 2 << 20);
    let mut accepted = 0;
    loop {
        match pair
            .client_mux()
            .write(ours, Bytes::from(vec![1; 32 << 10]))
        {
            Ok(()) => accepted += 32 << 10,
            Err(WriteError::Blocked(data)) => {
                assert_eq!(data.len(), 32 << 10, "given back whole");
                break;
            }
            Err(error) => panic!("{error}"),
        }
        pair.drive();
    }
    // One window at the reader, the writer's queue, and one write.
    assert!(
        (window + queue - (32 << 10)..=window + queue + (32 << 10)).contains(&accepted),
        "{accepted}"
    );
    assert_eq!(
        pair.to_server.in_flight(),
        0,
        "nothing is sealed that cannot be sent"
    );
    let mut read = 0;
    while let Some(data) = pair.server_mux().read(theirs) {
        read += data.len();
    }
    assert_eq!(read, window);
    pair.drive();
    let told = |event: &ClientEvent| matches!(event, ClientEvent::Channel(ChannelEvent::Writable(id)) if *id == ours);
    assert_eq!(pair.client_events.iter().filter(|it| told(it)).count(), 1);
}

#[test]
fn a_channel_whose_reader_sleeps_stops_no_other() {
    let mut pair = Pair::over(Suite::Null);
    pair.connect();
    let (asleep, _) = pair.channel();
    while pair
        .client_mux()
        .write(asleep, Bytes::from(vec![1; 64 << 10]))
        .is_ok()
    {
        pair.drive();
    }
    transfer(&mut pair, 3 << 20, |_, _| {});
}

#[test]
fn received_data_is_a_slice_of_what_the_socket_filled() {
    let mut pair = Pair::over(Suite::Null);
    pair.connect();
    let (ours, theirs) = pair.channel();
    pair.client_mux()
        .write(ours, Bytes::from(vec![0x5a; 20_000]))
        .unwrap();
    let now = pair.now;
    let sealed = pair.client.transmit(now, 1 << 20).split();
    let mut socket = BytesMut::with_capacity(1 << 20);
    socket.extend_from_slice(&sealed);
    let start = socket.as_ptr() as usize;
    pair.server.handle_input(now, &mut socket).unwrap();
    let data = pair.server_mux().read(theirs).unwrap();
    assert_eq!(data.len(), 20_000);
    // Behind packet length, padding length, message number, channel and string length.
    assert_eq!(data.as_ptr() as usize - start, 4 + 1 + 1 + 4 + 4);
}

#[test]
fn no_more_is_sealed_than_there_is_room_for() {
    let mut pair = Pair::over(Suite::Null);
    pair.connect();
    let (ours, _) = pair.channel();
    while pair
        .client_mux()
        .write(ours, Bytes::from(vec![2; 32 << 10]))
        .is_ok()
    {}
    let now = pair.now;
    for room in [1, 1000, 100_000] {
        let out = pair.client.transmit(now, room);
        // One message more than there was room for, at most: 256 KiB and what frames it.
        assert!(
            out.len() >= room && out.len() < room + (257 << 10),
            "{room}: {}",
            out.len()
        );
        out.clear();
    }
}

#[test]
fn a_cut_at_any_byte_ends_with_an_error_that_says_where() {
    let total = {
        let mut pair = Pair::over(Suite::Null);
        pair.connect();
        pair.channel();
        [pair.to_server.delivered(), pair.to_client.delivered()]
    };
    let mut stages = std::collections::BTreeSet::new();
    for direction in 0..2 {
        for at in 0..total[direction] {
            let mut pair = Pair::over(Suite::Null);
            [&mut pair.to_server, &mut pair.to_client][direction].cut = Some(at);
            crate::pair_policy::log_in(&mut pair);
            let end = pair.errors()[1 - direction];
            assert!(
                matches!(
                    end,
                    Some(Error::ConnectionLost { .. } | Error::Disconnected { .. })
                ),
                "{at}: {end:?}"
            );
            if let Some(Error::ConnectionLost { stage }) = end {
                stages.insert(*stage);
            }
        }
    }
    assert!(stages.len() >= 4, "{stages:?}");
}
