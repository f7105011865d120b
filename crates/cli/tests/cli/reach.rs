//! What the program takes from the user's surroundings to reach a server: `~/.ssh/config`, the agent,
//! the variables that name a proxy.

use std::fs;

use sansftp_testkit::sshd::ClientKey;

use super::support::{Ran, Scene};

fn scene() -> Scene {
    let scene = Scene::start();
    scene.sshd.write("a", "x");
    scene
}

#[track_caller]
fn has_listed(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("\"filename\":\"a\""), "{ran:?}");
}

#[test]
fn an_alias_of_ssh_config_is_reached_when_that_is_wanted() {
    let scene = scene();
    fs::create_dir(scene.path(".ssh")).unwrap();
    let config = format!(
        "Host alias.invalid\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile \"{}\"\n\
         Host *\n  UserKnownHostsFile {}\n",
        scene.sshd.port(),
        scene.sshd.user(),
        scene.sshd.key(ClientKey::Ed25519).display(),
        scene.sshd.known_hosts_file().display(),
    );
    scene.write(".ssh/config", &config);
    let words = ["list", "sftp://alias.invalid", "--json", "--retries=0"];
    has_listed(&scene.run_bare(&[&words[..], &["--ssh-config"]].concat()));
    let without = scene.run_bare(&words);
    assert_eq!(without.code, Some(3), "{without:?}");
    scene.write(".ssh/config", format!("Include other\n{config}"));
    let refused = scene.run_bare(&[&words[..], &["--ssh-config"]].concat());
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stdout.contains("line 1: Include"), "{refused:?}");
}

#[test]
fn without_an_agent_its_flag_says_what_is_missing() {
    let scene = scene();
    let ran = scene.run_bare(&["list", &scene.target(""), "--agent"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("SSH_AUTH_SOCK"), "{ran:?}");
}

#[test]
fn runtime_takes_the_proxy_of_the_environment_and_its_exceptions() {
    let scene = scene();
    let target = scene.target("");
    let run = |exception: &str| {
        let output = scene
            .program()
            .args(["list", &target, "--json", "--proxy", "runtime"])
            .args(scene.trusted())
            // Nothing listens on the port of discarding.
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .env("NO_PROXY", exception)
            .output();
        scene.finished(output.unwrap())
    };
    let refused = run("elsewhere.example");
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(
        refused.stdout.contains("\"class\":\"proxy\""),
        "{refused:?}"
    );
    has_listed(&run("127.0.0.1"));
}

#[test]
fn trust_reaches_a_server_through_the_way_of_its_connection() {
    let gate = Scene::start();
    let scene = scene();
    fs::create_dir(scene.path(".ssh")).unwrap();
    scene.write(".ssh/known_hosts", gate.sshd.known_hosts_line() + "\n");
    let key = scene.sshd.key(ClientKey::Ed25519);
    let server = |sshd: &sansftp_testkit::sshd::Sshd| {
        format!(
            "host = '127.0.0.1'\nport = {}\nuser = '{}'\nprivate-key = '{}'\n",
            sshd.port(),
            sshd.user(),
            key.display()
        )
    };
    let config = format!(
        "[connections.gate]\n{}\n[connections.far]\njump = 'gate'\n{}",
        server(&gate.sshd),
        server(&scene.sshd)
    );
    scene.write("sansftp.toml", config);
    let refused = scene.run_bare(&["list", "far", "--json"]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    let known = scene.sshd.known_hosts_line();
    let fingerprint = refused.stdout.split("SHA256:").nth(1).unwrap();
    let fingerprint = fingerprint.split([' ', ',', ';', '"']).next().unwrap();
    let trusted = scene.run_bare(&[
        "trust",
        "far",
        "--fingerprint",
        &format!("SHA256:{fingerprint}"),
    ]);
    assert_eq!(trusted.code, Some(0), "{trusted:?}");
    let recorded = fs::read_to_string(scene.path(".ssh/known_hosts")).unwrap();
    assert!(
        recorded.contains(known.split(' ').nth(2).unwrap()),
        "{recorded}"
    );
    has_listed(&scene.run_bare(&["list", "far", "--json"]));
}
