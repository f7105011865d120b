//! What must not stop a key exchange, whatever waits behind it (RFC 4253 §7.1).

use sansftp_proto::connection::ToServer;
use sansftp_proto::error::{Error, PeerMisbehaved};
use sansftp_testkit::pair::Pair;
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
