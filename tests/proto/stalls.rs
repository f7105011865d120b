//! What must not stop a key exchange, whatever waits behind it (RFC 4253 §7.1).

use sansftp_proto::connection::{ToServer, WriteError};
use sansftp_proto::error::{Error, PeerMisbehaved};
use sansftp_testkit::pair::{Ends, Pair};
use sansftp_testkit::suite::Suite;

/// The answers may not leave before our NEWKEYS, which waits for a KEXINIT behind the questions.
#[test]
fn an_exchange_goes_on_behind_more_questions_than_answers_are_held() {
    let mut pair = Pair::over(Suite::Null);
    pair.connect();
    pair.server.rekey().unwrap();
    for _ in 0..200 {
        pair.client_mux().global_request(b"a@b.c", b"").unwrap();
    }
    pair.drive();
    assert_eq!([pair.client.exchanges(), pair.server.exchanges()], [2, 2]);
    assert_eq!(pair.client_events.len(), 200, "each question is answered");
}

#[test]
fn a_peer_that_asks_without_end_and_does_not_exchange_keys_is_left() {
    let mut pair = Pair::over(Suite::Null);
    pair.connect();
    let channels: Vec<_> = (0..5).map(|_| pair.subsystem().0).collect();
    pair.to_client.stalled = true;
    pair.server.rekey().unwrap();
    for id in channels {
        for _ in 0..250 {
            // Refused without the application: the program runs already.
            pair.client_mux().request(id, &ToServer::Shell).unwrap();
        }
    }
    pair.drive();
    assert_eq!(
        pair.server.error(),
        Some(&Error::PeerMisbehaved(PeerMisbehaved::FloodInExchange))
    );
}

/// CVE-2025-22869: what is written while keys are changed waits for them, and only as much as the channel holds anyway.
#[test]
fn a_writer_is_stopped_while_an_exchange_does_not_end() {
    let mut ends = Ends::over(Suite::Null);
    ends.client.limits.send_queue = 100_000;
    let mut pair = ends.start();
    pair.connect();
    let (ours, _) = pair.channel();
    pair.to_client.stalled = true;
    pair.client.rekey().unwrap();
    pair.drive();
    let sealed = pair.to_server.delivered();
    let mut taken = 0;
    let mut blocked = false;
    for _ in 0..100 {
        match pair.client_mux().write(ours, vec![7; 10_000].into()) {
            Ok(()) => taken += 10_000,
            Err(WriteError::Blocked(back)) => {
                assert_eq!(back.len(), 10_000, "it is given back whole");
                blocked = true;
            }
            Err(other) => panic!("{other:?}"),
        }
        pair.drive();
    }
    assert!(blocked && taken <= 110_000, "{taken} bytes were taken");
    assert_eq!(pair.to_server.delivered(), sealed, "nothing left meanwhile");
    // And once the other end goes on, all that was taken leaves.
    pair.to_client.stalled = false;
    pair.drive();
    assert_eq!([pair.client.exchanges(), pair.server.exchanges()], [2, 2]);
    let delivered = pair.to_server.delivered() - sealed;
    assert!(delivered > taken, "{delivered} bytes for {taken}");
}
