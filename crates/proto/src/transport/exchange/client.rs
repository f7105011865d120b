//! The client's half of a key exchange: sends its share, checks what the server proves; and before that,
//! where the method says so, asks for a group.

use super::{Agreed, Exchange, Form, Outcome, Said, Transcript};
use crate::config::Config;
use crate::crypto::{
    ActiveKex, CryptoProvider, GroupExchange, GroupSizes, Kex, PublicKey, split_signature,
};
use crate::error::{Error, PeerMisbehaved};
use crate::packet::Payload;
use crate::role::Client;
use crate::transport::messages::{dh, ecdh, gex};
use crate::transport::negotiate::Agreement;
use crate::wire::{self, Malformed, Message, MpInt};
use bytes::{Bytes, BytesMut};

/// What is awaited of the server.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientExchange {
    /// A group.
    Group(AwaitsGroup),
    /// Its share, and the proof that it holds its key.
    Share(AwaitsShare),
}

/// A group has been asked for.
#[derive(Debug)]
pub struct AwaitsGroup {
    agreement: Agreement,
    transcript: Transcript,
    method: &'static dyn GroupExchange,
    asked: GroupSizes,
}

/// Our share is out.
#[derive(Debug)]
pub struct AwaitsShare {
    agreement: Agreement,
    transcript: Transcript,
    form: Form,
    active: Box<dyn ActiveKex>,
}

impl Exchange for ClientExchange {
    type Role = Client;

    fn start(
        agreement: Agreement,
        transcript: Transcript,
        config: &Config<Client>,
    ) -> Result<(Self, Option<Bytes>), Error> {
        let (this, first) = match agreement.kex {
            Kex::Shares(method) => {
                let next = AwaitsShare {
                    agreement,
                    transcript,
                    form: Form::of(method),
                    active: method.start(&*config.provider.random)?,
                };
                let first = next.init();
                (Self::Share(next), first)
            }
            Kex::GroupExchange(method) => {
                let asked = method.sizes();
                let mut request = BytesMut::new();
                gex::Request {
                    min: asked.min,
                    n: asked.preferred,
                    max: asked.max,
                }
                .write(&mut request);
                let next = AwaitsGroup {
                    agreement,
                    transcript,
                    method,
                    asked,
                };
                (Self::Group(next), request.freeze())
            }
        };
        Ok((this, Some(first)))
    }

    fn handle(
        self,
        payload: Payload<Client, wire::Transport>,
        config: &Config<Client>,
    ) -> Result<Outcome<Self>, Error> {
        match self {
            Self::Group(state) => state.handle(&payload, &config.provider),
            Self::Share(state) => state.handle(&payload),
        }
    }
}

impl AwaitsGroup {
    fn handle(
        self,
        payload: &Payload<Client, wire::Transport>,
        provider: &CryptoProvider,
    ) -> Result<Outcome<ClientExchange>, Error> {
        if payload.number() != gex::Group::NUMBER {
            return Err(payload.unexpected("key exchange"));
        }
        let group: gex::Group<'_> = payload.read()?;
        let (prime, generator) = (group.p.magnitude(), group.g.magnitude());
        let active = self.method.start(prime, generator, &*provider.random)?;
        let next = AwaitsShare {
            agreement: self.agreement,
            transcript: self.transcript,
            form: Form::InGroup(Said::new(self.asked, prime, generator)),
            active,
        };
        let init = next.init();
        Ok(Outcome::Continue(ClientExchange::Share(next), init))
    }
}

impl AwaitsShare {
    /// The message with our share.
    fn init(&self) -> Bytes {
        let mut init = BytesMut::new();
        let share = self.active.share();
        let e = MpInt::unsigned(share);
        match self.form {
            Form::Strings => ecdh::Init {
                client_share: share,
            }
            .write(&mut init),
            Form::Numbers => dh::Init { e }.write(&mut init),
            Form::InGroup(_) => gex::Init { e }.write(&mut init),
        }
        init.freeze()
    }

    fn handle(
        self,
        payload: &Payload<Client, wire::Transport>,
    ) -> Result<Outcome<ClientExchange>, Error> {
        let awaited = match self.form {
            Form::Strings => ecdh::Reply::NUMBER,
            Form::Numbers => dh::Reply::NUMBER,
            Form::InGroup(_) => gex::Reply::NUMBER,
        };
        if payload.number() != awaited {
            return Err(payload.unexpected("key exchange"));
        }
        match self.form {
            Form::Strings => {
                let reply: ecdh::Reply<'_> = payload.read()?;
                self.verify(awaited, reply.host_key, reply.server_share, reply.signature)
            }
            Form::Numbers => {
                let reply: dh::Reply<'_> = payload.read()?;
                self.verify(
                    awaited,
                    reply.host_key,
                    reply.f.magnitude(),
                    reply.signature,
                )
            }
            Form::InGroup(_) => {
                let reply: gex::Reply<'_> = payload.read()?;
                self.verify(
                    awaited,
                    reply.host_key,
                    reply.f.magnitude(),
                    reply.signature,
                )
            }
        }
    }

    fn verify(
        self,
        number: u8,
        host_key: &[u8],
        share: &[u8],
        signature: &[u8],
    ) -> Result<Outcome<ClientExchange>, Error> {
        let malformed = |cause: Malformed| Error::InvalidMessage {
            number,
            name: "Reply",
            cause,
        };
        let key = PublicKey::new(Bytes::copy_from_slice(host_key)).map_err(malformed)?;
        let algorithm = self.agreement.host_key;
        let (name, signature) = split_signature(signature).map_err(malformed)?;
        // RFC 8332 §3: what signs must be what was negotiated, and the key of its type. Also with a
        // certificate the signature has the key's own algorithm (OpenSSH PROTOCOL.certkeys).
        let signer = algorithm.signer(&key)?;
        if name != algorithm.signature.name().as_bytes() {
            return Err(PeerMisbehaved::WrongHostKeyAlgorithm.into());
        }
        let ours = self.active.share().to_vec();
        let secret = self.active.finish(share)?;
        let kex = self.agreement.kex;
        let agreed: Agreed = self
            .transcript
            .agree(kex, &self.form, host_key, &ours, share, &secret);
        #[cfg(sansftp_bugs)]
        if crate::bugs::seeded("host-key-unproven") {
            return Ok(Outcome::Verify(key, agreed));
        }
        algorithm
            .signature
            .verify(&signer, &agreed.hash, signature)
            .map_err(Error::HostKeyUnproven)?;
        Ok(Outcome::Verify(key, agreed))
    }
}
