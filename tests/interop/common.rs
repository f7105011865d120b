//! What these tests share: a login with strict host keys, whole files both ways, and data that is
//! never the same twice. No test lives here.

use crate::provider;
use bytes::{Bytes, BytesMut};
use sansftp_keys::{Host, KnownHosts, Verdict, read_private_key};
use sansftp_proto::crypto::{CryptoProvider, Secret, SigningKey};
use sansftp_proto::role::Client as ClientRole;
use sansftp_proto::session::{Config, HostKey, Trust};
use sansftp_testkit::sshd::{ClientKey, PASSPHRASE, Sshd};
use sansftp_tokio::sftp::{OpenFlags, Sftp};
use sansftp_tokio::{Client, ConnectError, Credentials, Deadlines, Target};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;

/// Who logs in, and how.
#[derive(Debug)]
pub(crate) struct Login {
    port: u16,
    host: Host,
    known: KnownHosts,
    config: Config<ClientRole>,
    pub(crate) deadlines: Deadlines,
    credentials: Credentials,
}

impl Login {
    /// With the Ed25519 key, the default provider and the server's own `known_hosts`.
    pub(crate) fn new(sshd: &Sshd) -> Self {
        let provider = provider();
        let key = load(&provider, sshd, ClientKey::Ed25519);
        Self {
            port: sshd.port(),
            host: Host::new("127.0.0.1", sshd.port()).unwrap(),
            known: KnownHosts::parse(sshd.known_hosts().as_bytes()),
            config: Config::client(provider),
            deadlines: Deadlines::default(),
            credentials: Credentials::new(sshd.user()).key(key),
        }
    }

    /// With other settings; the provider among them.
    pub(crate) fn config(mut self, config: Config<ClientRole>) -> Self {
        self.config = config;
        self
    }

    /// With other credentials.
    pub(crate) fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Through a proxy on this port; the host key is still the server's.
    pub(crate) fn through(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    pub(crate) async fn connect(self) -> Result<Client, ConnectError> {
        let (host, known) = (self.host, self.known);
        let judge = move |key: &HostKey| match known.check(&host, key.key()) {
            Verdict::Known { .. } => Trust::Trusted,
            _ => Trust::Refused,
        };
        let target = Target::new("127.0.0.1", self.port);
        Client::connect(
            &target,
            self.config,
            &self.deadlines,
            judge,
            self.credentials,
        )
        .await
    }

    pub(crate) async fn session(self) -> (Client, Sftp) {
        let client = self.connect().await.unwrap();
        let sftp = client.sftp().await.unwrap();
        (client, sftp)
    }
}

/// One of the fixture's keys, ready to sign.
pub(crate) fn load(
    provider: &CryptoProvider,
    sshd: &Sshd,
    which: ClientKey,
) -> Arc<dyn SigningKey> {
    let passphrase = Secret::from(PASSPHRASE);
    let text = std::fs::read(sshd.key(which)).unwrap();
    let file = read_private_key(&text, Some(&passphrase))
        .unwrap_or_else(|error| panic!("{which:?}: {error}"));
    provider.keys.load(&file.key).unwrap()
}

/// Writes a new file from its first byte to its last.
pub(crate) async fn put(sftp: &Sftp, path: &[u8], data: &[u8]) {
    let mut file = sftp.open_write(path, OpenFlags::CREATE_NEW).await.unwrap();
    let mut offset = 0;
    for piece in data.chunks(100_000) {
        file.write(offset, Bytes::copy_from_slice(piece))
            .await
            .unwrap();
        offset += piece.len() as u64;
    }
    file.close().await.unwrap();
}

/// Reads a file from its first byte to its last.
pub(crate) async fn get(sftp: &Sftp, path: &[u8]) -> Vec<u8> {
    let mut file = sftp.open_read(path).await.unwrap();
    let mut all = Vec::new();
    while let Some(chunk) = file.chunk().await.unwrap() {
        all.extend_from_slice(&chunk);
    }
    file.close().await.unwrap();
    all
}

/// Data in which no two stretches of 32 KiB are alike, so that none can stand in for another.
#[derive(Debug)]
pub(crate) struct Noise {
    block: Vec<u8>,
    stretch: u64,
    left: u64,
}

const STRETCH: usize = 32 * 1024;

impl Noise {
    /// `len` bytes of it.
    pub(crate) fn new(len: u64) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let block = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        Self {
            block: block.take(STRETCH / 8).flatten().collect(),
            stretch: 0,
            left: len,
        }
    }

    /// All of it at once.
    pub(crate) fn all(len: usize) -> Vec<u8> {
        Self::new(len as u64).flatten().collect()
    }
}

/// Blocks of 1 MiB, the last one shorter.
impl Iterator for Noise {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let len = self.left.min(1 << 20) as usize;
        self.left -= len as u64;
        let mut out = BytesMut::with_capacity(len + STRETCH);
        while out.len() < len {
            out.extend_from_slice(&self.stretch.to_le_bytes());
            out.extend_from_slice(&self.block[8..]);
            self.stretch += 1;
        }
        out.truncate(len);
        (len > 0).then(|| out.freeze())
    }
}

/// Sends `len` bytes of noise as a new file; their SHA-256.
pub(crate) async fn put_noise(sftp: &Sftp, path: &[u8], len: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut file = sftp.open_write(path, OpenFlags::CREATE_NEW).await.unwrap();
    let mut offset = 0;
    for block in Noise::new(len) {
        hash.update(&block);
        let next = offset + block.len() as u64;
        file.write(offset, block).await.unwrap();
        offset = next;
    }
    file.close().await.unwrap();
    hash.finalize().into()
}

/// Reads a file to its end; its SHA-256.
pub(crate) async fn get_hash(sftp: &Sftp, path: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut file = sftp.open_read(path).await.unwrap();
    while let Some(chunk) = file.chunk().await.unwrap() {
        hash.update(&chunk);
    }
    file.close().await.unwrap();
    hash.finalize().into()
}

/// The SHA-256 of what lies on the disk.
pub(crate) fn disk_hash(path: &Path) -> [u8; 32] {
    struct Sink(Sha256);
    impl std::io::Write for Sink {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            self.0.update(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink(Sha256::new());
    std::io::copy(&mut std::fs::File::open(path).unwrap(), &mut sink).unwrap();
    sink.0.finalize().into()
}
