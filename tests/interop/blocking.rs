//! The example of the core that needs no runtime, run against a real server.

use crate::common::{Noise, disk_hash};
use sansftp_keys::{read_public, sha256_fingerprint};
use sansftp_testkit::sshd::{ClientKey, HostKey, Sshd};

#[path = "../../crates/proto/examples/blocking.rs"]
#[expect(
    dead_code,
    reason = "its main is the example's own, its parts are run here"
)]
mod example;

/// The arguments that fetch `source` into `target`, from a server with one host key.
fn arguments(sshd: &Sshd, fingerprint: &str) -> Vec<String> {
    vec![
        sshd.addr().to_string(),
        sshd.user().to_owned(),
        sshd.key(ClientKey::Ed25519).display().to_string(),
        fingerprint.to_owned(),
        "source".to_owned(),
        sshd.private_dir().join("target").display().to_string(),
    ]
}

fn fingerprint(sshd: &Sshd, key: HostKey) -> String {
    let line = sshd.known_hosts_line_of(key);
    let (_, key) = line.split_once(' ').unwrap();
    sha256_fingerprint(&read_public(key.as_bytes()).unwrap().key)
}

#[test]
fn the_blocking_example_gets_a_file() {
    let sshd = Sshd::builder().host_keys(&[HostKey::Ed25519]).start();
    let source = sshd.write("source", Noise::all(20_000_003));
    let arguments = arguments(&sshd, &fingerprint(&sshd, HostKey::Ed25519));
    example::get(&arguments).unwrap();
    let target = sshd.private_dir().join("target");
    assert_eq!(disk_hash(&target), disk_hash(&source));
}

#[test]
fn the_blocking_example_trusts_no_other_host_key() {
    let sshd = Sshd::builder().host_keys(&[HostKey::Ed25519]).start();
    sshd.write("source", b"secret");
    let arguments = arguments(&sshd, &fingerprint(&sshd, HostKey::EcdsaP256));
    let error = example::get(&arguments).unwrap_err();
    assert!(error.to_string().contains("host key"), "{error}");
    assert!(!sshd.private_dir().join("target").exists());
}

#[test]
fn the_blocking_example_says_what_the_server_refuses() {
    let sshd = Sshd::builder().host_keys(&[HostKey::Ed25519]).start();
    let arguments = arguments(&sshd, &fingerprint(&sshd, HostKey::Ed25519));
    let error = example::get(&arguments).unwrap_err();
    assert!(error.to_string().contains("no such file"), "{error}");
}
