//! The transport layer (RFC 4253): identification, key exchange and re-exchange, generic messages.
//!
//! ```text
//!   Idle ──offer()──▶ Offered ──their KEXINIT──▶ Exchanging ──reply──▶ Deciding (client, first time)
//!     ▲                                              │                    │ judged
//!     │                                              ▼                    ▼
//!     └───────────── their NEWKEYS ───────────── Finishing ◀── keys, our NEWKEYS queued
//! ```
//!
//! Per direction, separately: *we* keep services silent from our KEXINIT until our NEWKEYS has left
//! (RFC 4253 §7.1); *they* may send service messages until their KEXINIT has arrived.

mod exchange;
mod ext_info;
mod ident;
mod messages;
mod negotiate;

pub use exchange::{ClientExchange, Exchange, Outcome, ServerExchange, Transcript};
pub use ext_info::ExtInfo;
pub use negotiate::{Agreement, Negotiated};

use crate::config::Config;
use crate::crypto::{CompressionAlgorithm, CryptoError, OpenPacket, PublicKey, SealPacket};
use crate::error::{DisconnectReason, Error, PeerMisbehaved, printable};
use crate::limits;
use crate::packet::{self, Begin, Budget, Decoder, Encoder, KeySource, Payload};
use crate::role::{Role, Side};
use crate::wire::{self, Malformed, Message, Reader, SentBy, Text};
use bytes::{Bytes, BytesMut};
use exchange::Agreed;
use ident::IdentReader;
use messages::{Debug, Disconnect, Ignore, KexInit, NewKeys, Ping, Pong, Unimplemented};
use negotiate::{Markers, Offer, guess_is_right};
use std::collections::VecDeque;
use std::sync::Arc;

/// Identifies a session; exists only once a first key exchange has finished (RFC 4253 §7.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionId(Arc<[u8]>);

impl SessionId {
    /// The hash of the first key exchange.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn forged(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

/// What the layers above are to know.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The first exchange is done on our side: a service may start.
    Established(SessionId),
    /// The client must be told whether this host key is right.
    HostKey(PublicKey, &'static str),
    /// The peer told of its extensions.
    Extensions(ExtInfo),
}

/// One connection's transport layer.
#[derive(Debug)]
pub(crate) struct Transport<R: Role> {
    config: Arc<Config<R>>,
    offer: Offer,
    decoder: Decoder,
    encoder: Encoder,
    ident: IdentReader,
    peer_ident: Option<Vec<u8>>,
    kex: Kex<R>,
    session_id: Option<SessionId>,
    /// Sealed before anything a service has to say.
    control: VecDeque<Control>,
    /// Numbers that may not be sent during an exchange: answers to pings.
    deferred: VecDeque<Bytes>,
    strict: bool,
    /// Whether the peer's first NEWKEYS has arrived.
    peer_keyed: bool,
    /// Whether the peer takes EXT_INFO.
    ext_info: bool,
    /// Packets decoded when the peer's first NEWKEYS arrived: its EXT_INFO may come right behind it.
    keyed_at: u64,
    /// The peer guessed wrongly: its next packet is to be dropped.
    drop_guess: bool,
    authenticated: bool,
    host_key: Option<PublicKey>,
    negotiated: Option<Negotiated>,
    /// Messages of the peer since our KEXINIT that are no part of the exchange: generic ones, and those
    /// whose answers wait for its end.
    noise: u32,
    /// Exchanges that have finished.
    exchanges: u64,
    stopped: bool,
}

#[derive(Debug)]
enum Control {
    Message(Bytes),
    /// The message that changes the keys, with the keys that it changes to.
    NewKeys(
        Box<dyn SealPacket>,
        Budget,
        Option<&'static dyn CompressionAlgorithm>,
    ),
}

impl Control {
    /// Whether it is a message of this kind.
    fn is<'a, M: Message<'a>>(&self) -> bool {
        matches!(self, Self::Message(bytes) if bytes.first() == Some(&M::NUMBER))
    }
}

#[derive(Debug)]
enum Kex<R: Role> {
    Idle,
    /// Ours is out; theirs is not in, so their service messages still flow.
    Offered(Bytes),
    Exchanging {
        exchange: R::Exchange,
        agreement: Agreement,
    },
    /// The server has proved itself; the caller judges the key.
    Deciding {
        key: PublicKey,
        agreed: Agreed,
        agreement: Agreement,
    },
    /// Our NEWKEYS is queued; theirs is awaited.
    Finishing {
        opener: Box<dyn OpenPacket>,
        budget: Budget,
        compression: Option<&'static dyn CompressionAlgorithm>,
    },
}

impl<R: Role> Transport<R> {
    /// Begins: identification and KEXINIT leave without waiting for the peer's (RFC 4253 §4.2).
    pub(crate) fn new(
        config: Arc<Config<R>>,
        can_sign: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        let offer = Offer::new(&config, can_sign);
        if let Some(list) = offer.lacking() {
            return Err(Error::PeerIncompatible {
                list,
                ours: String::new(),
                theirs: String::new(),
                offered: None,
            });
        }
        let mut this = Self {
            offer,
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            ident: IdentReader::new(R::SIDE),
            peer_ident: None,
            kex: Kex::Idle,
            session_id: None,
            control: VecDeque::new(),
            deferred: VecDeque::new(),
            strict: false,
            peer_keyed: false,
            ext_info: false,
            keyed_at: 0,
            drop_guess: false,
            authenticated: false,
            host_key: None,
            negotiated: None,
            noise: 0,
            exchanges: 0,
            stopped: false,
            config,
        };
        let ident = this.our_ident();
        this.encoder.raw(&ident);
        this.encoder.raw(b"\r\n");
        this.offer()?;
        Ok(this)
    }

    /// Takes the next payload off the wire.
    pub(crate) fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Payload<R>>, Error> {
        if self.peer_ident.is_none() {
            self.peer_ident = self.ident.read(input)?;
            if self.peer_ident.is_none() {
                return Ok(None);
            }
        }
        self.decoder.decode(input)
    }

    /// Handles a message of this layer.
    pub(crate) fn handle(
        &mut self,
        payload: Payload<R, wire::Transport>,
    ) -> Result<Option<Notice>, Error> {
        self.check_strict(&payload)?;
        match payload.number() {
            Disconnect::NUMBER => {
                let message: Disconnect<'_> = payload.read()?;
                let text = printable(message.description.0);
                return Err(Error::Disconnected {
                    reason: message.reason,
                    text,
                });
            }
            Ignore::NUMBER => {
                payload.read::<Ignore<'_>>()?;
                self.count_noise()?;
            }
            Unimplemented::NUMBER => {
                payload.read::<Unimplemented>()?;
                self.count_noise()?;
            }
            Debug::NUMBER => {
                payload.read::<Debug<'_>>()?;
                self.count_noise()?;
            }
            messages::ExtInfo::NUMBER => return self.on_ext_info(&payload).map(Some),
            KexInit::NUMBER => self.on_kex_init(&payload)?,
            NewKeys::NUMBER => {
                payload.read::<NewKeys>()?;
                self.on_new_keys()?;
            }
            30..=49 => return self.on_exchange(payload),
            Ping::NUMBER => {
                let ping: Ping<'_> = payload.read()?;
                self.count_noise()?;
                self.pong(ping.data)?;
            }
            Pong::NUMBER => {
                payload.read::<Pong<'_>>()?;
                self.count_noise()?;
            }
            _ => {
                self.count_noise()?;
                self.unimplemented();
            }
        }
        Ok(None)
    }

    /// RFC 4253 §11.4: a message that is not known is answered, and nothing else happens.
    pub(crate) fn unimplemented(&mut self) {
        let seq = self.decoder.last_seq();
        self.say(&Unimplemented { seq });
    }

    /// The judgement over a host key.
    pub(crate) fn trust_host_key(&mut self) -> Result<Option<Notice>, Error> {
        match std::mem::replace(&mut self.kex, Kex::Idle) {
            Kex::Deciding {
                key,
                agreed,
                agreement,
            } => {
                self.host_key = Some(key);
                self.finish(&agreed, agreement)
            }
            other => {
                self.kex = other;
                Err(Error::ApiMisuse(
                    "a host key was judged that nobody asked about",
                ))
            }
        }
    }

    /// Begins a key exchange, unless one runs.
    pub(crate) fn offer(&mut self) -> Result<(), CryptoError> {
        if !matches!(self.kex, Kex::Idle) || self.stopped {
            return Ok(());
        }
        let mut cookie = [0; 16];
        self.config.provider.random.fill(&mut cookie)?;
        let first = self.session_id.is_none();
        let mut ours = BytesMut::new();
        self.offer
            .with_kex_init(R::SIDE, first, cookie, |init| init.write(&mut ours));
        let ours = ours.freeze();
        self.control.push_back(Control::Message(ours.clone()));
        self.kex = Kex::Offered(ours);
        self.noise = 0;
        Ok(())
    }

    /// Queues a message ahead of anything that a service has to say.
    pub(crate) fn say<'m, M: Message<'m> + SentBy<R>>(&mut self, message: &M) {
        let mut out = BytesMut::new();
        message.write(&mut out);
        self.control.push_back(Control::Message(out.freeze()));
    }

    /// Seals what there is to say until about `room` bytes wait. `service` is asked only when it may
    /// speak, so nothing is sealed that does not leave soon.
    pub(crate) fn fill(
        &mut self,
        room: usize,
        service: &mut dyn FnMut(&mut BytesMut) -> bool,
    ) -> Result<(), CryptoError> {
        while self.encoder.out().len() < room {
            match self.control.pop_front() {
                Some(Control::Message(bytes)) => self.put(&bytes)?,
                Some(Control::NewKeys(sealer, budget, compression)) => {
                    self.encoder.packet(|out| {
                        NewKeys {}.write(out);
                        true
                    })?;
                    let random = &*self.config.provider.random;
                    self.encoder
                        .rekey(sealer, budget, compression, self.strict, random)?;
                }
                None if !self.may_serve() => break,
                None => {
                    if let Some(bytes) = self.deferred.pop_front() {
                        self.put(&bytes)?;
                    } else if self.rekey_is_due() {
                        self.offer()?;
                    } else if !self.encoder.packet(&mut *service)? {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sealed bytes that wait for the socket.
    pub(crate) const fn out(&mut self) -> &mut BytesMut {
        self.encoder.out()
    }

    /// Says why we end it, and nothing after that (RFC 4253 §11.1). When there is nothing in common our
    /// first KEXINIT still goes ahead of it: what we offer is what the peer has to know then.
    pub(crate) fn stop(&mut self, reason: Option<DisconnectReason>, text: &str) {
        let failed_first = self.session_id.is_none()
            && matches!(reason, Some(DisconnectReason::KeyExchangeFailed));
        self.control
            .retain(|it| failed_first && it.is::<KexInit<'_>>());
        self.deferred.clear();
        self.stopped = true;
        if let Some(reason) = reason {
            let description = Text(text.as_bytes());
            self.say(&Disconnect {
                reason: reason as u32,
                description,
                language: Text(b""),
            });
        }
    }

    /// From now on keys are also changed by amount and age, and payloads compressed where that was
    /// agreed; ours behind `last`, if we still have that to say (draft-miller-secsh-compression-delayed).
    pub(crate) const fn set_authenticated(&mut self, last: Option<u8>) {
        self.authenticated = true;
        self.decoder.begin_compression();
        self.encoder.begin_compression(match last {
            Some(number) => Begin::Behind(number),
            None => Begin::Now,
        });
    }

    pub(crate) fn wants_input(&self) -> bool {
        !matches!(self.kex, Kex::Deciding { .. })
            && self.control.len() < limits::CONTROL_QUEUE
            && (self.deferred.len() < limits::CONTROL_QUEUE || !self.may_serve())
    }

    /// Whether the peer may send transport messages only: from its KEXINIT to its NEWKEYS.
    pub(crate) const fn peer_is_exchanging(&self) -> bool {
        !self.peer_keyed
            || matches!(
                self.kex,
                Kex::Exchanging { .. } | Kex::Deciding { .. } | Kex::Finishing { .. }
            )
    }

    /// Whether an exchange is under way in either direction.
    pub(crate) const fn is_exchanging(&self) -> bool {
        !matches!(self.kex, Kex::Idle)
    }

    /// How many exchanges have finished.
    pub(crate) const fn exchanges(&self) -> u64 {
        self.exchanges
    }

    pub(crate) const fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    pub(crate) const fn host_key(&self) -> Option<&PublicKey> {
        self.host_key.as_ref()
    }

    pub(crate) const fn session_id(&self) -> Option<&SessionId> {
        self.session_id.as_ref()
    }

    /// The peer's identification line without its end.
    pub(crate) fn peer_ident(&self) -> Option<&[u8]> {
        self.peer_ident.as_deref()
    }

    /// Where the handshake stands, for errors.
    pub(crate) const fn stage(&self) -> &'static str {
        match (&self.peer_ident, &self.kex) {
            (None, _) => "identification",
            (_, Kex::Deciding { .. }) => "the judgement of the host key",
            _ => "key exchange",
        }
    }

    // ---- below: the parts of the above

    fn our_ident(&self) -> Vec<u8> {
        [b"SSH-2.0-", self.config.software.as_bytes()].concat()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), CryptoError> {
        self.encoder.packet(|out| {
            out.extend_from_slice(bytes);
            true
        })?;
        Ok(())
    }

    /// Between our KEXINIT and our NEWKEYS a service keeps silent (RFC 4253 §7.1). In `Finishing`
    /// our NEWKEYS has been queued, and whatever is queued leaves before a service is asked.
    pub(crate) const fn may_serve(&self) -> bool {
        !self.stopped
            && self.session_id.is_some()
            && matches!(self.kex, Kex::Idle | Kex::Finishing { .. })
    }

    const fn rekey_is_due(&self) -> bool {
        self.authenticated
            && matches!(self.kex, Kex::Idle)
            && (self.encoder.is_due() || self.decoder.is_due())
    }

    /// draft-ietf-sshm-strict-kex: in the first exchange nothing but the exchange itself may come,
    /// DISCONNECT apart.
    fn check_strict(&self, payload: &Payload<R, wire::Transport>) -> Result<(), Error> {
        #[cfg(sansftp_bugs)]
        if crate::bugs::seeded("strict-kex-unchecked") {
            return Ok(());
        }
        let of_exchange = matches!(
            payload.number(),
            Disconnect::NUMBER | KexInit::NUMBER | NewKeys::NUMBER | 30..=49
        );
        if self.strict && !self.peer_keyed && !of_exchange {
            return Err(payload.unexpected("strict key exchange"));
        }
        Ok(())
    }

    /// A peer that never finishes an exchange may not keep us busy for ever, nor have us hold answers
    /// without end.
    pub(crate) fn count_noise(&mut self) -> Result<(), Error> {
        if !self.is_exchanging() {
            return Ok(());
        }
        self.noise += 1;
        if self.noise > limits::MESSAGES_IN_EXCHANGE {
            return Err(PeerMisbehaved::FloodInExchange.into());
        }
        Ok(())
    }

    fn pong(&mut self, data: &[u8]) -> Result<(), Error> {
        if self.deferred.len() >= limits::CONTROL_QUEUE && !self.may_serve() {
            return Err(PeerMisbehaved::FloodInExchange.into());
        }
        let mut out = BytesMut::new();
        Pong { data }.write(&mut out);
        self.deferred.push_back(out.freeze());
        Ok(())
    }

    fn on_ext_info(&self, payload: &Payload<R, wire::Transport>) -> Result<Notice, Error> {
        let message: messages::ExtInfo<'_> = payload.read()?;
        // RFC 8308 §2.4: right behind the first NEWKEYS; from a server also before the end of
        // authentication.
        let right_behind = self.decoder.packets() == self.keyed_at + 1;
        let allowed = match R::SIDE {
            Side::Client => !self.authenticated,
            Side::Server => right_behind,
        };
        if !self.peer_keyed || !allowed {
            return Err(PeerMisbehaved::MisplacedExtInfo.into());
        }
        ExtInfo::read(&message)
            .map(Notice::Extensions)
            .map_err(|cause| Error::InvalidMessage {
                number: messages::ExtInfo::NUMBER,
                name: messages::ExtInfo::NAME,
                cause,
            })
    }

    fn on_kex_init(&mut self, payload: &Payload<R, wire::Transport>) -> Result<(), Error> {
        if payload.as_slice().len() > limits::KEXINIT {
            return Err(PeerMisbehaved::BadPacketLength.into());
        }
        let theirs: KexInit<'_> = payload.read()?;
        if matches!(self.kex, Kex::Idle) {
            self.offer()?;
        }
        let Kex::Offered(our_bytes) = &self.kex else {
            return Err(PeerMisbehaved::DuplicateKexInit.into());
        };
        let our_bytes = our_bytes.clone();
        let ours = read_kex_init(&our_bytes)
            .map_err(|_| Error::Unreachable("our own KEXINIT does not read"))?;
        if self.session_id.is_none() {
            let markers = Markers::of(&theirs, R::SIDE.peer());
            self.ext_info = markers.ext_info;
            self.strict = markers.strict;
            if self.strict && self.decoder.packets() != 1 {
                return Err(PeerMisbehaved::KexInitNotFirst.into());
            }
        }
        let their_bytes = Bytes::copy_from_slice(payload.as_slice());
        let peer_ident = self
            .peer_ident
            .clone()
            .ok_or(Error::Unreachable("packets without ident"))?;
        let our_ident = self.our_ident();
        // The one place that turns "ours" and "theirs" into "client" and "server".
        let (client, server, transcript) = match R::SIDE {
            Side::Client => (
                &ours,
                &theirs,
                Transcript {
                    client_ident: our_ident,
                    server_ident: peer_ident,
                    client_init: our_bytes.clone(),
                    server_init: their_bytes,
                },
            ),
            Side::Server => (
                &theirs,
                &ours,
                Transcript {
                    client_ident: peer_ident,
                    server_ident: our_ident,
                    client_init: their_bytes,
                    server_init: our_bytes.clone(),
                },
            ),
        };
        let offered = negotiate::offered(&theirs);
        let agreement = match self.offer.agree(client, server, R::SIDE) {
            Ok(agreement) => agreement,
            Err(Error::PeerIncompatible {
                list, ours, theirs, ..
            }) => {
                return Err(Error::PeerIncompatible {
                    list,
                    ours,
                    theirs,
                    offered: Some(Box::new(offered)),
                });
            }
            Err(other) => return Err(other),
        };
        self.drop_guess = theirs.first_kex_packet_follows && !guess_is_right(client, server);
        let (exchange, first) = R::Exchange::start(agreement, transcript, &self.config)?;
        self.control.extend(first.map(Control::Message));
        self.negotiated = Some(agreement.names(self.strict, offered));
        self.kex = Kex::Exchanging {
            exchange,
            agreement,
        };
        Ok(())
    }

    fn on_exchange(
        &mut self,
        payload: Payload<R, wire::Transport>,
    ) -> Result<Option<Notice>, Error> {
        if std::mem::take(&mut self.drop_guess) {
            return Ok(None);
        }
        let Kex::Exchanging {
            exchange,
            agreement,
        } = std::mem::replace(&mut self.kex, Kex::Idle)
        else {
            return Err(payload.unexpected("no key exchange"));
        };
        match exchange.handle(payload, &self.config)? {
            Outcome::Continue(exchange, message) => {
                self.control.push_back(Control::Message(message));
                self.kex = Kex::Exchanging {
                    exchange,
                    agreement,
                };
                Ok(None)
            }
            Outcome::Reply(reply, agreed) => {
                self.control.push_back(Control::Message(reply));
                self.finish(&agreed, agreement)
            }
            Outcome::Verify(key, agreed) => match &self.host_key {
                // Asked about once; at a re-exchange another key is not a question.
                Some(known) if *known == key => self.finish(&agreed, agreement),
                Some(_) => Err(PeerMisbehaved::HostKeyChanged.into()),
                None => {
                    self.kex = Kex::Deciding {
                        key: key.clone(),
                        agreed,
                        agreement,
                    };
                    Ok(Some(Notice::HostKey(key, agreement.host_key.name())))
                }
            },
        }
    }

    /// Derives the keys and queues our NEWKEYS (RFC 4253 §7.2, §7.3).
    fn finish(&mut self, agreed: &Agreed, agreement: Agreement) -> Result<Option<Notice>, Error> {
        let first = self.session_id.is_none();
        let session_id = self
            .session_id
            .get_or_insert_with(|| SessionId(agreed.hash.as_slice().into()))
            .clone();
        let source = KeySource {
            hash: agreement.kex.hash(),
            secret: agreed.secret.expose(),
            exchange_hash: &agreed.hash,
            session_id: session_id.as_bytes(),
        };
        let (us, peer) = (R::SIDE, R::SIDE.peer());
        let (sent, received) = (agreement.sent_by(us), agreement.sent_by(peer));
        let budget =
            |cipher: crate::crypto::Cipher| Budget::new(cipher.rekey_after(), &self.config.limits);
        let sealer = packet::sealer(&source, us, sent)?;
        self.control.push_back(Control::NewKeys(
            sealer,
            budget(sent.cipher),
            sent.compression,
        ));
        if first
            && self.ext_info
            && let Some(taken) = R::user_algorithms(&self.config.local)
        {
            // RFC 8308 §2.4: the very next packet after NEWKEYS.
            let provider = &self.config.provider;
            let names = taken.iter().map(String::as_str);
            let names = names.filter(|it| provider.signature(it).is_some());
            self.control
                .push_back(Control::Message(ExtInfo::message(names)));
        }
        let opener = packet::opener(&source, peer, received)?;
        self.kex = Kex::Finishing {
            opener,
            budget: budget(received.cipher),
            compression: received.compression,
        };
        Ok(first.then_some(Notice::Established(session_id)))
    }

    fn on_new_keys(&mut self) -> Result<(), Error> {
        let Kex::Finishing {
            opener,
            budget,
            compression,
        } = std::mem::replace(&mut self.kex, Kex::Idle)
        else {
            return Err(PeerMisbehaved::NewKeysWithoutExchange.into());
        };
        self.decoder.rekey(opener, budget, compression, self.strict);
        if !self.peer_keyed {
            self.peer_keyed = true;
            self.keyed_at = self.decoder.packets();
        }
        self.exchanges += 1;
        Ok(())
    }
}

fn read_kex_init(bytes: &[u8]) -> Result<KexInit<'_>, Malformed> {
    let mut reader = Reader::new(bytes.get(1..).unwrap_or_default());
    let init = KexInit::read_body(&mut reader)?;
    reader.finish()?;
    Ok(init)
}
