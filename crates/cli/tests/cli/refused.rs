//! What a server or the way to it refuses: each with its exit code and its words.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::{fs, thread};

use sansftp_testkit::faultproxy::{Direction, Fault, FaultProxy, Plan};
use sansftp_testkit::sshd::{ClientKey, HostKey, Sshd};

use crate::support::{Scene, files};

/// The flags of [`Scene::trusted`] without the key.
fn without_key(scene: &Scene) -> Vec<String> {
    let mut flags = scene.trusted();
    flags.retain(|flag| !flag.starts_with("--private-key"));
    flags
}

#[test]
fn a_refused_port_is_no_session() {
    let mut scene = Scene::start();
    scene.sshd.stop();
    scene
        .get("", &[])
        .failed(3, "unreachable", &["127.0.0.1"])
        .with_hint("port");
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    let scene = Scene::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = scene.target_at(silent.local_addr().unwrap().port(), "");
    let ran = scene.run(&["list", &target, "--connect-timeout", "500ms"]);
    ran.failed(3, "timeout", &["127.0.0.1"]);
}

#[test]
fn a_server_that_speaks_something_else_is_no_session() {
    let scene = Scene::start();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = scene.target_at(other.local_addr().unwrap().port(), "");
    let server = thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        // The program may have hung up by then.
        let _ = std::io::Write::write_all(&mut stream, b"SSH-1.0-ancient\r\n");
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let ran = scene.run(&["list", &target]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(ran.errors().count(), 1, "{ran:?}");
    server.join().unwrap();
}

#[test]
fn an_unknown_host_key_is_refused_with_the_way_to_trust_it() {
    let scene = Scene::start();
    let target = scene.target("");
    let known = scene.write("known", "");
    let known = known.to_str().unwrap();
    let key = scene.sshd.key(ClientKey::Ed25519);
    let words = [
        "list",
        &target,
        "-i",
        key.to_str().unwrap(),
        "--known-hosts-file",
        known,
    ];
    let ran = scene
        .run_bare(&words)
        .failed(4, "host-key", &["SHA256:", "ssh-ed25519"]);
    let ran = ran.with_hint("sansftp trust sftp://127.0.0.1:");
    // The command is there to be copied, and does.
    let (_, hint) = ran.stderr.split_once("sansftp trust ").unwrap();
    let (command, _) = hint.split_once(", or add").unwrap();
    let mut trust = vec!["trust"];
    trust.extend(command.split(' ').map(|word| word.trim_matches('\'')));
    scene.run_bare(&trust).done();
    scene.run_bare(&words).done();
    scene.write("known", "");
    let ran = scene.run_bare(&[&words[..], &["--host-key-policy", "accept-new"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    scene.run_bare(&words).done();
}

#[test]
fn a_changed_host_key_is_refused_with_the_old_and_the_new_one() {
    let scene = Scene::with(Sshd::builder().host_keys(&[HostKey::Ed25519]).start());
    let line = scene.sshd.known_hosts_line_of(HostKey::EcdsaP256);
    let known = scene.write("known", format!("{line}\n"));
    let target = scene.target("");
    let key = scene.sshd.key(ClientKey::Ed25519);
    for policy in ["strict", "accept-new"] {
        let words = [
            "list",
            &target,
            "-i",
            key.to_str().unwrap(),
            "--host-key-policy",
            policy,
            "--known-hosts-file",
            known.to_str().unwrap(),
        ];
        let ran = scene.run_bare(&words);
        ran.failed(
            4,
            "host-key",
            &[
                "changed",
                "ssh-ed25519 SHA256:",
                "ecdsa-sha2-nistp256 SHA256:",
            ],
        );
    }
    assert_eq!(fs::read_to_string(known).unwrap(), format!("{line}\n"));
}

#[test]
fn a_pasted_host_key_is_enough_and_the_only_one() {
    let scene = Scene::with(Sshd::builder().host_keys(&[HostKey::Ed25519]).start());
    let target = scene.target("");
    let key = scene.sshd.key(ClientKey::Ed25519);
    let list = |entry: &str| {
        scene.run_bare(&[
            "list",
            &target,
            "-i",
            key.to_str().unwrap(),
            "--known-host",
            entry,
        ])
    };
    let line = scene.sshd.known_hosts_line();
    list(&line).done();
    let (_, bare) = line.split_once(' ').unwrap();
    list(bare).done();
    list(&scene.sshd.known_hosts_line_of(HostKey::Rsa)).failed(4, "host-key", &["SHA256:"]);
}

#[test]
fn an_unreadable_line_of_known_hosts_is_a_warning_unless_it_could_concern_this_host() {
    let scene = Scene::with(Sshd::builder().host_keys(&[HostKey::Ed25519]).start());
    let (target, line) = (scene.target(""), scene.sshd.known_hosts_line());
    let key = scene.sshd.key(ClientKey::Ed25519);
    let list = |text: String| {
        let known = scene.write("known", text);
        let words = [
            "list",
            &target,
            "-i",
            key.to_str().unwrap(),
            "--known-hosts-file",
        ];
        scene.run_bare(&[&words[..], &[known.to_str().unwrap()]].concat())
    };
    let ran = list(format!("elsewhere ssh-ed25519 !!!\n{line}\n"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stderr.contains("WARN") && ran.stderr.contains("line 1"),
        "{ran:?}"
    );
    let ran = list(format!("{line}\n@revoked * ssh-ed25519 !!!\n"));
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("line 2"), "{ran:?}");
}

#[test]
fn no_algorithm_in_common_is_told_with_both_offers() {
    let scene = Scene::with(Sshd::builder().config("Ciphers aes128-ctr").start());
    let target = scene.target("");
    let ran = scene.run(&["list", &target, "--algorithms", "modern,cipher=aes256-ctr"]);
    let ran = ran.failed(4, "no-common-algorithm", &["aes128-ctr", "aes256-ctr"]);
    // The setting that would connect is there to be copied, and does.
    let setting = ran.stderr.split('"').nth(1).unwrap();
    assert_eq!(setting, "modern,cipher=aes128-ctr", "{ran:?}");
    let ran = scene.run(&["list", &target, "--algorithms", setting]);
    ran.with_code(0);
}

#[test]
fn a_wrong_password_is_refused_once() {
    let scene = Scene::start();
    if !scene.sshd.has_own_account() {
        return;
    }
    let target = scene.target("");
    let password = scene.write("password", "wrong\n");
    let mut flags = without_key(&scene);
    flags.push(format!("--password-file={}", password.display()));
    let list = |flags: &[String]| {
        let output = scene.program().args(["list", &target]).args(flags).output();
        scene.finished(output.unwrap())
    };
    list(&flags).failed(5, "authentication", &["password"]);
    assert_eq!(scene.sshd.log().matches("Failed password").count(), 1);
    fs::write(&password, format!("{}\n", scene.sshd.password())).unwrap();
    list(&flags).done();
}

#[test]
fn a_password_can_come_from_the_environment() {
    let scene = Scene::start();
    if !scene.sshd.has_own_account() {
        return;
    }
    let mut program = scene.program();
    program.env("SANSFTP_PASSWORD", scene.sshd.password());
    program
        .args(["list", &scene.target("")])
        .args(without_key(&scene));
    scene.finished(program.output().unwrap()).done();
}

#[test]
fn a_key_that_is_not_authorised_is_refused() {
    let scene = Scene::start();
    let stranger = scene.sshd.key(ClientKey::Stranger);
    let mut program = scene.program();
    program
        .args(["list", &scene.target(""), "-i"])
        .arg(stranger)
        .args(without_key(&scene));
    let ran = scene.finished(program.output().unwrap());
    ran.failed(5, "authentication", &["publickey"]);
}

#[test]
fn without_any_credential_the_error_says_how_to_give_one() {
    let scene = Scene::start();
    let mut program = scene.program();
    program
        .args(["list", &scene.target("")])
        .args(without_key(&scene));
    let ran = scene.finished(program.output().unwrap());
    ran.failed(5, "authentication", &[])
        .with_hint("SANSFTP_PASSWORD");
}

#[test]
fn without_user_and_its_variable_the_system_names_the_account() {
    let scene = Scene::start();
    let target = format!("sftp://127.0.0.1:{}/", scene.sshd.port());
    let mut program = scene.program();
    program.env_remove("USER").args(["list", &target]);
    let ran = scene.finished(program.args(scene.trusted()).output().unwrap());
    // Whether the server knows that account depends on who runs this test.
    assert!(matches!(ran.code, Some(0 | 5)), "{ran:?}");
}

#[test]
fn a_missing_directory_is_told_as_such() {
    let scene = Scene::start();
    scene.get("absent", &[]).failed(1, "not-found", &["absent"]);
    scene
        .run(&["list", &scene.target("absent")])
        .failed(1, "not-found", &["absent"]);
}

#[test]
fn a_file_without_permission_fails_and_the_others_are_fetched() {
    let scene = Scene::start();
    if !scene.sshd.has_own_account() {
        return;
    }
    let closed = scene.sshd.write("out/closed", "c");
    scene.sshd.write("out/open", "o");
    fs::set_permissions(closed, fs::Permissions::from_mode(0o000)).unwrap();
    scene
        .get("out", &["--action", "get-and-delete"])
        .failed(1, "permission", &["closed"]);
    assert_eq!(scene.inbox(), files([("open", "o")]));
    assert_eq!(scene.remote(), files([("out/closed", "c")]));
}

#[test]
fn what_is_delivered_but_cannot_be_deleted_is_told_as_both() {
    let scene = Scene::start();
    if !scene.sshd.has_own_account() {
        return;
    }
    scene.sshd.write("out/kept", "k");
    let directory = scene.sshd.mkdir("out");
    fs::set_permissions(directory, fs::Permissions::from_mode(0o555)).unwrap();
    let ran = scene
        .get("out", &["--action", "get-and-delete"])
        .failed(1, "permission", &["kept"]);
    let row = "kept -> inbox/kept, neither deleted nor moved";
    assert!(ran.stdout.contains(row), "{ran:?}");
    assert_eq!(scene.inbox(), files([("kept", "k")]));
}

#[test]
fn where_nothing_was_begun_there_is_no_table() {
    let scene = Scene::start();
    let ran = scene
        .get("nowhere", &[])
        .failed(1, "not-found", &["nowhere"]);
    assert_eq!(ran.stdout, "");
}

#[test]
fn a_directory_without_permission_takes_no_file_and_keeps_nothing() {
    let scene = Scene::start();
    if !scene.sshd.has_own_account() {
        return;
    }
    let closed = scene.sshd.mkdir("closed");
    fs::set_permissions(closed, fs::Permissions::from_mode(0o555)).unwrap();
    scene.write("f", "content");
    scene
        .send("closed", &["f"])
        .failed(1, "permission", &["closed"]);
    assert!(scene.remote().is_empty());
}

#[test]
fn a_connection_that_is_lost_for_good_leaves_nothing_behind_here() {
    let scene = Scene::start();
    scene.sshd.write("out/large", vec![1; 8 << 20]);
    let plan = Plan::one(Direction::ToClient, 1 << 20, Fault::Reset);
    let proxy = FaultProxy::start(scene.sshd.addr(), plan);
    let line = scene.sshd.known_hosts_line();
    let (_, bare) = line.split_once(' ').unwrap();
    let target = scene.target_at(proxy.port(), "out");
    let words = ["get", &target, "--into", "inbox", "--known-host", bare];
    scene.run(&words).failed(1, "disconnected", &["large"]);
    assert!(scene.inbox().is_empty());
}

#[test]
fn a_lost_connection_is_made_again_where_that_is_allowed() {
    let scene = Scene::start();
    scene.sshd.write("out/large", vec![1; 8 << 20]);
    let plan = Plan::one(Direction::ToClient, 1 << 20, Fault::Reset).only(0);
    let proxy = FaultProxy::start(scene.sshd.addr(), plan);
    let line = scene.sshd.known_hosts_line();
    let (_, bare) = line.split_once(' ').unwrap();
    let target = scene.target_at(proxy.port(), "out");
    let key = scene.sshd.key(ClientKey::Ed25519);
    let words = [
        "get",
        &target,
        "--into",
        "inbox",
        "--known-host",
        bare,
        "-i",
        key.to_str().unwrap(),
        "--retry-delay",
        "10ms to 20ms",
    ];
    scene.run_bare(&words).done();
    assert_eq!(scene.inbox()[&b"large"[..]].len(), 8 << 20);
}
