//! The fixture against the stock client: what it promises to tests must hold without our own stack.

use super::*;

use std::io::Write;
use std::net::TcpStream;
use std::process::{Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The stock `sftp`, away from every file of the user's own.
fn sftp(sshd: &Sshd, key: ClientKey, options: &[&str], batch: &str) -> Output {
    let mut child = Command::new("sftp")
        .args(["-q", "-b", "-", "-F", "/dev/null"])
        .args([
            "-o",
            "GlobalKnownHostsFile=/dev/null",
            "-o",
            "StrictHostKeyChecking=yes",
        ])
        .args([
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "IdentityAgent=none",
            "-o",
            "BatchMode=yes",
        ])
        .arg("-o")
        .arg(format!(
            "UserKnownHostsFile={}",
            sshd.known_hosts_file().display()
        ))
        .arg("-i")
        .arg(sshd.key(key))
        .args(options)
        .arg("-P")
        .arg(sshd.port().to_string())
        .arg(format!("{}@127.0.0.1", sshd.user()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(batch.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[track_caller]
fn assert_ok(sshd: &Sshd, output: &Output) {
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}\n{}", sshd.log());
}

#[test]
fn a_session_starts_in_the_fixtures_own_directory_and_moves_files_both_ways() {
    let sshd = Sshd::start();
    sshd.write("outbox/a file", "from the server");
    let here = sshd.private_dir();
    fs::write(here.join("up"), "from the client").unwrap();
    let batch = format!(
        "lcd {}\nget \"outbox/a file\" down\nput up\npwd\n",
        here.display()
    );
    let output = sftp(&sshd, ClientKey::Ed25519, &[], &batch);
    assert_ok(&sshd, &output);
    assert_eq!(fs::read(here.join("down")).unwrap(), b"from the server");
    assert_eq!(
        fs::read(sshd.home().join("up")).unwrap(),
        b"from the client"
    );
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(words.contains(sshd.home().to_str().unwrap()), "{words}");
}

#[test]
fn each_key_opens_the_account_but_the_strangers() {
    let sshd = Sshd::start();
    for key in ClientKey::PLAIN {
        assert_ok(&sshd, &sftp(&sshd, key, &[], "pwd\n"));
    }
    for key in [ClientKey::Stranger, ClientKey::Ed25519Encrypted] {
        assert!(
            !sftp(&sshd, key, &[], "pwd\n").status.success(),
            "{key:?} opened it"
        );
    }
    assert!(
        sshd.log().contains("Accepted publickey for"),
        "{}",
        sshd.log()
    );
}

#[test]
fn an_encrypted_key_opens_with_the_passphrase() {
    for key in ClientKey::ENCRYPTED {
        let path = Sshd::start().key(key);
        let with = |passphrase: &str| {
            let mut command = Command::new("ssh-keygen");
            command.args(["-y", "-P", passphrase, "-f"]).arg(&path);
            command.output().unwrap().status.success()
        };
        assert!(with(PASSPHRASE), "{key:?}");
        assert!(!with("another"), "{key:?}");
    }
}

#[test]
fn each_host_key_is_presented_alone_and_known_by_its_line() {
    for key in HostKey::ALL {
        let sshd = Sshd::builder().host_keys(&[key]).start();
        assert_eq!(sshd.known_hosts().trim_end(), sshd.known_hosts_line());
        assert_ok(&sshd, &sftp(&sshd, ClientKey::Ed25519, &[], "pwd\n"));
    }
    let sshd = Sshd::builder().host_keys(&[HostKey::Ed25519]).start();
    let other = sshd.known_hosts_line_of(HostKey::EcdsaP256);
    fs::write(
        sshd.known_hosts_file(),
        other.replace("ecdsa-sha2-nistp256", "ssh-ed25519"),
    )
    .unwrap();
    assert!(
        !sftp(&sshd, ClientKey::Ed25519, &[], "pwd\n")
            .status
            .success()
    );
}

#[test]
fn own_lines_come_before_the_fixtures() {
    let sshd = Sshd::builder()
        .config("Ciphers aes128-ctr")
        .config("LogLevel DEBUG1")
        .start();
    assert_ok(&sshd, &sftp(&sshd, ClientKey::Ed25519, &[], "pwd\n"));
    assert!(
        !sftp(&sshd, ClientKey::Ed25519, &["-c", "aes256-ctr"], "pwd\n")
            .status
            .success()
    );
    assert!(sshd.log().contains("debug1:"), "{}", sshd.log());
}

#[test]
#[should_panic(expected = "Bad SSH2 cipher spec")]
fn a_line_that_sshd_refuses_is_told_in_its_words() {
    let _ = Sshd::builder().config("Ciphers nonsense").start();
}

#[test]
fn the_internal_and_the_logged_server_serve_the_same_directory() {
    let sshd = Sshd::builder().sftp(Sftp::Internal).start();
    sshd.write("x", "1");
    assert_ok(&sshd, &sftp(&sshd, ClientKey::Ed25519, &[], "ls x\n"));
    let sshd = Sshd::builder().sftp(Sftp::Logged).start();
    sshd.write("x", "1");
    let output = sftp(&sshd, ClientKey::Ed25519, &[], "rename x y\n");
    assert_ok(&sshd, &output);
    assert!(
        sshd.sftp_log().contains("posix-rename"),
        "{}",
        sshd.sftp_log()
    );
    assert!(
        output.stderr.is_empty(),
        "the log must not reach the client"
    );
}

#[test]
fn permissions_are_real() {
    let sshd = Sshd::start();
    let closed = sshd.mkdir("closed");
    fs::write(closed.join("x"), "").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let output = sftp(&sshd, ClientKey::Ed25519, &[], "put /etc/passwd closed/y\n");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && words.contains("ermission denied"),
        "{words}"
    );
    assert!(fs::metadata(&closed).is_ok_and(|at| std::os::unix::fs::MetadataExt::uid(&at) != 0));
    // Whoever is not root could not remove it otherwise.
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_password_logs_in() {
    let sshd = Sshd::start();
    let answer = |password: &str| {
        let script = sshd.private_dir().join("askpass");
        fs::write(&script, format!("#!/bin/sh\necho '{password}'\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        Command::new("sftp")
            .env("SSH_ASKPASS", script)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .args(["-q", "-F", "/dev/null", "-o", "NumberOfPasswordPrompts=1"])
            .args([
                "-o",
                "PreferredAuthentications=password",
                "-o",
                "GlobalKnownHostsFile=/dev/null",
            ])
            .arg("-o")
            .arg(format!(
                "UserKnownHostsFile={}",
                sshd.known_hosts_file().display()
            ))
            .arg("-P")
            .arg(sshd.port().to_string())
            .arg(format!("{}@127.0.0.1", sshd.user()))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    assert_ok(&sshd, &answer(sshd.password()));
    assert!(!answer("wrong").status.success());
}

#[test]
fn stopping_ends_listener_and_sessions_and_the_port_is_refused() {
    let mut sshd = Sshd::start();
    let mut open = TcpStream::connect(sshd.addr()).unwrap();
    let mut banner = [0; 4];
    io::Read::read_exact(&mut open, &mut banner).unwrap();
    assert_eq!(&banner, b"SSH-");
    let pid = sshd.pid().unwrap();
    sshd.stop();
    assert!(!processes::exists(pid));
    assert_eq!(sshd.pid(), None);
    open.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut rest = Vec::new();
    // The end or a reset, but not silence.
    if let Err(error) = io::Read::read_to_end(&mut open, &mut rest) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    assert!(TcpStream::connect(sshd.addr()).is_err());
    assert!(sshd.log().contains("Server listening"));
}

#[test]
fn many_start_side_by_side_on_ports_of_their_own() {
    let mut ports: Vec<u16> = thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(Sshd::start)).collect();
        let all: Vec<Sshd> = starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect();
        all.iter().map(Sshd::port).collect()
    });
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 8);
}

#[test]
fn a_killed_test_leaves_no_listener_behind() {
    let mut sshd = Sshd::start();
    let pid = sshd.pid().unwrap();
    // What the kernel does to the pipe of a process that was killed.
    drop(sshd.guard.as_mut().unwrap().pipe.take());
    let end = Instant::now() + Duration::from_secs(10);
    while processes::exists(pid) {
        assert!(Instant::now() < end, "the listener lives on");
        thread::sleep(Duration::from_millis(10));
    }
}
