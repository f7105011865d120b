//! What time does to a connection, in virtual time: nobody waits here (RFC 4252 §4, RFC 4253 §9).

use bytes::{Bytes, BytesMut};
use sansftp_proto::error::Error;
use sansftp_proto::session::KeepAlive;
use sansftp_testkit::pair::Ends;
use sansftp_testkit::suite::Suite;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_login_that_takes_too_long_ends_at_both_ends() {
    for stage in ["identification", "host key", "authentication"] {
        let mut ends = Ends::over(Suite::Null);
        ends.client.limits.login = 10 * SECOND;
        ends.server.limits.login = 20 * SECOND;
        let mut pair = ends.start();
        match stage {
            "identification" => pair.to_client.stalled = true,
            "host key" => {}
            _ => drop(pair.exchange_keys()),
        }
        pair.pass(9 * SECOND);
        assert_eq!(pair.errors(), [None, None], "{stage}");
        pair.to_server.stalled = true;
        pair.pass(SECOND);
        assert!(
            matches!(pair.client.error(), Some(Error::TimedOut { .. })),
            "{stage}"
        );
        assert_eq!(pair.server.error(), None, "{stage}");
        pair.pass(10 * SECOND);
        assert!(
            matches!(pair.server.error(), Some(Error::TimedOut { .. })),
            "{stage}"
        );
        assert!(
            pair.server.poll_timeout().is_none(),
            "no timer runs on after the end"
        );
    }
}

#[test]
fn the_login_timer_stops_when_the_user_is_in() {
    let mut pair = Ends::over(Suite::Null).start();
    pair.connect();
    pair.pass(600 * SECOND);
    assert_eq!(pair.errors(), [None, None]);
}

#[test]
fn keys_are_changed_when_they_are_old() {
    let mut ends = Ends::over(Suite::Null);
    ends.client.limits.rekey_interval = 100 * SECOND;
    let mut pair = ends.start();
    pair.connect();
    pair.pass(99 * SECOND);
    assert_eq!(pair.client.exchanges(), 1);
    pair.pass(SECOND);
    assert_eq!(pair.client.exchanges(), 2);
    pair.pass(300 * SECOND);
    assert_eq!([pair.client.exchanges(), pair.server.exchanges()], [5, 5]);
}

#[test]
fn signs_of_life_are_asked_for_and_silence_ends_it() {
    let mut ends = Ends::over(Suite::Null);
    ends.client.keepalive = Some(KeepAlive {
        interval: 10 * SECOND,
        missed: 3,
    });
    let mut pair = ends.start();
    pair.connect();
    let before = pair.to_server.delivered();
    pair.pass(100 * SECOND);
    assert!(pair.to_server.delivered() > before, "questions were asked");
    assert_eq!(pair.errors(), [None, None], "and answered");
    pair.to_client.stalled = true;
    pair.pass(30 * SECOND);
    assert_eq!(pair.client.error(), None, "three may be missed");
    pair.pass(11 * SECOND);
    assert!(
        matches!(pair.client.error(), Some(Error::TimedOut { .. })),
        "{:?}",
        pair.client.error()
    );
}

#[test]
fn a_re_exchange_that_is_never_answered_ends_it() {
    let mut ends = Ends::over(Suite::Null);
    ends.client.limits.exchange = 30 * SECOND;
    let mut pair = ends.start();
    pair.connect();
    pair.to_client.stalled = true;
    pair.client.rekey().unwrap();
    pair.pass(29 * SECOND);
    assert_eq!(pair.client.error(), None);
    pair.pass(SECOND);
    let expected = Error::TimedOut {
        waiting_for: "a key re-exchange",
    };
    assert_eq!(pair.client.error(), Some(&expected));
}

#[test]
fn a_delayed_link_delays_and_breaks_nothing() {
    let mut pair = Ends::over(Suite::Null).start();
    pair.to_server.delay = SECOND;
    pair.to_client.delay = SECOND;
    let start = pair.now;
    pair.connect();
    let took = pair.now - start;
    assert!(took >= 5 * SECOND && took <= 12 * SECOND, "{took:?}");
}

#[test]
fn bytes_of_a_packet_that_is_not_whole_yet_are_a_sign_of_life() {
    let mut ends = Ends::over(Suite::Null);
    ends.client.keepalive = Some(KeepAlive {
        interval: 10 * SECOND,
        missed: 3,
    });
    let mut pair = ends.start();
    pair.connect();
    let (_, theirs) = pair.channel();
    let data = Bytes::from(vec![0; 30_000]);
    pair.server_mux().write(theirs, data).unwrap();
    let sealed = pair.server.transmit(pair.now, usize::MAX).split();
    let mut input = BytesMut::new();
    for piece in sealed.chunks(1000) {
        pair.now += 5 * SECOND;
        input.extend_from_slice(piece);
        pair.client.handle_input(pair.now, &mut input).unwrap();
        pair.client.handle_timeout(pair.now).unwrap();
    }
    assert_eq!(pair.client.error(), None);
    assert!(input.is_empty(), "the packet is whole by now");
}
