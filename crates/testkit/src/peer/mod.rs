//! A scripted end of a connection, opposite a real one: it can say anything at any time, in clear or under the null
//! provider's keys, and refuses what RFC 4253 §7.1 forbids the other end to say. Not a second implementation: it frames
//! packets and exchanges keys by itself, so that it does not agree with the core by sharing its mistakes, and no more.
//!
//! `R` is the end under test; the peer plays the other. The end is the core itself, unless it is told otherwise: behind a
//! [`Wire`] there may be a whole server.

mod end;
mod handshake;
pub mod messages;

pub use end::{End, Wire};
pub use handshake::{CHANNEL, Keys, Proposal};

use crate::null::{self, AeadKey, KEX};
use bytes::BytesMut;
use sansftp_proto::crypto::{OpenPacket, SealPacket};
use sansftp_proto::role::{Client, Role, Server};
use sansftp_proto::session::{Config, Connection};
use sansftp_proto::wire::{Field, Message, Reader};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

/// How a peer introduces itself.
pub const IDENT: &str = "SSH-2.0-peer";

/// A scripted peer and the end under test.
#[derive(Debug)]
pub struct Peer<R: Role, E = Connection<R>> {
    /// The end under test.
    pub end: E,
    /// What the end takes for now.
    pub now: Instant,
    to_end: BytesMut,
    from_end: BytesMut,
    sealer: Option<AeadKey>,
    opener: Option<AeadKey>,
    send_seq: u32,
    receive_seq: u32,
    /// How the peer has introduced itself.
    own_ident: Vec<u8>,
    /// The end's identification line without its end, once read.
    ident: Option<Vec<u8>>,
    /// The newest KEXINIT of either, ours first.
    inits: [Vec<u8>; 2],
    /// The hash of the method that was offered last.
    hash: fn(&[&[u8]]) -> Vec<u8>,
    /// What has been said of a group in this exchange, as it is hashed (RFC 4419 §3).
    group: Vec<u8>,
    session_id: Option<Vec<u8>>,
    strict: bool,
    /// The end is between its KEXINIT and its NEWKEYS: only transport messages may come.
    silent: bool,
    role: PhantomData<R>,
}

/// A payload that the end under test sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said(Vec<u8>);

impl Said {
    /// The message number.
    pub fn number(&self) -> u8 {
        self.0[0]
    }

    /// The whole payload.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the payload as this message, wholly.
    #[track_caller]
    pub fn read<'a, M: Message<'a>>(&'a self) -> M {
        assert_eq!(self.number(), M::NUMBER, "read as {}", M::NAME);
        let mut reader = Reader::new(&self.0[1..]);
        let message = M::read_body(&mut reader);
        message
            .and_then(|message| reader.finish().map(|()| message))
            .unwrap_or_else(|cause| panic!("{} does not read: {cause}; {:?}", M::NAME, self.0))
    }
}

impl Peer<Client> {
    /// A server opposite a client with this configuration, before the first byte.
    pub fn of_client(config: Config<Client>) -> Self {
        let now = Instant::now();
        let end = Connection::client(Arc::new(config), now);
        Self::new(end.expect("the configuration has algorithms"), now)
    }

    /// A server opposite a client with the null provider.
    pub fn of_null_client() -> Self {
        Self::of_client(Config::client(null::provider(1)).with_all_algorithms())
    }
}

impl Peer<Server> {
    /// A client opposite a server with this configuration, before the first byte.
    pub fn of_server(config: Config<Server>) -> Self {
        let now = Instant::now();
        let end = Connection::server(Arc::new(config), now);
        Self::new(end.expect("the configuration has algorithms"), now)
    }

    /// A client opposite a server with the null provider.
    pub fn of_null_server() -> Self {
        let keys = vec![null::NullKey::named("host key")];
        Self::of_server(Config::server(null::provider(2), keys).with_all_algorithms())
    }
}

impl<R: Role, E: End> Peer<R, E> {
    /// Opposite this end, before the first byte.
    pub fn new(end: E, now: Instant) -> Self {
        Self {
            end,
            now,
            to_end: BytesMut::new(),
            from_end: BytesMut::new(),
            sealer: None,
            opener: None,
            send_seq: 0,
            receive_seq: 0,
            own_ident: IDENT.as_bytes().to_vec(),
            ident: None,
            inits: [Vec::new(), Vec::new()],
            hash: handshake::hash_of(KEX),
            group: Vec::new(),
            session_id: None,
            strict: false,
            silent: false,
            role: PhantomData,
        }
    }

    // ---- saying

    /// Sends a message in a packet of its own.
    pub fn sends<'m, M: Message<'m>>(&mut self, message: &M) {
        let mut payload = BytesMut::new();
        message.write(&mut payload);
        self.sends_payload(&payload);
    }

    /// Sends any payload in a packet of its own.
    pub fn sends_payload(&mut self, payload: &[u8]) {
        let packet = self.sealed(payload);
        self.sends_raw(&packet);
    }

    /// Sends bytes as they are.
    pub fn sends_raw(&mut self, bytes: &[u8]) {
        self.to_end.extend_from_slice(bytes);
        self.pump();
    }

    /// A packet with this payload, ready to be sent; its sequence number is spent.
    pub fn sealed(&mut self, payload: &[u8]) -> Vec<u8> {
        let (block, outside, tag) = match &self.sealer {
            None => (8, 0, 0),
            Some(sealer) => (
                SealPacket::block_len(sealer),
                4,
                SealPacket::tag_len(sealer),
            ),
        };
        let mut padding = block - (5 + payload.len() - outside) % block;
        while padding < 4 || 5 + payload.len() + padding < 16 {
            padding += block;
        }
        let len = u32::try_from(1 + payload.len() + padding).expect("tests send less than 4 GiB");
        let mut packet = len.to_be_bytes().to_vec();
        packet.push(u8::try_from(padding).expect("padding is short"));
        packet.extend_from_slice(payload);
        packet.resize(packet.len() + padding + tag, 0);
        if let Some(sealer) = &mut self.sealer {
            sealer
                .seal(self.send_seq, &mut packet)
                .expect("the null cipher seals everything");
        }
        self.send_seq = self.send_seq.wrapping_add(1);
        packet
    }

    /// Closes the transport without a word.
    pub fn hangs_up(&mut self) {
        self.end.hang_up(self.now);
    }

    /// The end's turn: it reads what was sent, and says what it has to say.
    pub fn pump(&mut self) {
        self.end
            .turn(self.now, &mut self.to_end, &mut self.from_end);
    }

    /// Bytes that the end has not taken, because it waits for an answer or for the rest of a packet.
    pub fn untaken(&self) -> usize {
        self.to_end.len()
    }

    /// The sequence number of the packet that was sent last.
    pub const fn last_seq(&self) -> u32 {
        self.send_seq.wrapping_sub(1)
    }

    // ---- hearing

    /// The next message of the end, if there is one.
    #[track_caller]
    pub fn hears(&mut self) -> Option<Said> {
        self.pump();
        loop {
            if let Some(said) = self.next_said() {
                return Some(said);
            }
            if !self.end.says_more(&mut self.from_end) {
                return None;
            }
        }
    }

    #[track_caller]
    fn next_said(&mut self) -> Option<Said> {
        self.hears_ident()?;
        let prefix = self.from_end.first_chunk::<4>()?;
        let tag = self.opener.as_ref().map_or(0, OpenPacket::tag_len);
        let total = 4 + u32::from_be_bytes(*prefix) as usize + tag;
        if self.from_end.len() < total {
            return None;
        }
        let mut packet = self.from_end.split_to(total);
        if let Some(opener) = &mut self.opener {
            opener
                .open(self.receive_seq, &mut packet)
                .expect("the end seals with the keys that were agreed on");
        }
        self.receive_seq = self.receive_seq.wrapping_add(1);
        let padding = usize::from(packet[4]);
        let said = Said(packet[5..total - tag - padding].to_vec());
        self.watch(&said);
        Some(said)
    }

    /// The next message of the end, which is this.
    #[track_caller]
    pub fn expects<'m, M: Message<'m>>(&mut self) -> Said {
        match self.hears() {
            Some(said) if said.number() == M::NUMBER => said,
            other => panic!("{other:?} instead of {}; {}", M::NAME, self.end.complaint()),
        }
    }

    /// The next message of the end that is this; others before it are passed over.
    #[track_caller]
    pub fn awaits<'m, M: Message<'m>>(&mut self) -> Said {
        loop {
            match self.hears() {
                Some(said) if said.number() == M::NUMBER => return said,
                Some(_) => {}
                None => panic!("no {} came; {}", M::NAME, self.end.complaint()),
            }
        }
    }

    /// All that the end has said and nobody has heard, as it stands on the wire.
    pub fn take_raw(&mut self) -> BytesMut {
        self.pump();
        self.from_end.split()
    }

    /// The end says nothing more for now.
    #[track_caller]
    pub fn expects_silence(&mut self) {
        assert_eq!(self.hears(), None);
    }

    /// The end says that it hangs up, for this reason, and nothing after that.
    #[track_caller]
    pub fn sees_disconnect(&mut self, reason: u32) {
        let said = self.awaits::<messages::Disconnect<'_>>();
        assert_eq!(said.read::<messages::Disconnect<'_>>().reason, reason);
        self.expects_silence();
    }

    fn hears_ident(&mut self) -> Option<&[u8]> {
        if self.ident.is_none() {
            let end = self.from_end.iter().position(|&byte| byte == b'\n')?;
            let line = self.from_end.split_to(end + 1);
            let line = line.strip_suffix(b"\r\n").expect("RFC 4253 §4.2: CR LF");
            self.ident = Some(line.to_vec());
        }
        self.ident.as_deref()
    }

    /// RFC 4253 §7.1: "Once a party has sent a SSH_MSG_KEXINIT message ... it MUST NOT send any messages other than" those
    /// of the transport layer, service request and accept excluded, until its NEWKEYS.
    #[track_caller]
    fn watch(&mut self, said: &Said) {
        let number = said.number();
        let of_service = matches!(number, 5 | 6 | 50..=127);
        assert!(
            !(self.silent && of_service),
            "message {number} between KEXINIT and NEWKEYS"
        );
        match number {
            messages::KexInit::NUMBER => {
                assert!(!self.silent, "a second KEXINIT before NEWKEYS");
                self.silent = true;
                self.inits[1] = said.as_bytes().to_vec();
            }
            messages::NewKeys::NUMBER => self.silent = false,
            _ => {}
        }
    }
}

impl<R: Role> Peer<R> {
    /// What the end is told, until it is told nothing more.
    pub fn events(&mut self) -> Vec<R::Event> {
        self.pump();
        let events = std::iter::from_fn(|| self.end.poll_event()).collect();
        // An answer, and what had to wait behind it, may be due by now.
        self.pump();
        events
    }
}

/// Appends `bytes` as an SSH `string`.
fn put(out: &mut BytesMut, bytes: &[u8]) {
    Field::write(&bytes, out);
}
