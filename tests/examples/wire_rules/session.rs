//! What is behind the key exchange, as a client does it: logging in, a channel, requests of SFTP. No more of each than rules
//! need: one channel at a time, and SFTP requests that fit into packets.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use sansftp_proto::crypto::{CryptoProvider, SigningKey, write_signature};
use sansftp_proto::role::Side;
use sansftp_proto::wire::{Message, Rest};
use sansftp_testkit::peer::messages::{
    AuthRequest, AuthSuccess, Data, Open, OpenConfirmation, Request, ServiceAccept, ServiceRequest,
    Success, WindowAdjust,
};

use crate::exchange::Offer;
use crate::report::Fault;
use crate::wire::{Differs, Heard, Wire, put, read};

/// The server that is looked at, and who is let in.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) provider: CryptoProvider,
    /// What is taken for silence.
    pub(crate) patience: Duration,
    pub(crate) user: String,
    pub(crate) key: Option<Arc<dyn SigningKey>>,
    pub(crate) files: Files,
}

/// Whether a file may be made in the user's home, which is taken away again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    Made,
    Untouched,
}

/// Our number of the channel: not a small one, because any is allowed (RFC 4254 §5.1).
pub(crate) const CHANNEL: u32 = 0xdead_beef;

/// An open session channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) wire: Wire,
    pub(crate) theirs: u32,
    /// What the server may be sent.
    window: u32,
    max_packet: u32,
    /// Channel data that came and was not read.
    data: Vec<u8>,
}

impl Target {
    /// A connection, before the first byte.
    pub(crate) fn connect(&self) -> Result<Wire, Differs> {
        let stream = TcpStream::connect(&self.address).map_err(|error| error.to_string())?;
        Wire::new(stream, Side::Client, &self.provider, self.patience)
    }

    /// A connection that has been introduced.
    pub(crate) fn greeted(&self) -> Result<Wire, Differs> {
        let mut wire = self.connect()?;
        wire.greet()?;
        Ok(wire)
    }

    /// A connection with keys, by this offer.
    pub(crate) fn keyed_with(&self, change: impl FnOnce(Offer) -> Offer) -> Result<Wire, Differs> {
        let mut wire = self.greeted()?;
        let agreed = wire.offers(&change(Offer::of(&wire)))?;
        wire.exchange(&agreed)?;
        Ok(wire)
    }

    pub(crate) fn keyed(&self) -> Result<Wire, Differs> {
        self.keyed_with(|it| it.strict(Side::Client))
    }

    /// A connection on which authentication may begin.
    pub(crate) fn served(&self) -> Result<Wire, Differs> {
        let mut wire = self.keyed()?;
        wire.asks_for_service()?;
        Ok(wire)
    }

    pub(crate) fn key(&self) -> Result<&dyn SigningKey, Fault> {
        let key = self.key.as_deref();
        key.ok_or_else(|| Fault::NotTried("needs --user and --key".to_owned()))
    }

    /// A connection that is logged in.
    pub(crate) fn logged_in(&self) -> Result<Wire, Fault> {
        self.key()?;
        let mut wire = self.served()?;
        self.log_in(&mut wire)?;
        Ok(wire)
    }

    pub(crate) fn log_in(&self, wire: &mut Wire) -> Result<(), Fault> {
        let request = self.signed(wire, |_| {})?;
        wire.say_payload(&request);
        wire.await_message::<AuthSuccess>()?;
        Ok(())
    }

    /// A request with the key's signature, of which `change` may change a byte.
    pub(crate) fn signed(
        &self,
        wire: &Wire,
        change: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Vec<u8>, Fault> {
        let key = self.key()?;
        let algorithm = key.algorithms().first().copied().unwrap_or_default();
        let request = self.with_key(key, algorithm, true);
        let mut signed = BytesMut::new();
        put(&mut signed, wire.session_id.as_deref().unwrap_or_default());
        signed.extend_from_slice(&request);
        let mut signature = key
            .sign(algorithm, &signed, &*self.provider.random)
            .map_err(|it| Fault::NotTried(it.to_string()))?;
        change(&mut signature);
        let mut request = BytesMut::from(&request[..]);
        put(&mut request, &write_signature(algorithm, &signature));
        Ok(request.to_vec())
    }

    /// The request for a key, without a signature (RFC 4252 §7).
    pub(crate) fn with_key(&self, key: &dyn SigningKey, algorithm: &str, signs: bool) -> Vec<u8> {
        let mut fields = BytesMut::from(&[u8::from(signs)][..]);
        put(&mut fields, algorithm.as_bytes());
        put(&mut fields, key.public_key().as_bytes());
        self.request("publickey", &fields)
    }

    /// A request for authentication by this method.
    pub(crate) fn request(&self, method: &str, fields: &[u8]) -> Vec<u8> {
        let mut request = BytesMut::new();
        AuthRequest {
            user: &self.user,
            service: "ssh-connection",
            method,
            rest: Rest(fields),
        }
        .write(&mut request);
        request.to_vec()
    }

    /// A session channel with this window for the server, and packets of this size at most.
    pub(crate) fn channel(&self, window: u32, max_packet: u32) -> Result<Channel, Fault> {
        let mut wire = self.logged_in()?;
        wire.say(&Open {
            kind: b"session",
            sender: CHANNEL,
            window,
            max_packet,
            rest: Rest(&[]),
        });
        let payload = wire.await_message::<OpenConfirmation<'_>>()?;
        let opened: OpenConfirmation<'_> = read(&payload)?;
        if opened.recipient != CHANNEL {
            return Err(format!("channel {} was confirmed", opened.recipient).into());
        }
        Ok(Channel {
            theirs: opened.sender,
            window: opened.window,
            max_packet: opened.max_packet,
            data: Vec::new(),
            wire,
        })
    }

    /// A channel on which SFTP runs.
    pub(crate) fn sftp(&self) -> Result<Channel, Fault> {
        let mut channel = self.channel(1 << 24, 32 * 1024)?;
        channel.starts_sftp()?;
        channel.sends(&[0, 0, 0, 5, 1, 0, 0, 0, 3])?;
        let version = channel.hears_sftp()?;
        match version.first() {
            Some(2) => Ok(channel),
            _ => Err(format!("message {:?} in place of VERSION", version.first()).into()),
        }
    }
}

impl Wire {
    pub(crate) fn asks_for_service(&mut self) -> Result<(), Differs> {
        self.say(&ServiceRequest {
            name: b"ssh-userauth",
        });
        self.await_message::<ServiceAccept<'_>>().map(|_| ())
    }
}

impl Channel {
    pub(crate) fn asks(&mut self, name: &str, want_reply: bool, fields: &[u8]) {
        let recipient = self.theirs;
        self.wire.say(&Request {
            recipient,
            name: name.as_bytes(),
            want_reply,
            rest: Rest(fields),
        });
    }

    pub(crate) fn starts_sftp(&mut self) -> Result<(), Differs> {
        let mut fields = BytesMut::new();
        put(&mut fields, b"sftp");
        self.asks("subsystem", true, &fields);
        self.hears_until(Success::NUMBER).map(|_| ())
    }

    /// The next message, once data is put aside and windows are counted.
    pub(crate) fn hears(&mut self) -> Result<Heard, Differs> {
        loop {
            let heard = self.wire.hear();
            let Heard::Message(payload) = &heard else {
                return Ok(heard);
            };
            match payload[0] {
                WindowAdjust::NUMBER => {
                    let adjust: WindowAdjust = read(payload)?;
                    let sum = self.window.checked_add(adjust.bytes);
                    self.window = sum.ok_or("a window beyond 2^32 - 1")?;
                }
                // Standard error says nothing of SFTP.
                7 | 53 | 80 | 95 => {}
                _ => return Ok(heard),
            }
        }
    }

    /// The next message of this number; data before it is put aside.
    pub(crate) fn hears_until(&mut self, number: u8) -> Result<Vec<u8>, Differs> {
        loop {
            match self.hears()? {
                Heard::Message(payload) if payload[0] == number => return Ok(payload),
                Heard::Message(payload) if payload[0] == Data::NUMBER => {
                    self.data
                        .extend_from_slice(read::<Data<'_>>(&payload)?.data);
                }
                heard => return Err(format!("{} in place of message {number}", heard.describe())),
            }
        }
    }

    /// Sends data in packets that the server takes, as far as its window goes.
    pub(crate) fn sends(&mut self, mut bytes: &[u8]) -> Result<(), Differs> {
        while !bytes.is_empty() {
            let room = self.window.min(self.max_packet).min(32 * 1024) as usize;
            if room == 0 {
                let payload = self.wire.await_message::<WindowAdjust>()?;
                self.window = read::<WindowAdjust>(&payload)?.bytes;
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let recipient = self.theirs;
            self.wire.say(&Data {
                recipient,
                data: now,
            });
            self.window -= u32::try_from(now.len()).expect("no more than the window");
            bytes = later;
        }
        Ok(())
    }

    /// Sends a packet of SFTP: its type, its id and what follows.
    pub(crate) fn asks_sftp(&mut self, kind: u8, id: u32, fields: &[u8]) -> Result<(), Differs> {
        let length = u32::try_from(5 + fields.len()).expect("a rule says little");
        let mut packet = length.to_be_bytes().to_vec();
        packet.push(kind);
        packet.extend_from_slice(&id.to_be_bytes());
        packet.extend_from_slice(fields);
        self.sends(&packet)
    }

    /// The next packet of SFTP, without its length.
    pub(crate) fn hears_sftp(&mut self) -> Result<Vec<u8>, Differs> {
        loop {
            if let Some(length) = self.data.first_chunk::<4>() {
                let end = 4 + u32::from_be_bytes(*length) as usize;
                if self.data.len() >= end {
                    let packet: Vec<u8> = self.data.drain(..end).skip(4).collect();
                    return Ok(packet);
                }
            }
            let payload = match self.hears()? {
                Heard::Message(payload) if payload[0] == Data::NUMBER => payload,
                heard => return Err(format!("{} in place of SFTP", heard.describe())),
            };
            self.data
                .extend_from_slice(read::<Data<'_>>(&payload)?.data);
        }
    }

    /// Asks, and hears the answer: its type and what follows the id, which is ours.
    pub(crate) fn answer(
        &mut self,
        kind: u8,
        id: u32,
        fields: &[u8],
    ) -> Result<(u8, Vec<u8>), Differs> {
        self.asks_sftp(kind, id, fields)?;
        let packet = self.hears_sftp()?;
        match (packet.first(), packet.get(1..5)) {
            (Some(&kind), Some(theirs)) if theirs == id.to_be_bytes() => {
                Ok((kind, packet[5..].to_vec()))
            }
            _ => Err("an answer to another request".to_owned()),
        }
    }

    /// As [`answer`](Self::answer), which is a STATUS; its code.
    pub(crate) fn status(&mut self, kind: u8, id: u32, fields: &[u8]) -> Result<u32, Differs> {
        match self.answer(kind, id, fields)? {
            (101, fields) => fields
                .first_chunk()
                .map(|it| u32::from_be_bytes(*it))
                .ok_or_else(|| "a STATUS without a code".to_owned()),
            (kind, _) => Err(format!("type {kind} in place of STATUS")),
        }
    }

    /// As [`answer`](Self::answer), which is a HANDLE.
    pub(crate) fn handle(&mut self, kind: u8, id: u32, fields: &[u8]) -> Result<Vec<u8>, Differs> {
        match self.answer(kind, id, fields)? {
            (102, fields) => Ok(fields),
            (kind, _) => Err(format!("type {kind} in place of HANDLE")),
        }
    }
}
