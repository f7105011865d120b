//! A provider in which one call fails, each in turn: whatever it was, the connection ends, nobody is let in by it, and nothing
//! leaves unsealed. Not what bad input does to a provider, which is tested in the crate of the providers.

use sansftp_proto::auth::client::{Credential, Event as ClientAuth};
use sansftp_proto::auth::server::{Event as ServerAuth, Offered, Verdict};
use sansftp_proto::connection::ChannelEvent;
use sansftp_proto::crypto::{
    ActiveKex, AeadAlgorithm, Cipher, CryptoError, CryptoProvider, Hash, Kex, KexAlgorithm, Mac,
    MacAlgorithm, MacMode, NumberEncoding, OpenPacket, PublicKey, SealPacket, Secret, SecureRandom,
    SignatureAlgorithm, SigningKey, StreamAlgorithm, StreamCipher, Unauthenticated,
};
use sansftp_proto::error::Error;
use sansftp_proto::session::{ClientEvent, Config, Connection, ServerEvent, Trust};
use sansftp_testkit::null::{self, NullKey};
use sansftp_testkit::pair::{Ends, Pair};
use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

thread_local! {
    /// Calls that may still succeed, and whether one has failed.
    static FUSE: Cell<(u32, bool)> = const { Cell::new((u32::MAX, false)) };
}

/// One call: the last of those that may succeed is followed by one that fails, and by many that would succeed.
fn burn() -> Result<(), CryptoError> {
    match FUSE.get() {
        (0, false) => {
            FUSE.set((0, true));
            Err(CryptoError::Failed("as the test wants it"))
        }
        (left, blown) => {
            FUSE.set((left.saturating_sub(1), blown));
            Ok(())
        }
    }
}

/// Anything of a provider, behind the fuse.
#[derive(Debug)]
struct Fused<T>(T);

impl KexAlgorithm for Fused<&'static dyn KexAlgorithm> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn hash(&self) -> &'static dyn Hash {
        self.0.hash()
    }

    fn share_encoding(&self) -> NumberEncoding {
        self.0.share_encoding()
    }

    fn secret_encoding(&self) -> NumberEncoding {
        self.0.secret_encoding()
    }

    fn start(&self, random: &dyn SecureRandom) -> Result<Box<dyn ActiveKex>, CryptoError> {
        burn()?;
        Ok(Box::new(Fused(self.0.start(random)?)))
    }

    fn respond(
        &self,
        client_share: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Secret), CryptoError> {
        burn()?;
        self.0.respond(client_share, random)
    }
}

impl ActiveKex for Fused<Box<dyn ActiveKex>> {
    fn share(&self) -> &[u8] {
        self.0.share()
    }

    fn finish(self: Box<Self>, server_share: &[u8]) -> Result<Secret, CryptoError> {
        burn()?;
        self.0.finish(server_share)
    }
}

impl AeadAlgorithm for Fused<&'static dyn AeadAlgorithm> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn iv_len(&self) -> usize {
        self.0.iv_len()
    }

    fn rekey_after(&self) -> u64 {
        self.0.rekey_after()
    }

    fn sealer(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn SealPacket>, CryptoError> {
        burn()?;
        Ok(Box::new(Fused(self.0.sealer(key, iv)?)))
    }

    fn opener(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn OpenPacket>, CryptoError> {
        burn()?;
        Ok(Box::new(Fused(self.0.opener(key, iv)?)))
    }
}

impl SealPacket for Fused<Box<dyn SealPacket>> {
    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn block_len(&self) -> usize {
        self.0.block_len()
    }

    fn length_is_padded(&self) -> bool {
        self.0.length_is_padded()
    }

    fn seal(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), CryptoError> {
        burn()?;
        self.0.seal(seq, packet)
    }
}

impl OpenPacket for Fused<Box<dyn OpenPacket>> {
    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn block_len(&self) -> usize {
        self.0.block_len()
    }

    fn length_is_padded(&self) -> bool {
        self.0.length_is_padded()
    }

    fn prefix_len(&self) -> usize {
        self.0.prefix_len()
    }

    fn packet_len(&mut self, seq: u32, prefix: &mut [u8]) -> u32 {
        self.0.packet_len(seq, prefix)
    }

    fn open(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), Unauthenticated> {
        burn().map_err(|_| Unauthenticated)?;
        self.0.open(seq, packet)
    }
}

impl StreamAlgorithm for Fused<&'static dyn StreamAlgorithm> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn iv_len(&self) -> usize {
        self.0.iv_len()
    }

    fn block_len(&self) -> usize {
        self.0.block_len()
    }

    fn rekey_after(&self) -> u64 {
        self.0.rekey_after()
    }

    fn encryptor(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError> {
        burn()?;
        self.0.encryptor(key, iv)
    }

    fn decryptor(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError> {
        burn()?;
        self.0.decryptor(key, iv)
    }
}

impl MacAlgorithm for Fused<&'static dyn MacAlgorithm> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn mode(&self) -> MacMode {
        self.0.mode()
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn start(&self, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        burn()?;
        Ok(Box::new(Fused(self.0.start(key)?)))
    }
}

impl Mac for Fused<Box<dyn Mac>> {
    fn sign(&self, seq: u32, data: &[u8], tag: &mut [u8]) {
        self.0.sign(seq, data, tag);
    }

    fn verify(&self, seq: u32, data: &[u8], tag: &[u8]) -> Result<(), Unauthenticated> {
        burn().map_err(|_| Unauthenticated)?;
        self.0.verify(seq, data, tag)
    }
}

impl SignatureAlgorithm for Fused<&'static dyn SignatureAlgorithm> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn key_kind(&self) -> &'static str {
        self.0.key_kind()
    }

    fn verify(&self, key: &PublicKey, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        burn()?;
        self.0.verify(key, data, signature)
    }
}

impl SigningKey for Fused<Arc<dyn SigningKey>> {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn algorithms(&self) -> &'static [&'static str] {
        self.0.algorithms()
    }

    fn sign(
        &self,
        algorithm: &str,
        data: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, CryptoError> {
        burn()?;
        self.0.sign(algorithm, data, random)
    }
}

impl SecureRandom for Fused<Arc<dyn SecureRandom>> {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        burn()?;
        self.0.fill(out)
    }
}

fn leaked<T>(value: T) -> &'static Fused<T> {
    Box::leak(Box::new(Fused(value)))
}

/// The null provider behind the fuse.
fn fused(seed: u64) -> CryptoProvider {
    let sound = null::provider(seed);
    let kex = sound.kex.iter().filter_map(|it| match it {
        Kex::Shares(it) => Some(Kex::Shares(leaked(*it))),
        // Not the preferred one, and so never reached.
        Kex::GroupExchange(_) => None,
    });
    let macs = sound.macs.iter().map(|it| leaked(*it) as &_).collect();
    let signatures = sound
        .signatures
        .iter()
        .map(|it| leaked(*it) as &_)
        .collect();
    let ciphers = sound.ciphers.iter().map(|it| match it {
        Cipher::Aead(it) => Cipher::Aead(leaked(*it)),
        Cipher::Stream(it) => Cipher::Stream(leaked(*it)),
    });
    CryptoProvider {
        kex: Cow::Owned(kex.collect()),
        ciphers: Cow::Owned(ciphers.collect()),
        macs: Cow::Owned(macs),
        signatures: Cow::Owned(signatures),
        keys: sound.keys,
        random: Arc::new(Fused(sound.random)),
    }
}

const NOTE: &[u8] = b"what nobody else may read";

/// How many calls may succeed, from the moment when both ends have begun.
fn arm(calls: u32) {
    FUSE.set((calls, false));
}

fn spent(calls: u32) -> u32 {
    calls - FUSE.get().0
}

/// Both ends, and a key that the user proves.
fn begins(provider: &CryptoProvider, cipher: &str) -> (Pair, Arc<dyn SigningKey>) {
    let key = |name| Arc::new(Fused(NullKey::named(name))) as Arc<dyn SigningKey>;
    let mut client = Config::client(provider.clone()).with_all_algorithms();
    client.algorithms.cipher = vec![cipher.to_owned()];
    let host_keys = vec![key("host key")];
    let mut server = Config::server(provider.clone(), host_keys).with_all_algorithms();
    // With another one to fall back on, a signature that fails is one attempt of two.
    server.local.user_algorithms = vec![null::SIGNATURE.to_owned()];
    arm(u32::MAX);
    let mut pair = Ends { client, server }.start();
    pair.to_server.record();
    pair.to_client.record();
    (pair, key("user's key"))
}

/// Logs in, sends data, changes keys and sends data again, as far as it gets; gives the calls that were left when the user was
/// let in, if it got so far.
fn lives(pair: &mut Pair, key: &Arc<dyn SigningKey>) -> Option<u32> {
    let mut let_in = None;
    let mut tried = false;
    pair.drive();
    loop {
        if let Some(event) = pair.client_events.pop_front() {
            match event {
                ClientEvent::HostKey(key) => {
                    let _ = pair.client.judge(key, Trust::Trusted);
                }
                ClientEvent::Auth(ClientAuth::AuthRequired { turn, .. }) if !tried => {
                    tried = true;
                    let (user, key) = ("u".to_owned(), Arc::clone(key));
                    let _ = pair
                        .client
                        .authenticate(turn, Credential::PublicKey { user, key });
                }
                ClientEvent::Authenticated => {
                    if let Some(mux) = pair.client.mux() {
                        mux.open_session().expect("there is room for a channel");
                    }
                }
                ClientEvent::Channel(ChannelEvent::Opened(id)) => {
                    for _ in 0..2 {
                        if let Some(mux) = pair.client.mux() {
                            let _ = mux.write(id, NOTE.into());
                        }
                        pair.drive();
                        let _ = pair.client.rekey();
                        pair.drive();
                    }
                }
                _ => {}
            }
        } else if let Some(event) = pair.server_events.pop_front() {
            match event {
                ServerEvent::Auth(ServerAuth::Attempt(attempt)) => {
                    let verdict = match &attempt.method {
                        Offered::PublicKeyProbe { .. } => Verdict::Acceptable,
                        Offered::PublicKey { .. } => Verdict::Accept,
                        other => panic!("{other:?} was not tried"),
                    };
                    let left = FUSE.get().0;
                    let _ = pair.server.decide(attempt, verdict);
                    let_in = pair.server.mux().map(|_| left);
                }
                ServerEvent::Channel(ChannelEvent::Offered(offer)) => {
                    if let Some(mux) = pair.server.mux() {
                        mux.accept(offer);
                    }
                }
                _ => {}
            }
        } else {
            return let_in;
        }
        pair.drive();
    }
}

/// CVE-2025-5987, CVE-2025-5372, CVE-2023-6918, CVE-2023-2283: none of the failures is taken for a success.
#[test]
fn whatever_fails_in_cryptography_ends_the_connection_and_lets_nobody_in() {
    let provider = fused(1);
    for cipher in [null::AEAD, null::STREAM] {
        let (mut pair, key) = begins(&provider, cipher);
        arm(u32::MAX);
        let left = lives(&mut pair, &key).expect("with nothing broken the user is let in");
        assert_eq!(pair.errors(), [None, None]);
        assert_eq!([pair.client.exchanges(), pair.server.exchanges()], [3, 3]);
        let (all, before) = (spent(u32::MAX), u32::MAX - left);
        assert!(before > 20 && all > before + 30, "{before} of {all} calls");
        for call in 0..all {
            let (mut pair, key) = begins(&provider, cipher);
            arm(call);
            let let_in = lives(&mut pair, &key);
            assert!(FUSE.get().1, "{cipher}, call {call}: it has not failed");
            assert_eq!(let_in.is_some(), call >= before, "{cipher}, call {call}");
            let ended = pair.errors().iter().any(Option::is_some);
            // A signature that the client cannot make, or the server cannot check, is an attempt that failed.
            let refused = let_in.is_none() && pair.client.exchanges() == 1;
            assert!(ended || refused, "{cipher}, call {call}: it goes on");
            for link in [&pair.to_server, &pair.to_client] {
                let clear = link.written().windows(NOTE.len()).any(|it| it == NOTE);
                assert!(!clear, "{cipher}, call {call}: unsealed");
            }
        }
    }
}

/// An end that has no randomness does not begin.
#[test]
fn without_randomness_neither_end_begins() {
    let provider = fused(1);
    for calls in [0, 1] {
        arm(calls);
        let config = Config::client(provider.clone()).with_all_algorithms();
        let begun = Connection::client(Arc::new(config), Instant::now());
        assert!(matches!(begun, Err(Error::Crypto(_))), "{begun:?}");
        arm(calls);
        let keys = vec![NullKey::named("host key")];
        let config = Config::server(provider.clone(), keys).with_all_algorithms();
        let begun = Connection::server(Arc::new(config), Instant::now());
        assert!(matches!(begun, Err(Error::Crypto(_))), "{begun:?}");
    }
}
