//! The binary packet protocol (RFC 4253 §6): bytes in, payloads out, and back.
//!
//! Inbound nothing is copied: a payload is a slice of the very buffer that the socket filled,
//! decrypted in place. Outbound a payload is written once, into the packet that is then sealed in
//! place; only compression, where it is in force, makes one copy more of either. What a payload means is not known here.

mod budget;
mod ctr_hmac;
mod decode;
mod delayed;
mod derive;
mod encode;
mod plain;

pub(crate) use budget::Budget;
pub(crate) use decode::Decoder;
pub(crate) use delayed::Begin;
pub(crate) use derive::{Directional, KeySource, opener, sealer};
pub(crate) use encode::Encoder;

#[cfg(test)]
mod tests;

use crate::error::{Error, PeerMisbehaved};
use crate::role::Role;
use crate::wire::{self, Layer, Message, Reader, SentBy};
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::marker::PhantomData;
use zeroize::Zeroize;

/// A decrypted payload: its first byte is the message number. Never empty, and its only owner, so
/// that secrets in it can be wiped.
///
/// `R` is the end that received it, `L` the layer it was sorted into; both decide what it may be
/// read as.
pub struct Payload<R, L = Unsorted>(BytesMut, PhantomData<fn() -> (R, L)>);

/// Not sorted yet: nothing can be read from it.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a name for a type; there are no values"
)]
pub enum Unsorted {}

/// A payload and whose it is (RFC 4250 §4.1.1).
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "RFC 4250 §4.1.1 has three layers")]
pub enum Sorted<R> {
    /// For the transport: generic messages, key exchange, extensions.
    Transport(Payload<R, wire::Transport>),
    /// For user authentication.
    Auth(Payload<R, wire::Auth>),
    /// For the connection protocol.
    Connection(Payload<R, wire::Connection>),
}

impl<R> Payload<R> {
    /// `None` when there is no message in it.
    pub(crate) fn new(bytes: BytesMut) -> Option<Self> {
        (!bytes.is_empty()).then_some(Self(bytes, PhantomData))
    }

    /// Decides by its number whose the payload is.
    pub fn sort(self) -> Sorted<R> {
        match self.number() {
            5 | 6 | 50..=79 => Sorted::Auth(Payload(self.0, PhantomData)),
            80..=127 => Sorted::Connection(Payload(self.0, PhantomData)),
            _ => Sorted::Transport(Payload(self.0, PhantomData)),
        }
    }
}

impl<R, L> Payload<R, L> {
    /// The message number.
    pub fn number(&self) -> u8 {
        self.0.first().copied().expect("a payload is never empty")
    }

    /// The whole payload, number included.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The last `n` bytes, without copying them; all of them when there are fewer.
    pub fn into_tail(mut self, n: usize) -> Bytes {
        let at = self.0.len().saturating_sub(n);
        self.0.split_off(at).freeze()
    }

    /// Overwrites the payload: for those that carried a password.
    pub fn wipe(mut self) {
        self.0.as_mut().zeroize();
    }

    /// That this message may not come where the connection stands.
    pub fn unexpected(&self, phase: &'static str) -> Error {
        PeerMisbehaved::UnexpectedMessage {
            number: self.number(),
            phase,
        }
        .into()
    }
}

impl<R: Role, L: Layer> Payload<R, L> {
    /// Reads the payload as `M`, wholly: a message of this layer that the peer is one to send.
    ///
    /// # Errors
    /// [`Error::InvalidMessage`] when the bytes are not such a message, trailing bytes included.
    pub fn read<'a, M>(&'a self) -> Result<M, Error>
    where
        M: Message<'a, Layer = L> + SentBy<R::Peer>,
    {
        debug_assert_eq!(self.number(), M::NUMBER, "the caller looked at the number");
        let mut reader = Reader::new(self.0.get(1..).unwrap_or_default());
        M::read_body(&mut reader)
            .and_then(|message| reader.finish().map(|()| message))
            .map_err(|cause| Error::InvalidMessage {
                number: M::NUMBER,
                name: M::NAME,
                cause,
            })
    }
}

impl<R, L> fmt::Debug for Payload<R, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({}, {} bytes)", self.number(), self.0.len())
    }
}
