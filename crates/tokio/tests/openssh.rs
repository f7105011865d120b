//! The driver against stock OpenSSH: handshake, authentication, files both ways.

use bytes::Bytes;
use sansftp_crypto::default_provider;
use sansftp_keys::read_private_key;
use sansftp_proto::auth::Prompt;
use sansftp_proto::crypto::Secret;
use sansftp_proto::session::{Config, Trust};
use sansftp_testkit::sshd::{ClientKey, Sshd};
use sansftp_tokio::sftp::{Listed, OpenFlags, Sftp, StatusCode};
use sansftp_tokio::{Answerer, Client, ConnectError, Credentials, Deadlines, Target};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

fn key(sshd: &Sshd, which: ClientKey) -> Credentials {
    let provider = default_provider();
    let text = std::fs::read(sshd.key(which)).unwrap();
    let key = read_private_key(&text, None).unwrap().key;
    Credentials::new(sshd.user()).key(provider.keys.load(&key).unwrap())
}

async fn connect(sshd: &Sshd, credentials: Credentials) -> Result<Client, ConnectError> {
    let target = Target::new("127.0.0.1", sshd.port());
    let config = Config::client(default_provider());
    Client::connect(
        &target,
        config,
        &Deadlines::default(),
        |_| Trust::Trusted,
        credentials,
    )
    .await
}

async fn session(sshd: &Sshd) -> (Client, Sftp) {
    let client = connect(sshd, key(sshd, ClientKey::Ed25519)).await.unwrap();
    let sftp = client.sftp().await.unwrap();
    (client, sftp)
}

async fn read(sftp: &Sftp, path: &[u8]) -> Vec<u8> {
    let mut file = sftp.open_read(path).await.unwrap();
    let mut all = Vec::new();
    while let Some(chunk) = file.chunk().await.unwrap() {
        all.extend_from_slice(&chunk);
    }
    file.close().await.unwrap();
    all
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 31) >> 3) as u8).collect()
}

#[tokio::test]
async fn a_file_goes_there_and_comes_back_the_same() {
    let sshd = Sshd::start();
    let (client, sftp) = session(&sshd).await;
    for len in [0, 1, 32_768, 261_120, 261_121, 5_000_000] {
        let data = pattern(len);
        let name = format!("file{len}");
        let mut file = sftp
            .open_write(name.as_bytes(), OpenFlags::CREATE_NEW)
            .await
            .unwrap();
        let mut offset = 0;
        for piece in data.chunks(100_000) {
            file.write(offset, Bytes::copy_from_slice(piece))
                .await
                .unwrap();
            offset += piece.len() as u64;
        }
        assert_eq!(file.stat().await.unwrap().size, Some(len as u64));
        file.fsync().await.unwrap();
        file.close().await.unwrap();
        assert!(read(&sftp, name.as_bytes()).await == data, "{len} bytes");
    }
    client.close().await;
}

#[tokio::test]
async fn a_directory_of_many_names_is_listed_whole() {
    let sshd = Sshd::start();
    for n in 0..3000 {
        sshd.write(format!("d/n{n}"), b"");
    }
    let (_client, sftp) = session(&sshd).await;
    let mut dir = sftp.read_dir(b"d").await.unwrap();
    let mut names = 0;
    while let Some(batch) = dir.batch().await.unwrap() {
        names += batch
            .iter()
            .filter(|it| matches!(it, Listed::Entry(_)))
            .count();
    }
    assert_eq!(names, 3000);
}

#[tokio::test]
async fn a_refusal_is_a_value_and_the_session_goes_on() {
    let sshd = Sshd::start();
    let (_client, sftp) = session(&sshd).await;
    let error = sftp.open_read(b"nowhere").await.unwrap_err();
    assert_eq!(error.code(), Some(StatusCode::NO_SUCH_FILE));
    sftp.make_dir(b"somewhere").await.unwrap();
    assert!(
        sftp.lstat(b"somewhere")
            .await
            .unwrap()
            .file_type()
            .is_some()
    );
}

#[tokio::test]
async fn each_kind_of_key_opens_the_door() {
    let sshd = Sshd::start();
    for which in [
        ClientKey::Ed25519,
        ClientKey::EcdsaP256,
        ClientKey::EcdsaP384,
        ClientKey::Rsa,
    ] {
        connect(&sshd, key(&sshd, which))
            .await
            .unwrap_or_else(|e| panic!("{which:?}: {e}"));
    }
}

#[tokio::test]
async fn keys_change_under_load_from_either_side() {
    let sshd = Sshd::builder().config("RekeyLimit 1M").start();
    let data = pattern(20_000_000);
    let path = sshd.write("big", &data);
    let (client, sftp) = session(&sshd).await;
    assert!(read(&sftp, path.to_str().unwrap().as_bytes()).await == data);
    client.rekey();
    assert!(read(&sftp, path.to_str().unwrap().as_bytes()).await == data);
    assert!(client.exchanges() > 20, "{}", client.exchanges());
}

#[tokio::test]
async fn a_stranger_is_refused_and_told_what_is_left() {
    let sshd = Sshd::start();
    let error = connect(&sshd, key(&sshd, ClientKey::Stranger))
        .await
        .unwrap_err();
    let ConnectError::Refused {
        tried, remaining, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(tried, ["publickey"]);
    assert!(
        remaining.iter().any(|it| it == "publickey"),
        "{remaining:?}"
    );
}

/// The place of an answered request may be the next one's before its waiter has looked.
#[tokio::test]
async fn the_answers_of_many_tasks_are_not_mixed_up() {
    let sshd = Sshd::start();
    for n in 0..200 {
        sshd.write(format!("f{n}"), vec![0; n]);
    }
    let (_client, sftp) = session(&sshd).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let sftp = sftp.clone();
        tasks.spawn(async move {
            let name = format!("f{n}");
            let mut file = sftp.open_read(name.as_bytes()).await.unwrap();
            for _ in 0..5 {
                assert_eq!(file.stat().await.unwrap().size, Some(n));
            }
            let first = file.chunk().await.unwrap().map_or(0, |it| it.len());
            assert_eq!(first as u64, n);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// Somebody who was asked and went away.
#[derive(Debug)]
struct Absent;

impl Answerer for Absent {
    fn answer<'a>(
        &'a self,
        _name: &'a str,
        _instruction: &'a str,
        _prompts: &'a [Prompt],
    ) -> Pin<Box<dyn Future<Output = Option<Vec<Secret>>> + Send + 'a>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_while_a_person_is_asked_is_noticed() {
    let sshd = Sshd::builder().config("LoginGraceTime 1").start();
    let credentials = Credentials::new(sshd.user()).answerer(Arc::new(Absent));
    let error = connect(&sshd, credentials).await.unwrap_err();
    assert!(matches!(error, ConnectError::Lost { .. }), "{error}");
}

#[tokio::test]
async fn what_leads_onward_has_what_the_connect_deadline_left() {
    let gate = Sshd::start();
    let behind = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = behind.local_addr().unwrap().port();
    let all = Deadlines::default().connect;
    let client = connect(&gate, key(&gate, ClientKey::Ed25519))
        .await
        .unwrap();
    let after_login = client.time_left();
    assert!(after_login < all, "{after_login:?}");
    let _onward = client.direct_tcpip("127.0.0.1", port).await.unwrap();
    assert!(client.time_left() < after_login);
    client.sftp().await.unwrap();
    assert_eq!(client.time_left(), all, "a session is the end of a way");
}
