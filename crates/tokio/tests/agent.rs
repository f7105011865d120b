//! The driver with OpenSSH's ssh-agent, against OpenSSH's server.

use sansftp_crypto::default_provider;
use sansftp_keys::read_public;
use sansftp_proto::session::{Config, Trust};
use sansftp_testkit::sshd::{ClientKey, Sshd};
use sansftp_tokio::{Agent, Client, ConnectError, Credentials, Deadlines, Target};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// An agent of its own; ended when it is dropped.
struct Running {
    agent: Child,
    directory: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let agent = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(directory.path().join("socket"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { agent, directory }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn add(&self, key: &Path) {
        // The file's mode is one that ssh-add accepts.
        let own = self.directory.path().join("key");
        std::fs::copy(key, &own).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&own, mode).unwrap();
        // The agent listens a moment after it was started.
        let added = (0..200).any(|_| {
            let added = Command::new("ssh-add")
                .arg(&own)
                .env("SSH_AUTH_SOCK", self.socket())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            if !added.success() {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            added.success()
        });
        assert!(added, "the agent takes {}", key.display());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

async fn connect(sshd: &Sshd, agent: Agent) -> Result<Client, ConnectError> {
    connect_as(sshd, Credentials::new(sshd.user()).agent(agent)).await
}

async fn connect_as(sshd: &Sshd, credentials: Credentials) -> Result<Client, ConnectError> {
    Client::connect(
        &Target::new("127.0.0.1", sshd.port()),
        Config::client(default_provider()),
        &Deadlines::default(),
        |_| Trust::Trusted,
        credentials,
    )
    .await
}

#[tokio::test]
async fn each_type_of_key_in_the_agent_signs() {
    let sshd = Sshd::start();
    for key in [ClientKey::Ed25519, ClientKey::EcdsaP256, ClientKey::Rsa] {
        let agent = Running::start();
        agent.add(&sshd.key(key));
        let client = connect(&sshd, Agent::new(agent.socket())).await;
        client.unwrap_or_else(|error| panic!("{key:?}: {error}"));
    }
}

#[tokio::test]
async fn keys_of_the_agent_are_tried_in_turn_and_each_once() {
    let sshd = Sshd::start();
    let agent = Running::start();
    agent.add(&sshd.key(ClientKey::Stranger));
    let error = connect(&sshd, Agent::new(agent.socket()))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ConnectError::Refused { tried, .. } if tried == &["publickey"]),
        "{error}"
    );
    agent.add(&sshd.key(ClientKey::Ed25519));
    connect(&sshd, Agent::new(agent.socket())).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_said() {
    let sshd = Sshd::start();
    let directory = tempfile::tempdir().unwrap();
    let nowhere = Agent::new(directory.path().join("nothing"));
    let error = connect(&sshd, nowhere).await.unwrap_err();
    let ConnectError::Refused { remark, .. } = error else {
        panic!("{error}");
    };
    assert!(remark.is_some_and(|it| it.contains("the agent cannot be asked")));
}

#[tokio::test]
async fn a_certificate_goes_before_the_key_that_the_agent_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let keygen = |words: &[&str]| {
        let made = Command::new("ssh-keygen")
            .current_dir(directory.path())
            .args(words)
            .output();
        assert!(made.unwrap().status.success());
    };
    keygen(&["-q", "-N", "", "-t", "ed25519", "-f", "ca"]);
    keygen(&["-q", "-N", "", "-t", "rsa", "-b", "3072", "-f", "id"]);
    let sshd = Sshd::builder()
        .config(format!("TrustedUserCAKeys {}", path("ca.pub").display()))
        .start();
    keygen(&["-q", "-s", "ca", "-I", "test", "-n", sshd.user(), "id.pub"]);
    std::fs::remove_file(path("id.pub")).unwrap();
    let agent = Running::start();
    agent.add(&path("id"));
    let certificate = std::fs::read(path("id-cert.pub")).unwrap();
    let certificate = read_public(&certificate).unwrap().key;
    let with = Agent::new(agent.socket()).certificate(certificate);
    connect(&sshd, with).await.unwrap();
    connect(&sshd, Agent::new(agent.socket()))
        .await
        .unwrap_err();
}

/// SSH strings.
fn string(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap();
    [&len.to_be_bytes()[..], bytes].concat()
}

/// An agent that has this key, and answers each wish for a signature with `signature`.
fn lying(key: &Path, signature: Vec<u8>) -> (tempfile::TempDir, Agent) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let line = std::fs::read(key.with_extension("pub")).unwrap();
    let blob = read_public(&line).unwrap().key;
    let has = [
        &[12, 0, 0, 0, 1][..],
        &string(blob.as_bytes()),
        &string(b""),
    ]
    .concat();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 5];
            stream.read_exact(&mut head).unwrap();
            let answer = match head[4] {
                11 => &has,
                _ => &signature,
            };
            // We may have hung up by then.
            let _ = stream.write_all(&string(answer));
        }
    });
    (directory, Agent::new(path))
}

#[tokio::test]
async fn an_agent_that_lies_is_a_refusal_and_the_next_credential_is_tried() {
    let sshd = Sshd::start();
    let key = sshd.key(ClientKey::Ed25519);
    let signed = |algorithm: &[u8], signature: &[u8]| {
        let blob = [string(algorithm), string(signature)].concat();
        [&[14][..], &string(&blob)].concat()
    };
    for (answer, words) in [
        (signed(b"ssh-ed25519", &[7; 64]), None),
        (signed(b"ssh-ed25519", b""), None),
        (signed(b"ssh-rsa", &[7; 64]), Some("what it was not asked")),
        (
            vec![14, 0xff, 0xff, 0xff, 0xff],
            Some("what it was not asked"),
        ),
        (vec![12, 0, 0, 0, 0], Some("what it was not asked")),
        (vec![5], Some("it refused")),
        (vec![], Some("what it was not asked")),
    ] {
        let (_directory, agent) = lying(&key, answer);
        let error = connect(&sshd, agent).await.unwrap_err();
        let ConnectError::Refused { tried, remark, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(tried, ["publickey"]);
        let remark = remark.unwrap_or_default();
        assert!(remark.contains(words.unwrap_or_default()), "{remark}");
    }
    if !sshd.has_own_account() {
        return;
    }
    let (_directory, agent) = lying(&key, vec![5]);
    let credentials = Credentials::new(sshd.user()).agent(agent);
    let both = credentials.password(sshd.password());
    connect_as(&sshd, both).await.unwrap();
}
