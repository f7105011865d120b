//! User authentication in scripts: each half against bytes written by hand, and both against each
//! other. No transport, no channels; the signatures here are checksums.

mod certificate;
mod client;
mod pair;
mod server;

use super::client::{Credential, Event as ClientEvent, Prompts, Turn};
use super::server::{Attempt, Event as ServerEvent};
use super::*;
use crate::crypto::{
    CryptoError, CryptoProvider, KeyLoader, PrivateKey, PublicKey, Secret, SecureRandom,
    SignatureAlgorithm, SigningKey,
};
use crate::error::PeerMisbehaved;
use crate::packet::Sorted;
use crate::role::{Client, Server};
use std::borrow::Cow;

const SESSION: &[u8] = b"the hash of the first exchange";

// ---- bytes by hand

/// A message as an RFC lists its fields, written without the tables under test.
#[derive(Clone)]
struct Raw(Vec<u8>);

impl Raw {
    fn message(number: u8) -> Self {
        Self(vec![number])
    }

    fn request(user: &str, method: &str) -> Self {
        Self::message(50)
            .string(user)
            .string("ssh-connection")
            .string(method)
    }

    fn number(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    fn string(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let mut this = self.number(u32::try_from(bytes.len()).unwrap());
        this.0.extend(bytes);
        this
    }
}

fn service_request() -> Raw {
    Raw::message(5).string("ssh-userauth")
}

fn service_accept() -> Raw {
    Raw::message(6).string("ssh-userauth")
}

fn failure(methods: &str, partial: u8) -> Raw {
    Raw::message(51).string(methods).byte(partial)
}

fn success() -> Raw {
    Raw::message(52)
}

// ---- a half and what it says

/// One half, its messages and events.
#[derive(Debug)]
struct Half<M: Machine> {
    machine: Option<M>,
    events: VecDeque<M::Event>,
    proof: Option<Authenticated>,
}

impl<M: Machine> Half<M> {
    fn start(config: Config<M::Role>) -> Self {
        Self::start_in(SESSION, config)
    }

    fn start_in(session: &[u8], config: Config<M::Role>) -> Self {
        let machine = M::start(SessionId::forged(session), Arc::new(config));
        let mut this = Self {
            machine: Some(machine),
            events: VecDeque::new(),
            proof: None,
        };
        this.collect();
        this
    }

    fn collect(&mut self) {
        if let Some(machine) = &mut self.machine {
            machine.poll_events(&mut self.events);
        }
    }

    fn machine(&mut self) -> &mut M {
        self.machine.as_mut().expect("the half is still at it")
    }

    fn hears(&mut self, message: &Raw) -> Result<(), Error> {
        let payload = Payload::<M::Role>::new(BytesMut::from(&message.0[..])).unwrap();
        let Sorted::Auth(payload) = payload.sort() else {
            panic!("message {} is none of authentication", message.0[0]);
        };
        let step = self
            .machine
            .take()
            .unwrap()
            .handle(payload, &mut self.events)?;
        self.step(step);
        Ok(())
    }

    fn step(&mut self, step: Step<M>) {
        match step {
            Step::Stay(machine) => self.machine = Some(machine),
            Step::Done(proof) => self.proof = Some(proof),
        }
        self.collect();
    }

    fn says(&mut self) -> Option<Vec<u8>> {
        let mut out = BytesMut::new();
        self.machine().poll_message(&mut out).then(|| out.to_vec())
    }

    #[track_caller]
    fn expect(&mut self, message: &Raw) {
        assert_eq!(self.says().as_deref(), Some(&message.0[..]));
    }

    #[track_caller]
    fn expect_silence(&mut self) {
        assert_eq!(self.says(), None);
    }

    #[track_caller]
    fn event(&mut self) -> M::Event {
        self.events.pop_front().expect("there is an event")
    }
}

impl Half<super::client::Auth> {
    #[track_caller]
    fn turn(&mut self) -> Turn {
        let ClientEvent::AuthRequired { turn, .. } = self.event() else {
            panic!("no turn");
        };
        turn
    }

    #[track_caller]
    fn prompts(&mut self) -> Prompts {
        let ClientEvent::Prompts(prompts) = self.event() else {
            panic!("no prompts");
        };
        prompts
    }

    fn attempts(&mut self, credential: Credential) {
        let turn = self.turn();
        self.machine().attempt(turn, credential).unwrap();
        self.collect();
    }
}

impl Half<super::server::Auth> {
    #[track_caller]
    fn attempt(&mut self) -> Attempt {
        let ServerEvent::Attempt(attempt) = self.event();
        attempt
    }

    fn judges(&mut self, attempt: Attempt, verdict: super::server::Verdict) -> Result<(), Error> {
        let step = self.machine.take().unwrap().verdict(attempt, verdict)?;
        self.step(step);
        Ok(())
    }
}

#[track_caller]
fn refuses<M: Machine>(mut half: Half<M>, message: &Raw) {
    let number = message.0[0];
    match half.hears(message) {
        Err(Error::PeerMisbehaved(PeerMisbehaved::UnexpectedMessage { number: it, .. })) => {
            assert_eq!(it, number);
        }
        other => panic!("message {number} was not refused: {other:?}"),
    }
    assert!(half.proof.is_none());
}

// ---- cryptography that is none

/// Signs with a checksum that anybody can make: what is under test is what gets signed.
#[derive(Debug)]
struct Null(&'static str, &'static str);

static ALGORITHMS: [&dyn SignatureAlgorithm; 3] = [
    &Null("ssh-ed25519", "ssh-ed25519"),
    &Null("rsa-sha2-512", "ssh-rsa"),
    &Null("rsa-sha2-256", "ssh-rsa"),
];

fn checksum(algorithm: &str, key: &PublicKey, data: &[u8]) -> Vec<u8> {
    let parts = [algorithm.as_bytes(), key.as_bytes(), data];
    // FNV-1a.
    let sum = parts
        .concat()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    sum.to_be_bytes().to_vec()
}

impl SignatureAlgorithm for Null {
    fn name(&self) -> &'static str {
        self.0
    }

    fn key_kind(&self) -> &'static str {
        self.1
    }

    fn verify(&self, key: &PublicKey, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let good = signature == checksum(self.0, key, data);
        if good {
            Ok(())
        } else {
            Err(CryptoError::BadSignature)
        }
    }
}

/// A key whose algorithms and willingness are up to the test.
#[derive(Debug)]
struct Key {
    public: PublicKey,
    algorithms: &'static [&'static str],
    broken: Option<CryptoError>,
}

impl SigningKey for Key {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn algorithms(&self) -> &'static [&'static str] {
        self.algorithms
    }

    fn sign(
        &self,
        algorithm: &str,
        data: &[u8],
        _: &dyn SecureRandom,
    ) -> Result<Vec<u8>, CryptoError> {
        self.broken
            .map_or_else(|| Ok(checksum(algorithm, &self.public, data)), Err)
    }
}

#[derive(Debug)]
struct Nothing;

impl KeyLoader for Nothing {
    fn load(&self, _: &PrivateKey) -> Result<Arc<dyn SigningKey>, CryptoError> {
        Err(CryptoError::Unsupported("loading"))
    }
}

impl SecureRandom for Nothing {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        out.fill(4);
        Ok(())
    }
}

fn provider() -> CryptoProvider {
    CryptoProvider {
        kex: Cow::Borrowed(&[]),
        ciphers: Cow::Borrowed(&[]),
        macs: Cow::Borrowed(&[]),
        signatures: Cow::Borrowed(&ALGORITHMS),
        keys: Arc::new(Nothing),
        random: Arc::new(Nothing),
    }
}

fn public_key(kind: &str, content: &str) -> PublicKey {
    let blob = Raw(Vec::new()).string(kind).string(content);
    PublicKey::new(blob.0).unwrap()
}

fn ed25519(content: &str) -> Arc<dyn SigningKey> {
    let public = public_key("ssh-ed25519", content);
    Arc::new(Key {
        public,
        algorithms: &["ssh-ed25519"],
        broken: None,
    })
}

fn rsa() -> Arc<dyn SigningKey> {
    let public = public_key("ssh-rsa", "e and n");
    Arc::new(Key {
        public,
        algorithms: &["rsa-sha2-512", "rsa-sha2-256"],
        broken: None,
    })
}

fn client() -> Half<super::client::Auth> {
    Half::start(Config::<Client>::client(provider()).with_all_algorithms())
}

/// A client whose service request was accepted.
fn accepted() -> Half<super::client::Auth> {
    let mut client = client();
    client.expect(&service_request());
    client.hears(&service_accept()).unwrap();
    client
}

fn server_config() -> Config<Server> {
    Config::<Server>::server(provider(), Vec::new()).with_all_algorithms()
}

/// A server that accepted the service request.
fn server() -> Half<super::server::Auth> {
    server_with(server_config())
}

fn server_with(config: Config<Server>) -> Half<super::server::Auth> {
    let mut server = Half::start(config);
    server.hears(&service_request()).unwrap();
    server.expect(&service_accept());
    server
}

fn none() -> Credential {
    Credential::None {
        user: "alice".into(),
    }
}

fn with_password(password: &str) -> Credential {
    Credential::Password {
        user: "alice".into(),
        password: password.into(),
    }
}

fn with_key(key: Arc<dyn SigningKey>) -> Credential {
    Credential::PublicKey {
        user: "alice".into(),
        key,
    }
}

fn interactive() -> Credential {
    Credential::Interactive {
        user: "alice".into(),
    }
}

/// The signed request of RFC 4252 §7, and what is signed, by hand.
fn signed(session: &[u8], user: &str, algorithm: &str, key: &PublicKey) -> Raw {
    let request = Raw::request(user, "publickey")
        .byte(1)
        .string(algorithm)
        .string(key.as_bytes());
    let mut data = Raw(Vec::new()).string(session);
    data.0.extend(&request.0);
    let signature = Raw(Vec::new())
        .string(algorithm)
        .string(checksum(algorithm, key, &data.0));
    request.string(signature.0)
}

fn probe(algorithm: &str, key: &PublicKey) -> Raw {
    Raw::request("alice", "publickey")
        .byte(0)
        .string(algorithm)
        .string(key.as_bytes())
}

fn pk_ok(algorithm: &str, key: &PublicKey) -> Raw {
    Raw::message(60).string(algorithm).string(key.as_bytes())
}

fn secrets(texts: &[&str]) -> Vec<Secret> {
    texts.iter().map(|&it| it.into()).collect()
}
