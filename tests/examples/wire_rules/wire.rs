//! One end of a connection over a socket, scripted and with real cryptography: it frames packets, exchanges keys and says
//! whatever a rule wants it to say. Not a client and not a server, and nothing of the core's framing or state is in it, so
//! that it does not agree with the core by sharing its mistakes.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::BytesMut;
use sansftp_proto::crypto::{
    Cipher, CryptoProvider, Kex, Mac, MacMode, OpenPacket, SealPacket, StreamCipher,
};
use sansftp_proto::role::Side;
use sansftp_proto::wire::{Message, Reader};
use sansftp_testkit::peer::messages::{Disconnect, KexInit};

/// What came, in words, where something else was to come.
pub(crate) type Differs = String;

/// How this end introduces itself.
pub(crate) const IDENT: &[u8] = b"SSH-2.0-wire_rules";

/// No packet that is heard is longer.
const LONGEST: usize = 1 << 20;

/// What the other end did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Message(Vec<u8>),
    /// It closed the connection.
    Ended,
    /// Nothing, for as long as is waited.
    Silence,
}

impl Heard {
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Ended => "the connection was closed".to_owned(),
            Self::Silence => "nothing came".to_owned(),
            Self::Message(payload) => match read::<Disconnect<'_>>(payload) {
                Ok(it) => {
                    let words: String = String::from_utf8_lossy(it.description.0)
                        .chars()
                        .map(|it| {
                            if it.is_control() || it == '|' {
                                ' '
                            } else {
                                it
                            }
                        })
                        .collect();
                    format!("DISCONNECT {} ({})", it.reason, words.trim())
                }
                Err(_) => name_of(payload.first().copied().unwrap_or_default()),
            },
        }
    }
}

/// What a message is called that comes in place of others.
fn name_of(number: u8) -> String {
    let name = match number {
        3 => "UNIMPLEMENTED",
        51 => "USERAUTH_FAILURE",
        52 => "USERAUTH_SUCCESS",
        60 => "USERAUTH_PK_OK",
        81 => "REQUEST_SUCCESS",
        82 => "REQUEST_FAILURE",
        91 => "CHANNEL_OPEN_CONFIRMATION",
        92 => "CHANNEL_OPEN_FAILURE",
        96 => "CHANNEL_EOF",
        97 => "CHANNEL_CLOSE",
        _ => return format!("message {number}"),
    };
    name.to_owned()
}

/// Reads a payload as this message, wholly.
pub(crate) fn read<'a, M: Message<'a>>(payload: &'a [u8]) -> Result<M, Differs> {
    if payload.first() != Some(&M::NUMBER) {
        return Err(format!("no {}", M::NAME));
    }
    let mut reader = Reader::new(&payload[1..]);
    M::read_body(&mut reader)
        .and_then(|it| reader.finish().map(|()| it))
        .map_err(|cause| format!("a {} that does not read: {cause}", M::NAME))
}

/// How one direction is protected.
#[derive(Debug)]
enum Seal {
    Plain,
    Whole(Box<dyn SealPacket>),
    Stream(Stream),
}

#[derive(Debug)]
enum Open {
    Plain,
    Whole(Box<dyn OpenPacket>),
    Stream(Stream),
}

/// A stream cipher with a MAC beside it (RFC 4253 §6.4; OpenSSH's PROTOCOL §1.5).
#[derive(Debug)]
struct Stream {
    cipher: Box<dyn StreamCipher>,
    block: usize,
    mac: Box<dyn Mac>,
    mode: MacMode,
    tag: usize,
}

/// What both ends have agreed on, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Agreed {
    pub(crate) kex: String,
    pub(crate) host_key: String,
    cipher: [String; 2],
    mac: [String; 2],
}

/// The scripted end.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    pub(crate) us: Side,
    pub(crate) provider: CryptoProvider,
    input: Vec<u8>,
    seal: Seal,
    open: Open,
    send_seq: u32,
    receive_seq: u32,
    own_ident: Vec<u8>,
    /// The other end's line as it stood on the wire, and what it said before that.
    pub(crate) line: Vec<u8>,
    pub(crate) lines_before: Vec<Vec<u8>>,
    /// The newest KEXINIT of either, ours first.
    pub(crate) inits: [Vec<u8>; 2],
    pub(crate) session_id: Option<Vec<u8>>,
    pub(crate) strict: bool,
    /// What the other end said of extensions, if it did.
    pub(crate) ext_info: Option<Vec<u8>>,
}

impl Wire {
    pub(crate) fn new(
        stream: TcpStream,
        us: Side,
        provider: &CryptoProvider,
        patience: Duration,
    ) -> Result<Self, Differs> {
        let set = stream
            .set_read_timeout(Some(patience))
            .and_then(|()| stream.set_write_timeout(Some(patience)))
            .and_then(|()| stream.set_nodelay(true));
        set.map_err(|error| error.to_string())?;
        Ok(Self {
            stream,
            us,
            provider: provider.clone(),
            input: Vec::new(),
            seal: Seal::Plain,
            open: Open::Plain,
            send_seq: 0,
            receive_seq: 0,
            own_ident: IDENT.to_vec(),
            line: Vec::new(),
            lines_before: Vec::new(),
            inits: [Vec::new(), Vec::new()],
            session_id: None,
            strict: false,
            ext_info: None,
        })
    }

    // ---- saying

    /// Sends bytes as they are. That the other end does not take them any more is seen in what it says.
    pub(crate) fn say_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn say_line(&mut self, ident: &[u8], end: &[u8]) {
        self.own_ident = ident.to_vec();
        self.say_raw(&[ident, end].concat());
    }

    pub(crate) fn say<'m, M: Message<'m>>(&mut self, message: &M) {
        let mut payload = BytesMut::new();
        message.write(&mut payload);
        self.say_payload(&payload);
    }

    pub(crate) fn say_payload(&mut self, payload: &[u8]) {
        let packet = self.sealed(payload);
        self.say_raw(&packet);
    }

    /// A packet with this payload; its sequence number is spent.
    pub(crate) fn sealed(&mut self, payload: &[u8]) -> Vec<u8> {
        let (block, counted, tag) = match &self.seal {
            Seal::Plain => (8, 4, 0),
            Seal::Whole(it) => {
                let counted = if it.length_is_padded() { 4 } else { 0 };
                (it.block_len(), counted, it.tag_len())
            }
            Seal::Stream(it) => {
                let counted = if it.mode == MacMode::EncryptAndMac {
                    4
                } else {
                    0
                };
                (it.block, counted, it.tag)
            }
        };
        let mut padding = block - (counted + 1 + payload.len()) % block;
        while padding < 4 || 5 + payload.len() + padding < 16 {
            padding += block;
        }
        let length = u32::try_from(1 + payload.len() + padding).expect("a rule says little");
        let mut packet = length.to_be_bytes().to_vec();
        packet.push(u8::try_from(padding).expect("padding is short"));
        packet.extend_from_slice(payload);
        packet.resize(packet.len() + padding + tag, 0);
        let seq = self.send_seq;
        match &mut self.seal {
            Seal::Plain => {}
            Seal::Whole(it) => it
                .seal(seq, &mut packet)
                .expect("the packet has its framing"),
            Seal::Stream(it) => {
                let end = packet.len() - tag;
                let (body, code) = packet.split_at_mut(end);
                match it.mode {
                    MacMode::EncryptAndMac => {
                        it.mac.sign(seq, body, code);
                        it.cipher.apply(body);
                    }
                    MacMode::EncryptThenMac => {
                        it.cipher.apply(&mut body[4..]);
                        it.mac.sign(seq, body, code);
                    }
                }
            }
        }
        self.send_seq = self.send_seq.wrapping_add(1);
        packet
    }

    /// The sequence number of the packet that was sent last.
    pub(crate) const fn last_seq(&self) -> u32 {
        self.send_seq.wrapping_sub(1)
    }

    // ---- hearing

    /// Reads until `len` bytes are there.
    fn fill(&mut self, len: usize) -> Result<(), Heard> {
        let mut buffer = [0; 16 * 1024];
        while self.input.len() < len {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Heard::Ended),
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Err(Heard::Silence),
                    _ => return Err(Heard::Ended),
                },
            }
        }
        Ok(())
    }

    /// The other end's identification line, and those before it.
    pub(crate) fn hear_line(&mut self) -> Result<(), Differs> {
        loop {
            let mut end = 0;
            while self.input.get(end) != Some(&b'\n') {
                end += 1;
                if end > 8192 {
                    return Err("a line of more than 8192 bytes".to_owned());
                }
                self.fill(end + 1)
                    .map_err(|heard| format!("no identification: {}", heard.describe()))?;
            }
            let line: Vec<u8> = self.input.drain(..=end).collect();
            if line.starts_with(b"SSH-") {
                self.line = line;
                return Ok(());
            }
            self.lines_before.push(line);
        }
    }

    /// The other end's line without its end, as it is hashed (RFC 4253 §8).
    fn their_ident(&self) -> &[u8] {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// The next message, but for IGNORE and DEBUG (RFC 4253 §11.2, §11.3); the newest EXT_INFO is kept.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            let payload = match self.hear_packet() {
                Ok(payload) => payload,
                Err(heard) => return heard,
            };
            match payload.first() {
                Some(2 | 4) => {}
                Some(7) => {
                    self.ext_info = Some(payload.clone());
                    return Heard::Message(payload);
                }
                _ => return Heard::Message(payload),
            }
        }
    }

    fn hear_packet(&mut self) -> Result<Vec<u8>, Heard> {
        let prefix = match &self.open {
            Open::Plain => 4,
            Open::Whole(it) => it.prefix_len(),
            Open::Stream(it) if it.mode == MacMode::EncryptAndMac => it.block,
            Open::Stream(_) => 4,
        };
        self.fill(prefix)?;
        let seq = self.receive_seq;
        let (length, tag) = match &mut self.open {
            Open::Plain => (first_u32(&self.input), 0),
            Open::Whole(it) => (it.packet_len(seq, &mut self.input[..prefix]), it.tag_len()),
            Open::Stream(it) => {
                if it.mode == MacMode::EncryptAndMac {
                    it.cipher.apply(&mut self.input[..prefix]);
                }
                (first_u32(&self.input), it.tag)
            }
        };
        let total = 4 + length as usize + tag;
        if total > LONGEST || total < prefix + tag {
            return Err(Heard::Ended);
        }
        self.fill(total)?;
        let mut packet: Vec<u8> = self.input.drain(..total).collect();
        let end = total - tag;
        let opened = match &mut self.open {
            Open::Plain => Ok(()),
            Open::Whole(it) => it.open(seq, &mut packet),
            Open::Stream(it) => {
                let (body, code) = packet.split_at_mut(end);
                match it.mode {
                    MacMode::EncryptAndMac => {
                        it.cipher.apply(&mut body[prefix..]);
                        it.mac.verify(seq, body, code)
                    }
                    MacMode::EncryptThenMac => {
                        let verified = it.mac.verify(seq, body, code);
                        it.cipher.apply(&mut body[4..]);
                        verified
                    }
                }
            }
        };
        self.receive_seq = self.receive_seq.wrapping_add(1);
        let padding = usize::from(packet[4]);
        let whole = end.checked_sub(padding).filter(|&end| end > 5);
        match (opened, whole) {
            (Ok(()), Some(end)) => Ok(packet[5..end].to_vec()),
            // Not to be told from the end of the connection by any rule: keys that are not the same are found at once.
            _ => Err(Heard::Ended),
        }
    }

    /// The next message of this kind; EXT_INFO, banners and global requests before it are passed over.
    pub(crate) fn await_message<'m, M: Message<'m>>(&mut self) -> Result<Vec<u8>, Differs> {
        loop {
            match self.hear() {
                Heard::Message(payload) if payload[0] == M::NUMBER => return Ok(payload),
                Heard::Message(payload) if matches!(payload[0], 7 | 53 | 80) => {}
                heard => return Err(format!("{} in place of {}", heard.describe(), M::NAME)),
            }
        }
    }

    /// The other end hangs up, with or without DISCONNECT, and says nothing else; how it did.
    pub(crate) fn ends(&mut self) -> Result<String, Differs> {
        loop {
            match self.hear() {
                // What was on its way, and answers to nothing.
                Heard::Message(payload) if matches!(payload[0], 7 | 20 | 53 | 80) => {}
                // A client's guess goes out with its KEXINIT, and its first request to be let in with that for the service.
                Heard::Message(payload)
                    if matches!(payload[0], 30 | 50) && self.us == Side::Server => {}
                heard @ Heard::Message(_) => match read_disconnect(&heard) {
                    Some(words) => return Ok(words),
                    None => return Err(format!("it went on: {}", heard.describe())),
                },
                Heard::Ended => return Ok("closed without a word".to_owned()),
                Heard::Silence => return Err("it neither answered nor hung up".to_owned()),
            }
        }
    }

    // ---- keys

    /// Introductions, both ways.
    pub(crate) fn greet(&mut self) -> Result<(), Differs> {
        self.say_line(IDENT, b"\r\n");
        self.hear_line()
    }

    pub(crate) fn say_offer(&mut self, payload: &[u8]) {
        self.inits[0] = payload.to_vec();
        self.say_payload(payload);
    }

    /// The other end's KEXINIT. Markers count in the first exchange alone.
    pub(crate) fn hear_offer(&mut self) -> Result<(), Differs> {
        self.inits[1] = self.await_message::<KexInit<'_>>()?;
        if self.session_id.is_none() {
            let marked = |init: &[u8], name: &str| {
                read::<KexInit<'_>>(init).is_ok_and(|it| it.kex.contains(name))
            };
            let (ours, theirs) = match self.us {
                Side::Client => (STRICT_C, STRICT_S),
                Side::Server => (STRICT_S, STRICT_C),
            };
            self.strict = marked(&self.inits[0], ours) && marked(&self.inits[1], theirs);
        }
        if self.guessed_wrongly()? {
            // RFC 4253 §7: dropped in silence.
            self.hear();
        }
        Ok(())
    }

    /// Whether the packet behind the other end's KEXINIT is for another method or host key than are agreed on.
    fn guessed_wrongly(&self) -> Result<bool, Differs> {
        let (ours, theirs): (KexInit<'_>, KexInit<'_>) =
            (read(&self.inits[0])?, read(&self.inits[1])?);
        let alike = ours.kex.first() == theirs.kex.first()
            && ours.host_key.first() == theirs.host_key.first();
        Ok(theirs.first_kex_packet_follows && !alike)
    }

    /// What follows from both KEXINIT (RFC 4253 §7.1).
    pub(crate) fn agreed(&self) -> Result<Agreed, Differs> {
        let ours: KexInit<'_> = read(&self.inits[0])?;
        let theirs: KexInit<'_> = read(&self.inits[1])?;
        let (client, server) = match self.us {
            Side::Client => (ours, theirs),
            Side::Server => (theirs, ours),
        };
        let first = |client: sansftp_proto::wire::NameList<'_>,
                     server: sansftp_proto::wire::NameList<'_>| {
            let found = client.iter().find(|it| server.contains(it));
            found.unwrap_or_default().to_owned()
        };
        let agreed = Agreed {
            kex: first(client.kex, server.kex),
            host_key: first(client.host_key, server.host_key),
            cipher: [
                first(client.cipher_to_server, server.cipher_to_server),
                first(client.cipher_to_client, server.cipher_to_client),
            ],
            mac: [
                first(client.mac_to_server, server.mac_to_server),
                first(client.mac_to_client, server.mac_to_client),
            ],
        };
        if agreed.kex.is_empty() || agreed.host_key.is_empty() || agreed.cipher[0].is_empty() {
            return Err("no algorithm in common with this tool".to_owned());
        }
        Ok(agreed)
    }

    /// The method of this name.
    pub(crate) fn method(&self, name: &str) -> Result<Kex, Differs> {
        let found = self.provider.kex.iter().find(|it| it.name() == name);
        found.copied().ok_or_else(|| format!("no method {name}"))
    }

    /// V_C to I_S of the exchange hash (RFC 4253 §8).
    pub(crate) fn hashed_front(&self) -> BytesMut {
        let (ours, theirs) = (self.own_ident.as_slice(), self.their_ident());
        let [our_init, their_init] = &self.inits;
        let parts: [&[u8]; 4] = match self.us {
            Side::Client => [ours, theirs, our_init, their_init],
            Side::Server => [theirs, ours, their_init, our_init],
        };
        let mut out = BytesMut::new();
        for part in parts {
            put(&mut out, part);
        }
        out
    }

    /// Seals with what follows from the exchange, from the next packet on (RFC 4253 §7.2, §7.3).
    pub(crate) fn seals(&mut self, keys: &Keys, agreed: &Agreed) -> Result<(), Differs> {
        let direction = usize::from(self.us == Side::Server);
        let letters = LETTERS[direction];
        self.seal = match self.cipher(&agreed.cipher[direction])? {
            Cipher::Aead(it) => {
                let (iv, key) = (
                    keys.of(letters[0], it.iv_len()),
                    keys.of(letters[1], it.key_len()),
                );
                Seal::Whole(it.sealer(&key, &iv).map_err(|it| it.to_string())?)
            }
            Cipher::Stream(it) => {
                let (iv, key) = (
                    keys.of(letters[0], it.iv_len()),
                    keys.of(letters[1], it.key_len()),
                );
                let cipher = it.encryptor(&key, &iv).map_err(|it| it.to_string())?;
                Seal::Stream(self.stream(
                    cipher,
                    it.block_len(),
                    &agreed.mac[direction],
                    keys,
                    letters[2],
                )?)
            }
        };
        if self.strict {
            self.send_seq = 0;
        }
        Ok(())
    }

    /// Opens with what follows from the exchange, from the next packet on.
    pub(crate) fn opens(&mut self, keys: &Keys, agreed: &Agreed) -> Result<(), Differs> {
        let direction = usize::from(self.us == Side::Client);
        let letters = LETTERS[direction];
        self.open = match self.cipher(&agreed.cipher[direction])? {
            Cipher::Aead(it) => {
                let (iv, key) = (
                    keys.of(letters[0], it.iv_len()),
                    keys.of(letters[1], it.key_len()),
                );
                Open::Whole(it.opener(&key, &iv).map_err(|it| it.to_string())?)
            }
            Cipher::Stream(it) => {
                let (iv, key) = (
                    keys.of(letters[0], it.iv_len()),
                    keys.of(letters[1], it.key_len()),
                );
                let cipher = it.decryptor(&key, &iv).map_err(|it| it.to_string())?;
                Open::Stream(self.stream(
                    cipher,
                    it.block_len(),
                    &agreed.mac[direction],
                    keys,
                    letters[2],
                )?)
            }
        };
        if self.strict {
            self.receive_seq = 0;
        }
        Ok(())
    }

    fn cipher(&self, name: &str) -> Result<Cipher, Differs> {
        let found = self.provider.ciphers.iter().find(|it| it.name() == name);
        found.copied().ok_or_else(|| format!("no cipher {name}"))
    }

    fn stream(
        &self,
        cipher: Box<dyn StreamCipher>,
        block: usize,
        mac: &str,
        keys: &Keys,
        letter: u8,
    ) -> Result<Stream, Differs> {
        let found = self.provider.macs.iter().find(|it| it.name() == mac);
        let algorithm = *found.ok_or_else(|| format!("no MAC {mac}"))?;
        let key = keys.of(letter, algorithm.key_len());
        Ok(Stream {
            cipher,
            block,
            mac: algorithm.start(&key).map_err(|it| it.to_string())?,
            mode: algorithm.mode(),
            tag: algorithm.tag_len(),
        })
    }
}

const STRICT_C: &str = "kex-strict-c-v00@openssh.com";
const STRICT_S: &str = "kex-strict-s-v00@openssh.com";

/// IV, key and MAC key of either direction, the client's first (RFC 4253 §7.2).
const LETTERS: [[u8; 3]; 2] = [*b"ACE", *b"BDF"];

fn first_u32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |it| u32::from_be_bytes(*it))
}

fn read_disconnect(heard: &Heard) -> Option<String> {
    let Heard::Message(payload) = heard else {
        return None;
    };
    read::<Disconnect<'_>>(payload).ok()?;
    Some(heard.describe())
}

/// Appends `bytes` as a string (RFC 4251 §5).
pub(crate) fn put(out: &mut BytesMut, bytes: &[u8]) {
    sansftp_proto::wire::Field::write(&bytes, out);
}

/// What keys are derived from.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) kex: Kex,
    /// K, as it is hashed.
    pub(crate) secret: Vec<u8>,
    pub(crate) hash: Vec<u8>,
    pub(crate) session_id: Vec<u8>,
}

impl Keys {
    /// RFC 4253 §7.2.
    fn of(&self, letter: u8, len: usize) -> Vec<u8> {
        let hash = self.kex.hash();
        let (k, h) = (&self.secret[..], &self.hash[..]);
        let mut key = hash
            .digest(&[k, h, &[letter], &self.session_id])
            .expose()
            .to_vec();
        while key.len() < len {
            let more = hash.digest(&[k, h, &key]);
            key.extend_from_slice(more.expose());
        }
        key.truncate(len);
        key
    }
}
