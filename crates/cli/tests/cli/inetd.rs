//! `serve --inetd`: one SSH connection on pipes, as a ProxyCommand, and on a socket, as under inetd.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use crate::served::{Place, ran_with};

/// Stock sftp that asks no one and keeps no host key.
fn sftp(place: &Place) -> Command {
    let mut sftp = place.command("sftp");
    sftp.args([
        "-F",
        "none",
        "-b",
        "-",
        "-i",
        "key",
        "-o",
        "IdentitiesOnly=yes",
    ])
    .args(["-o", "StrictHostKeyChecking=accept-new", "-o"])
    .arg(format!(
        "UserKnownHostsFile={}",
        place.path("known").display()
    ));
    sftp
}

#[test]
fn a_proxy_command_serves_one_connection_on_pipes() {
    let place = Place::new();
    let large: Vec<u8> = (0..6_000_000_u32).map(|it| (it % 249) as u8).collect();
    place.write("large", &large);
    let program = env!("CARGO_BIN_EXE_sansftp");
    let proxy = format!("ProxyCommand={program} serve --inetd files --authorized-keys key.pub");
    let mut client = sftp(&place);
    client.args(["-o", &proxy, "tester@here"]);
    let told = ran_with(&mut client, "put large\nget large back\n");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(place.read("back"), large);
    assert!(
        told.stderr.contains("authenticated by publickey"),
        "{told:?}"
    );
    // The host key was kept: a second connection finds the one that the first has recorded.
    let mut client = sftp(&place);
    client.args(["-o", &proxy, "tester@here"]);
    assert_eq!(ran_with(&mut client, "ls\n").code, Some(0));
}

#[test]
fn a_socket_is_served_and_no_log_reaches_the_client() {
    let place = Place::new();
    place.write("files/a", "alpha");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut program = place.program();
    program.args([
        "serve",
        "--inetd",
        "files",
        "--authorized-keys",
        "key.pub",
        "-vv",
    ]);
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let end = || Stdio::from(OwnedFd::from(stream.try_clone().unwrap()));
        let mut child = program
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        drop((program, stream));
        child.wait().unwrap()
    });
    let mut client = sftp(&place);
    client.args(["-P", &port, "tester@127.0.0.1"]);
    let told = ran_with(&mut client, "get a\nput a b\n");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(place.read("files/b"), b"alpha");
    assert_eq!(served.join().unwrap().code(), Some(0));
}

#[test]
fn without_a_proof_to_ask_for_it_does_not_begin() {
    let place = Place::new();
    place
        .run(&["serve", "--inetd", "files"])
        .failed(2, "configuration", &["--inetd"])
        .with_hint("--authorized-keys");
}
