//! Key exchange of the scripted end: what it offers, and both halves of an exchange (RFC 4253 §7, §8; RFC 5656 §4).

use bytes::BytesMut;
use sansftp_proto::crypto::{
    Kex, KexAlgorithm, NumberEncoding, PublicKey, SigningKey, split_signature, write_signature,
};
use sansftp_proto::role::Side;
use sansftp_proto::wire::{Message, NameList, Unsigned};
use sansftp_testkit::peer::messages::{KexInit, KexReply, KexStart, NewKeys};

use crate::wire::{Agreed, Differs, Keys, Wire, put, read};

/// What is offered in KEXINIT, both directions alike.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) kex: Vec<String>,
    pub(crate) host_key: Vec<String>,
    pub(crate) cipher: Vec<String>,
    pub(crate) mac: Vec<String>,
    /// Pseudo-names behind the methods.
    pub(crate) markers: Vec<&'static str>,
    /// Whether a guessed packet follows (RFC 4253 §7).
    pub(crate) guess: bool,
}

impl Offer {
    /// All that the provider has of methods with one round trip.
    pub(crate) fn of(wire: &Wire) -> Self {
        let provider = &wire.provider;
        let shares = |it: &&Kex| matches!(it, Kex::Shares(_));
        let names = provider.kex.iter().filter(shares).map(Kex::name);
        let own = |it: &'static str| it.to_owned();
        Self {
            kex: names.map(own).collect(),
            host_key: provider
                .signatures
                .iter()
                .map(|it| own(it.name()))
                .collect(),
            cipher: provider.ciphers.iter().map(|it| own(it.name())).collect(),
            mac: provider.macs.iter().map(|it| own(it.name())).collect(),
            markers: Vec::new(),
            guess: false,
        }
    }

    /// With strict key exchange asked for.
    pub(crate) fn strict(mut self, us: Side) -> Self {
        self.markers.push(match us {
            Side::Client => "kex-strict-c-v00@openssh.com",
            Side::Server => "kex-strict-s-v00@openssh.com",
        });
        self
    }

    pub(crate) fn payload(&self, wire: &Wire) -> Vec<u8> {
        let mut cookie = [0; 16];
        // Whether it is random is asked of the other end alone.
        let _ = wire.provider.random.fill(&mut cookie);
        let mut names = self.kex.clone();
        names.extend(self.markers.iter().map(|it| (*it).to_owned()));
        let mut buffers = [const { String::new() }; 5];
        let [kex, host_key, cipher, mac, compression] = &mut buffers;
        let kex = NameList::join(&names, kex);
        let host_key = NameList::join(&self.host_key, host_key);
        let cipher = NameList::join(&self.cipher, cipher);
        let mac = NameList::join(&self.mac, mac);
        let compression = NameList::join(["none"], compression);
        let mut out = BytesMut::new();
        KexInit {
            cookie,
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

fn encode(encoding: NumberEncoding, number: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    match encoding {
        NumberEncoding::MpInt => Unsigned(number).write(&mut out),
        NumberEncoding::String => put(&mut out, number),
    }
    out
}

/// The magnitude of a number that came as a string of bytes.
fn magnitude(encoding: NumberEncoding, share: &[u8]) -> &[u8] {
    match encoding {
        NumberEncoding::MpInt => share.strip_prefix(&[0]).unwrap_or(share),
        NumberEncoding::String => share,
    }
}

/// A message 30 with this share.
pub(crate) fn start_with(encoding: NumberEncoding, share: &[u8]) -> Vec<u8> {
    let mut payload = BytesMut::from(&[KexStart::NUMBER][..]);
    payload.extend_from_slice(&encode(encoding, share));
    payload.to_vec()
}

impl Wire {
    /// Both KEXINIT, after which the exchange may begin.
    pub(crate) fn offers(&mut self, offer: &Offer) -> Result<Agreed, Differs> {
        let payload = offer.payload(self);
        self.say_offer(&payload);
        self.hear_offer()?;
        self.agreed()
    }

    pub(crate) fn shares(&self, agreed: &Agreed) -> Result<&'static dyn KexAlgorithm, Differs> {
        match self.method(&agreed.kex)? {
            Kex::Shares(it) => Ok(it),
            Kex::GroupExchange(_) => Err(format!("{} was chosen", agreed.kex)),
        }
    }

    /// The client's half of an exchange with NEWKEYS of both ends; the host key's proof is checked.
    pub(crate) fn exchange(&mut self, agreed: &Agreed) -> Result<(), Differs> {
        let keys = self.exchange_shares(agreed)?;
        self.say(&NewKeys {});
        self.seals(&keys, agreed)?;
        self.hear_new_keys(&keys, agreed)
    }

    pub(crate) fn hear_new_keys(&mut self, keys: &Keys, agreed: &Agreed) -> Result<(), Differs> {
        self.await_message::<NewKeys>()?;
        self.opens(keys, agreed)
    }

    /// The client's half up to the server's answer.
    pub(crate) fn exchange_shares(&mut self, agreed: &Agreed) -> Result<Keys, Differs> {
        let method = self.shares(agreed)?;
        let active = method
            .start(&*self.provider.random)
            .map_err(|it| it.to_string())?;
        let share = active.share().to_vec();
        self.say_payload(&start_with(method.share_encoding(), &share));
        let payload = self.await_message::<KexReply<'_>>()?;
        let reply: KexReply<'_> = read(&payload)?;
        let theirs = magnitude(method.share_encoding(), reply.server_share);
        let secret = active.finish(theirs).map_err(|it| it.to_string())?;
        let keys = self.keys(method, reply.host_key, [&share, theirs], secret.expose());
        let (name, signature) =
            split_signature(reply.signature).map_err(|it| format!("the signature: {it}"))?;
        if name != agreed.host_key.as_bytes() {
            let name = String::from_utf8_lossy(name);
            return Err(format!("a signature of {name} for {}", agreed.host_key));
        }
        let key = PublicKey::new(reply.host_key.to_vec()).map_err(|it| it.to_string())?;
        let algorithm = self.provider.signature(&agreed.host_key);
        let algorithm = algorithm.ok_or_else(|| format!("no algorithm {}", agreed.host_key))?;
        if key.kind() != algorithm.key_kind() {
            return Err(format!("a key {} for {}", key.kind(), agreed.host_key));
        }
        algorithm
            .verify(&key, &keys.hash, signature)
            .map_err(|it| format!("the signature over the exchange hash: {it}"))?;
        Ok(keys)
    }

    /// The server's answer to the client's share, with a signature that `forge` may change; not sent yet.
    pub(crate) fn reply(
        &mut self,
        agreed: &Agreed,
        host_key: &dyn SigningKey,
        start: &[u8],
        forge: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(Vec<u8>, Keys), Differs> {
        let method = self.shares(agreed)?;
        let start: KexStart<'_> = read(start)?;
        let theirs = magnitude(method.share_encoding(), start.client_share);
        let (share, secret) = method
            .respond(theirs, &*self.provider.random)
            .map_err(|it| format!("the client's share: {it}"))?;
        self.reply_with(agreed, host_key, [theirs, &share], secret.expose(), forge)
    }

    /// As [`reply`](Self::reply), with this share of ours and the secret that is to follow from both.
    pub(crate) fn reply_with(
        &mut self,
        agreed: &Agreed,
        host_key: &dyn SigningKey,
        [theirs, share]: [&[u8]; 2],
        secret: &[u8],
        forge: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(Vec<u8>, Keys), Differs> {
        let method = self.shares(agreed)?;
        let blob = host_key.public_key().as_bytes().clone();
        let keys = self.keys(method, &blob, [theirs, share], secret);
        let mut signature = host_key
            .sign(&agreed.host_key, &keys.hash, &*self.provider.random)
            .map_err(|it| it.to_string())?;
        forge(&mut signature);
        let mut reply = BytesMut::from(&[KexReply::NUMBER][..]);
        put(&mut reply, &blob);
        reply.extend_from_slice(&encode(method.share_encoding(), share));
        put(&mut reply, &write_signature(&agreed.host_key, &signature));
        Ok((reply.to_vec(), keys))
    }

    /// H and what keys follow from (RFC 4253 §7.2, §8).
    fn keys(
        &mut self,
        method: &'static dyn KexAlgorithm,
        host_key: &[u8],
        shares: [&[u8]; 2],
        secret: &[u8],
    ) -> Keys {
        let secret = encode(method.secret_encoding(), secret);
        let mut hashed = self.hashed_front();
        put(&mut hashed, host_key);
        for share in shares {
            hashed.extend_from_slice(&encode(method.share_encoding(), share));
        }
        let hash = method.hash().digest(&[&hashed, &secret]);
        let hash = hash.expose().to_vec();
        let session_id = self.session_id.get_or_insert_with(|| hash.clone()).clone();
        Keys {
            kex: Kex::Shares(method),
            secret: secret.to_vec(),
            hash,
            session_id,
        }
    }
}
