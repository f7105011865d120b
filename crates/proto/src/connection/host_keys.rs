//! The server's other host keys (OpenSSH's PROTOCOL, `hostkeys-00@openssh.com`): what it announces, and
//! how it is asked to prove that it holds them. Not whether anybody trusts them.

use super::mux::{Mux, RequestError};
use crate::crypto::{CryptoError, CryptoProvider, PublicKey, split_signature};
use crate::limits;
use crate::role::Client;
use crate::transport::SessionId;
use crate::wire::{Field, Malformed, Reader};
use bytes::{Bytes, BytesMut};

/// A server tells, after authentication, which host keys it has.
pub(super) const ANNOUNCE: &[u8] = b"hostkeys-00@openssh.com";
/// A client asks for signatures by some of them.
const PROVE: &[u8] = b"hostkeys-prove-00@openssh.com";

/// The keys of an announcement, each once, [`limits::HOST_KEYS`] of them at most. What is no key to us is
/// left out; what is no list of strings announces nothing.
pub(super) fn announced(rest: &[u8]) -> Vec<PublicKey> {
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
        &self.host_keys
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
        let mut text = BytesMut::new();
        PROVE.write(&mut text);
        session.as_bytes().write(&mut text);
        key.as_bytes().as_ref().write(&mut text);
        algorithm.verify(key, &text, signature)?;
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
