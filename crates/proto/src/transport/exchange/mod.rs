//! One key exchange (RFC 4253 §8, RFC 4419, RFC 5656 §4, RFC 8731): what both halves have in common.

mod client;
mod server;

pub use client::ClientExchange;
pub use server::ServerExchange;

use super::negotiate::Agreement;
use crate::config::Config;
use crate::crypto::{GroupSizes, Kex, KexAlgorithm, NumberEncoding, PublicKey, Secret};
use crate::error::Error;
use crate::packet::Payload;
use crate::role::Role;
use crate::wire::{self, Field, Unsigned};
use bytes::{Bytes, BytesMut};
use std::fmt::Debug;
use zeroize::Zeroize;

/// What an exchange ends with.
#[derive(Debug)]
pub struct Agreed {
    /// K, encoded as it goes into hashes.
    pub(super) secret: Secret,
    /// H.
    pub(super) hash: Vec<u8>,
}

/// What became of an exchange by a message.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome<E> {
    /// It goes on: this is sent, and another message awaited.
    Continue(E, Bytes),
    /// The server sends this, and is done.
    Reply(Bytes, Agreed),
    /// The client knows that the server holds this key, and asks whether it is the right one.
    Verify(PublicKey, Agreed),
}

/// One end's half of a key exchange.
pub trait Exchange: Sized + Debug + Send {
    /// Which end it is.
    type Role: Role;

    /// Begins; the client's half has a message to send.
    ///
    /// # Errors
    /// What the provider could not do.
    fn start(
        agreement: Agreement,
        transcript: Transcript,
        config: &Config<Self::Role>,
    ) -> Result<(Self, Option<Bytes>), Error>;

    /// Takes the next message of the other half.
    ///
    /// # Errors
    /// A share outside its group, a group that is refused, a signature that does not verify, any other
    /// message.
    fn handle(
        self,
        payload: Payload<Self::Role, wire::Transport>,
        config: &Config<Self::Role>,
    ) -> Result<Outcome<Self>, Error>;
}

/// Which messages shares are in.
#[derive(Debug)]
enum Form {
    /// Strings, in messages 30 and 31 (RFC 5656 §4).
    Strings,
    /// Numbers, in messages 30 and 31 (RFC 4253 §8).
    Numbers,
    /// Numbers, in messages 32 and 33, of the group that this describes (RFC 4419 §3).
    InGroup(Said),
}

impl Form {
    fn of(kex: &dyn KexAlgorithm) -> Self {
        match kex.share_encoding() {
            NumberEncoding::String => Self::Strings,
            NumberEncoding::MpInt => Self::Numbers,
        }
    }
}

/// What has been said of a group, as it is hashed: min ‖ n ‖ max ‖ p ‖ g (RFC 4419 §3).
#[derive(Debug)]
struct Said(BytesMut);

impl Said {
    fn new(asked: GroupSizes, prime: &[u8], generator: &[u8]) -> Self {
        let mut said = BytesMut::new();
        for size in [asked.min, asked.preferred, asked.max] {
            size.write(&mut said);
        }
        Unsigned(prime).write(&mut said);
        Unsigned(generator).write(&mut said);
        Self(said)
    }
}

/// What both ends hash alike, named by end and not by "ours" and "theirs".
#[derive(Debug)]
pub struct Transcript {
    pub(super) client_ident: Vec<u8>,
    pub(super) server_ident: Vec<u8>,
    pub(super) client_init: Bytes,
    pub(super) server_init: Bytes,
}

impl Transcript {
    /// H = HASH(V_C ‖ V_S ‖ I_C ‖ I_S ‖ K_S ‖ client's share ‖ server's share ‖ K) (RFC 4253 §8,
    /// RFC 5656 §4), with what was said of the group before the shares (RFC 4419 §3).
    fn agree(
        &self,
        kex: Kex,
        form: &Form,
        host_key: &[u8],
        client_share: &[u8],
        server_share: &[u8],
        secret: &Secret,
    ) -> Agreed {
        let mut encoded = BytesMut::with_capacity(secret.expose().len() + 5);
        write_number(kex.secret_encoding(), secret.expose(), &mut encoded);
        let secret = Secret::from(&encoded[..]);
        encoded.as_mut().zeroize();

        let mut hashed = BytesMut::new();
        self.client_ident.as_slice().write(&mut hashed);
        self.server_ident.as_slice().write(&mut hashed);
        self.client_init.as_ref().write(&mut hashed);
        self.server_init.as_ref().write(&mut hashed);
        host_key.write(&mut hashed);
        let encoding = match form {
            Form::Strings => NumberEncoding::String,
            Form::Numbers => NumberEncoding::MpInt,
            Form::InGroup(said) => {
                hashed.extend_from_slice(&said.0);
                NumberEncoding::MpInt
            }
        };
        write_number(encoding, client_share, &mut hashed);
        write_number(encoding, server_share, &mut hashed);
        let hash = kex.hash().digest(&[&hashed, secret.expose()]);
        Agreed {
            secret,
            hash: hash.expose().to_vec(),
        }
    }
}

fn write_number(encoding: NumberEncoding, number: &[u8], out: &mut BytesMut) {
    match encoding {
        NumberEncoding::MpInt => Unsigned(number).write(out),
        NumberEncoding::String => number.write(out),
    }
}
