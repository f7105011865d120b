//! Ways to a server: jump hosts, certificates, local addresses; places, and how often a server is asked.

use std::fs;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sansftp_connector::connection::{Connection, Jump, PrivateKey};
use sansftp_connector::document::Document;
use sansftp_connector::operation::{Get, List, Operation};
use sansftp_connector::sftp::{Sessions, SftpConnect, server_key};
use sansftp_connector::{Class, Connector, Destination};
use sansftp_testkit::sshd::{ClientKey, Sshd};
use tempfile::tempdir;

use super::fixture::{self, bad, connection, files, those};

fn jobs(jobs: usize) -> NonZeroUsize {
    NonZeroUsize::new(jobs).unwrap()
}

fn connector(connection: &Connection, sessions: &Sessions) -> Connector<SftpConnect> {
    let connect = SftpConnect::prepare_with(connection, None, sessions).unwrap();
    Connector::new(connect, connection.clone())
}

async fn list(connection: &Connection) -> Vec<sansftp_connector::outcome::Outcome> {
    let connector = connector(connection, &Sessions::new());
    fixture::run(
        &connector,
        Operation::List(List::default()),
        vec![Document::empty()],
    )
    .await
}

/// The names that are listed; a failure is the test's.
async fn names(connection: &Connection) -> Vec<String> {
    let outcomes = list(connection).await;
    for outcome in &outcomes {
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
    }
    outcomes
        .iter()
        .filter_map(|it| it.properties.text("filename").map(str::to_owned))
        .collect()
}

fn connections_seen(sshd: &Sshd) -> usize {
    sshd.log().matches("Connection from ").count()
}

#[tokio::test]
async fn wrong_credentials_reach_the_server_once_whoever_comes_and_waits() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    let wrong = Connection {
        private_key: Some(PrivateKey::Path(sshd.key(ClientKey::Stranger))),
        ..connection(&sshd)
    };
    let sessions = Sessions::new();
    let steps = (0..5).map(|_| {
        let destination = Destination::Directory(into.path().to_owned());
        let step = connector(&wrong, &sessions)
            .with_destination(destination)
            .with_jobs(jobs(4));
        async move {
            bad(fixture::run(
                &step,
                Operation::Get(Get::default()),
                vec![Document::empty()],
            )
            .await)
        }
    });
    for (class, text) in futures_util::future::join_all(steps).await {
        assert_eq!(class, Class::Authentication, "{text}");
    }
    assert_eq!(connections_seen(&sshd), 1, "{}", sshd.log());
    // The same account with other credentials is another matter.
    let right = connector(&connection(&sshd), &sessions);
    let outcomes = fixture::run(
        &right,
        Operation::List(List::default()),
        vec![Document::empty()],
    );
    assert!(outcomes.await.iter().all(|it| it.error.is_none()));
}

#[tokio::test]
async fn with_one_place_several_jobs_still_get_everything() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    let all: Vec<(String, String)> = (0..12)
        .map(|it| (format!("f{it}"), "x".repeat(it)))
        .collect();
    for (name, content) in &all {
        sshd.write(name, content);
    }
    let one = Connection {
        max_sessions: jobs(1),
        ..connection(&sshd)
    };
    let step = connector(&one, &Sessions::new())
        .with_destination(Destination::Directory(into.path().to_owned()))
        .with_jobs(jobs(4));
    let outcomes = fixture::run(
        &step,
        Operation::Get(Get::default()),
        vec![Document::empty()],
    )
    .await;
    for outcome in outcomes {
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
    }
    assert_eq!(files(into.path()), those(&all));
}

/// A connection through others, whose keys stand in one file.
fn through(directory: &Path, gates: &[&Sshd], target: &Sshd) -> Connection {
    let known = directory.join("known_hosts");
    let lines: Vec<String> = gates
        .iter()
        .chain(&[target])
        .map(|it| it.known_hosts_line())
        .collect();
    fs::write(&known, lines.join("\n") + "\n").unwrap();
    let gate = |gate: &&Sshd| Jump::Host(format!("{}@127.0.0.1:{}", gate.user(), gate.port()));
    Connection {
        known_host: Vec::new(),
        known_hosts_file: Some(known),
        jump: gates.iter().map(gate).collect(),
        ..connection(target)
    }
}

#[tokio::test]
async fn files_come_through_two_jump_hosts_in_order() {
    let (first, second, target) = (Sshd::start(), Sshd::start(), Sshd::start());
    let directory = tempdir().unwrap();
    let content = fixture::noise(3_000_000);
    target.write("a", &content);
    let far = through(directory.path(), &[&first, &second], &target);
    let into = tempdir().unwrap();
    let step = connector(&far, &Sessions::new())
        .with_destination(Destination::Directory(into.path().to_owned()));
    fixture::good(
        fixture::run(
            &step,
            Operation::Get(Get::default()),
            vec![Document::empty()],
        )
        .await,
    );
    assert_eq!(files(into.path()), those(&[("a", &content)]));
    for sshd in [&first, &second, &target] {
        assert_eq!(connections_seen(sshd), 1, "{}", sshd.log());
    }
    let key = server_key(&far).await.unwrap();
    assert!(
        target
            .known_hosts_line()
            .contains(key.line.split(' ').nth(2).unwrap())
    );
}

#[tokio::test]
async fn what_fails_at_a_jump_host_names_it() {
    let (gate, target) = (Sshd::start(), Sshd::start());
    let directory = tempdir().unwrap();
    let far = through(directory.path(), &[&gate], &target);
    let name = format!("jump host 127.0.0.1:{}", gate.port());

    let stranger = Connection {
        private_key: Some(PrivateKey::Path(gate.key(ClientKey::Stranger))),
        known_host: vec![gate.known_hosts_line()],
        jump: Vec::new(),
        ..connection(&gate)
    };
    let refused = Connection {
        jump: vec![Jump::Connection(Box::new(stranger))],
        ..far.clone()
    };
    let (class, text) = bad(list(&refused).await);
    assert_eq!(class, Class::Authentication, "{text}");
    assert!(text.contains(&name), "{text}");

    let unknown = directory.path().join("empty");
    fs::write(&unknown, "").unwrap();
    let unknown = Connection {
        known_hosts_file: Some(unknown),
        ..far.clone()
    };
    let (class, text) = bad(list(&unknown).await);
    assert_eq!(class, Class::HostKey, "{text}");
    assert!(text.contains(&gate.port().to_string()), "{text}");

    // The key of another port is not asked for: nothing answers there.
    let nobody = Connection {
        port: closed_port(),
        ..far
    };
    let (class, text) = bad(list(&nobody).await);
    assert_eq!(class, Class::Unreachable, "{text}");
    assert!(text.contains(&name), "{text}");

    let shut = Sshd::builder().config("AllowTcpForwarding no").start();
    let shut_off = through(directory.path(), &[&shut], &target);
    let (class, text) = bad(list(&shut_off).await);
    assert_eq!(class, Class::Proxy, "{text}");
    assert!(
        text.contains(&format!("jump host 127.0.0.1:{}", shut.port())),
        "{text}"
    );
    assert!(
        text.contains(&format!("no connection to 127.0.0.1:{}", target.port())),
        "{text}"
    );
    assert_eq!(connections_seen(&target), 0, "nothing went past");
}

/// A port on which nobody listens.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn one_connect_timeout_is_for_the_whole_way() {
    let (gate, target) = (Sshd::start(), Sshd::start());
    target.write("a", "x");
    let directory = tempdir().unwrap();
    let far = through(directory.path(), &[&gate], &target);
    // That of a server on the way is for when it is the end of one.
    let hasty = Connection {
        connect_timeout: Duration::from_millis(1),
        ..connection(&gate)
    };
    let through_it = Connection {
        jump: vec![Jump::Connection(Box::new(hasty))],
        ..far.clone()
    };
    assert_eq!(names(&through_it).await, ["a"]);
    // The end is silent: it is what the time ran out at.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let stalled = Connection {
        port,
        connect_timeout: Duration::from_secs(3),
        retries: 0,
        ..far
    };
    let (class, text) = bad(list(&stalled).await);
    assert_eq!(class, Class::Timeout, "{text}");
    assert!(text.contains("connect-timeout is 3 s"), "{text}");
}

#[tokio::test]
async fn an_ipv6_address_may_be_in_brackets() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let sshd = Sshd::builder().config("ListenAddress ::1").start();
    sshd.write("a", "x");
    let line = sshd.known_hosts_line();
    let key = line.split_once(' ').unwrap().1;
    let known = tempdir().unwrap();
    let file = known.path().join("known_hosts");
    fs::write(&file, format!("[::1]:{} {key}\n", sshd.port())).unwrap();
    for host in ["::1", "[::1]"] {
        let by_six = Connection {
            host: host.to_owned(),
            known_host: Vec::new(),
            known_hosts_file: Some(file.clone()),
            ..connection(&sshd)
        };
        assert_eq!(names(&by_six).await, ["a"], "{host}");
        assert_eq!(
            by_six.account(),
            format!("{}@[::1]:{}", sshd.user(), sshd.port())
        );
    }
}

#[tokio::test]
async fn the_connection_comes_from_the_address_that_is_bound() {
    let sshd = Sshd::start();
    sshd.write("a", "x");
    let bound = Connection {
        bind: Some("127.0.0.2".parse().unwrap()),
        ..connection(&sshd)
    };
    assert_eq!(names(&bound).await, ["a"]);
    assert!(
        sshd.log().contains("Connection from 127.0.0.2 "),
        "{}",
        sshd.log()
    );
    let other_family = Connection {
        bind: Some("::1".parse().unwrap()),
        ..connection(&sshd)
    };
    let (class, text) = bad(list(&other_family).await);
    assert_eq!(class, Class::Unreachable, "{text}");
    assert!(text.contains("family"), "{text}");
}

fn keygen(words: &[&str]) {
    let made = Command::new("ssh-keygen").args(words).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// A key of a type, and a certificate for it.
fn certified(directory: &Path, kind: &[&str], principal: &str) -> (PathBuf, PathBuf) {
    let path = directory.join(format!("id-{}", kind.join("")));
    let text = path.to_str().unwrap();
    keygen(&[&["-q", "-N", "", "-f", text, "-t"], kind].concat());
    let authority = directory.join("ca");
    let authority = authority.to_str().unwrap();
    keygen(&[
        "-q",
        "-s",
        authority,
        "-I",
        "test",
        "-n",
        principal,
        &format!("{text}.pub"),
    ]);
    (
        path.clone(),
        path.with_file_name(format!("id-{}-cert.pub", kind.join(""))),
    )
}

#[tokio::test]
async fn a_certificate_opens_what_its_key_alone_does_not() {
    let directory = tempdir().unwrap();
    let authority = directory.path().join("ca");
    keygen(&[
        "-q",
        "-N",
        "",
        "-t",
        "ed25519",
        "-f",
        authority.to_str().unwrap(),
    ]);
    let public = directory.path().join("ca.pub");
    let sshd = Sshd::builder()
        .config(format!("TrustedUserCAKeys {}", public.display()))
        .start();
    sshd.write("a", "x");
    for kind in [
        &["ed25519"][..],
        &["rsa", "-b", "3072"],
        &["ecdsa", "-b", "384"],
    ] {
        let (key, certificate) = certified(directory.path(), kind, sshd.user());
        let with = |certificate| Connection {
            private_key: Some(PrivateKey::Path(key.clone())),
            certificate,
            ..connection(&sshd)
        };
        assert_eq!(names(&with(Some(certificate))).await, ["a"], "{kind:?}");
        let (class, text) = bad(list(&with(None)).await);
        assert_eq!(class, Class::Authentication, "{text}");
    }
    let (_, other) = certified(directory.path(), &["ecdsa", "-b", "256"], sshd.user());
    for (certificate, words) in [(other, "another key"), (public, "is none")] {
        let unfit = Connection {
            certificate: Some(certificate),
            ..connection(&sshd)
        };
        let error = SftpConnect::prepare(&unfit, None).unwrap_err();
        assert_eq!(error.class(), Class::Configuration);
        assert!(error.message().contains(words), "{error}");
    }
}
