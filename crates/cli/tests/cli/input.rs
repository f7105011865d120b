//! Bad input: one clear line with the place and the remedy, exit code 2, and nobody is contacted.

use std::fs;

use sansftp_testkit::sshd::{ClientKey, Sshd};

use crate::support::{Ran, Scene};

/// A scene whose server must not be contacted.
fn scene() -> Scene {
    Scene::with(Sshd::start())
}

fn refused(scene: &Scene, words: &[&str]) -> Ran {
    let ran = scene.run_bare(words);
    assert!(
        !scene.sshd.log().contains("Connection from"),
        "the server was contacted"
    );
    ran
}

#[test]
fn an_unreadable_key_is_named() {
    let scene = scene();
    let target = scene.target("");
    let ran = refused(&scene, &["list", &target, "-i", "absent-key"]);
    ran.failed(2, "configuration", &["absent-key"])
        .with_hint("private-key");
    scene.write("no-key", "this is no key\n");
    let ran = refused(&scene, &["list", &target, "-i", "no-key"]);
    ran.failed(2, "configuration", &["no-key"]).with_hint("");
}

#[test]
fn a_passphrase_that_is_missing_or_wrong_is_told_apart() {
    let scene = scene();
    let target = scene.target("");
    let key = scene.sshd.key(ClientKey::Ed25519Encrypted);
    let key = key.to_str().unwrap();
    let ran = refused(&scene, &["list", &target, "-i", key]);
    ran.failed(2, "configuration", &[key, "passphrase"])
        .with_hint("passphrase");
    scene.write("wrong", "not-the-passphrase\n");
    let ran = refused(
        &scene,
        &["list", &target, "-i", key, "--passphrase-file", "wrong"],
    );
    let ran = ran
        .failed(2, "configuration", &[key, "passphrase"])
        .with_hint("passphrase");
    assert!(!ran.stderr.contains("not-the-passphrase"));
    let words = ["list", &target, "-i", key, "--passphrase-file", "absent"];
    refused(&scene, &words).failed(2, "configuration", &["absent"]);
}

#[test]
fn the_right_passphrase_opens_the_key() {
    let scene = scene();
    let key = scene.sshd.key(ClientKey::Ed25519Encrypted);
    let known = scene.sshd.known_hosts_file();
    scene.write("right", format!("{}\n", sansftp_testkit::sshd::PASSPHRASE));
    let words = [
        "list",
        &scene.target(""),
        "-i",
        key.to_str().unwrap(),
        "--passphrase-file",
        "right",
        "--known-hosts-file",
        known.to_str().unwrap(),
    ];
    scene.run_bare(&words).done();
}

#[test]
fn a_malformed_pasted_host_key_is_told_with_its_number() {
    let scene = scene();
    let target = scene.target("");
    let good = scene.sshd.known_hosts_line();
    let words = [
        "list",
        &target,
        "--known-host",
        &good,
        "--known-host",
        "h ssh-ed25519 !!!",
    ];
    refused(&scene, &words)
        .failed(2, "configuration", &["known-host", "entry 2"])
        .with_hint("SHA256");
}

#[test]
fn an_unknown_key_of_the_configuration_is_told_with_file_line_and_remedy() {
    let scene = scene();
    scene.write(
        "sansftp.toml",
        "[connections.a]\nhost = 'h'\n\npasword = 'x'\n",
    );
    refused(&scene, &["list", "a"])
        .failed(
            2,
            "configuration",
            &["sansftp.toml:4: unknown key 'pasword' in [connections.a]"],
        )
        .with_hint("did you mean 'password'?");
    scene.write(
        "other.toml",
        "[operations.a]\naction = 'get'\nfile-filtr = 'x'\n",
    );
    let target = scene.target("");
    let ran = refused(&scene, &["list", &target, "--config", "other.toml"]);
    ran.failed(2, "configuration", &["other.toml:3", "file-filtr"])
        .with_hint("file-filter");
}

#[test]
fn a_name_that_is_not_configured_is_told_with_those_that_are() {
    let scene = scene();
    scene.write("sansftp.toml", "[connections.partner]\nhost = 'h'\n");
    let ran = refused(&scene, &["list", "warehouse"]);
    ran.failed(2, "configuration", &["sansftp.toml", "'warehouse'"])
        .with_hint("partner");
    fs::remove_file(scene.path("sansftp.toml")).unwrap();
    let ran = refused(&scene, &["list", "warehouse"]);
    ran.failed(2, "configuration", &["no configuration file"])
        .with_hint("sftp://");
    let mut program = scene.program();
    program
        .env("SANSFTP_CONFIG", "absent.toml")
        .args(["list", "warehouse"]);
    let ran = scene.finished(program.output().unwrap());
    ran.failed(2, "configuration", &["absent.toml"])
        .with_hint("path");
}

#[test]
fn a_secret_that_is_not_there_is_named() {
    let scene = scene();
    let write = |password: &str| {
        scene.write(
            "sansftp.toml",
            format!("[connections.a]\nhost = 'h'\npassword = {password}\n"),
        );
    };
    write("{ env = 'NO_SUCH_SECRET' }");
    refused(&scene, &["list", "a"]).failed(2, "configuration", &["NO_SUCH_SECRET"]);
    write("{ command = ['/nonexistent-program'] }");
    refused(&scene, &["list", "a"]).failed(2, "configuration", &["/nonexistent-program"]);
}

#[test]
fn a_secret_in_a_file_that_others_may_read_is_a_warning() {
    let mut scene = scene();
    scene.sshd.stop();
    let port = scene.sshd.port();
    let text = format!(
        "[connections.a]\nhost = '127.0.0.1'\nport = {port}\nretries = 0\npassword = 'hunter2'\n"
    );
    scene.write("sansftp.toml", text);
    let ran = scene
        .run_bare(&["list", "a"])
        .failed(3, "unreachable", &["WARN", "chmod 600"]);
    assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
}

#[test]
fn impossible_combinations_are_told_with_their_remedy() {
    let scene = scene();
    let target = scene.target("");
    scene.write("f", "");
    for (words, told) in [
        (
            &[
                "get",
                &target,
                "--into",
                "inbox",
                "--action",
                "get-and-move",
            ][..],
            "move-to-directory",
        ),
        (
            &["get", &target, "--into", "inbox", "--force-move"],
            "force-move",
        ),
        (&["get", &target, "--into", "absent"], "absent"),
        (
            &[
                "get",
                &target,
                "--into",
                "inbox",
                "--file-filter",
                "regex:(",
            ],
            "regex",
        ),
        (
            &[
                "send",
                &target,
                "f",
                "--if-exists",
                "append",
                "--staging-directory",
                "s",
            ],
            "append",
        ),
        (
            &["send", &target, "f", "--name-template", "{nonsense}"],
            "nonsense",
        ),
        (&["send", &target, "f", "f", "--as", "g"], "--as"),
        (&["list", &target, "--port", "23"], "--port"),
        (
            &["list", &target, "--algorithms", "modern,cipher=rot13"],
            "rot13",
        ),
        (&["list", "sftp://u:hunter2@h"], "password"),
    ] {
        let ran = refused(&scene, words)
            .failed(2, "configuration", &[told])
            .with_hint("");
        assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
    }
}

#[test]
fn wrong_flags_are_answered_by_usage() {
    let scene = scene();
    for words in [
        &["get", "sftp://h"][..],
        &["get", "sftp://h", "--into", "inbox", "--action", "steal"],
        &["send", "sftp://h"],
        &["list", "sftp://h", "--password", "x"],
        &["list", "sftp://h", "--quiet", "-v"],
        &["steal"],
        &[],
    ] {
        let ran = refused(&scene, words);
        assert_eq!(ran.code, Some(2), "{words:?}: {ran:?}");
        assert!(
            ran.stderr.contains("Usage:") || ran.stderr.contains("--help"),
            "{ran:?}"
        );
    }
}
