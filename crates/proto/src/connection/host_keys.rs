//! All host keys of a server (OpenSSH's PROTOCOL, `hostkeys-00@openssh.com`): that it announces them, and
//! proves that it holds them when it is asked. Not whether anybody trusts them.

use super::mux::{Mux, RequestError};
use crate::config::Config;
use crate::crypto::{
    CERTIFICATE, CryptoError, CryptoProvider, PublicKey, SigningKey, split_signature,
    write_signature,
};
use crate::limits;
use crate::role::{Client, Server};
use crate::transport::{Negotiated, SessionId};
use crate::wire::{Field, Malformed, Reader};
use bytes::{Bytes, BytesMut};
use std::fmt::Debug;
use std::sync::Arc;

/// A server tells, after authentication, which host keys it has.
pub(super) const ANNOUNCE: &[u8] = b"hostkeys-00@openssh.com";
/// A client asks for signatures by some of them.
const PROVE: &[u8] = b"hostkeys-prove-00@openssh.com";

/// What an end has to do with the server's host keys while the connection protocol runs. By default
/// nothing.
pub trait HostKeys: Debug + Default + Send {
    /// The body of an announcement, where this end makes one.
    fn announcement(&self) -> Option<Bytes>;

    /// Takes a global request that is about host keys; says what a success carries, if it is one.
    /// Whoever wants no reply gets nothing done for it.
    fn handle(&mut self, name: &[u8], rest: &[u8], want_reply: bool) -> Option<Bytes>;
}

/// The client's part: what the server has announced.
#[derive(Debug, Default)]
pub struct Announced(Vec<PublicKey>);

impl HostKeys for Announced {
    fn announcement(&self) -> Option<Bytes> {
        None
    }

    /// The first announcement counts, and no more is held than that. It is taken, and not answered as if
    /// something had been done.
    fn handle(&mut self, name: &[u8], rest: &[u8], _want_reply: bool) -> Option<Bytes> {
        if name == ANNOUNCE && self.0.is_empty() {
            self.0 = announced(rest);
        }
        None
    }
}

/// The server's part: the keys that it holds, over which session it proves so, and how often yet.
#[derive(Debug, Default)]
pub struct Held {
    keys: Vec<HeldKey>,
    session: Option<(SessionId, Arc<Config<Server>>)>,
    signatures: usize,
}

/// A key, and what it proves itself with.
#[derive(Debug)]
struct HeldKey {
    key: Arc<dyn SigningKey>,
    algorithm: &'static str,
}

impl Held {
    /// All keys of the server's that are offered in plain form, those too that another of their type
    /// stands before: that is how clients learn of the next key before it is the only one.
    pub(crate) fn new(
        config: &Arc<Config<Server>>,
        session: Option<&SessionId>,
        negotiated: Option<&Negotiated>,
    ) -> Self {
        let mut keys: Vec<HeldKey> = Vec::new();
        for key in &config.local.host_keys {
            let public = key.public_key();
            let known = keys.iter().any(|it| it.key.public_key() == public);
            if known || public.kind().ends_with(CERTIFICATE) || keys.len() == limits::HOST_KEYS {
                continue;
            }
            let offered = &config.algorithms.host_key;
            if let Some(algorithm) = proves_with(key.algorithms(), offered, negotiated) {
                let key = Arc::clone(key);
                keys.push(HeldKey { key, algorithm });
            }
        }
        Self {
            keys,
            session: session.cloned().map(|it| (it, Arc::clone(config))),
            signatures: 0,
        }
    }

    /// A signature over this session by each key that is asked for; nothing when one of them is not
    /// held, or it would be more than [`limits::HOST_KEY_PROOFS`].
    fn prove(&mut self, asked: &[u8]) -> Option<Bytes> {
        let (session, config) = self.session.as_ref()?;
        let mut answer = BytesMut::new();
        let mut signers = Vec::new();
        for blob in strings(asked).ok()? {
            let held = |it: &&HeldKey| it.key.public_key().as_bytes() == blob;
            signers.push(self.keys.iter().find(held)?);
            if self.signatures + signers.len() > limits::HOST_KEY_PROOFS {
                return None;
            }
        }
        self.signatures += signers.len();
        for HeldKey { key, algorithm } in signers {
            let text = proven_text(session, key.public_key());
            let signature = key.sign(algorithm, &text, &*config.provider.random).ok()?;
            let signature = write_signature(algorithm, &signature);
            signature.as_ref().write(&mut answer);
        }
        Some(answer.freeze())
    }
}

impl HostKeys for Held {
    fn announcement(&self) -> Option<Bytes> {
        let mut blobs = BytesMut::new();
        for HeldKey { key, .. } in &self.keys {
            key.public_key().as_bytes().as_ref().write(&mut blobs);
        }
        (!blobs.is_empty()).then(|| blobs.freeze())
    }

    fn handle(&mut self, name: &[u8], rest: &[u8], want_reply: bool) -> Option<Bytes> {
        if name == PROVE && want_reply {
            self.prove(rest)
        } else {
            None
        }
    }
}

/// Which of a key's algorithms a client verifies: the one that this connection agreed on (a client of
/// OpenSSH's then takes no other from an RSA key), else one that the client lists, else what we offer.
fn proves_with(
    algorithms: &'static [&'static str],
    offered: &[String],
    negotiated: Option<&Negotiated>,
) -> Option<&'static str> {
    let mine = || {
        let all = algorithms.iter().copied();
        all.filter(|name| offered.iter().any(|it| it == name))
    };
    let agreed = negotiated.map(|it| it.host_key.strip_suffix(CERTIFICATE).unwrap_or(it.host_key));
    let listed = |name: &&str| {
        negotiated.is_some_and(|it| it.offered.host_key.iter().any(|theirs| theirs == name))
    };
    mine()
        .find(|name| Some(*name) == agreed)
        .or_else(|| mine().find(listed))
        .or_else(|| mine().next())
}

/// What a proof signs.
fn proven_text(session: &SessionId, key: &PublicKey) -> BytesMut {
    let mut text = BytesMut::new();
    PROVE.write(&mut text);
    session.as_bytes().write(&mut text);
    key.as_bytes().as_ref().write(&mut text);
    text
}

/// The keys of an announcement, each once, [`limits::HOST_KEYS`] of them at most. What is no key to us is
/// left out; what is no list of strings announces nothing.
fn announced(rest: &[u8]) -> Vec<PublicKey> {
    let mut keys = Vec::new();
    for blob in strings(rest).unwrap_or_default() {
        match PublicKey::new(Bytes::copy_from_slice(blob)) {
            Ok(key) if keys.len() < limits::HOST_KEYS && !keys.contains(&key) => keys.push(key),
            _ => {}
        }
    }
    keys
}

impl Mux<Client> {
    /// The host keys that the server has announced (`hostkeys-00@openssh.com`), each once. Not proven.
    pub fn announced_host_keys(&self) -> &[PublicKey] {
        &self.host_keys.0
    }

    /// Asks the server to prove that it holds these keys; [`ChannelEvent::GlobalAnswered`] follows with
    /// a signature by each, in their order, or a refusal.
    ///
    /// # Errors
    /// [`RequestError::TooMany`] when too many requests wait for an answer.
    ///
    /// [`ChannelEvent::GlobalAnswered`]: super::ChannelEvent::GlobalAnswered
    pub fn prove_host_keys(&mut self, keys: &[PublicKey]) -> Result<(), RequestError> {
        let mut blobs = BytesMut::new();
        for key in keys {
            key.as_bytes().as_ref().write(&mut blobs);
        }
        self.global_request(PROVE, &blobs)
    }
}

/// Whether `answer` has a signature by each of `keys`, in their order, over this session. An RSA key
/// signs with one of `algorithms`.
///
/// # Errors
/// [`CryptoError::BadSignature`] when one is missing, too many or wrong, or not of one of `algorithms`.
pub(crate) fn check_proofs(
    keys: &[PublicKey],
    answer: &[u8],
    session: &SessionId,
    provider: &CryptoProvider,
    algorithms: &[String],
) -> Result<(), CryptoError> {
    let signatures = strings(answer).map_err(|_| CryptoError::BadSignature)?;
    if signatures.len() != keys.len() {
        return Err(CryptoError::BadSignature);
    }
    for (key, signature) in keys.iter().zip(signatures) {
        let (name, signature) =
            split_signature(signature).map_err(|_| CryptoError::BadSignature)?;
        let algorithm = algorithms
            .iter()
            .find(|it| it.as_bytes() == name)
            .and_then(|it| provider.signature(it))
            .filter(|it| it.key_kind() == key.kind())
            .ok_or(CryptoError::BadSignature)?;
        algorithm.verify(key, &proven_text(session, key), signature)?;
    }
    Ok(())
}

fn strings(data: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut reader = Reader::new(data);
    let mut strings = Vec::new();
    while !reader.remaining().is_empty() {
        strings.push(reader.read()?);
    }
    Ok(strings)
}
