//! SIGINT and SIGTERM: the file in hand is given back, and nothing is left behind.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sansftp_testkit::faultproxy::{Direction, Fault, FaultProxy, Plan};

use crate::support::Scene;

/// Waits for something to happen at either side.
fn until(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !what() {
        assert!(Instant::now() < end, "it did not come to that");
        thread::sleep(Duration::from_millis(5));
    }
}

fn signalled(scene: &Scene, child: Child, signal: Signal, code: i32) {
    let id = i32::try_from(child.id()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    let ran = scene.finished(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(code), "{ran:?}");
}

/// A way to the server that is slow from some byte on, so that there is a file in hand.
fn slow(scene: &Scene, direction: Direction) -> FaultProxy {
    let slowly = Plan::one(direction, 256 << 10, Fault::Fragment(512));
    FaultProxy::start(scene.sshd.addr(), slowly)
}

fn start(scene: &Scene, words: &[&str]) -> Child {
    let line = scene.sshd.known_hosts_line();
    let (_, bare) = line.split_once(' ').unwrap();
    let mut program = scene.program();
    program
        .args(words)
        .args(["--known-host", bare])
        .args(scene.trusted());
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    program.spawn().unwrap()
}

#[test]
fn a_fetch_that_is_interrupted_leaves_no_temporary_file_and_the_source() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let scene = Scene::start();
        scene.sshd.write("out/large", vec![1; 64 << 20]);
        let proxy = slow(&scene, Direction::ToClient);
        let target = scene.target_at(proxy.port(), "out");
        let words = [
            "get",
            &target,
            "--into",
            "inbox",
            "--action",
            "get-and-delete",
        ];
        let child = start(&scene, &words);
        until(|| !scene.inbox().is_empty());
        signalled(&scene, child, signal, code);
        assert!(scene.inbox().is_empty());
        assert_eq!(scene.remote().len(), 1, "the source is gone");
    }
}

#[test]
fn a_sending_that_is_interrupted_leaves_no_temporary_file_at_the_server() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let scene = Scene::start();
        scene.write("large", vec![1; 64 << 20]);
        let proxy = slow(&scene, Direction::ToServer);
        let target = scene.target_at(proxy.port(), "");
        let child = start(&scene, &["send", &target, "large"]);
        until(|| !scene.remote().is_empty());
        signalled(&scene, child, signal, code);
        assert!(scene.remote().is_empty());
    }
}

#[test]
fn a_server_that_no_longer_answers_does_not_keep_it_from_ending() {
    let scene = Scene::start();
    scene.sshd.write("out/large", vec![1; 8 << 20]);
    let stalled = Plan::one(Direction::ToClient, 1 << 20, Fault::Stall);
    let proxy = FaultProxy::start(scene.sshd.addr(), stalled);
    let target = scene.target_at(proxy.port(), "out");
    let child = start(&scene, &["get", &target, "--into", "inbox"]);
    until(|| !scene.inbox().is_empty());
    thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    signalled(&scene, child, Signal::INT, 130);
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(scene.inbox().is_empty());
}

#[test]
fn waiting_for_a_server_is_interrupted_at_once() {
    let scene = Scene::start();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = scene.target_at(silent.local_addr().unwrap().port(), "");
    let child = start(&scene, &["list", &target]);
    let (_stream, _) = silent.accept().unwrap();
    let begun = Instant::now();
    signalled(&scene, child, Signal::TERM, 143);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn ctrl_c_at_a_password_is_an_interruption_and_the_question_names_the_server() {
    let scene = Scene::start();
    let target = scene.target("");
    let known = scene.sshd.known_hosts_file();
    let line = format!(
        "exec '{}' list '{target}' --known-hosts-file '{}'",
        env!("CARGO_BIN_EXE_sansftp"),
        known.display()
    );
    // It is a terminal around the program, and ends with its code.
    let mut terminal = Command::new("script")
        .args(["-qefc", &line, "/dev/null"])
        .env("HOME", scene.path("inbox"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keys, mut screen) = (
        terminal.stdin.take().unwrap(),
        terminal.stdout.take().unwrap(),
    );
    let mut shown = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&shown).contains("Password of") {
        assert_eq!(
            screen.read(&mut byte).unwrap(),
            1,
            "it ended without asking"
        );
        shown.push(byte[0]);
    }
    let server = format!("127.0.0.1:{}:", scene.sshd.port());
    assert!(String::from_utf8_lossy(&shown).contains(&server));
    keys.write_all(b"\x03").unwrap();
    screen.read_to_end(&mut shown).unwrap();
    assert_eq!(terminal.wait().unwrap().code(), Some(130));
    let shown = String::from_utf8_lossy(&shown);
    assert!(!shown.contains("(authentication)"), "{shown}");
}
