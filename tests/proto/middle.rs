//! Somebody in the middle of an exchange that both ends want strict: what is put in, and taken out, at any place
//! (CVE-2023-48795; draft-ietf-sshm-strict-kex).

use crate::pair_policy;
use bytes::Bytes;
use sansftp_proto::error::Error;
use sansftp_proto::role::Side;
use sansftp_testkit::pair::Pair;
use sansftp_testkit::suite::Suite;

/// A packet in clear (RFC 4253 §6).
fn plain(payload: &[u8]) -> Vec<u8> {
    let mut padding = 8 - (5 + payload.len()) % 8;
    if padding < 4 {
        padding += 8;
    }
    let len = u32::try_from(1 + payload.len() + padding).unwrap();
    let mut packet = len.to_be_bytes().to_vec();
    packet.push(u8::try_from(padding).unwrap());
    packet.extend_from_slice(payload);
    packet.resize(packet.len() + padding, 0);
    packet
}

/// What is said in clear may be said by anybody.
fn noise() -> [Vec<u8>; 6] {
    [
        &[2, 0, 0, 0, 0][..],
        &[3, 0, 0, 0, 0],
        &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[192, 0, 0, 0, 0],
        &[9],
        &[7, 0, 0, 0, 0],
    ]
    .map(plain)
}

/// Where packets begin in one direction of a handshake: those in clear, and the first four behind NEWKEYS.
struct Places {
    clear: Vec<u64>,
    sealed: Vec<u64>,
}

fn places(written: &[u8]) -> Places {
    let mut at = written.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut places = Places {
        clear: Vec::new(),
        sealed: Vec::new(),
    };
    loop {
        places.clear.push(at as u64);
        let number = written[at + 5];
        at += 4 + length(&written[at..]);
        if number == 21 {
            break;
        }
    }
    // The null cipher leaves lengths in clear, and its tag has eight bytes.
    while places.sealed.len() < 4 && at < written.len() {
        places.sealed.push(at as u64);
        at += 4 + length(&written[at..]) + 8;
    }
    places.sealed.push(at as u64);
    places
}

fn length(packet: &[u8]) -> usize {
    u32::from_be_bytes(*packet.first_chunk().unwrap()) as usize
}

fn undisturbed() -> [Places; 2] {
    let mut pair = Pair::over(Suite::Null);
    pair.to_server.record();
    pair.to_client.record();
    pair_policy::log_in(&mut pair);
    assert!(pair.client.negotiated().unwrap().strict_kex);
    [&pair.to_server, &pair.to_client].map(|link| places(link.written()))
}

/// A pair in which one direction is meddled with.
fn meddled(side: Side, puts: Vec<(u64, Vec<u8>)>, drops: Vec<std::ops::Range<u64>>) -> Pair {
    let mut pair = Pair::over(Suite::Null);
    let link = match side {
        Side::Client => &mut pair.to_server,
        Side::Server => &mut pair.to_client,
    };
    link.inserts = puts;
    link.drops = drops;
    pair_policy::log_in(&mut pair);
    pair
}

/// It has ended, by the end that was meddled with, before anybody was in.
#[track_caller]
fn is_over(pair: &mut Pair, side: Side) {
    let (deceived, error) = match side {
        Side::Client => ("server", pair.server.error()),
        Side::Server => ("client", pair.client.error()),
    };
    assert!(
        matches!(
            error,
            Some(Error::PeerMisbehaved(_) | Error::Integrity | Error::InvalidMessage { .. })
        ),
        "{deceived}: {error:?}"
    );
    assert!(pair.client.mux().is_none() && pair.server.mux().is_none());
}

#[test]
fn whatever_is_slipped_into_a_strict_exchange_ends_it_wherever_it_is_put() {
    let undisturbed = undisturbed();
    for (side, places) in [Side::Client, Side::Server].into_iter().zip(&undisturbed) {
        assert_eq!(places.clear.len(), 3, "KEXINIT, the share, NEWKEYS");
        for at in &places.clear {
            for packet in noise() {
                for times in [1, 2] {
                    let mut pair = meddled(side, vec![(*at, packet.repeat(times))], vec![]);
                    is_over(&mut pair, side);
                }
            }
        }
    }
}

/// As many packets put in before NEWKEYS as are taken out behind it.
#[test]
fn the_first_packet_behind_new_keys_cannot_be_taken_away_for_one_put_in_before() {
    let undisturbed = undisturbed();
    for (side, places) in [Side::Client, Side::Server].into_iter().zip(&undisturbed) {
        for many in 1..places.sealed.len() {
            let taken = places.sealed[0]..places.sealed[many];
            for at in &places.clear {
                let put = noise()[0].repeat(many);
                let mut pair = meddled(side, vec![(*at, put)], vec![taken.clone()]);
                is_over(&mut pair, side);
            }
            // And if nothing is put in for it, its absence is noticed with the next packet, if there is one.
            let mut pair = meddled(side, vec![], vec![taken]);
            assert!(pair.client.mux().is_none() || pair.server.mux().is_none());
        }
    }
}

/// The harness itself: what is taken out and put back as it was disturbs nobody.
#[test]
fn whoever_changes_nothing_is_not_noticed() {
    let undisturbed = undisturbed();
    for (side, places) in [Side::Client, Side::Server].into_iter().zip(&undisturbed) {
        let mut pair = meddled(side, vec![(places.clear[0], Vec::new())], vec![]);
        assert_eq!(pair.errors(), [None, None]);
        let mux = pair.client.mux().expect("it is in");
        mux.global_request(b"x", &Bytes::new()).unwrap();
    }
}
