//! The client's half of a key exchange: sends its share, checks what the server proves.

use super::{Agreed, Exchange, Outcome, Transcript};
use crate::config::Config;
use crate::crypto::{ActiveKex, NumberEncoding, PublicKey, split_signature};
use crate::error::{Error, PeerMisbehaved};
use crate::packet::Payload;
use crate::role::Client;
use crate::transport::messages::{dh, ecdh};
use crate::transport::negotiate::Agreement;
use crate::wire::{self, Malformed, Message, MpInt};
use bytes::{Bytes, BytesMut};

/// Our share is out; the server's is awaited.
#[derive(Debug)]
pub struct ClientExchange {
    agreement: Agreement,
    transcript: Transcript,
    active: Box<dyn ActiveKex>,
}

impl Exchange for ClientExchange {
    type Role = Client;

    fn start(
        agreement: Agreement,
        transcript: Transcript,
        config: &Config<Client>,
    ) -> Result<(Self, Option<Bytes>), Error> {
        let active = agreement.kex.start(&*config.provider.random)?;
        let mut first = BytesMut::new();
        match agreement.kex.share_encoding() {
            NumberEncoding::String => {
                ecdh::Init {
                    client_share: active.share(),
                }
                .write(&mut first);
            }
            NumberEncoding::MpInt => {
                dh::Init {
                    e: MpInt::unsigned(active.share()),
                }
                .write(&mut first);
            }
        }
        Ok((
            Self {
                agreement,
                transcript,
                active,
            },
            Some(first.freeze()),
        ))
    }

    fn handle(
        self,
        payload: Payload<Client, wire::Transport>,
        _config: &Config<Client>,
    ) -> Result<Outcome, Error> {
        if payload.number() != ecdh::Reply::NUMBER {
            return Err(payload.unexpected("key exchange"));
        }
        match self.agreement.kex.share_encoding() {
            NumberEncoding::String => {
                let reply: ecdh::Reply<'_> = payload.read()?;
                self.verify(reply.host_key, reply.server_share, reply.signature)
            }
            NumberEncoding::MpInt => {
                let reply: dh::Reply<'_> = payload.read()?;
                self.verify(reply.host_key, reply.f.magnitude(), reply.signature)
            }
        }
    }
}

impl ClientExchange {
    fn verify(self, host_key: &[u8], share: &[u8], signature: &[u8]) -> Result<Outcome, Error> {
        let malformed = |cause: Malformed| Error::InvalidMessage {
            number: 31,
            name: "Reply",
            cause,
        };
        let key = PublicKey::new(Bytes::copy_from_slice(host_key)).map_err(malformed)?;
        let algorithm = self.agreement.host_key;
        let (name, signature) = split_signature(signature).map_err(malformed)?;
        // RFC 8332 §3: what signs must be what was negotiated, and the key of its type.
        if name != algorithm.name().as_bytes() || key.kind() != algorithm.key_kind() {
            return Err(PeerMisbehaved::WrongHostKeyAlgorithm.into());
        }
        let ours = self.active.share().to_vec();
        let secret = self.active.finish(share)?;
        let agreed: Agreed =
            self.transcript
                .agree(self.agreement.kex, host_key, &ours, share, &secret);
        algorithm
            .verify(&key, &agreed.hash, signature)
            .map_err(Error::HostKeyUnproven)?;
        Ok(Outcome::Verify(key, agreed))
    }
}
