//! The server's half of a key exchange: answers with its share and proves that it holds its key.

use super::{Exchange, Outcome, Transcript};
use crate::config::Config;
use crate::crypto::{CryptoError, NumberEncoding, write_signature};
use crate::error::Error;
use crate::packet::Payload;
use crate::role::Server;
use crate::transport::messages::{dh, ecdh};
use crate::transport::negotiate::Agreement;
use crate::wire::{self, Message, MpInt};
use bytes::{Bytes, BytesMut};

/// The client's share is awaited.
#[derive(Debug)]
pub struct ServerExchange {
    agreement: Agreement,
    transcript: Transcript,
}

impl Exchange for ServerExchange {
    type Role = Server;

    fn start(
        agreement: Agreement,
        transcript: Transcript,
        _config: &Config<Server>,
    ) -> Result<(Self, Option<Bytes>), Error> {
        Ok((
            Self {
                agreement,
                transcript,
            },
            None,
        ))
    }

    fn handle(
        self,
        payload: Payload<Server, wire::Transport>,
        config: &Config<Server>,
    ) -> Result<Outcome, Error> {
        if payload.number() != ecdh::Init::NUMBER {
            return Err(payload.unexpected("key exchange"));
        }
        match self.agreement.kex.share_encoding() {
            NumberEncoding::String => {
                let init: ecdh::Init<'_> = payload.read()?;
                self.answer(init.client_share, config)
            }
            NumberEncoding::MpInt => {
                let init: dh::Init<'_> = payload.read()?;
                self.answer(init.e.magnitude(), config)
            }
        }
    }
}

impl ServerExchange {
    fn answer(self, client_share: &[u8], config: &Config<Server>) -> Result<Outcome, Error> {
        let random = &*config.provider.random;
        let algorithm = self.agreement.host_key.name();
        let key = config
            .local
            .signer(algorithm)
            .ok_or(CryptoError::Failed("no host key for the agreed algorithm"))?;
        let (server_share, secret) = self.agreement.kex.respond(client_share, random)?;
        let host_key = key.public_key().as_bytes();
        let agreed = self.transcript.agree(
            self.agreement.kex,
            host_key,
            client_share,
            &server_share,
            &secret,
        );
        let signature = write_signature(algorithm, &key.sign(algorithm, &agreed.hash, random)?);
        let mut reply = BytesMut::new();
        match self.agreement.kex.share_encoding() {
            NumberEncoding::String => {
                ecdh::Reply {
                    host_key,
                    server_share: &server_share,
                    signature: &signature,
                }
                .write(&mut reply);
            }
            NumberEncoding::MpInt => {
                let f = MpInt::unsigned(&server_share);
                dh::Reply {
                    host_key,
                    f,
                    signature: &signature,
                }
                .write(&mut reply);
            }
        }
        Ok(Outcome::Reply(reply.freeze(), agreed))
    }
}
