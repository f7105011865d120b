//! A server's other host keys (OpenSSH's PROTOCOL, `hostkeys-00@openssh.com`): that ours announces and
//! proves them, to whom and how often, and what is sent as a proof and is none. Real servers and clients
//! are in the connector's tests and in those of `serve`.

use bytes::{BufMut, Bytes, BytesMut};
use sansftp_proto::connection::ChannelEvent;
use sansftp_proto::crypto::{
    CryptoError, PublicKey, SecureRandom, SigningKey, split_signature, write_signature,
};
use sansftp_proto::limits;
use sansftp_proto::session::ClientEvent;
use sansftp_testkit::pair::{Ends, Pair};
use sansftp_testkit::suite::Suite;
use std::sync::Arc;

const ALL: [Suite; 3] = [Suite::Null, Suite::Ring, Suite::RustCrypto];

/// One string of RFC 4251 §5.
fn string(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap());
    out.put_slice(bytes);
}

#[test]
fn no_proof_is_one_that_is_missing_or_of_another_session_or_key() {
    for suite in [Suite::Ring, Suite::RustCrypto] {
        let mut pair = Pair::over(suite);
        pair.connect();
        let (key, other) = (suite.key(3), suite.key(4));
        let random = suite.provider(5).random;
        let keys = [key.public_key().clone()];
        let mut text = BytesMut::new();
        string(&mut text, b"hostkeys-prove-00@openssh.com");
        string(&mut text, &[7; 32]);
        string(&mut text, keys[0].as_bytes());
        let signed = |signer: &dyn SigningKey, name: &str| {
            let signature = signer.sign("ssh-ed25519", &text, &*random).unwrap();
            let mut answer = BytesMut::new();
            string(&mut answer, &write_signature(name, &signature));
            answer
        };
        let elsewhere = signed(&*key, "ssh-ed25519");
        let twice = [&elsewhere[..], &elsewhere[..]].concat();
        let answers = [
            &b""[..],
            b"\0\0\0\x05abc",
            b"\0\0\0\0",
            &elsewhere,
            &signed(&*other, "ssh-ed25519"),
            &signed(&*key, "ssh-rsa"),
            &signed(&*key, "rsa-sha2-256"),
            &twice,
        ]
        .map(<[u8]>::to_vec);
        for answer in answers {
            assert_eq!(
                pair.client.check_host_keys(&keys, &answer),
                Err(CryptoError::BadSignature),
                "{answer:?}"
            );
        }
        assert_eq!(pair.client.check_host_keys(&[], b""), Ok(()));
    }
}

/// A pair in session whose server has these keys.
fn session(suite: Suite, keys: &[Arc<dyn SigningKey>]) -> Pair {
    let mut ends = Ends::over(suite);
    ends.server.local.host_keys = keys.to_vec();
    let mut pair = ends.start();
    pair.connect();
    pair
}

fn public(keys: &[Arc<dyn SigningKey>]) -> Vec<PublicKey> {
    keys.iter().map(|it| it.public_key().clone()).collect()
}

/// What the server answers to the client's request for proofs.
fn asks(pair: &mut Pair, keys: &[PublicKey]) -> (bool, Bytes) {
    pair.client_mux().prove_host_keys(keys).unwrap();
    answered(pair)
}

fn answered(pair: &mut Pair) -> (bool, Bytes) {
    pair.drive();
    let event = pair.client_events.pop_front();
    let Some(ClientEvent::Channel(ChannelEvent::GlobalAnswered { ok, data })) = event else {
        panic!("{event:?}; {:?}", pair.errors());
    };
    (ok, data)
}

#[test]
fn a_server_announces_all_its_keys_and_proves_those_that_it_is_asked_for() {
    for suite in ALL {
        // All of one type: only the first of them can be agreed on.
        let keys = [suite.key(3), suite.key(4), suite.key(5)];
        let mut pair = session(suite, &keys);
        assert_eq!(pair.client.host_key(), Some(keys[0].public_key()));
        let announced = pair.client_mux().announced_host_keys().to_vec();
        assert_eq!(announced, public(&keys), "{suite:?}");
        for asked in [&announced[..], &announced[1..], &announced[2..], &[]] {
            let (ok, proof) = asks(&mut pair, asked);
            assert!(ok, "{suite:?}");
            pair.client.check_host_keys(asked, &proof).unwrap();
            let mut turned = asked.to_vec();
            turned.reverse();
            let good = turned == asked;
            let checked = pair.client.check_host_keys(&turned, &proof);
            assert_eq!(checked.is_ok(), good, "in their order alone");
        }
        // After the keys of the connection were changed, over the same session: the proof is of this session still.
        pair.client.rekey().unwrap();
        pair.drive();
        let (ok, proof) = asks(&mut pair, &announced);
        assert!(ok && pair.client.check_host_keys(&announced, &proof).is_ok());
        // And of no other.
        let mut ends = Ends::over(suite);
        ends.client.provider = suite.provider(7);
        ends.server.local.host_keys = keys.to_vec();
        let mut other = ends.start();
        other.connect();
        assert_eq!(
            other.client.check_host_keys(&announced, &proof),
            Err(CryptoError::BadSignature)
        );
    }
}

#[test]
fn a_server_signs_for_no_key_but_its_own_and_only_where_an_answer_is_wanted() {
    for suite in ALL {
        let keys = [suite.key(3), suite.key(4)];
        let mut pair = session(suite, &keys);
        let stranger = suite.key(9).public_key().clone();
        for asked in [
            vec![stranger.clone()],
            vec![keys[0].public_key().clone(), stranger],
        ] {
            assert_eq!(asks(&mut pair, &asked), (false, Bytes::new()), "{suite:?}");
        }
        // What is no list of keys, whole or not.
        for body in [&b"\0"[..], b"\0\0\0\x05abc", b"\0\0\0\0", &[0xff; 64]] {
            let mux = pair.client_mux();
            mux.global_request(b"hostkeys-prove-00@openssh.com", body)
                .unwrap();
            assert!(!answered(&mut pair).0, "{body:?}");
        }
        // A client has nothing to announce, and a server is asked for nothing by its announcement.
        let mux = pair.client_mux();
        mux.global_request(b"hostkeys-00@openssh.com", b"").unwrap();
        assert!(!answered(&mut pair).0);
        assert!(pair.errors().iter().all(Option::is_none));
    }
}

#[test]
fn a_client_does_not_make_a_server_sign_without_end() {
    let keys = [Suite::Ring.key(3), Suite::Ring.key(4)];
    let mut pair = session(Suite::Ring, &keys);
    let both = public(&keys);
    // In one request, the same key over and over: nothing is signed at all.
    let many = vec![both[0].clone(); limits::HOST_KEY_PROOFS + 1];
    assert!(!asks(&mut pair, &many).0);
    // In many.
    for _ in 0..limits::HOST_KEY_PROOFS / 2 {
        let (ok, proof) = asks(&mut pair, &both);
        assert!(ok && pair.client.check_host_keys(&both, &proof).is_ok());
    }
    assert!(!asks(&mut pair, &both[..1]).0);
    assert!(pair.errors().iter().all(Option::is_none));
}

/// A key that says that it is another, or that fails.
#[derive(Debug)]
struct Odd {
    shown: PublicKey,
    key: Arc<dyn SigningKey>,
    fails: bool,
}

impl SigningKey for Odd {
    fn public_key(&self) -> &PublicKey {
        &self.shown
    }

    fn algorithms(&self) -> &'static [&'static str] {
        self.key.algorithms()
    }

    fn sign(
        &self,
        algorithm: &str,
        data: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, CryptoError> {
        if self.fails {
            return Err(CryptoError::Failed("a token that was pulled out"));
        }
        self.key.sign(algorithm, data, random)
    }
}

#[test]
fn certificates_are_not_announced_and_a_key_that_cannot_sign_is_not_proven() {
    let suite = Suite::Ring;
    let key = suite.key(3);
    let mut certificate = BytesMut::new();
    string(&mut certificate, b"ssh-ed25519-cert-v01@openssh.com");
    let certificate = Odd {
        shown: PublicKey::new(certificate.freeze()).unwrap(),
        key: suite.key(5),
        fails: false,
    };
    let broken = Odd {
        shown: suite.key(4).public_key().clone(),
        key: suite.key(4),
        fails: true,
    };
    let keys: [Arc<dyn SigningKey>; 4] =
        [key.clone(), Arc::new(certificate), Arc::new(broken), key];
    let mut pair = session(suite, &keys);
    let announced = pair.client_mux().announced_host_keys().to_vec();
    assert_eq!(announced, public(&[suite.key(3), suite.key(4)]));
    assert!(!asks(&mut pair, &announced).0);
    let (ok, proof) = asks(&mut pair, &announced[..1]);
    assert!(ok);
    // A string with a signature, and the signature's name in it.
    let (name, _) = split_signature(&proof[4..]).unwrap();
    assert_eq!(name, b"ssh-ed25519");
    assert!(!asks(&mut pair, &public(&keys[1..2])).0, "the certificate");
}

#[test]
fn a_key_of_no_offered_algorithm_is_neither_announced_nor_proven() {
    let suite = Suite::Ring;
    let provider = suite.provider(1);
    let other = sansftp_crypto::generate_ed25519(&*provider.random).unwrap();
    let hidden: Arc<dyn SigningKey> = Arc::new(Hidden(provider.keys.load(&other).unwrap()));
    let keys = [suite.key(3), hidden];
    let mut pair = session(suite, &keys);
    let announced = pair.client_mux().announced_host_keys().to_vec();
    assert_eq!(announced, public(&keys[..1]));
    assert!(!asks(&mut pair, &public(&keys[1..])).0);
}

/// A key that signs with what nobody has agreed to.
#[derive(Debug)]
struct Hidden(Arc<dyn SigningKey>);

impl SigningKey for Hidden {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn algorithms(&self) -> &'static [&'static str] {
        &["ssh-nothing"]
    }

    fn sign(
        &self,
        _: &str,
        data: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, CryptoError> {
        self.0.sign("ssh-ed25519", data, random)
    }
}
