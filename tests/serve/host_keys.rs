//! What the server proves itself with, as stock clients judge it: certificates of its keys (OpenSSH
//! PROTOCOL.certkeys), and the keys that it announces behind the login (PROTOCOL, `hostkeys-00@openssh.com`).

use sansftp_testkit::serve::{Serve, program};
use sansftp_testkit::sshd::ClientKey;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Keys made by ssh-keygen: `ed25519`, `second`, `rsa`, `ecdsa` and the authority `ca`.
struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        let keys = Self(tempfile::tempdir().unwrap());
        for (name, kind) in [
            ("ca", "ed25519"),
            ("ed25519", "ed25519"),
            ("second", "ed25519"),
            ("rsa", "rsa"),
            ("ecdsa", "ecdsa"),
        ] {
            keys.keygen(&["-q", "-t", kind, "-N", "", "-f", name]);
        }
        keys
    }

    fn keygen(&self, arguments: &[&str]) {
        let mut command = Command::new("ssh-keygen");
        let output = command.current_dir(self.0.path()).args(arguments).output();
        let output = output.expect("ssh-keygen is installed");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// The file with a certificate of the key, for the host at this address.
    fn certify(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let sign = ["-q", "-s", "ca", "-I", "the host", "-n", "127.0.0.1"];
        let public = format!("{name}.pub");
        self.keygen(&[&sign, arguments, &[&public]].concat());
        self.file(&format!("{name}-cert.pub"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Type and base64 of a public half.
    fn public(&self, name: &str) -> String {
        let line = fs::read_to_string(self.file(&format!("{name}.pub"))).unwrap();
        let fields: Vec<_> = line.split_whitespace().take(2).collect();
        fields.join(" ")
    }

    fn written(&self, name: &str, lines: &str) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, lines).unwrap();
        path
    }
}

/// `ls` with OpenSSH's sftp, which knows this file of known hosts and no other.
fn sftp(serve: &Serve, known_hosts: &Path, options: &[&str]) -> Output {
    let mut command = Command::new("sftp");
    command.args(["-v", "-F", "none", "-o", "BatchMode=yes"]);
    for option in ["StrictHostKeyChecking=yes", "GlobalKnownHostsFile=none"] {
        command.args(["-o", option]);
    }
    command.arg("-o");
    command.arg(format!("UserKnownHostsFile={}", known_hosts.display()));
    command.arg("-i").arg(serve.key(ClientKey::Ed25519));
    for option in options {
        command.args(["-o", option]);
    }
    let batch = serve.private_dir().join("batch");
    fs::write(&batch, "ls\n").unwrap();
    command.arg("-b").arg(batch);
    command.args(["-P", &serve.port().to_string()]);
    command.arg(format!("{}@127.0.0.1", serve.user()));
    command.output().expect("sftp is installed")
}

/// `test` with the program.
fn sansftp(serve: &Serve, known_hosts: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(program());
    // Nothing of the tester's own is read.
    let nothing = ["SANSFTP_CONFIG", "XDG_CONFIG_HOME", "XDG_STATE_HOME"];
    command.env("HOME", serve.private_dir());
    nothing.into_iter().for_each(|it| {
        command.env_remove(it);
    });
    command
        .args(["test", "--json", "--known-hosts-file"])
        .arg(known_hosts)
        .arg("--private-key")
        .arg(serve.key(ClientKey::Ed25519))
        .args(options);
    command.arg(format!(
        "sftp://{}@127.0.0.1:{}/",
        serve.user(),
        serve.port()
    ));
    command.output().unwrap()
}

fn went_well(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn clients_that_know_the_authority_alone_are_shown_certificates() {
    let keys = Keys::new();
    let mut builder = Serve::builder().arg("--algorithms").arg("modern");
    for name in ["rsa", "ecdsa", "second"] {
        builder = builder.arg("--host-key").arg(keys.file(name));
    }
    for name in ["rsa", "ecdsa", "second"] {
        let certificate = keys.certify(name, &["-h"]);
        builder = builder.arg("--host-certificate").arg(certificate);
    }
    let serve = builder.start();
    let log = serve.log();
    assert!(
        log.contains("the host for 127.0.0.1, authority SHA256:"),
        "{log}"
    );
    let line = format!("@cert-authority 127.0.0.1 {}", keys.public("ca"));
    assert!(log.contains(&line), "{log}");
    let authority = keys.written("authority", &line);
    for algorithm in [
        "ssh-ed25519-cert-v01@openssh.com",
        "ecdsa-sha2-nistp256-cert-v01@openssh.com",
        "rsa-sha2-512-cert-v01@openssh.com",
        "rsa-sha2-256-cert-v01@openssh.com",
    ] {
        let only = format!("HostKeyAlgorithms={algorithm}");
        let text = went_well(&sftp(&serve, &authority, &[&only]));
        assert!(
            text.contains(&format!("host key algorithm: {algorithm}")),
            "{text}"
        );
    }
    let text = went_well(&sftp(&serve, &authority, &[]));
    assert!(
        text.contains("is known and matches the") && text.contains("-CERT"),
        "{text}"
    );
    let text = went_well(&sansftp(&serve, &authority, &[]));
    assert!(text.contains("ssh-ed25519-cert-v01@openssh.com"), "{text}");
    assert!(text.contains("the host"), "{text}");
    // Who knows the key alone is shown the key alone.
    let known = serve.known_hosts_file();
    let text = went_well(&sansftp(&serve, &known, &[]));
    assert!(text.contains("\"host-certificate\":null"), "{text}");
    went_well(&sftp(&serve, &known, &["HostKeyAlgorithms=ssh-ed25519"]));
    // Another authority is none.
    let line = format!("@cert-authority 127.0.0.1 {}", keys.public("rsa"));
    let other = keys.written("other", &line);
    assert!(!sftp(&serve, &other, &[]).status.success());
    assert!(!sansftp(&serve, &other, &[]).status.success());
}

/// Starts `serve` with a certificate that it cannot use: its words.
fn refused(keys: &Keys, certificates: &[PathBuf]) -> String {
    let mut command = Command::new(program());
    command.arg("serve").arg(keys.0.path());
    command.args(["--listen", "127.0.0.1:0", "--host-key"]);
    command.arg(keys.file("ed25519"));
    for certificate in certificates {
        command.arg("--host-certificate").arg(certificate);
    }
    let output = command.output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_certificate_that_no_client_takes_is_refused_at_the_start() {
    let keys = Keys::new();
    let whole = fs::read_to_string(keys.certify("ed25519", &["-h"])).unwrap();
    let good = keys.written("good", &whole);
    let copy = keys.written("copy", &whole);
    let base64 = whole.split(' ').nth(1).unwrap();
    // A letter of the nonce: the authority did not sign this.
    let mut forged = whole.clone();
    let nonce = whole.find(' ').unwrap() + 70;
    let other = if &whole[nonce..=nonce] == "A" {
        "B"
    } else {
        "A"
    };
    forged.replace_range(nonce..=nonce, other);
    let cut = format!("{} {}", &whole[..32], &base64[..base64.len() / 8 * 4]);
    let (cut, forged) = (keys.written("cut", &cut), keys.written("forged", &forged));
    for (certificates, words) in [
        (vec![good, copy], "has a certificate already"),
        (
            vec![keys.certify("second", &["-h"])],
            "is for none of the host keys",
        ),
        (vec![keys.file("ed25519.pub")], "not a certificate"),
        (vec![keys.file("nowhere")], "cannot be read"),
        (vec![cut], "truncated"),
        (vec![forged], "signature does not verify"),
        (
            vec![keys.certify("ed25519", &[])],
            "where the other is needed",
        ),
    ] {
        let text = refused(&keys, &certificates);
        assert!(text.contains(words), "{words}: {text}");
        assert!(text.contains("host certificate"), "{text}");
    }
}

#[test]
fn an_expired_certificate_is_told_of_and_leaves_the_key() {
    let keys = Keys::new();
    let expired = keys.certify("second", &["-h", "-V", "20200101:20210101"]);
    let serve = Serve::builder()
        .arg("--host-key")
        .arg(keys.file("second"))
        .arg("--host-certificate")
        .arg(expired)
        .start();
    let log = serve.log();
    assert!(
        log.contains("it has expired; clients will not take it"),
        "{log}"
    );
    let line = format!("@cert-authority 127.0.0.1 {}", keys.public("ca"));
    let authority = keys.written("authority", &line);
    assert!(!sftp(&serve, &authority, &[]).status.success());
    went_well(&sansftp(&serve, &serve.known_hosts_file(), &[]));
}

/// A server with keys of two types, two of one of them, and the file of a client that knows one of
/// them, and one that is gone.
fn with_more_keys(keys: &Keys) -> (Serve, PathBuf) {
    let mut builder = Serve::builder();
    for name in ["rsa", "second"] {
        builder = builder.arg("--host-key").arg(keys.file(name));
    }
    let serve = builder.start();
    let gone = format!("[127.0.0.1]:{} {}", serve.port(), keys.public("ecdsa"));
    let lines = format!("{}\n{gone}\n", serve.known_hosts_line());
    let known = keys.written("known_hosts", &lines);
    (serve, known)
}

fn knows(file: &Path, key: &str) -> bool {
    fs::read_to_string(file).unwrap().contains(key)
}

#[test]
fn openssh_learns_the_keys_that_the_server_announces_and_forgets_those_that_are_gone() {
    let keys = Keys::new();
    // A client of OpenSSH's wants an RSA key's proof with the algorithm that was agreed on, if that is RSA's.
    for (known_by, algorithm) in [
        (None, "ssh-ed25519"),
        (Some("rsa"), "rsa-sha2-256"),
        (Some("rsa"), "rsa-sha2-512"),
    ] {
        let (serve, known) = with_more_keys(&keys);
        if let Some(name) = known_by {
            let line = format!("[127.0.0.1]:{} {}\n", serve.port(), keys.public(name));
            let gone = format!("[127.0.0.1]:{} {}\n", serve.port(), keys.public("ecdsa"));
            fs::write(&known, line + &gone).unwrap();
        }
        let only = format!("HostKeyAlgorithms={algorithm},ecdsa-sha2-nistp256");
        let options = [&only, "UpdateHostKeys=yes"];
        let text = went_well(&sftp(&serve, &known, &options));
        let all =
            format!("HostKeyAlgorithms={algorithm},ssh-ed25519,rsa-sha2-512,ecdsa-sha2-nistp256");
        let text = text + &went_well(&sftp(&serve, &known, &[&all, "UpdateHostKeys=yes"]));
        for name in ["rsa", "second"] {
            assert!(
                knows(&known, &keys.public(name)),
                "{algorithm}, {name}: {text}"
            );
        }
        assert!(!knows(&known, &keys.public("ecdsa")), "{algorithm}: {text}");
    }
}

#[test]
fn our_own_client_learns_them_too() {
    let keys = Keys::new();
    let (serve, known) = with_more_keys(&keys);
    went_well(&sansftp(&serve, &known, &["--update-host-keys"]));
    for name in ["rsa", "second"] {
        assert!(knows(&known, &keys.public(name)), "{name}");
    }
    // And then knows the server by the new key alone.
    let line = format!("[127.0.0.1]:{} {}\n", serve.port(), keys.public("rsa"));
    went_well(&sansftp(&serve, &keys.written("rsa_only", &line), &[]));
}
