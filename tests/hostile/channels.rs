//! What an authenticated client may do to channels, and what it must not come to.

use crate::server::{Scene, Setup};
use bytes::BytesMut;
use sansftp_proto::wire::{Field, Rest};
use sansftp_testkit::peer::CHANNEL;
use sansftp_testkit::peer::messages as say;

fn fields(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for part in parts {
        Field::write(part, &mut out);
    }
    out.to_vec()
}

fn scene() -> Scene {
    Scene::logged_in(Setup::default())
}

/// CVE-2026-0930: a terminal of any size is a size.
#[test]
fn terminals_of_impossible_sizes_are_told_as_they_are() {
    let mut scene = scene();
    let recipient = scene.opens();
    for size in [0, 1, u32::MAX] {
        let rest = size.to_be_bytes().repeat(4);
        for want_reply in [false, true] {
            scene.peer.sends(&say::Request {
                recipient,
                name: b"window-change",
                want_reply,
                rest: Rest(&rest),
            });
        }
        let answer = scene.peer.hears().map(|it| it.number());
        assert!(matches!(answer, Some(99 | 100)), "{answer:?}");
    }
    scene.is_told("columns: 4294967295");
    scene.still_serves();
}

/// russh 8912512: modes end where they end, or at an opcode that nobody knows; what is cut off in the middle of one is a
/// malformed message, and ends the connection.
#[test]
fn terminal_modes_are_read_as_far_as_they_can_be() {
    let many = [1, 0, 0, 0, 1].repeat(1000);
    let modes: [(&[u8], &[u8]); 7] = [
        (&[], &[99]),
        (&[0], &[99]),
        (&[0, 0], &[99]),
        (&[160, 0, 0, 0, 1, 0], &[99]),
        (&[255], &[99]),
        (&many, &[99, 100, 1]),
        (&[1, 0, 0], &[1]),
    ];
    for (modes, allowed) in modes {
        let mut scene = scene();
        let recipient = scene.opens();
        let rest = [fields(&[b"xterm"]), vec![0; 16], fields(&[modes])].concat();
        scene.peer.sends(&say::Request {
            recipient,
            name: b"pty-req",
            want_reply: true,
            rest: Rest(&rest),
        });
        let answer = scene.peer.hears().map(|it| it.number());
        assert!(
            answer.is_some_and(|it| allowed.contains(&it)),
            "{modes:?}: {answer:?}"
        );
    }
}

/// CVE-2026-54886: there is nothing like standard error from a client; it is dropped, and the session goes on.
#[test]
fn extended_data_on_the_channel_of_sftp_is_dropped() {
    let mut scene = scene();
    let recipient = scene.opens_sftp();
    for kind in [0, 1, 2, 99, u32::MAX] {
        scene.peer.sends(&say::ExtendedData {
            recipient,
            kind,
            data: b"noise",
        });
    }
    scene.peer.sends(&say::Data {
        recipient,
        data: b"\0\0\0\x05\x01\0\0\0\x03",
    });
    let said = scene.peer.awaits::<say::Data<'_>>();
    assert_eq!(said.read::<say::Data<'_>>().data[4], 2, "VERSION");
}

/// CVE-2026-39827: channels that are refused leave nothing behind.
#[test]
fn a_hundred_thousand_refused_channels_leave_nothing() {
    let mut scene = scene();
    let mut open = |count: u32| {
        for number in 0..count {
            scene.peer.sends(&say::Open {
                kind: b"x11",
                sender: number,
                window: 1 << 20,
                max_packet: 1 << 15,
                rest: Rest(&[0; 8]),
            });
            let said = scene.peer.awaits::<say::OpenFailure<'_>>();
            assert_eq!(said.read::<say::OpenFailure<'_>>().recipient, number);
        }
    };
    open(5_000);
    let before = memory_kib();
    open(100_000);
    let after = memory_kib();
    // Slack: 80 bytes for each of them, and other tests run in this process.
    assert!(after < before + 8 * 1024, "{before} KiB became {after} KiB");
    assert!(scene.told().is_empty(), "{:?}", scene.told());
    scene.still_serves();
}

fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// GHSA-h5rc-j5f5-3gcm; asyncssh 2.24: numbers at their extremes are refused, and do not overflow.
#[test]
fn windows_and_packet_sizes_at_their_extremes_end_the_connection_or_are_used() {
    let mut scene = scene();
    let recipient = scene.opens();
    for _ in 0..2 {
        scene.peer.sends(&say::WindowAdjust {
            recipient,
            bytes: u32::MAX,
        });
    }
    scene.peer.sees_disconnect(2);

    for (window, max_packet) in [
        (0, 1),
        (0, u32::MAX),
        (u32::MAX, 1),
        (u32::MAX, u32::MAX),
        (1, 8),
    ] {
        let mut scene = self::scene();
        scene.peer.sends(&say::Open {
            kind: b"session",
            sender: CHANNEL,
            window,
            max_packet,
            rest: Rest(&[]),
        });
        let said = scene.peer.awaits::<say::OpenConfirmation<'_>>();
        let recipient = said.read::<say::OpenConfirmation<'_>>().sender;
        scene.peer.sends(&say::Close { recipient });
        scene.peer.awaits::<say::Close>();
    }
    // One that takes no data at all is of no use.
    let mut scene = self::scene();
    scene.peer.sends(&say::Open {
        kind: b"session",
        sender: CHANNEL,
        window: 1,
        max_packet: 0,
        rest: Rest(&[]),
    });
    let answer = scene.peer.hears().map(|it| it.number());
    assert!(matches!(answer, Some(1 | 92)), "{answer:?}");
}

/// russh 7c5659f: nothing is said to channels that are not there.
#[test]
fn messages_to_channels_that_were_never_opened_reach_nobody() {
    for number in 93..=100 {
        let mut scene = scene();
        let mut body = vec![number];
        body.extend_from_slice(&77u32.to_be_bytes());
        body.extend_from_slice(&fields(&[b"shell"]));
        body.push(0);
        scene.peer.sends_payload(&body);
        scene.peer.sends(&say::GlobalRequest {
            name: b"keepalive@openssh.com",
            want_reply: true,
            rest: Rest(&[]),
        });
        let answer = scene.peer.hears().map(|it| it.number());
        assert_eq!(answer, Some(1), "message {number}");
        assert!(scene.told().is_empty(), "{:?}", scene.told());
    }
}

/// OpenSSH's DisableForwarding: what is not offered is refused, and asked of nobody.
#[test]
fn agent_and_x11_forwarding_are_refused_and_so_is_listening_for_the_client() {
    let mut scene = scene();
    let recipient = scene.opens();
    for name in [&b"auth-agent-req@openssh.com"[..], b"x11-req"] {
        scene.peer.sends(&say::Request {
            recipient,
            name,
            want_reply: true,
            rest: Rest(&[]),
        });
        scene.peer.awaits::<say::Failure>();
    }
    let forward = [fields(&[b"0.0.0.0"]), 0u32.to_be_bytes().to_vec()].concat();
    scene.peer.sends(&say::GlobalRequest {
        name: b"tcpip-forward",
        want_reply: true,
        rest: Rest(&forward),
    });
    scene.peer.awaits::<say::GlobalFailure>();
    let told = scene.told();
    assert!(!told.iter().any(|it| it.starts_with("asked")), "{told:?}");
}
