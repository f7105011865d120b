//! A key agent over its Unix socket (draft-miller-ssh-agent): which keys it holds, and signatures.
//!
//! Nothing is added to it, removed from it or unlocked. Every exchange has a connection of its own, a
//! deadline, and bounded messages.

use bytes::BytesMut;
use sansftp_proto::auth::client::ToSign;
use sansftp_proto::crypto::{CERTIFICATE, PublicKey, split_certificate, split_signature};
use sansftp_proto::wire::{Field, Reader};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Who to ask for signatures.
#[derive(Debug, Clone)]
pub struct Agent {
    socket: PathBuf,
    certificates: Vec<PublicKey>,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum AgentError {
    #[error("{socket}: {cause}")]
    Io { socket: String, cause: String },
    #[error("{0}: no answer in time")]
    TimedOut(String),
    #[error("it refused")]
    Refused,
    #[error("it answered what it was not asked")]
    Garbage,
    #[error("there is no agent any more")]
    Gone,
}

/// A key that the agent holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldKey {
    /// What the server is shown: the key, or a certificate for it.
    pub(crate) offered: PublicKey,
    /// What the agent knows it by.
    held: PublicKey,
}

/// For the list of keys: nobody is asked.
const LIST: Duration = Duration::from_secs(5);
/// For a signature: a person may have to agree, or to touch something.
const SIGN: Duration = Duration::from_secs(120);
/// The longest message that is read, in bytes, as in OpenSSH's agent.
const MESSAGE: usize = 256 * 1024;
/// Keys that are tried of an agent: servers hang up long before.
const KEYS: usize = 32;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

impl Agent {
    /// The agent that listens there, as `SSH_AUTH_SOCK` says.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            certificates: Vec::new(),
        }
    }

    /// Adds a certificate for a key that the agent holds without it: offered before the key.
    #[must_use]
    pub fn certificate(mut self, certificate: PublicKey) -> Self {
        self.certificates.push(certificate);
        self
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The keys that can be tried, in the agent's order.
    pub(crate) async fn keys(&self) -> Result<VecDeque<HeldKey>, AgentError> {
        let answer = self.ask(&[REQUEST_IDENTITIES], LIST).await?;
        let held = identities(&answer)?;
        Ok(held
            .into_iter()
            .flat_map(|key| self.offers(key))
            .filter(|it| !it.algorithms().is_empty())
            .take(KEYS)
            .collect())
    }

    /// The certificates for a key, and the key.
    fn offers(&self, held: PublicKey) -> Vec<HeldKey> {
        let is_for = |certificate: &&PublicKey| {
            split_certificate(certificate).is_ok_and(|it| it.key == held)
        };
        let certified = self.certificates.iter().filter(is_for).cloned();
        certified
            .chain([held.clone()])
            .map(|offered| HeldKey {
                offered,
                held: held.clone(),
            })
            .collect()
    }

    /// A signature, without its algorithm's name.
    pub(crate) async fn sign(&self, key: &HeldKey, what: &ToSign) -> Result<Vec<u8>, AgentError> {
        let algorithm = what.algorithm();
        let wanted = algorithm.strip_suffix(CERTIFICATE).unwrap_or(algorithm);
        let mut request = BytesMut::from(&[SIGN_REQUEST][..]);
        key.held.as_bytes().as_ref().write(&mut request);
        what.data().as_ref().write(&mut request);
        flags(wanted).write(&mut request);
        let answer = self.ask(&request, SIGN).await?;
        signature(&answer, wanted)
    }

    async fn ask(&self, message: &[u8], deadline: Duration) -> Result<Vec<u8>, AgentError> {
        let socket = || self.socket.display().to_string();
        tokio::time::timeout(deadline, exchange(&self.socket, message))
            .await
            .map_err(|_| AgentError::TimedOut(socket()))?
            .map_err(|cause| AgentError::Io {
                socket: socket(),
                cause: cause.to_string(),
            })
    }
}

impl HeldKey {
    /// What it can sign with, the preferred first; nothing when it is of a type that is not known
    /// here.
    pub(crate) fn algorithms(&self) -> Vec<String> {
        let kind = self.offered.kind();
        let (plain, suffix) = match kind.strip_suffix(CERTIFICATE) {
            Some(plain) => (plain, CERTIFICATE),
            None => (kind, ""),
        };
        let names: &[&str] = match plain {
            "ssh-rsa" => &["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"],
            "ssh-ed25519"
            | "ssh-dss"
            | "ecdsa-sha2-nistp256"
            | "ecdsa-sha2-nistp384"
            | "ecdsa-sha2-nistp521" => &[plain],
            _ => &[],
        };
        names.iter().map(|it| format!("{it}{suffix}")).collect()
    }
}

/// The flags that ask for the hash.
fn flags(algorithm: &str) -> u32 {
    match algorithm {
        "rsa-sha2-256" => 2,
        "rsa-sha2-512" => 4,
        _ => 0,
    }
}

async fn exchange(socket: &Path, message: &[u8]) -> io::Result<Vec<u8>> {
    let too_long = || io::Error::new(io::ErrorKind::InvalidData, "a message too long");
    let mut stream = UnixStream::connect(socket).await?;
    let len = u32::try_from(message.len()).map_err(|_| too_long())?;
    stream.write_all(&len.to_be_bytes()).await?;
    stream.write_all(message).await?;
    let len = stream.read_u32().await?;
    if len as usize > MESSAGE {
        return Err(too_long());
    }
    let mut answer = Vec::new();
    let read = stream.take(len.into()).read_to_end(&mut answer).await?;
    if read < len as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

fn identities(answer: &[u8]) -> Result<Vec<PublicKey>, AgentError> {
    let (Some(&IDENTITIES_ANSWER), Some(body)) = (answer.first(), answer.get(1..)) else {
        return Err(unexpected(answer));
    };
    let mut reader = Reader::new(body);
    let count: u32 = reader.read().map_err(|_| AgentError::Garbage)?;
    let mut keys = Vec::new();
    for _ in 0..count {
        let blob: &[u8] = reader.read().map_err(|_| AgentError::Garbage)?;
        let _comment: &[u8] = reader.read().map_err(|_| AgentError::Garbage)?;
        // A key that has no type that could be read is none that could be tried.
        keys.extend(PublicKey::new(blob.to_vec()));
    }
    Ok(keys)
}

fn signature(answer: &[u8], wanted: &str) -> Result<Vec<u8>, AgentError> {
    let (Some(&SIGN_RESPONSE), Some(body)) = (answer.first(), answer.get(1..)) else {
        return Err(unexpected(answer));
    };
    let mut reader = Reader::new(body);
    let blob: &[u8] = reader.read().map_err(|_| AgentError::Garbage)?;
    let (named, signature) = split_signature(blob).map_err(|_| AgentError::Garbage)?;
    // An agent that knows no flags signs with SHA-1, which no server takes under another name.
    if named != wanted.as_bytes() {
        return Err(AgentError::Garbage);
    }
    Ok(signature.to_vec())
}

fn unexpected(answer: &[u8]) -> AgentError {
    match answer.first() {
        Some(&FAILURE) => AgentError::Refused,
        _ => AgentError::Garbage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        text.write(&mut out);
        out.to_vec()
    }

    fn key(kind: &str) -> PublicKey {
        PublicKey::new([string(kind.as_bytes()), string(b"k")].concat()).unwrap()
    }

    #[test]
    fn keys_are_read_and_whatever_is_cut_off_is_refused() {
        let answer = [
            &[IDENTITIES_ANSWER, 0, 0, 0, 2][..],
            &string(key("ssh-rsa").as_bytes()),
            &string(b"comment"),
            &string(key("sk-ssh-ed25519@openssh.com").as_bytes()),
            &string(b""),
        ]
        .concat();
        let keys = identities(&answer).unwrap();
        assert_eq!(keys.len(), 2);
        let algorithms = |key: &PublicKey| {
            let (offered, held) = (key.clone(), key.clone());
            HeldKey { offered, held }.algorithms()
        };
        let of_rsa = ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"];
        assert_eq!(algorithms(&keys[0]), of_rsa);
        assert!(algorithms(&keys[1]).is_empty());
        for len in 0..answer.len() {
            assert!(identities(&answer[..len]).is_err(), "{len}");
        }
        let many = [IDENTITIES_ANSWER, 255, 255, 255, 255];
        assert!(identities(&many).is_err());
    }

    /// An agent that reads what it is asked, says this, and stays.
    async fn playing(says: Vec<u8>) -> (tempfile::TempDir, Agent) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let says = says.clone();
                tokio::spawn(async move {
                    // We may have hung up by then.
                    let _ = stream.write_all(&says).await;
                    while matches!(stream.read(&mut [0; 512]).await, Ok(1..)) {}
                });
            }
        });
        (directory, Agent::new(path))
    }

    #[tokio::test]
    async fn an_agent_that_stalls_anywhere_is_given_up_in_time() {
        let answer = [&[0, 0, 0, 5, IDENTITIES_ANSWER][..], &[0; 4]].concat();
        let short = Duration::from_millis(50);
        for len in 0..answer.len() {
            let (_directory, agent) = playing(answer[..len].to_vec()).await;
            let error = agent.ask(&[REQUEST_IDENTITIES], short).await.unwrap_err();
            assert!(matches!(error, AgentError::TimedOut(_)), "{len}: {error}");
        }
        let (_directory, agent) = playing(answer).await;
        assert_eq!(agent.keys().await.unwrap(), []);
    }

    #[tokio::test]
    async fn an_agent_that_announces_too_much_is_not_read() {
        for len in [u32::MAX, 256 * 1024 + 1] {
            let (_directory, agent) = playing(len.to_be_bytes().to_vec()).await;
            let error = agent.keys().await.unwrap_err();
            assert!(error.to_string().contains("too long"), "{error}");
        }
    }

    /// CVE-2025-47913, CVE-2025-47914: any type of answer to either question, whole and cut off at any byte.
    #[test]
    fn what_an_agent_answers_is_what_was_asked_for_or_an_error() {
        let blob = [string(b"ssh-ed25519"), string(&[7; 64])].concat();
        let bodies = [
            Vec::new(),
            [
                &[0, 0, 0, 1][..],
                &string(key("k").as_bytes()),
                &string(b""),
            ]
            .concat(),
            string(&blob),
            vec![0xff; 12],
        ];
        for number in 0..=255 {
            for body in &bodies {
                let answer = [&[number][..], body].concat();
                for len in 0..=answer.len() {
                    let cut = &answer[..len];
                    let listed = number == IDENTITIES_ANSWER && cut.len() == 1 + bodies[1].len();
                    assert_eq!(
                        identities(cut).is_ok(),
                        listed && body == &bodies[1],
                        "{cut:?}"
                    );
                    let signed = number == SIGN_RESPONSE && cut.len() == 1 + bodies[2].len();
                    let signature = signature(cut, "ssh-ed25519");
                    assert_eq!(signature.is_ok(), signed && body == &bodies[2], "{cut:?}");
                }
            }
        }
    }

    #[test]
    fn a_signature_of_another_algorithm_is_none() {
        let blob = [string(b"ssh-rsa"), string(b"s")].concat();
        let answer = [&[SIGN_RESPONSE][..], &string(&blob)].concat();
        assert!(signature(&answer, "rsa-sha2-256").is_err());
        assert_eq!(signature(&answer, "ssh-rsa").unwrap(), b"s");
        let refusal = signature(&[FAILURE], "ssh-rsa").unwrap_err();
        assert!(matches!(refusal, AgentError::Refused));
    }
}
