//! The bounds of the listener, seen from outside: handshakes at once, the time for them, attempts, sessions.

use crate::clients::{Cell, openssh};
use crate::host::Host;
use crate::login::Login;
use sansftp_testkit::serve::Serve;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

fn with(arguments: &[&str]) -> Host {
    let builder = Serve::builder();
    Host::Serve(
        arguments
            .iter()
            .fold(builder, |builder, argument| builder.arg(*argument))
            .start(),
    )
}

/// A connection, and the first bytes of the server's greeting; none if it hung up.
fn greeted(host: &Host) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", host.port())).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut first = [0; 8];
    let greeting = match stream.read_exact(&mut first) {
        Ok(()) => first.to_vec(),
        Err(_) => Vec::new(),
    };
    (stream, greeting)
}

#[tokio::test(flavor = "multi_thread")]
async fn more_handshakes_at_once_than_allowed_are_dropped_and_the_next_one_after_is_not() {
    let host = with(&["--max-startups", "5"]);
    let mut waiting: Vec<_> = (0..5).map(|_| greeted(&host)).collect();
    for (_, greeting) in &waiting {
        assert_eq!(greeting, b"SSH-2.0-");
    }
    for _ in 0..3 {
        assert_eq!(greeted(&host).1, b"", "it is dropped without a word");
    }
    waiting.pop();
    let end = Instant::now() + Duration::from_secs(10);
    while greeted(&host).1.is_empty() {
        assert!(
            Instant::now() < end,
            "the place of one that is gone stays taken"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Whoever has authenticated takes none of these places.
    waiting.truncate(3);
    let login = Login::new(&host);
    let mut sessions = Vec::new();
    while sessions.len() < 10 {
        match login.connect().await {
            Ok(client) => sessions.push(client),
            Err(_) => assert!(Instant::now() < end, "no place for a handshake"),
        }
    }
}

#[test]
fn a_client_that_does_not_log_in_is_gone_after_the_time_for_it_whatever_it_sends() {
    let host = with(&["--login-time", "2s"]);
    let begin = Instant::now();
    let silent = greeted(&host).0;
    let mut greets = greeted(&host).0;
    greets.write_all(b"SSH-2.0-slow\r\n").unwrap();
    let mut dribbles = greeted(&host).0;
    let mut writer = dribbles.try_clone().unwrap();
    let dribbler = std::thread::spawn(move || {
        for byte in b"SSH-2.0-a-client-that-dribbles".iter().cycle().take(200) {
            if writer.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    for stream in [&mut { silent }, &mut greets, &mut dribbles] {
        // What the server says before it hangs up; a reset is an end as well.
        let _ = stream.read_to_end(&mut Vec::new());
        let after = begin.elapsed();
        assert!(
            (Duration::from_millis(1500)..Duration::from_secs(6)).contains(&after),
            "{after:?}"
        );
    }
    dribbler.join().unwrap();
    // Who has logged in stays.
    let cell = Cell::new(&host, "stays");
    let output = openssh::sftp(&cell, "pwd\n!sleep 4\npwd\n")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}\n{}", host.log());
}

/// `ssh` with many keys that nobody knows: how many it could offer, and what it was told then.
fn offers(host: &Host) -> (usize, String) {
    let cell = Cell::new(host, "offers");
    let mut command = cell.command("ssh");
    command.args([
        "-v",
        "-F",
        "/dev/null",
        "-o",
        "GlobalKnownHostsFile=/dev/null",
    ]);
    command.arg("-o").arg(format!(
        "UserKnownHostsFile={}",
        host.known_hosts().display()
    ));
    command.args([
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "IdentityAgent=none",
        "-o",
        "BatchMode=yes",
    ]);
    for number in 0..12 {
        let key = cell.local(&format!("key-{number}"));
        let mut keygen = Command::new("ssh-keygen");
        let made = keygen
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status()
            .unwrap();
        assert!(made.success());
        command.arg("-i").arg(key);
    }
    command.args(["-p", &host.port().to_string(), &host.account(), "true"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(255), "{output:?}");
    fs::remove_dir_all(&cell.here).unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    (words.matches("Offering public key").count(), words)
}

#[test]
fn attempts_are_counted_exactly() {
    for (arguments, attempts) in [(&[][..], 6), (&["--max-attempts", "3"][..], 3)] {
        let (offered, words) = offers(&with(arguments));
        assert_eq!(offered, attempts, "{words}");
        assert!(words.contains("Received disconnect"), "{words}");
    }
}

#[test]
#[ignore = "nightly: the control, what a stock sshd makes of the same keys"]
fn attempts_are_counted_as_sshd_counts_them() {
    assert_eq!(offers(&Host::sshd()).0, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_in_all_and_of_one_user_are_bounded_and_told_so() {
    for flag in ["--max-sessions", "--max-sessions-per-user"] {
        let host = with(&[flag, "3"]);
        let login = Login::new(&host);
        let mut sessions = Vec::new();
        for _ in 0..3 {
            let client = login.connect().await.unwrap();
            let sftp = client.sftp().await.unwrap();
            sessions.push((client, sftp));
        }
        let refused = match login.connect().await {
            Ok(client) => client.sftp().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(refused.is_err(), "{flag}: a fourth one came in");
        // Those that are in do not notice.
        for (_, sftp) in &sessions {
            sftp.stat(b".").await.unwrap();
        }
        sessions.pop();
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            if let Ok(client) = login.connect().await
                && client.sftp().await.is_ok()
            {
                break;
            }
            assert!(
                Instant::now() < end,
                "{flag}: the place of one that is gone stays taken"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
