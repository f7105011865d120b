//! Two connections opposite each other, over each provider and at each fragmentation (RFC 4253, 4252, 4254).

use bytes::Bytes;
use sansftp_crypto::ZLIB;
use sansftp_proto::auth::client::{Credential, Event as ClientAuth};
use sansftp_proto::auth::server::{Offered, Verdict};
use sansftp_proto::auth::{Method, Prompt};
use sansftp_proto::connection::{ChannelEvent, ChannelId, OpenFailureReason, ToClient, ToServer};
use sansftp_proto::crypto::Secret;
use sansftp_proto::error::{DisconnectReason, Error};
use sansftp_proto::session::{ClientEvent, Common, ServerEvent, Trust};
use sansftp_testkit::null;
use sansftp_testkit::pair::{Ends, Pair};
use sansftp_testkit::suite::Suite;
use std::collections::BTreeSet;

const FRAGMENTS: [usize; 6] = [1, 2, 3, 7, 64, usize::MAX];

/// The tests that hold whatever computes the cryptography.
macro_rules! over {
    ($name:ident, $suite:expr) => {
        mod $name {
            use super::*;

            const SUITE: Suite = $suite;

            #[test]
            fn connects_to_a_channel_at_any_fragmentation() {
                FRAGMENTS
                    .into_iter()
                    .for_each(|bytes| super::connects_to_a_channel(SUITE, bytes));
            }

            #[test]
            fn data_crosses_a_rekey_at_any_fragmentation() {
                FRAGMENTS
                    .into_iter()
                    .for_each(|bytes| super::data_crosses_a_rekey(SUITE, bytes));
            }

            #[test]
            fn compressed_data_crosses_a_rekey_at_any_fragmentation() {
                FRAGMENTS
                    .into_iter()
                    .for_each(|bytes| super::compressed_data_crosses_a_rekey(SUITE, bytes));
            }

            #[test]
            fn a_key_in_memory_logs_in() {
                super::a_key_logs_in(SUITE);
            }

            #[test]
            fn every_algorithm_that_both_have_connects() {
                super::every_algorithm_connects(SUITE);
            }

            #[test]
            fn a_flipped_byte_is_never_taken_for_another() {
                super::a_flipped_byte_ends_it(SUITE);
            }
        }
    };
}

over!(over_null, Suite::Null);
over!(over_ring, Suite::Ring);
over!(over_rustcrypto, Suite::RustCrypto);

fn connects_to_a_channel(suite: Suite, bytes: usize) {
    let mut pair = Pair::over(suite);
    pair.fragment(bytes);
    pair.connect();
    let (ours, theirs) = pair.subsystem();
    pair.client_mux()
        .write(ours, Bytes::from_static(b"to the server"))
        .unwrap();
    pair.server_mux()
        .write(theirs, Bytes::from_static(b"to the client"))
        .unwrap();
    pair.drive();
    assert_eq!(pair.server_mux().read(theirs).unwrap(), "to the server");
    assert_eq!(pair.client_mux().read(ours).unwrap(), "to the client");
    let exit = ToClient::ExitStatus(3);
    pair.server_mux().request(theirs, &exit).unwrap();
    pair.server_mux().finish(theirs);
    pair.server_mux().close(theirs);
    pair.drive();
    let told: Vec<_> = pair.client_events.drain(..).collect();
    assert!(
        told.iter().any(|it| matches!(
            it,
            ClientEvent::Channel(ChannelEvent::Request { request, answer: None, .. }) if *request == exit
        )),
        "{told:?}"
    );
    assert!(pair.client_mux().at_eof(ours));
    let strict = pair.client.negotiated().unwrap().strict_kex;
    assert!(strict && pair.server.negotiated().unwrap().strict_kex);
    assert_eq!(pair.errors(), [None, None]);
}

fn data_crosses_a_rekey(suite: Suite, bytes: usize) {
    let mut pair = Pair::over(suite);
    pair.fragment(bytes);
    data_crosses(&mut pair);
}

/// And is short on the way, from the first message behind the end of authentication on.
fn compressed_data_crosses_a_rekey(suite: Suite, bytes: usize) {
    let mut ends = Ends::over(suite);
    ends.client.compression = Some(ZLIB);
    ends.server.compression = Some(ZLIB);
    let mut pair = ends.start();
    pair.fragment(bytes);
    let (ours, theirs) = data_crosses(&mut pair);
    let names = pair.client.negotiated().unwrap();
    assert_eq!(names.compression_to_server, Some("zlib@openssh.com"));
    assert_eq!(names.compression_to_client, Some("zlib@openssh.com"));
    pair.to_server.record();
    let zeros = Bytes::from(vec![0; 20_000]);
    pair.client_mux().write(ours, zeros.clone()).unwrap();
    pair.drive();
    let sent = pair.to_server.written().len();
    assert!(sent < 1000, "{sent} bytes for 20,000 zeros");
    let read: Vec<_> = std::iter::from_fn(|| pair.server_mux().read(theirs)).collect();
    assert_eq!(read.concat(), zeros);
}

#[test]
fn compression_takes_two_and_else_there_is_none() {
    for (client, server) in [(Some(ZLIB), None), (None, Some(ZLIB))] {
        let mut ends = Ends::over(Suite::Null);
        ends.client.compression = client;
        ends.server.compression = server;
        let mut pair = ends.start();
        pair.connect();
        let names = pair.client.negotiated().unwrap();
        assert_eq!(names.compression_to_server, None);
        assert_eq!(names.compression_to_client, None);
        let _ = pair.channel();
    }
}

fn data_crosses(pair: &mut Pair) -> (ChannelId, ChannelId) {
    pair.connect();
    let (ours, theirs) = pair.channel();
    for round in 0..3u8 {
        pair.client_mux()
            .write(ours, Bytes::from(vec![round; 1000]))
            .unwrap();
        pair.server_mux()
            .write(theirs, Bytes::from(vec![round; 1000]))
            .unwrap();
        match round {
            0 => pair.client.rekey().unwrap(),
            1 => pair.server.rekey().unwrap(),
            _ => {
                pair.client.rekey().unwrap();
                pair.server.rekey().unwrap();
            }
        }
        pair.drive();
        for read in [
            std::iter::from_fn(|| pair.server_mux().read(theirs))
                .collect::<Vec<_>>()
                .concat(),
            std::iter::from_fn(|| pair.client_mux().read(ours))
                .collect::<Vec<_>>()
                .concat(),
        ] {
            assert_eq!(read, vec![round; 1000]);
        }
        assert_eq!(pair.client.exchanges(), u64::from(round) + 2);
        assert_eq!(pair.server.exchanges(), u64::from(round) + 2);
    }
    assert!(
        !pair
            .client_events
            .iter()
            .any(|it| matches!(it, ClientEvent::HostKey(_))),
        "asked twice"
    );
    (ours, theirs)
}

fn a_key_logs_in(suite: Suite) {
    let mut pair = Pair::over(suite);
    let turn = pair.exchange_keys();
    let (user, key) = ("alice".to_owned(), suite.key(9));
    pair.client
        .authenticate(
            turn,
            Credential::PublicKey {
                user,
                key: key.clone(),
            },
        )
        .unwrap();
    pair.drive();
    let attempt = pair.attempt();
    assert!(
        matches!(&attempt.method, Offered::PublicKey { key: it, .. } if it == key.public_key())
    );
    pair.server.decide(attempt, Verdict::Accept).unwrap();
    pair.drive();
    let proof = pair.server_mux().authenticated();
    assert_eq!(
        (proof.user(), proof.method(), proof.was_trivial()),
        ("alice", Method::PublicKey, false)
    );
}

fn every_algorithm_connects(suite: Suite) {
    let provider = suite.provider(0);
    let mut pairs = 0;
    let mut connect = |change: &dyn Fn(&mut sansftp_proto::session::Algorithms)| {
        let mut ends = Ends::over(suite);
        change(&mut ends.client.algorithms);
        let mut pair = ends.start();
        pair.connect();
        let (ours, theirs) = pair.channel();
        pair.client_mux()
            .write(ours, Bytes::from(vec![7; 5000]))
            .unwrap();
        pair.drive();
        let read = std::iter::from_fn(|| pair.server_mux().read(theirs))
            .collect::<Vec<_>>()
            .concat();
        assert_eq!(read, vec![7; 5000]);
        pair.client.rekey().unwrap();
        pair.drive();
        assert_eq!(pair.server.exchanges(), 2, "{:?}", pair.errors());
        pairs += 1;
    };
    for kex in provider.kex.iter() {
        connect(&|it| it.kex = vec![kex.name().into()]);
    }
    for cipher in provider.ciphers.iter() {
        for mac in provider.macs.iter() {
            connect(&|it| {
                it.cipher = vec![cipher.name().into()];
                it.mac = vec![mac.name().into()];
            });
        }
    }
    assert!(pairs >= 6, "{pairs}");
}

/// Whatever byte is changed on the way, in whichever direction: an error at both ends or a wait, never a success with
/// other bytes.
fn a_flipped_byte_ends_it(suite: Suite) {
    let mut pair = Pair::over(suite);
    pair.to_server.record();
    pair.to_client.record();
    crate::pair_policy::log_in(&mut pair);
    let written = [
        pair.to_server.written().to_vec(),
        pair.to_client.written().to_vec(),
    ];
    let padding = written.each_ref().map(|it| padding_in_clear(it));
    let step = if suite == Suite::Null { 1 } else { 97 };
    let mut noticed = 0;
    for direction in 0..2 {
        for at in (0..written[direction].len() as u64).step_by(step) {
            let mut pair = Pair::over(suite);
            [&mut pair.to_server, &mut pair.to_client][direction]
                .flips
                .push((at, 0x20));
            crate::pair_policy::log_in(&mut pair);
            let open = pair.client.mux().is_some() && pair.server.mux().is_some();
            let flipped = [&pair.to_server, &pair.to_client][direction].delivered() > at;
            let harmless = padding[direction].contains(&at);
            let waits = pair.untaken()[direction] > 0;
            assert!(
                harmless || waits || !(open && flipped),
                "byte {at} of direction {direction} was changed and nobody saw it"
            );
            noticed += usize::from(pair.errors().iter().any(Option::is_some));
            for error in pair.errors().into_iter().flatten() {
                assert!(
                    !matches!(error, Error::Unreachable(_) | Error::ApiMisuse(_)),
                    "{error:?}"
                );
            }
        }
    }
    assert!(noticed > 20, "{noticed}");
}

/// Where padding stands that nothing protects: that of packets up to NEWKEYS, which no hash covers.
fn padding_in_clear(written: &[u8]) -> BTreeSet<u64> {
    let mut padding = BTreeSet::new();
    let mut at = 1 + written.iter().position(|&byte| byte == b'\n').unwrap();
    loop {
        let len = u32::from_be_bytes(written[at..at + 4].try_into().unwrap()) as usize;
        let end = at + 4 + len;
        padding.extend((end - usize::from(written[at + 4])) as u64..end as u64);
        if written[at + 5] == 21 {
            return padding;
        }
        at = end;
    }
}

#[test]
fn errors_are_terminal_and_told_once() {
    let mut pair = Pair::over(Suite::Null);
    pair.connect();
    pair.to_server.inject(pair.now, &[0xff; 64]);
    pair.drive();
    let first = pair.server.error().cloned().expect("the server noticed");
    let now = pair.now;
    for _ in 0..3 {
        assert_eq!(
            pair.server
                .handle_input(now, &mut bytes::BytesMut::from(&b"more"[..])),
            Err(first.clone())
        );
        assert_eq!(pair.server.handle_timeout(now), Err(first.clone()));
        assert_eq!(pair.server.handle_eof(now), Err(first.clone()));
        assert_eq!(pair.server.rekey(), Err(first.clone()));
        assert!(pair.server.mux().is_none());
        assert!(pair.server.poll_timeout().is_none());
        assert!(pair.server.poll_event().is_none());
    }
    let told = pair
        .server_events
        .iter()
        .filter(|it| matches!(it, ServerEvent::Common(Common::Closed(_))));
    assert_eq!(told.count(), 1);
    let reason = first.disconnect_reason().expect("it is the peer's fault") as u32;
    assert!(
        matches!(pair.client.error(), Some(Error::Disconnected { reason: it, .. }) if *it == reason),
        "{:?}",
        pair.client.error()
    );
}

#[test]
fn a_key_that_is_not_trusted_ends_the_connection_before_anything_is_said_about_a_user() {
    let mut pair = Pair::over(Suite::Null);
    pair.drive();
    let key = pair.host_key();
    assert_eq!(key.key(), Suite::Null.key(0).public_key());
    assert_eq!(key.algorithm(), null::SIGNATURE);
    assert_eq!(
        pair.client.judge(key, Trust::Refused),
        Err(Error::HostKeyRejected)
    );
    pair.drive();
    let reason = DisconnectReason::HostKeyNotVerifiable as u32;
    assert!(
        matches!(pair.server.error(), Some(Error::Disconnected { reason: it, .. }) if *it == reason)
    );
    assert!(
        !pair
            .server_events
            .iter()
            .any(|it| matches!(it, ServerEvent::Auth(_)))
    );
}

#[test]
fn keyboard_interactive_asks_and_hears_each_answer() {
    let mut pair = Pair::over(Suite::Null);
    let turn = pair.exchange_keys();
    pair.client
        .authenticate(turn, Credential::Interactive { user: "u".into() })
        .unwrap();
    pair.drive();
    let attempt = pair.attempt();
    assert!(matches!(attempt.method, Offered::Interactive { .. }));
    let prompts = vec![Prompt::hidden("Password: "), Prompt::echoed("Code: ")];
    let verdict = Verdict::Prompt {
        name: String::new(),
        instruction: "both".into(),
        prompts,
    };
    pair.server.decide(attempt, verdict).unwrap();
    pair.drive();
    let Some(ClientEvent::Auth(ClientAuth::Prompts(prompts))) = pair.client_events.pop_front()
    else {
        panic!("{:?}", pair.client_events);
    };
    assert_eq!(
        (prompts.instruction.as_str(), prompts.prompts.len()),
        ("both", 2)
    );
    pair.client
        .respond(prompts, vec![Secret::from("p"), Secret::from("123")])
        .unwrap();
    pair.drive();
    let attempt = pair.attempt();
    let Offered::Responses(responses) = &attempt.method else {
        panic!("{attempt:?}")
    };
    assert_eq!(responses, &[Secret::from("p"), Secret::from("123")]);
    pair.server.decide(attempt, Verdict::Accept).unwrap();
    pair.drive();
    assert!(!pair.client_mux().authenticated().was_trivial());
}

#[test]
fn a_failed_attempt_is_followed_by_another_turn_and_too_many_end_it() {
    let mut pair = Pair::over(Suite::Null);
    let mut turn = Some(pair.exchange_keys());
    let mut attempts = 0;
    while let Some(it) = turn.take() {
        let password = Secret::from("wrong");
        pair.client
            .authenticate(
                it,
                Credential::Password {
                    user: "u".into(),
                    password,
                },
            )
            .unwrap();
        pair.drive();
        let attempt = pair.attempt();
        attempts += 1;
        let _ = pair.server.decide(
            attempt,
            Verdict::Reject {
                methods: vec!["password".into()],
            },
        );
        pair.drive();
        if let Some(ClientEvent::Auth(ClientAuth::AuthRequired {
            turn: it,
            methods,
            partial: false,
        })) = pair.client_events.pop_front()
        {
            assert_eq!(methods, ["password"]);
            turn = Some(it);
        }
    }
    assert_eq!(attempts, 6);
    assert_eq!(pair.server.error(), Some(&Error::AuthenticationFailed));
    assert!(matches!(
        pair.client.error(),
        Some(Error::Disconnected { reason: 14, .. })
    ));
}

#[test]
fn a_channel_that_is_refused_says_why() {
    let mut pair = Pair::over(Suite::Null);
    pair.connect();
    let ours = pair.client_mux().open_session().unwrap();
    pair.drive();
    let Some(ServerEvent::Channel(ChannelEvent::Offered(offer))) = pair.server_events.pop_front()
    else {
        panic!("{:?}", pair.server_events);
    };
    pair.server_mux().refuse(
        offer,
        OpenFailureReason::AdministrativelyProhibited,
        "no\x1b",
    );
    pair.drive();
    let Some(ClientEvent::Channel(ChannelEvent::Refused {
        id,
        reason,
        description,
    })) = pair.client_events.pop_front()
    else {
        panic!("{:?}", pair.client_events);
    };
    assert_eq!(
        (id, reason),
        (ours, OpenFailureReason::AdministrativelyProhibited)
    );
    assert_eq!(description, "no\u{fffd}");
    assert!(
        pair.client_mux().request(ours, &ToServer::Shell).is_err(),
        "the id is void"
    );
}

#[test]
fn answers_leave_in_the_order_of_the_requests_whatever_the_order_of_decisions() {
    let mut pair = Pair::over(Suite::Null);
    pair.connect();
    let (ours, _) = pair.channel();
    for name in ["A", "B", "C"] {
        let request = ToServer::Env {
            name: name.into(),
            value: Bytes::new(),
        };
        pair.client_mux().request(ours, &request).unwrap();
    }
    pair.drive();
    let mut answers: Vec<_> = pair
        .server_events
        .drain(..)
        .map(|event| match event {
            ServerEvent::Channel(ChannelEvent::Request {
                answer: Some(answer),
                ..
            }) => answer,
            other => panic!("{other:?}"),
        })
        .collect();
    for accepted in [true, false, false] {
        let answer = answers.pop().unwrap();
        pair.server_mux().answer(answer, accepted);
    }
    pair.drive();
    let told: Vec<_> = pair
        .client_events
        .drain(..)
        .map(|event| {
            matches!(
                event,
                ClientEvent::Channel(ChannelEvent::Answered { ok: true, .. })
            )
        })
        .collect();
    assert_eq!(told, [false, false, true]);
}
