//! Group exchange opposite a scripted peer, at both ends: what is said in which order, what is hashed, and what is refused
//! (RFC 4419 §3, RFC 8270 §3).

use sansftp_proto::error::{DisconnectReason, Error, PeerMisbehaved};
use sansftp_proto::role::Side;
use sansftp_testkit::null;
use sansftp_testkit::peer::messages::{Disconnect, Group, GroupReply, GroupRequest, GroupStart};
use sansftp_testkit::peer::{Peer, Proposal};

fn proposal() -> Proposal {
    Proposal {
        kex: vec![null::KEX_GROUP],
        ..Proposal::default()
    }
}

/// The hash has min, n, max, p and g in it: the peer computes its own, and keys fit only if they are the same.
#[test]
fn keys_are_exchanged_in_a_group_of_the_servers_choice_at_both_ends_and_again() {
    let mut peer = Peer::of_null_client();
    peer.greets();
    for exchanges in 1..=2 {
        peer.offers(&proposal());
        peer.hears_offer();
        let start = peer.names_group();
        let (reply, keys) = peer.replies_to(&start);
        peer.sends_payload(&reply);
        peer.trusts();
        peer.hears_new_keys(&keys, Side::Server);
        peer.sends_new_keys(&keys, Side::Server);
        if exchanges == 1 {
            peer.is_asked_to_authenticate();
        }
        assert_eq!(peer.end.exchanges(), exchanges, "{:?}", peer.end.error());
    }
    assert_eq!(peer.end.negotiated().unwrap().kex, null::KEX_GROUP);

    let mut peer = Peer::of_null_server();
    peer.greets();
    for exchanges in 1..=2 {
        peer.offers(&proposal());
        peer.hears_offer();
        peer.asks_for_group([9, 16, 20]);
        let keys = peer.exchanges_shares_in_group();
        peer.hears_new_keys(&keys, Side::Client);
        peer.sends_new_keys(&keys, Side::Client);
        assert_eq!(peer.end.exchanges(), exchanges, "{:?}", peer.end.error());
    }
}

#[test]
fn a_client_asks_for_what_its_provider_takes() {
    let mut peer = Peer::of_null_client();
    peer.greets();
    peer.offers(&proposal());
    peer.hears_offer();
    let said = peer.expects::<GroupRequest>();
    let asked: GroupRequest = said.read();
    let sizes = null::GROUP_SIZES;
    assert_eq!(
        [asked.min, asked.n, asked.max],
        [sizes.min, sizes.preferred, sizes.max]
    );
}

#[track_caller]
fn bad_group(error: Option<&Error>, reason: u32) {
    assert!(
        matches!(
            error,
            Some(Error::PeerMisbehaved(PeerMisbehaved::BadGroup(_)))
        ),
        "{error:?}"
    );
    assert_eq!(reason, DisconnectReason::KeyExchangeFailed as u32);
}

#[test]
fn a_group_that_is_refused_ends_the_connection_before_a_share_is_sent() {
    for (p, g) in [
        (&[][..], &[2][..]),
        (&[1, 0, 0, 0, 1], &[2]),
        (&null::GROUP_PRIME, &[1]),
        (&null::GROUP_PRIME, &[]),
    ] {
        let mut peer = Peer::of_null_client();
        peer.greets();
        peer.offers(&proposal());
        peer.hears_offer();
        peer.expects::<GroupRequest>();
        peer.sends(&Group { p, g });
        let reason = peer
            .expects::<Disconnect<'_>>()
            .read::<Disconnect<'_>>()
            .reason;
        bad_group(peer.end.error(), reason);
    }
}

#[test]
fn sizes_that_no_group_has_end_the_connection() {
    for [min, n, max] in [[18, 20, 24], [9, 10, 16], [0, 0, 0], [u32::MAX; 3]] {
        let mut peer = Peer::of_null_server();
        peer.greets();
        peer.offers(&proposal());
        peer.hears_offer();
        peer.sends(&GroupRequest { min, n, max });
        let reason = peer
            .expects::<Disconnect<'_>>()
            .read::<Disconnect<'_>>()
            .reason;
        bad_group(peer.end.error(), reason);
    }
}

#[track_caller]
fn unexpected(error: Option<&Error>) {
    assert!(
        matches!(
            error,
            Some(Error::PeerMisbehaved(
                PeerMisbehaved::UnexpectedMessage { .. }
            ))
        ),
        "{error:?}"
    );
}

/// A share before the group, a second group, and the request of old, which names no least size (RFC 4419 §3).
#[test]
fn steps_out_of_order_and_the_request_of_old_are_refused() {
    let mut peer = Peer::of_null_client();
    peer.greets();
    peer.offers(&proposal());
    peer.hears_offer();
    peer.expects::<GroupRequest>();
    peer.sends(&GroupReply {
        host_key: b"",
        server_share: b"",
        signature: b"",
    });
    unexpected(peer.end.error());

    let mut peer = Peer::of_null_client();
    peer.greets();
    peer.offers(&proposal());
    peer.hears_offer();
    peer.names_group();
    peer.sends(&Group {
        p: &null::GROUP_PRIME,
        g: &[2],
    });
    unexpected(peer.end.error());

    for first in [&[30, 0, 0, 0, 17][..], &[32, 0, 0, 0, 1, 2]] {
        let mut peer = Peer::of_null_server();
        peer.greets();
        peer.offers(&proposal());
        peer.hears_offer();
        peer.sends_payload(first);
        unexpected(peer.end.error());
    }

    let mut peer = Peer::of_null_server();
    peer.greets();
    peer.offers(&proposal());
    peer.hears_offer();
    peer.asks_for_group([9, 17, 20]);
    peer.sends(&GroupRequest {
        min: 9,
        n: 17,
        max: 20,
    });
    unexpected(peer.end.error());
}

#[test]
fn a_share_outside_the_group_ends_the_connection() {
    let mut peer = Peer::of_null_server();
    peer.greets();
    peer.offers(&proposal());
    peer.hears_offer();
    peer.asks_for_group([9, 17, 20]);
    peer.sends(&GroupStart {
        client_share: &[1, 2],
    });
    assert_eq!(
        peer.end.error(),
        Some(&Error::PeerMisbehaved(PeerMisbehaved::BadShare))
    );
}
