//! `trust`: a key is recorded when someone says that it is right, and never when it has changed.

use std::fs;

use sansftp_testkit::sshd::{HostKey, Sshd};

use crate::support::Scene;

fn fingerprint(scene: &Scene) -> String {
    let ran = scene.run_bare(&["trust", &scene.target("")]);
    let word = ran
        .stderr
        .split_whitespace()
        .find(|word| word.starts_with("SHA256:"));
    word.expect("the fingerprint is told").to_owned()
}

#[test]
fn without_a_terminal_a_fingerprint_is_needed() {
    let scene = Scene::with(Sshd::builder().host_keys(&[HostKey::Ed25519]).start());
    let ran = scene.run_bare(&["trust", &scene.target("")]);
    ran.failed(2, "configuration", &["SHA256:"])
        .with_hint("--fingerprint SHA256:");
    assert!(!scene.path(".ssh").exists());
}

#[test]
fn the_right_fingerprint_records_the_key_and_a_wrong_one_does_not() {
    let scene = Scene::with(Sshd::builder().host_keys(&[HostKey::Ed25519]).start());
    let target = scene.target("");
    let wrong = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let ran = scene.run_bare(&["trust", &target, "--fingerprint", wrong]);
    ran.failed(4, "host-key", &[wrong, "ssh-ed25519 SHA256:"]);
    assert!(!scene.path(".ssh").exists());
    let right = fingerprint(&scene);
    let ran = scene
        .run_bare(&["trust", &target, "--fingerprint", &right])
        .done();
    assert!(ran.stdout.contains("recorded in "), "{ran:?}");
    let known = fs::read_to_string(scene.path(".ssh/known_hosts")).unwrap();
    assert_eq!(
        known,
        format!("{}\n", key_only(&scene.sshd.known_hosts_line()))
    );
    let ran = scene.run_bare(&["trust", &target]).done();
    assert!(ran.stdout.contains("trusted already"), "{ran:?}");
    let events = scene
        .run_bare(&["trust", &target, "--json"])
        .done()
        .events();
    assert_eq!(events[0]["event"], "host-key");
    assert_eq!(events[0]["fingerprint"], right.as_str());
    assert_eq!(
        (&events[0]["state"], &events[0]["recorded"]),
        (&"known".into(), &false.into())
    );
}

#[test]
fn a_changed_key_is_never_recorded() {
    let scene = Scene::with(Sshd::builder().host_keys(&[HostKey::Ed25519]).start());
    let line = format!("{}\n", scene.sshd.known_hosts_line_of(HostKey::EcdsaP256));
    scene.write("known", &line);
    let right = {
        let elsewhere = Scene::with(Sshd::builder().host_keys(&[HostKey::Ed25519]).start());
        fingerprint(&elsewhere)
    };
    let target = scene.target("");
    let words = [
        "trust",
        &target,
        "--known-hosts-file",
        "known",
        "--fingerprint",
        &right,
    ];
    let ran = scene.run_bare(&words);
    ran.failed(
        4,
        "host-key",
        &["changed", "ecdsa-sha2-nistp256 SHA256:", &right],
    )
    .with_hint("take the old line out");
    assert_eq!(fs::read_to_string(scene.path("known")).unwrap(), line);
}

/// The line without a comment.
fn key_only(line: &str) -> String {
    line.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
