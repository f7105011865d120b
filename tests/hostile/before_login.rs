//! What comes before authentication is done, or instead of it.

use crate::server::{Scene, Setup};
use bytes::BytesMut;
use sansftp_proto::wire::{Field, Rest};
use sansftp_testkit::peer::messages as say;
use std::time::{Duration, Instant};

/// RFC 4253 §11.1
const PROTOCOL_ERROR: u32 = 2;

fn string(out: &mut BytesMut, bytes: &[u8]) {
    Field::write(&bytes, out);
}

fn asks<'a>(method: &'a str, rest: &'a [u8]) -> say::AuthRequest<'a> {
    say::AuthRequest {
        user: "u",
        service: "ssh-connection",
        method,
        rest: Rest(rest),
    }
}

/// CVE-2018-7749, CVE-2024-2873: a channel that is opened without asking. Each message of the connection protocol, in each
/// state before success, ends the connection and reaches nobody.
#[test]
fn no_message_of_the_connection_protocol_is_heard_before_success() {
    let stages: [fn() -> Scene; 3] = [Scene::secured, Scene::asked_for_service, || {
        let mut scene = Scene::asked_for_service();
        scene.peer.sends(&asks("none", &[]));
        scene.peer.awaits::<say::AuthFailure<'_>>();
        scene
    }];
    for stage in stages {
        for number in 80..=100 {
            let mut scene = stage();
            let before = scene.told().len();
            // Long enough for the fields of any of them.
            let body = [&[number][..], &[0; 64]].concat();
            scene.peer.sends_payload(&body);
            scene.peer.sees_disconnect(PROTOCOL_ERROR);
            let told = scene.told();
            assert!(
                told[before..].iter().all(|it| it.starts_with("refused: ")),
                "message {number}: {told:?}"
            );
        }
    }
}

/// CVE-2018-10933, CVE-2018-7750: what only a server says, said by the client.
#[test]
fn nobody_lets_himself_in() {
    let stages: [fn() -> Scene; 2] = [Scene::secured, Scene::asked_for_service];
    for stage in stages {
        for number in [6, 51, 52, 53, 60] {
            let mut scene = stage();
            let body = [&[number][..], &[0; 32]].concat();
            scene.peer.sends_payload(&body);
            // Ended, or answered as unknown; and a channel is not opened either way.
            scene.peer.sends(&say::Open {
                kind: b"session",
                sender: 0,
                window: 1000,
                max_packet: 1000,
                rest: Rest(&[]),
            });
            scene.peer.sees_disconnect(PROTOCOL_ERROR);
            let told = scene.told();
            assert!(
                !told.iter().any(|it| it.starts_with("in: ")),
                "message {number}: {told:?}"
            );
        }
    }
}

/// CVE-2026-48108: lines before the identification are a server's (RFC 4253 §4.2).
#[test]
fn a_client_introduces_itself_in_its_first_line_and_in_few_bytes() {
    let long = [b"SSH-2.0-".as_slice(), &[b'x'; 300], b"\r\n"].concat();
    let endless = vec![b'x'; 1 << 20];
    let nul = b"SSH-2.0-a\0b\r\n";
    let late = b"hello\r\nSSH-2.0-late\r\n";
    let old = b"SSH-1.5-old\r\n";
    for line in [&long[..], &endless, nul, late, old] {
        let mut scene = Scene::new();
        let begin = Instant::now();
        scene.peer.sends_raw(line);
        scene.peer.end.sees_the_end(Duration::from_secs(5));
        assert!(begin.elapsed() < Duration::from_secs(5));
        assert!(!scene.told().iter().any(|it| it.starts_with("judged")));
    }
}

/// CVE-2026-42189: the number of responses is a number, and nothing is set aside for it.
#[test]
fn responses_are_as_many_as_were_asked_for_or_the_attempt_has_failed() {
    for count in [0, 1, 3, 1 << 28, u32::MAX] {
        let mut scene = Scene::asked_for_service();
        let mut rest = BytesMut::new();
        string(&mut rest, b"");
        string(&mut rest, b"");
        scene.peer.sends(&asks("keyboard-interactive", &rest));
        let said = scene.peer.hears().expect("questions come");
        assert_eq!(said.number(), 60);
        scene.peer.sends(&say::InfoResponse {
            count,
            rest: Rest(&[]),
        });
        let answer = scene.peer.hears().map(|it| it.number());
        assert!(matches!(answer, Some(1 | 51)), "{count}: {answer:?}");
        let told = scene.told();
        assert!(!told.iter().any(|it| it.starts_with("in: ")), "{told:?}");
    }
    let mut unasked = Scene::asked_for_service();
    unasked.peer.sends(&say::InfoResponse {
        count: 0,
        rest: Rest(&[]),
    });
    let answer = unasked.peer.hears().map(|it| it.number());
    assert_ne!(answer, Some(52), "nobody had asked");
}

/// CVE-2020-29652, CVE-2025-58181, russh #600: methods that are not there, whatever their fields claim.
#[test]
fn unknown_methods_fail_and_nobody_is_asked_about_them() {
    let mechanisms = u32::MAX.to_be_bytes();
    let long = "x".repeat(64 * 1024);
    let methods: [(&str, &[u8]); 7] = [
        ("gssapi-with-mic", &mechanisms),
        ("gssapi-keyex", &[]),
        ("hostbased", &[0; 40]),
        ("", &[]),
        ("pass\0word", &[0, 0, 0, 0, 1]),
        ("PASSWORD", &[0, 0, 0, 0, 1, b'p']),
        (&long, &[]),
    ];
    for (method, rest) in methods {
        let mut scene = Scene::asked_for_service();
        scene.peer.sends(&asks(method, rest));
        let answer = scene.peer.hears().map(|it| it.number());
        assert!(matches!(answer, Some(1 | 51)), "{method:?}: {answer:?}");
        let told = scene.told();
        assert!(
            !told.iter().any(|it| it.starts_with("judged")),
            "{method:?}: {told:?}"
        );
    }
}

/// Malformed requests get the same answer for every name (CVE-2018-15473): what they come to is decided before anybody
/// looks for the user.
#[test]
fn a_malformed_request_is_answered_alike_for_known_and_unknown_users() {
    let bodies: [(&str, &[u8]); 4] = [
        ("password", &[]),
        ("password", &[0, 0, 0, 0, 9]),
        ("publickey", &[1, 0, 0, 0, 3, b'a']),
        ("publickey", &[0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (method, rest) in bodies {
        let answers = ["u", "nobody"].map(|user| {
            let mut scene = Scene::asked_for_service();
            scene.peer.sends(&say::AuthRequest {
                user,
                service: "ssh-connection",
                method,
                rest: Rest(rest),
            });
            let said = scene.peer.hears().map(|it| it.as_bytes().to_vec());
            assert!(!scene.told().iter().any(|it| it.starts_with("judged")));
            said
        });
        assert!(answers[0].is_some());
        assert_eq!(answers[0], answers[1], "{method} {rest:?}");
    }
}

/// Half-open handshakes end, however far they have come (CVE-2024-6387 was a signal at that moment).
#[test]
fn the_time_for_logging_in_ends_at_every_stage() {
    let stages: [fn(&mut Scene); 4] = [
        |_| {},
        |scene| scene.peer.greets(),
        Scene::secure,
        |scene| {
            scene.secure();
            scene.peer.sends(&say::ServiceRequest {
                name: b"ssh-userauth",
            });
            scene.peer.awaits::<say::ServiceAccept<'_>>();
        },
    ];
    for stage in stages {
        let mut setup = Setup::default();
        setup.config.limits.login = Duration::from_secs(1);
        let begin = Instant::now();
        let mut scene = Scene::with(setup);
        stage(&mut scene);
        scene.peer.end.sees_the_end(Duration::from_secs(10));
        assert!(
            begin.elapsed() >= Duration::from_millis(900),
            "{:?}",
            begin.elapsed()
        );
        scene.is_told("in time");
    }
}
