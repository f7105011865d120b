//! Certificates of hosts, made by ssh-keygen and shown by a stock sshd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sansftp_connector::connection::{Connection, HostKeyPolicy};
use sansftp_connector::remote::{Connect, Remote};
use sansftp_connector::sftp::{Details, KeyState, SftpConnect, server_key};
use sansftp_connector::{Class, Error};
use sansftp_testkit::sshd::{HostKey, Sshd};
use tempfile::TempDir;

use super::fixture::connection;

/// The arguments of a good certificate.
const GOOD: &[&str] = &["-h", "-n", "127.0.0.1"];

/// A server whose key an authority has certified, and the authority.
struct Scene {
    sshd: Sshd,
    dir: TempDir,
}

impl Scene {
    fn new(kind: &str, certificate: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        keygen(dir.path(), &["-q", "-t", "ed25519", "-N", "", "-f", "ca"]);
        keygen(dir.path(), &["-q", "-t", kind, "-N", "", "-f", "host"]);
        let sign = ["-q", "-s", "ca", "-I", "a host", "-z", "7"];
        let all = [&sign, certificate, &["host.pub"]].concat();
        keygen(dir.path(), &all);
        let path = |name: &str| dir.path().join(name).display().to_string();
        let sshd = Sshd::builder()
            .host_keys(&[HostKey::Ed25519])
            .config(format!("HostKey {}", path("host")))
            .config(format!("HostCertificate {}", path("host-cert.pub")))
            .start();
        Self { sshd, dir }
    }

    /// The type and the base64 of a key.
    fn key(&self, name: &str) -> String {
        let line = fs::read_to_string(self.dir.path().join(name)).unwrap();
        let fields: Vec<_> = line.split_whitespace().take(2).collect();
        fields.join(" ")
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    /// A connection that knows these lines; `{ca}`, `{host}` and `{port}` stand for what they are here.
    fn knows(&self, lines: &str) -> Connection {
        let lines = lines
            .replace("{ca}", &self.key("ca.pub"))
            .replace("{host}", &self.key("host.pub"))
            .replace("{port}", &self.sshd.port().to_string());
        fs::write(self.file(), lines).unwrap();
        Connection {
            known_host: Vec::new(),
            known_hosts_file: Some(self.file()),
            ..connection(&self.sshd)
        }
    }
}

fn keygen(dir: &Path, arguments: &[&str]) {
    let output = Command::new("ssh-keygen")
        .current_dir(dir)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

async fn connect(connection: &Connection) -> Result<Details, Error> {
    let remote = SftpConnect::prepare(connection, None)?.connect().await?;
    let details = remote.details();
    remote.close().await;
    Ok(details)
}

async fn refused(connection: &Connection) -> String {
    let error = connect(connection).await.expect_err("it is refused");
    assert_eq!(error.class(), Class::HostKey, "{error}");
    format!("{error} | {}", error.hint().unwrap_or_default())
}

#[tokio::test]
async fn an_authority_of_the_host_is_enough_for_every_type_of_key() {
    for (kind, algorithm) in [
        ("ed25519", "ssh-ed25519-cert-v01@openssh.com"),
        ("ecdsa", "ecdsa-sha2-nistp256-cert-v01@openssh.com"),
        ("rsa", "rsa-sha2-512-cert-v01@openssh.com"),
    ] {
        let scene = Scene::new(kind, GOOD);
        // By the name without the port, as certificates name hosts, and by the one with it.
        for lines in [
            "@cert-authority 127.0.0.1 {ca}\n",
            "@cert-authority [127.0.0.1]:{port} {ca}\n",
            "@cert-authority 127.* {ca}\n",
        ] {
            let details = connect(&scene.knows(lines)).await.unwrap();
            assert_eq!(details.host_key_algorithm, algorithm);
            assert_eq!(details.host_key, scene.key("host.pub"));
            let certificate = details.host_certificate.expect(lines);
            assert_eq!((certificate.id.as_str(), certificate.serial), ("a host", 7));
            assert_eq!(certificate.names, ["127.0.0.1"]);
        }
        // Nothing is learned of it.
        let learner = Connection {
            host_key_policy: HostKeyPolicy::AcceptNew,
            update_host_keys: true,
            ..scene.knows("@cert-authority * {ca}\n")
        };
        connect(&learner).await.unwrap();
        assert_eq!(fs::read_to_string(scene.file()).unwrap().lines().count(), 1);
        let key = server_key(&learner).await.unwrap();
        assert_eq!(key.state, KeyState::Known);
        assert!(key.certificate.unwrap().ends_with("holds"));
    }
}

#[tokio::test]
async fn a_pinned_authority_is_enough_and_the_file_is_not_asked_for_another() {
    let scene = Scene::new("ed25519", GOOD);
    let pinned = Connection {
        known_host: vec![format!("@cert-authority * {}", scene.key("ca.pub"))],
        ..scene.knows("")
    };
    assert!(connect(&pinned).await.unwrap().host_certificate.is_some());
    let other = Connection {
        known_host: vec![scene.sshd.known_hosts_line_of(HostKey::EcdsaP256)],
        ..scene.knows("@cert-authority * {ca}\n")
    };
    let text = refused(&other).await;
    assert!(text.contains("has changed"), "{text}");
}

#[tokio::test]
async fn what_the_file_revokes_is_refused_whoever_vouches_for_it() {
    let scene = Scene::new("ed25519", GOOD);
    for (lines, words) in [
        ("@revoked * {ca}\n", "authority of [127.0.0.1]"),
        ("@revoked 127.0.0.1 {host}\n", "host key of [127.0.0.1]"),
    ] {
        let lines = ["@cert-authority * {ca}\n", lines].concat();
        // Also where the key is known by itself, and where it is pinned.
        let known = scene.knows(&[lines.as_str(), "[127.0.0.1]:{port} {host}\n"].concat());
        let pinned = Connection {
            known_host: vec![format!("@cert-authority * {}", scene.key("ca.pub"))],
            ..scene.knows(&lines)
        };
        let learning = Connection {
            host_key_policy: HostKeyPolicy::AcceptNew,
            ..scene.knows(&lines)
        };
        for connection in [scene.knows(&lines), known, pinned, learning] {
            let text = refused(&connection).await;
            assert!(text.contains("revoked") && text.contains(words), "{text}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_counts_for_nothing_and_says_why() {
    for (arguments, why) in [
        (&["-h", "-n", "other.example"][..], "for other names"),
        (&["-h"], "for other names, or for none"),
        (
            &["-h", "-n", "127.0.0.1", "-V", "20200101:20200201"],
            "has expired",
        ),
        (
            &["-h", "-n", "127.0.0.1", "-V", "21000101:21000201"],
            "not valid yet",
        ),
        (
            &["-h", "-n", "127.0.0.1", "-O", "critical:new@example.com=x"],
            "critical option",
        ),
    ] {
        let scene = Scene::new("ed25519", arguments);
        let strict = scene.knows("@cert-authority * {ca}\n");
        let text = refused(&strict).await;
        assert!(text.contains(why), "{text}");
        assert!(text.contains("'a host' (serial 7)"), "{text}");
        // The key inside was proved: known by itself, it is as good as shown plainly.
        let known = scene.knows("@cert-authority * {ca}\n[127.0.0.1]:{port} {host}\n");
        let details = connect(&known).await.unwrap();
        assert_eq!(details.host_certificate, None);
        // And recorded as ssh does, by itself.
        let learning = Connection {
            host_key_policy: HostKeyPolicy::AcceptNew,
            ..scene.knows("@cert-authority * {ca}\n")
        };
        connect(&learning).await.unwrap();
        let lines = fs::read_to_string(scene.file()).unwrap();
        assert!(
            lines.ends_with(&format!("{}\n", scene.key("host.pub"))),
            "{lines}"
        );
    }
}

#[tokio::test]
async fn without_a_trusted_authority_no_certificate_is_asked_for() {
    let scene = Scene::new("ed25519", GOOD);
    let known = scene.knows("[127.0.0.1]:{port} {host}\n@cert-authority elsewhere {ca}\n");
    let details = connect(&known).await.unwrap();
    assert_eq!(details.host_key_algorithm, "ssh-ed25519");
    // Another's authority vouches for nothing.
    let own = scene.key("ca.pub");
    keygen(
        scene.dir.path(),
        &["-q", "-t", "ed25519", "-N", "", "-f", "ca2"],
    );
    let other = scene.knows("@cert-authority * {ca}\n");
    let text = fs::read_to_string(scene.file()).unwrap();
    fs::write(scene.file(), text.replace(&own, &scene.key("ca2.pub"))).unwrap();
    let text = refused(&other).await;
    assert!(text.contains("not trusted for this host"), "{text}");
}
