//! Key exchange opposite a scripted peer: what must be said when, and what ends the connection (RFC 4253 §7 to §9, RFC 8308,
//! draft-ietf-sshm-strict-kex).

use bytes::Bytes;
use sansftp_proto::error::{DisconnectReason, Error, PeerMisbehaved};
use sansftp_proto::role::Side;
use sansftp_proto::session::{ClientEvent, Config};
use sansftp_proto::wire::{Rest, Text};
use sansftp_testkit::null::{self, NullKey};
use sansftp_testkit::peer::messages::{
    AuthSuccess, Data, Debug, Disconnect, ExtInfo, Ignore, KexInit, KexReply, KexStart, NewKeys,
    Ping, Pong, ServiceRequest, Unimplemented, WindowAdjust,
};
use sansftp_testkit::peer::{CHANNEL, Peer, Proposal};

const PROTOCOL_ERROR: u32 = DisconnectReason::ProtocolError as u32;
const KEX_FAILED: u32 = DisconnectReason::KeyExchangeFailed as u32;

/// RFC 4253 §4.2, §7.1: identification and KEXINIT leave without waiting for the peer's.
#[test]
fn both_ends_begin_without_waiting() {
    let mut peer = Peer::of_null_client();
    let init = peer.expects::<KexInit<'_>>();
    let init: KexInit<'_> = init.read();
    assert!(!init.first_kex_packet_follows && init.reserved == 0);
    for marker in ["ext-info-c", "kex-strict-c-v00@openssh.com", "kex-strict-c"] {
        assert!(init.kex.contains(marker), "{marker}");
    }
    let mut peer = Peer::of_null_server();
    let init = peer.expects::<KexInit<'_>>();
    let init: KexInit<'_> = init.read();
    assert!(init.kex.contains("kex-strict-s-v00@openssh.com") && !init.kex.contains("ext-info-c"));
    assert_eq!(init.host_key.as_str(), "null-sig,null-sig-512");
}

#[test]
fn handshakes_work_with_and_without_strict_key_exchange() {
    for strict in [false, true] {
        let proposal = |side| {
            if strict {
                Proposal::default().strict(side)
            } else {
                Proposal::default()
            }
        };
        let mut peer = Peer::of_null_client();
        peer.handshakes(&proposal(Side::Server));
        assert_eq!(peer.end.negotiated().unwrap().strict_kex, strict);
        let (id, channel) = peer.opens_channel(1000);
        peer.sends(&Data {
            recipient: channel,
            data: b"x",
        });
        assert_eq!(peer.end.mux().unwrap().read(id).unwrap(), "x");
        // RFC 4253 §9: again, under the same session id; strict or not does not change (draft-ietf-sshm-strict-kex).
        for _ in 0..3 {
            peer.exchanges_keys(&Proposal::default());
        }
        peer.sends(&Data {
            recipient: channel,
            data: b"y",
        });
        assert_eq!(peer.end.mux().unwrap().read(id).unwrap(), "y");

        let mut peer = Peer::of_null_server();
        peer.handshakes(&proposal(Side::Client));
        assert_eq!(peer.end.negotiated().unwrap().strict_kex, strict);
        let (id, channel) = peer.opens_channel(1000);
        for _ in 0..3 {
            peer.exchanges_keys(&Proposal::default());
        }
        peer.sends(&Data {
            recipient: channel,
            data: b"z",
        });
        assert_eq!(peer.end.mux().unwrap().read(id).unwrap(), "z");
    }
}

/// draft-ietf-sshm-strict-kex: nothing but the exchange in the first exchange, DISCONNECT apart.
#[test]
fn strict_key_exchange_refuses_what_does_not_belong_to_it() {
    let strict = Proposal::default().strict(Side::Server);
    let stray: [fn(&mut Peer<_>); 4] = [
        |peer| peer.sends(&Ignore { data: b"x" }),
        |peer| {
            peer.sends(&Debug {
                always_display: false,
                message: b"x",
                language: b"",
            })
        },
        |peer| peer.sends(&Unimplemented { seq: 0 }),
        |peer| peer.sends(&Ping { data: b"x" }),
    ];
    for stray in stray {
        // Ahead of KEXINIT: nobody knows yet that it is strict, so it is noticed with KEXINIT.
        let mut peer = Peer::of_null_client();
        peer.greets();
        stray(&mut peer);
        assert_eq!(peer.end.error(), None);
        peer.offers(&strict);
        peer.sees_disconnect(PROTOCOL_ERROR);
        assert_eq!(
            peer.end.error(),
            Some(&PeerMisbehaved::KexInitNotFirst.into())
        );
        // Behind it.
        let mut peer = Peer::of_null_client();
        peer.greets();
        peer.offers(&strict);
        stray(&mut peer);
        peer.sees_disconnect(PROTOCOL_ERROR);
        // And without strictness it is nothing (RFC 4253 §11).
        let mut peer = Peer::of_null_client();
        peer.greets();
        stray(&mut peer);
        peer.offers(&Proposal::default());
        stray(&mut peer);
        assert_eq!(peer.end.error(), None);
    }
    let mut peer = Peer::of_null_client();
    peer.greets();
    peer.offers(&strict);
    peer.sends(&Disconnect {
        reason: 11,
        description: Text(b"bye\x07"),
        language: Text(b""),
    });
    assert_eq!(
        peer.end.error(),
        Some(&Error::Disconnected {
            reason: 11,
            text: "bye\u{fffd}".into()
        })
    );
}

/// draft-ietf-sshm-strict-kex: only the first exchange is so strict.
#[test]
fn strict_connections_take_generic_messages_in_a_re_exchange() {
    let mut peer = Peer::of_null_client();
    peer.handshakes(&Proposal::default().strict(Side::Server));
    peer.offers(&Proposal::default());
    peer.sends(&Ignore { data: b"x" });
    peer.sends(&Debug {
        always_display: true,
        message: b"x",
        language: b"",
    });
    assert_eq!(peer.end.error(), None);
}

/// The prefix-truncation attack on key exchanges that are not strict: with strictness a packet dropped behind an inserted one is
/// noticed, because the numbers begin anew with NEWKEYS.
#[test]
fn a_packet_removed_behind_new_keys_is_noticed() {
    for strict in [false, true] {
        let mut proposal = Proposal::default();
        if strict {
            proposal = proposal.strict(Side::Server);
        }
        let mut peer = Peer::of_null_client();
        peer.greets();
        peer.exchanges_keys(&proposal);
        let _dropped = peer.sealed(&[2, 0, 0, 0, 0]);
        peer.sends(&Ignore { data: b"" });
        peer.sees_disconnect(DisconnectReason::MacError as u32);
        assert_eq!(peer.end.error(), Some(&Error::Integrity));
    }
}

/// RFC 4253 §7: right only if the first choices of both lists agree; a wrong guess is dropped, once.
#[test]
fn a_wrong_guess_is_dropped_and_a_right_one_used() {
    for (kex, right) in [(null::KEX, true), (null::KEX_MPINT, false)] {
        let mut proposal = Proposal {
            guess: true,
            ..Proposal::default()
        };
        proposal.kex = vec![kex, null::KEX];
        proposal.kex.dedup();
        let mut peer = Peer::of_null_server();
        peer.greets();
        peer.offers(&proposal);
        peer.hears_offer();
        let mut share = vec![1; null::WIDTH + 1];
        if !right {
            // A share of the guessed method would be a number; as a string it is too short.
            share.pop();
            peer.sends(&KexStart {
                client_share: &share,
            });
            peer.expects_silence();
            share.push(1);
        }
        peer.sends(&KexStart {
            client_share: &share,
        });
        peer.expects::<KexReply<'_>>();
        assert_eq!(peer.end.error(), None);
    }
    // A client drops a server's guess as well.
    let mut proposal = Proposal {
        guess: true,
        ..Proposal::default()
    };
    proposal.kex.insert(0, "unknown-kex");
    let mut peer = Peer::of_null_client();
    peer.greets();
    peer.offers(&proposal);
    peer.hears_offer();
    let start = peer.expects::<KexStart<'_>>();
    peer.sends_payload(&[31, 1, 2, 3]);
    let (reply, _) = peer.replies_to(&start);
    peer.sends_payload(&reply);
    assert_eq!(peer.end.error(), None);
    assert!(
        peer.events()
            .iter()
            .any(|it| matches!(it, ClientEvent::HostKey(_)))
    );
}

#[test]
fn nothing_in_common_names_the_list_and_both_offers() {
    type Change = fn(&mut Proposal);
    let lists: [(&str, Change); 5] = [
        ("kex", |it| it.kex = vec!["other"]),
        ("host key", |it| it.host_key = vec!["other"]),
        ("cipher", |it| it.cipher = vec!["other"]),
        ("mac", |it| {
            (it.cipher, it.mac) = (vec![null::STREAM], vec!["other"])
        }),
        ("compression", |it| it.compression = vec!["zlib"]),
    ];
    for (name, change) in lists {
        let mut proposal = Proposal::default();
        change(&mut proposal);
        let mut peer = Peer::of_null_client();
        peer.greets();
        peer.offers(&proposal);
        peer.sees_disconnect(KEX_FAILED);
        let Some(Error::PeerIncompatible {
            list,
            ours,
            theirs,
            offered: Some(offered),
        }) = peer.end.error()
        else {
            panic!("{:?}", peer.end.error());
        };
        assert_eq!(*list, name);
        assert!(!ours.is_empty() && !theirs.is_empty() && ours != theirs);
        let all = [
            &offered.kex,
            &offered.host_key,
            &offered.cipher_to_client,
            &offered.mac_to_client,
            &offered.compression_to_client,
        ];
        assert!(all.iter().all(|list| !list.is_empty()), "{offered:?}");
        assert!(
            all.iter().any(|list| list.join(",") == *theirs),
            "{name}: {offered:?}"
        );
    }
    // Beside a cipher that authenticates by itself the MACs do not matter.
    let mut peer = Peer::of_null_client();
    peer.handshakes(&Proposal {
        mac: vec!["other"],
        ..Proposal::default()
    });
    assert_eq!(peer.end.negotiated().unwrap().mac_to_server, None);
}

/// A client whose offer is there before the server's has left learns what the server offers all the same.
#[test]
fn the_offer_goes_ahead_of_the_word_that_nothing_is_in_common() {
    let mut peer = Peer::of_null_server();
    let proposal = Proposal {
        cipher: vec!["other"],
        ..Proposal::default()
    };
    let offer = peer.sealed(&proposal.payload());
    peer.sends_raw(&[&b"SSH-2.0-early\r\n"[..], &offer].concat());
    assert!(matches!(
        peer.end.error(),
        Some(Error::PeerIncompatible { .. })
    ));
    peer.expects::<KexInit<'_>>();
    peer.sees_disconnect(KEX_FAILED);
}

/// RFC 8308 §2.1: the pseudo-names are never chosen, even where both ends have the same.
#[test]
fn pseudo_names_are_never_negotiated() {
    let mut peer = Peer::of_null_client();
    peer.greets();
    let kex = vec!["ext-info-c", "kex-strict-c-v00@openssh.com", "kex-strict-c"];
    peer.offers(&Proposal {
        kex,
        ..Proposal::default()
    });
    peer.sees_disconnect(KEX_FAILED);
}

/// RFC 8308 §2.4, §3.1.
#[test]
fn extensions_are_told_to_those_who_ask_right_behind_new_keys() {
    let mut peer = Peer::of_null_server();
    peer.greets();
    peer.exchanges_keys(&Proposal::default().with(&["ext-info-c"]));
    let info = peer.expects::<ExtInfo<'_>>().extensions();
    let algorithms = info
        .iter()
        .find(|(name, _)| name == b"server-sig-algs")
        .unwrap();
    assert_eq!(algorithms.1, b"null-sig,null-sig-512");
    // Not again.
    peer.exchanges_keys(&Proposal::default().with(&["ext-info-c"]));
    peer.expects_silence();

    let mut peer = Peer::of_null_server();
    peer.greets();
    peer.exchanges_keys(&Proposal::default());
    peer.expects_silence();
}

#[test]
fn extensions_where_they_may_not_be_end_it() {
    let info = ExtInfo {
        count: 0,
        extensions: Rest(b""),
    };
    let misplaced = Error::PeerMisbehaved(PeerMisbehaved::MisplacedExtInfo);
    // Before NEWKEYS.
    let mut peer = Peer::of_null_client();
    peer.greets();
    peer.offers(&Proposal::default());
    peer.sends(&info);
    assert_eq!(peer.end.error(), Some(&misplaced));
    // From a server, behind the end of authentication.
    let mut peer = Peer::of_null_client();
    peer.handshakes(&Proposal::default());
    peer.sends(&info);
    assert_eq!(peer.end.error(), Some(&misplaced));
    // From a client, anywhere but right behind its first NEWKEYS.
    let mut peer = Peer::of_null_server();
    peer.greets();
    peer.exchanges_keys(&Proposal::default());
    peer.sends(&info);
    assert_eq!(peer.end.error(), None);
    peer.sends(&info);
    assert_eq!(peer.end.error(), Some(&misplaced));
    // From a server, once right behind NEWKEYS and once before SUCCESS.
    let mut peer = Peer::of_null_client();
    peer.greets();
    peer.exchanges_keys(&Proposal::default());
    peer.sends(&info);
    peer.is_asked_to_authenticate();
    peer.sends(&info);
    peer.sends(&AuthSuccess {});
    assert_eq!(peer.end.error(), None);
}

/// RFC 4253 §7.1 forbids it, and newer servers hang up on it. The peer itself refuses it here, in every test.
#[test]
fn services_keep_silent_from_kexinit_to_new_keys_with_traffic_in_flight() {
    let mut peer = Peer::of_null_client();
    peer.handshakes(&Proposal::default());
    let (id, channel) = peer.opens_channel(1 << 20);
    let mux = peer.end.mux().unwrap();
    mux.write(id, Bytes::from(vec![1; 100_000])).unwrap();
    peer.end.rekey().unwrap();
    // The client's KEXINIT is out. The server has not heard of it, sends on, and is answered only afterwards.
    peer.hears_offer();
    peer.sends(&Data {
        recipient: channel,
        data: &[7; 1000],
    });
    peer.sends(&WindowAdjust {
        recipient: channel,
        bytes: 1,
    });
    peer.sends(&Ping { data: b"later" });
    peer.end
        .mux()
        .unwrap()
        .write(id, Bytes::from(vec![2; 1000]))
        .unwrap();
    assert_eq!(
        peer.end.mux().unwrap().read(id).unwrap().len(),
        1000,
        "what came before KEXINIT is handled"
    );
    peer.expects_silence();
    peer.exchanges_keys(&Proposal::default());
    let mut sent = 0;
    let mut answered = false;
    while let Some(said) = peer.hears() {
        match said.number() {
            94 => sent += said.read::<Data<'_>>().data.len(),
            193 => answered = said.read::<Pong<'_>>().data == b"later",
            other => panic!("message {other}"),
        }
    }
    assert_eq!(sent, 101_000);
    assert!(answered);
}

/// RFC 4253 §7.1, §9: after its KEXINIT the peer may not send anything of a service either.
#[test]
fn a_service_message_behind_the_peers_kexinit_ends_it() {
    let mut peer = Peer::of_null_client();
    peer.handshakes(&Proposal::default());
    let (_, channel) = peer.opens_channel(1000);
    peer.offers(&Proposal::default());
    peer.sends(&Data {
        recipient: channel,
        data: b"x",
    });
    peer.sees_disconnect(PROTOCOL_ERROR);
}

#[test]
fn a_second_kexinit_and_new_keys_out_of_turn_end_it() {
    let mut peer = Peer::of_null_client();
    peer.greets();
    peer.offers(&Proposal::default());
    peer.offers(&Proposal::default());
    assert_eq!(
        peer.end.error(),
        Some(&PeerMisbehaved::DuplicateKexInit.into())
    );
    for stage in 0..3 {
        let mut peer = Peer::of_null_server();
        peer.greets();
        match stage {
            0 => {}
            1 => peer.offers(&Proposal::default()),
            _ => peer.exchanges_keys(&Proposal::default()),
        }
        peer.sends(&NewKeys {});
        assert_eq!(
            peer.end.error(),
            Some(&PeerMisbehaved::NewKeysWithoutExchange.into()),
            "{stage}"
        );
    }
}

/// RFC 4253 §8: "the client MUST verify the signature"; nothing is said before that.
#[test]
fn a_host_key_that_is_not_proved_ends_it_and_nobody_is_asked() {
    for flip in ["signature", "key", "share"] {
        let mut peer = Peer::of_null_client();
        peer.greets();
        peer.offers(&Proposal::default());
        peer.hears_offer();
        let start = peer.expects::<KexStart<'_>>();
        let (mut reply, _) = peer.replies_to(&start);
        let at = match flip {
            "signature" => reply.len() - 1,
            // Behind number, length, and the key's type: in its name.
            "key" => 1 + 4 + 4 + null::KEY_KIND.len() + 4 + 2,
            _ => reply.len() - 4 - 4 - null::SIGNATURE.len() - 4 - null::WIDTH - 1,
        };
        reply[at] ^= 1;
        peer.sends_payload(&reply);
        assert!(
            matches!(peer.end.error(), Some(Error::HostKeyUnproven(_))),
            "{flip}: {:?}",
            peer.end.error()
        );
        peer.sees_disconnect(KEX_FAILED);
        assert!(
            !peer
                .events()
                .iter()
                .any(|it| matches!(it, ClientEvent::HostKey(_)))
        );
    }
}

/// RFC 8332 §3: the algorithm inside the signature is the one that was negotiated.
#[test]
fn a_signature_by_another_algorithm_than_negotiated_ends_it() {
    let mut peer = Peer::of_null_client();
    peer.greets();
    let host_key = vec![null::SIGNATURE_512];
    peer.offers(&Proposal {
        host_key,
        ..Proposal::default()
    });
    peer.hears_offer();
    let start = peer.expects::<KexStart<'_>>();
    let (reply, _) = peer.replies_to(&start);
    peer.sends_payload(&reply);
    assert_eq!(
        peer.end.error(),
        Some(&PeerMisbehaved::WrongHostKeyAlgorithm.into())
    );
}

#[test]
fn a_share_outside_its_group_ends_it() {
    let mut peer = Peer::of_null_server();
    peer.greets();
    peer.offers(&Proposal::default());
    peer.hears_offer();
    peer.sends(&KexStart {
        client_share: b"short",
    });
    assert_eq!(peer.end.error(), Some(&PeerMisbehaved::BadShare.into()));
    peer.sees_disconnect(KEX_FAILED);
}

/// Asked about once, and pinned: another key at a re-exchange is not a question.
#[test]
fn the_host_key_may_not_change_at_a_re_exchange() {
    let mut peer = Peer::of_null_client();
    peer.handshakes(&Proposal::default());
    let key = peer.end.host_key().cloned();
    assert_eq!(key.as_ref(), Some(NullKey::named("host key").public_key()));
    peer.offers(&Proposal::default());
    peer.hears_offer();
    let start = peer.expects::<KexStart<'_>>();
    let (reply, _) = peer.replies_with(&NullKey::named("host kex"), &start);
    peer.sends_payload(&reply);
    assert_eq!(
        peer.end.error(),
        Some(&PeerMisbehaved::HostKeyChanged.into())
    );
    assert!(
        !peer
            .events()
            .iter()
            .any(|it| matches!(it, ClientEvent::HostKey(_)))
    );
}

/// RFC 4253 §11.4: answered with the number of the packet, in order, and nothing else happens.
#[test]
fn unknown_messages_are_answered_with_their_sequence_number() {
    let mut peer = Peer::of_null_client();
    peer.handshakes(&Proposal::default().strict(Side::Server));
    for number in [
        0, 9, 19, 22, 29, 54, 79, 83, 89, 101, 127, 128, 191, 194, 255,
    ] {
        peer.sends_payload(&[number, 1, 2, 3]);
        let expected = peer.last_seq();
        let said = peer.expects::<Unimplemented>();
        assert_eq!(said.read::<Unimplemented>().seq, expected, "{number}");
    }
    assert_eq!(peer.end.error(), None);
}

/// OpenSSH's PROTOCOL §1.8.
#[test]
fn pings_are_answered_in_order() {
    let mut peer = Peer::of_null_client();
    peer.handshakes(&Proposal::default());
    for data in [&b"1"[..], b"", &[9; 1000]] {
        peer.sends(&Ping { data });
        assert_eq!(peer.expects::<Pong<'_>>().read::<Pong<'_>>().data, data);
    }
}

#[test]
fn a_peer_that_asks_and_never_reads_is_not_read_for_ever() {
    let mut peer = Peer::of_null_server();
    peer.handshakes(&Proposal::default());
    // Sent without a pause for answers: everything is in one read.
    let flood: Vec<u8> = (0..10_000)
        .flat_map(|_| peer.sealed(&[192, 0, 0, 0, 0]))
        .collect();
    let mut input = bytes::BytesMut::from(&flood[..]);
    let now = peer.now;
    peer.end.handle_input(now, &mut input).unwrap();
    assert!(!peer.end.wants_input() && !input.is_empty());
    while !input.is_empty() {
        let before = input.len();
        peer.end.transmit(now, usize::MAX).clear();
        peer.end.handle_input(now, &mut input).unwrap();
        assert!(
            input.len() < before,
            "it is read on when the answers have left"
        );
    }
}

#[test]
fn other_messages_without_end_in_an_exchange_end_it() {
    let mut peer = Peer::of_null_server();
    peer.greets();
    peer.offers(&Proposal::default());
    for _ in 0..2000 {
        peer.sends(&Ignore { data: b"" });
    }
    assert_eq!(
        peer.end.error(),
        Some(&PeerMisbehaved::FloodInExchange.into())
    );
}

/// RFC 4253 §11.1: "the recipient MUST NOT send or receive any data after" it.
#[test]
fn after_disconnect_nothing_is_said_or_heard() {
    let mut peer = Peer::of_null_client();
    peer.handshakes(&Proposal::default());
    peer.sends(&Disconnect {
        reason: 2,
        description: Text(b""),
        language: Text(b""),
    });
    peer.expects_silence();
    peer.sends(&Ping { data: b"" });
    peer.expects_silence();
    assert!(peer.untaken() > 0);
}

#[test]
fn an_end_without_algorithms_or_host_keys_does_not_start() {
    use sansftp_proto::session::Connection;
    let mut config = Config::client(null::provider(1)).with_all_algorithms();
    config.algorithms.kex = vec!["unknown".into()];
    let started = Connection::client(config.into(), std::time::Instant::now());
    assert!(matches!(
        started,
        Err(Error::PeerIncompatible { list: "kex", .. })
    ));
    let config = Config::server(null::provider(1), vec![]).with_all_algorithms();
    let started = Connection::server(config.into(), std::time::Instant::now());
    assert!(matches!(
        started,
        Err(Error::PeerIncompatible {
            list: "host key",
            ..
        })
    ));
}

#[test]
fn a_service_request_may_ride_with_new_keys() {
    let mut peer = Peer::of_null_server();
    peer.greets();
    peer.exchanges_keys(&Proposal::default());
    peer.asks_to_authenticate();
    assert_eq!(peer.end.error(), None);
    let mut peer = Peer::of_null_server();
    peer.greets();
    peer.exchanges_keys(&Proposal::default());
    peer.sends(&ServiceRequest {
        name: b"ssh-connection",
    });
    peer.sees_disconnect(DisconnectReason::ServiceNotAvailable as u32);
}

#[test]
fn our_messages_name_the_channel_as_the_peer_numbered_it() {
    let mut peer = Peer::of_null_client();
    peer.handshakes(&Proposal::default());
    let (id, _) = peer.opens_channel(10);
    peer.end
        .mux()
        .unwrap()
        .write(id, Bytes::from_static(b"0123456789abc"))
        .unwrap();
    let said = peer.expects::<Data<'_>>();
    assert_eq!(
        said.read::<Data<'_>>(),
        Data {
            recipient: CHANNEL,
            data: b"0123456789"
        }
    );
    peer.expects_silence();
    peer.sends(&WindowAdjust {
        recipient: 0,
        bytes: 2,
    });
    assert_eq!(peer.expects::<Data<'_>>().read::<Data<'_>>().data, b"ab");
}
