//! Sessions with stock OpenSSH, recorded once and replayed without it: what the client says today is, byte for byte, what the
//! server accepted then.
//!
//! The recordings lie in `tests/recordings`; `cargo test -p sansftp-tests --test proto record -- --ignored` makes them anew.

use sansftp_testkit::recording::{Recording, Settings};
use sansftp_testkit::sshd::Sshd;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name, kex, host key, cipher, MAC: each framing once, each kind of share, each kind of host key.
const SESSIONS: [[&str; 5]; 4] = [
    [
        "gcm",
        "curve25519-sha256",
        "ssh-ed25519",
        "aes128-gcm@openssh.com",
        "hmac-sha2-256",
    ],
    [
        "chacha",
        "ecdh-sha2-nistp256",
        "ecdsa-sha2-nistp256",
        "chacha20-poly1305@openssh.com",
        "hmac-sha2-256",
    ],
    [
        "ctr-etm",
        "ecdh-sha2-nistp384",
        "rsa-sha2-512",
        "aes256-ctr",
        "hmac-sha2-512-etm@openssh.com",
    ],
    [
        "ctr",
        "diffie-hellman-group14-sha256",
        "rsa-sha2-256",
        "aes128-ctr",
        "hmac-sha2-256",
    ],
];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("recordings")
        .join(format!("{name}.txt"))
}

#[test]
fn what_openssh_accepted_is_said_again_byte_for_byte() {
    for [name, ..] in SESSIONS {
        let text = std::fs::read_to_string(path(name)).expect("the recording is checked in");
        let recording = Recording::parse(&text);
        assert_eq!(
            recording.to_text(),
            text,
            "{name}: it is read as it was written"
        );
        let (server, client) = recording.sizes();
        assert!(
            server > 6000 && client > 6000,
            "{name}: a whole session, with a file in both directions"
        );
        assert_eq!(recording.replay(), Ok(()), "{name}");
    }
}

/// A replay that could not fail would say nothing.
#[test]
fn a_recording_of_which_one_byte_differs_does_not_replay() {
    let text = std::fs::read_to_string(path("gcm")).expect("the recording is checked in");
    for mark in ["\n< ", "\n> "] {
        let at = text
            .rmatch_indices(mark)
            .nth(2)
            .expect("there are several")
            .0
            + mark.len();
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(Recording::parse(&changed).replay().is_err());
    }
}

#[test]
#[ignore = "writes the recordings anew, with the sshd that is installed; cargo xtask corpus --record runs it"]
fn record_sessions_with_openssh() {
    let sshd = Sshd::builder().config("PasswordAuthentication yes").start();
    assert!(
        sshd.has_own_account(),
        "only root knows a password that sshd takes"
    );
    for (seed, [name, kex, host_key, cipher, mac]) in (1..).zip(SESSIONS) {
        let settings = Settings {
            seed,
            kex: kex.into(),
            host_key: host_key.into(),
            cipher: cipher.into(),
            mac: mac.into(),
            user: sshd.user().into(),
            password: sshd.password().into(),
        };
        let stream = TcpStream::connect(sshd.addr()).expect("sshd listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout can be set");
        let recording = Recording::record(settings, stream);
        std::fs::write(path(name), recording.to_text()).expect("the recording can be written");
    }
}
