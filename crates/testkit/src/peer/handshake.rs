//! Key exchange and authentication as the scripted peer does them (RFC 4253 §7, §8; RFC 4252): the usual way in one call,
//! or each step apart for whoever wants to do one of them wrongly.

use super::messages::{
    AuthRequest, AuthSuccess, ExtInfo, GlobalRequest, Group, GroupReply, GroupRequest, GroupStart,
    KexInit, KexReply, KexStart, NewKeys, Open, OpenConfirmation, ServiceAccept, ServiceRequest,
};
use super::{End, IDENT, Peer, Said, put};
use crate::null::{self, AeadKey, NullKey, WIDTH, fnv};
use bytes::BytesMut;
use sansftp_proto::auth::client::{Credential, Event as ClientAuth, Turn};
use sansftp_proto::auth::server::{Event as ServerAuth, Verdict};
use sansftp_proto::connection::{ChannelEvent, ChannelId};
use sansftp_proto::crypto::{PublicKey, SigningKey, write_signature};
use sansftp_proto::role::{Client, Role, Server, Side};
use sansftp_proto::session::{ClientEvent, ServerEvent, Trust};
use sansftp_proto::wire::{Message, NameList, Rest, Unsigned};
use std::sync::Arc;

/// The channel number that the peer gives to its end of its one channel.
pub const CHANNEL: u32 = 7;

/// What the peer offers in its KEXINIT; both directions alike.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Key exchange methods, pseudo-names included.
    pub kex: Vec<&'static str>,
    /// Host-key algorithms.
    pub host_key: Vec<&'static str>,
    /// Ciphers.
    pub cipher: Vec<&'static str>,
    /// MACs.
    pub mac: Vec<&'static str>,
    /// Compression.
    pub compression: Vec<&'static str>,
    /// Whether a guessed packet follows (RFC 4253 §7).
    pub guess: bool,
}

impl Default for Proposal {
    /// What the null provider has, and no pseudo-name.
    fn default() -> Self {
        Self {
            kex: vec![null::KEX],
            host_key: vec![null::SIGNATURE],
            cipher: vec![null::AEAD],
            mac: vec![null::MAC_ETM],
            compression: vec!["none"],
            guess: false,
        }
    }
}

impl Proposal {
    /// With these pseudo-names behind the methods.
    pub fn with(mut self, markers: &[&'static str]) -> Self {
        self.kex.extend(markers);
        self
    }

    /// With strict key exchange asked for by this end.
    pub fn strict(self, side: Side) -> Self {
        self.with(&[match side {
            Side::Client => "kex-strict-c-v00@openssh.com",
            Side::Server => "kex-strict-s-v00@openssh.com",
        }])
    }

    /// Whether the method that is guessed is none of the end's first choice (RFC 4253 §7).
    fn guesses_wrongly(&self) -> bool {
        self.guess && self.kex.first() != Some(&null::KEX)
    }

    /// The KEXINIT.
    pub fn payload(&self) -> Vec<u8> {
        let mut buffers = [const { String::new() }; 5];
        let [kex, host_key, cipher, mac, compression] = &mut buffers;
        let kex = NameList::join(&self.kex, kex);
        let host_key = NameList::join(&self.host_key, host_key);
        let cipher = NameList::join(&self.cipher, cipher);
        let mac = NameList::join(&self.mac, mac);
        let compression = NameList::join(&self.compression, compression);
        let mut out = BytesMut::new();
        KexInit {
            cookie: [0xc0; 16],
            kex,
            host_key,
            cipher_to_server: cipher,
            cipher_to_client: cipher,
            mac_to_server: mac,
            mac_to_client: mac,
            compression_to_server: compression,
            compression_to_client: compression,
            languages_to_server: NameList::default(),
            languages_to_client: NameList::default(),
            first_kex_packet_follows: self.guess,
            reserved: 0,
        }
        .write(&mut out);
        out.to_vec()
    }
}

/// What both ends seal with after an exchange.
#[derive(Debug, Clone)]
pub struct Keys {
    to_server: AeadKey,
    to_client: AeadKey,
    /// H of this exchange.
    pub hash: Vec<u8>,
}

/// The hash of the method of this name.
pub(super) fn hash_of(method: &str) -> fn(&[&[u8]]) -> Vec<u8> {
    match method {
        null::KEX_WIDE => null::wide_fnv,
        _ => |parts| fnv(parts).to_vec(),
    }
}

/// min ‖ n ‖ max ‖ p ‖ g (RFC 4419 §3), the latter two as they were on the wire.
fn group_said(sizes: [u32; 3], prime: &[u8], generator: &[u8]) -> Vec<u8> {
    let mut said = BytesMut::new();
    for size in sizes {
        said.extend_from_slice(&size.to_be_bytes());
    }
    put(&mut said, prime);
    put(&mut said, generator);
    said.to_vec()
}

impl<R: Role, E: End> Peer<R, E> {
    /// Introduces itself, and hears the end's introduction.
    #[track_caller]
    pub fn greets(&mut self) {
        self.greets_as(IDENT.as_bytes());
    }

    /// As [`greets`](Self::greets), under this name.
    #[track_caller]
    pub fn greets_as(&mut self, ident: &[u8]) {
        self.own_ident = ident.to_vec();
        self.sends_raw(&[ident, b"\r\n"].concat());
        self.pump();
        while self.hears_ident().is_none() && self.end.says_more(&mut self.from_end) {}
        let ident = self
            .hears_ident()
            .expect("the end introduces itself at once");
        assert!(ident.starts_with(b"SSH-2.0-"));
    }

    /// Sends its KEXINIT. The markers in it count in the first exchange alone.
    pub fn offers(&mut self, proposal: &Proposal) {
        self.inits[0] = proposal.payload();
        self.group.clear();
        self.hash = hash_of(proposal.kex.first().copied().unwrap_or_default());
        self.sends_payload(&proposal.payload());
    }

    /// Hears the end's KEXINIT, unless it was heard before in this exchange.
    #[track_caller]
    pub fn hears_offer(&mut self) {
        if !self.silent {
            self.awaits::<KexInit<'_>>();
        }
        if self.session_id.is_none() {
            let asks = |init: &[u8]| {
                let text = String::from_utf8_lossy(init).into_owned();
                text.contains("kex-strict-")
            };
            self.strict = asks(&self.inits[0]) && asks(&self.inits[1]);
        }
    }

    /// Sends NEWKEYS, and seals with the new keys from then on.
    pub fn sends_new_keys(&mut self, keys: &Keys, us: Side) {
        self.sends(&NewKeys {});
        self.sealer = Some(match us {
            Side::Client => keys.to_server.clone(),
            Side::Server => keys.to_client.clone(),
        });
        if self.strict {
            self.send_seq = 0;
        }
    }

    /// Hears NEWKEYS, and opens with the new keys from then on.
    #[track_caller]
    pub fn hears_new_keys(&mut self, keys: &Keys, us: Side) {
        self.expects::<NewKeys>();
        self.opener = Some(match us {
            Side::Client => keys.to_client.clone(),
            Side::Server => keys.to_server.clone(),
        });
        if self.strict {
            self.receive_seq = 0;
        }
    }

    /// H and the keys that follow from it (RFC 4253 §7.2, §8).
    fn keys(
        &mut self,
        us: Side,
        host_key: &[u8],
        client_share: &[u8],
        server_share: &[u8],
    ) -> Keys {
        let ident = self.ident.clone().expect("the end has introduced itself");
        let (ours, theirs) = (self.own_ident.clone(), ident);
        let [our_init, their_init] = self.inits.clone();
        let (idents, inits) = match us {
            Side::Client => ([ours, theirs], [our_init, their_init]),
            Side::Server => ([theirs, ours], [their_init, our_init]),
        };
        let mut secret = BytesMut::new();
        Unsigned(&null::shared_secret(client_share, server_share)).write(&mut secret);
        let mut hashed = BytesMut::new();
        for part in idents.iter().chain(&inits) {
            put(&mut hashed, part);
        }
        put(&mut hashed, host_key);
        hashed.extend_from_slice(&self.group);
        // Shares begin with a one, and are the same as strings and as numbers.
        for part in [client_share, server_share] {
            put(&mut hashed, part);
        }
        let hash = (self.hash)(&[&hashed, &secret]);
        let session_id = self.session_id.get_or_insert_with(|| hash.clone()).clone();
        let derive = |letter: u8| (self.hash)(&[&secret, &hash, &[letter], &session_id]);
        let key = |letter: u8, iv: u8| {
            AeadKey::new(&derive(letter)[..WIDTH], &derive(iv)[..4]).expect("8 and 4 bytes")
        };
        Keys {
            to_server: key(b'C', b'A'),
            to_client: key(b'D', b'B'),
            hash,
        }
    }
}

impl Peer<Client> {
    /// The server's answer to the client's share, not sent yet, and the keys that follow.
    pub fn replies_to(&mut self, start: &Said) -> (Vec<u8>, Keys) {
        self.replies_with(&NullKey::named("host key"), start)
    }

    /// As [`replies_to`](Self::replies_to), proved by another host key.
    pub fn replies_with(
        &mut self,
        host_key: &Arc<dyn SigningKey>,
        start: &Said,
    ) -> (Vec<u8>, Keys) {
        let share = [&[1], &[0x5e; WIDTH][..]].concat();
        let in_group = start.number() == GroupStart::NUMBER;
        let client_share = if in_group {
            start.read::<GroupStart<'_>>().client_share
        } else {
            start.read::<KexStart<'_>>().client_share
        };
        let blob = host_key.public_key().as_bytes().clone();
        let keys = self.keys(Side::Server, &blob, client_share, &share);
        let code = null::signature(null::SIGNATURE, host_key.public_key(), &keys.hash);
        let signature = write_signature(null::SIGNATURE, &code);
        let mut reply = BytesMut::new();
        let (host_key, server_share, signature) = (&blob[..], &share[..], &signature[..]);
        if in_group {
            GroupReply {
                host_key,
                server_share,
                signature,
            }
            .write(&mut reply);
        } else {
            KexReply {
                host_key,
                server_share,
                signature,
            }
            .write(&mut reply);
        }
        (reply.to_vec(), keys)
    }

    /// Hears what sizes of a group the client takes, and names the null provider's; what the client
    /// sends its share with.
    #[track_caller]
    pub fn names_group(&mut self) -> Said {
        let said = self.expects::<GroupRequest>();
        let asked: GroupRequest = said.read();
        let sizes = [asked.min, asked.n, asked.max];
        self.group = group_said(sizes, &null::GROUP_PRIME, &[2]);
        self.sends(&Group {
            p: &null::GROUP_PRIME,
            g: &[2],
        });
        self.expects::<GroupStart<'_>>()
    }

    /// Exchanges keys as a server does; the client trusts the host key if it is asked.
    #[track_caller]
    pub fn exchanges_keys(&mut self, proposal: &Proposal) {
        let keys = self.agrees_on_keys(proposal);
        self.sends_new_keys(&keys, Side::Server);
    }

    /// As [`exchanges_keys`](Self::exchanges_keys), up to the client's NEWKEYS.
    #[track_caller]
    pub fn agrees_on_keys(&mut self, proposal: &Proposal) -> Keys {
        self.offers(proposal);
        self.hears_offer();
        let start = self.expects::<KexStart<'_>>();
        if proposal.guesses_wrongly() {
            self.sends_payload(&[31, 1, 2, 3]);
        }
        let (reply, keys) = self.replies_to(&start);
        self.sends_payload(&reply);
        self.trusts();
        self.hears_new_keys(&keys, Side::Server);
        keys
    }

    /// Answers the client's question about the host key, if it has one.
    pub fn trusts(&mut self) {
        if let Some(ClientEvent::HostKey(key)) = self.end.poll_event() {
            self.end
                .judge(key, Trust::Trusted)
                .expect("the key is this connection's");
        }
    }

    /// The right to try a credential, which the client has been given.
    #[track_caller]
    pub fn turn(&mut self) -> Turn {
        let events = self.events();
        let turn = events.into_iter().find_map(|event| match event {
            ClientEvent::Auth(ClientAuth::AuthRequired { turn, .. }) => Some(turn),
            _ => None,
        });
        turn.unwrap_or_else(|| panic!("no turn; {:?}", self.end.error()))
    }

    /// The client tries `none`, and its request has been read.
    #[track_caller]
    pub fn is_asked_to_authenticate(&mut self) {
        self.awaits::<ServiceRequest<'_>>();
        self.sends(&ServiceAccept {
            name: b"ssh-userauth",
        });
        let turn = self.turn();
        let user = "u".to_owned();
        self.end
            .authenticate(turn, Credential::None { user })
            .expect("the turn is this connection's");
        self.expects::<AuthRequest<'_>>();
    }

    /// Everything up to the end of authentication, as a server.
    #[track_caller]
    pub fn handshakes(&mut self, proposal: &Proposal) {
        self.greets();
        self.exchanges_keys(proposal);
        self.is_asked_to_authenticate();
        self.sends(&AuthSuccess {});
        self.events();
    }

    /// Grants the client a session channel; the peer's number of it is [`CHANNEL`].
    #[track_caller]
    pub fn opens_channel(&mut self, window: u32) -> (ChannelId, u32) {
        let mux = self.end.mux().expect("authentication is done");
        let id = mux.open_session().expect("there is room for a channel");
        let open = self.expects::<Open<'_>>();
        let recipient = open.read::<Open<'_>>().sender;
        self.sends(&OpenConfirmation {
            recipient,
            sender: CHANNEL,
            window,
            max_packet: 32 * 1024,
            rest: Rest(&[]),
        });
        self.events();
        (id, recipient)
    }
}

impl<E: End> Peer<Server, E> {
    /// Exchanges keys as a client does.
    #[track_caller]
    pub fn exchanges_keys(&mut self, proposal: &Proposal) {
        let keys = self.agrees_on_keys(proposal);
        self.sends_new_keys(&keys, Side::Client);
    }

    /// As [`exchanges_keys`](Self::exchanges_keys), up to the server's NEWKEYS.
    #[track_caller]
    pub fn agrees_on_keys(&mut self, proposal: &Proposal) -> Keys {
        self.offers(proposal);
        self.hears_offer();
        let share = [&[1], &[0xc1; WIDTH][..]].concat();
        if proposal.guesses_wrongly() {
            self.sends_payload(&[30, 1, 2, 3]);
        }
        self.sends(&KexStart {
            client_share: &share,
        });
        let said = self.expects::<KexReply<'_>>();
        let reply: KexReply<'_> = said.read();
        let keys = self.keys(Side::Client, reply.host_key, &share, reply.server_share);
        let key = PublicKey::new(reply.host_key.to_vec()).expect("the host key has a type");
        let code = null::signature(null::SIGNATURE, &key, &keys.hash);
        assert_eq!(reply.signature, write_signature(null::SIGNATURE, &code));
        self.hears_new_keys(&keys, Side::Client);
        keys
    }

    /// Asks for a group of these sizes, least, best and most, and hears which it is.
    #[track_caller]
    pub fn asks_for_group(&mut self, [min, n, max]: [u32; 3]) {
        self.sends(&GroupRequest { min, n, max });
        let said = self.expects::<Group<'_>>();
        let group: Group<'_> = said.read();
        self.group = group_said([min, n, max], group.p, group.g);
    }

    /// Sends its share of a group, and hears the server's; the keys that follow.
    #[track_caller]
    pub fn exchanges_shares_in_group(&mut self) -> Keys {
        let share = [&[1], &[0xc1; WIDTH][..]].concat();
        self.sends(&GroupStart {
            client_share: &share,
        });
        let said = self.expects::<GroupReply<'_>>();
        let reply: GroupReply<'_> = said.read();
        let keys = self.keys(Side::Client, reply.host_key, &share, reply.server_share);
        let key = PublicKey::new(reply.host_key.to_vec()).expect("the host key has a type");
        let code = null::signature(null::SIGNATURE, &key, &keys.hash);
        assert_eq!(reply.signature, write_signature(null::SIGNATURE, &code));
        keys
    }

    /// Asks for authentication, with the password `p` of user `u`.
    #[track_caller]
    pub fn asks_to_authenticate(&mut self) {
        self.sends(&ServiceRequest {
            name: b"ssh-userauth",
        });
        self.awaits::<ServiceAccept<'_>>();
        let mut fields = BytesMut::from(&[0][..]);
        put(&mut fields, b"p");
        self.sends(&AuthRequest {
            user: "u",
            service: "ssh-connection",
            method: "password",
            rest: Rest(&fields),
        });
    }
}

impl Peer<Server> {
    /// Everything up to the end of authentication, as a client.
    #[track_caller]
    pub fn handshakes(&mut self, proposal: &Proposal) {
        self.greets();
        self.exchanges_keys(proposal);
        self.asks_to_authenticate();
        let events = self.events();
        let attempt = events.into_iter().find_map(|event| match event {
            ServerEvent::Auth(ServerAuth::Attempt(attempt)) => Some(attempt),
            _ => None,
        });
        let attempt = attempt.unwrap_or_else(|| panic!("no attempt; {:?}", self.end.error()));
        self.end
            .decide(attempt, Verdict::Accept)
            .expect("the attempt is this connection's");
        self.awaits::<AuthSuccess>();
        // What a server says first behind it: which host keys it has.
        self.expects::<GlobalRequest<'_>>();
        self.events();
    }

    /// Has the server open a session channel; the peer's number of it is [`CHANNEL`].
    #[track_caller]
    pub fn opens_channel(&mut self, window: u32) -> (ChannelId, u32) {
        self.sends(&Open {
            kind: b"session",
            sender: CHANNEL,
            window,
            max_packet: 32 * 1024,
            rest: Rest(&[]),
        });
        let events = self.events();
        let offer = events.into_iter().find_map(|event| match event {
            ServerEvent::Channel(ChannelEvent::Offered(offer)) => Some(offer),
            _ => None,
        });
        let mux = self.end.mux().expect("authentication is done");
        let id = mux
            .accept(offer.expect("the server was offered a channel"))
            .expect("the offer is this connection's");
        let said = self.expects::<OpenConfirmation<'_>>();
        (id, said.read::<OpenConfirmation<'_>>().sender)
    }
}

impl Said {
    /// The extensions of an EXT_INFO, by name (RFC 8308 §2.3).
    pub fn extensions(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let info: ExtInfo<'_> = self.read();
        let mut reader = sansftp_proto::wire::Reader::new(info.extensions.0);
        let mut next = || -> &[u8] { reader.read().expect("RFC 8308 §2.3: pairs of strings") };
        (0..info.count)
            .map(|_| (next().to_vec(), next().to_vec()))
            .collect()
    }
}
