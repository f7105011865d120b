//! The server's half of a key exchange: answers with its share and proves that it holds its key; and
//! before that, where the method says so, chooses a group.

use super::{Exchange, Form, Outcome, Said, Transcript};
use crate::config::Config;
use crate::crypto::{
    CryptoError, GroupExchange, GroupSizes, Kex, KexAlgorithm, Secret, SecureRandom, ServerGroup,
    write_signature,
};
use crate::error::Error;
use crate::packet::Payload;
use crate::role::Server;
use crate::transport::messages::{dh, ecdh, gex};
use crate::transport::negotiate::Agreement;
use crate::wire::{self, Message, MpInt};
use bytes::{Bytes, BytesMut};

/// What is awaited of the client.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerExchange {
    /// What sizes of a group it takes.
    Request(AwaitsRequest),
    /// Its share.
    Share(AwaitsShare),
}

/// Nothing has been said yet; the client is to ask for a group.
#[derive(Debug)]
pub struct AwaitsRequest {
    agreement: Agreement,
    transcript: Transcript,
    method: &'static dyn GroupExchange,
}

/// In what shares are made is known.
#[derive(Debug)]
pub struct AwaitsShare {
    agreement: Agreement,
    transcript: Transcript,
    form: Form,
    half: Half,
}

/// What answers a share.
#[derive(Debug)]
enum Half {
    Method(&'static dyn KexAlgorithm),
    Group(&'static dyn ServerGroup),
}

impl Exchange for ServerExchange {
    type Role = Server;

    fn start(
        agreement: Agreement,
        transcript: Transcript,
        _config: &Config<Server>,
    ) -> Result<(Self, Option<Bytes>), Error> {
        let this = match agreement.kex {
            Kex::Shares(method) => Self::Share(AwaitsShare {
                agreement,
                transcript,
                form: Form::of(method),
                half: Half::Method(method),
            }),
            Kex::GroupExchange(method) => Self::Request(AwaitsRequest {
                agreement,
                transcript,
                method,
            }),
        };
        Ok((this, None))
    }

    fn handle(
        self,
        payload: Payload<Server, wire::Transport>,
        config: &Config<Server>,
    ) -> Result<Outcome<Self>, Error> {
        match self {
            Self::Request(state) => state.handle(&payload),
            Self::Share(state) => state.handle(&payload, config),
        }
    }
}

impl AwaitsRequest {
    fn handle(
        self,
        payload: &Payload<Server, wire::Transport>,
    ) -> Result<Outcome<ServerExchange>, Error> {
        if payload.number() != gex::Request::NUMBER {
            return Err(payload.unexpected("key exchange"));
        }
        let request: gex::Request = payload.read()?;
        let asked = GroupSizes {
            min: request.min,
            preferred: request.n,
            max: request.max,
        };
        let group = self.method.choose(asked)?;
        let (prime, generator) = (group.prime(), group.generator());
        let mut answer = BytesMut::new();
        gex::Group {
            p: MpInt::unsigned(prime),
            g: MpInt::unsigned(generator),
        }
        .write(&mut answer);
        let next = AwaitsShare {
            agreement: self.agreement,
            transcript: self.transcript,
            form: Form::InGroup(Said::new(asked, prime, generator)),
            half: Half::Group(group),
        };
        Ok(Outcome::Continue(
            ServerExchange::Share(next),
            answer.freeze(),
        ))
    }
}

impl AwaitsShare {
    fn handle(
        self,
        payload: &Payload<Server, wire::Transport>,
        config: &Config<Server>,
    ) -> Result<Outcome<ServerExchange>, Error> {
        let awaited = match self.form {
            Form::Strings => ecdh::Init::NUMBER,
            Form::Numbers => dh::Init::NUMBER,
            Form::InGroup(_) => gex::Init::NUMBER,
        };
        if payload.number() != awaited {
            return Err(payload.unexpected("key exchange"));
        }
        match self.form {
            Form::Strings => {
                let init: ecdh::Init<'_> = payload.read()?;
                self.answer(init.client_share, config)
            }
            Form::Numbers => {
                let init: dh::Init<'_> = payload.read()?;
                self.answer(init.e.magnitude(), config)
            }
            Form::InGroup(_) => {
                let init: gex::Init<'_> = payload.read()?;
                self.answer(init.e.magnitude(), config)
            }
        }
    }

    fn answer(
        self,
        client_share: &[u8],
        config: &Config<Server>,
    ) -> Result<Outcome<ServerExchange>, Error> {
        let random = &*config.provider.random;
        let algorithm = self.agreement.host_key;
        let key = config
            .local
            .signer(algorithm.name())
            .ok_or(CryptoError::Failed("no host key for the agreed algorithm"))?;
        let (server_share, secret) = self.half.respond(client_share, random)?;
        let host_key = key.public_key().as_bytes();
        let agreed = self.transcript.agree(
            self.agreement.kex,
            &self.form,
            host_key,
            client_share,
            &server_share,
            &secret,
        );
        let signature = key.sign(algorithm.name(), &agreed.hash, random)?;
        // With a certificate, too, the signature has the key's own algorithm.
        let signature = write_signature(algorithm.signature.name(), &signature);
        let (signature, f) = (&signature, MpInt::unsigned(&server_share));
        let mut reply = BytesMut::new();
        match self.form {
            Form::Strings => ecdh::Reply {
                host_key,
                server_share: &server_share,
                signature,
            }
            .write(&mut reply),
            Form::Numbers => dh::Reply {
                host_key,
                f,
                signature,
            }
            .write(&mut reply),
            Form::InGroup(_) => gex::Reply {
                host_key,
                f,
                signature,
            }
            .write(&mut reply),
        }
        Ok(Outcome::Reply(reply.freeze(), agreed))
    }
}

impl Half {
    fn respond(
        &self,
        client_share: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Secret), CryptoError> {
        match self {
            Self::Method(it) => it.respond(client_share, random),
            Self::Group(it) => it.respond(client_share, random),
        }
    }
}
