//! Certificates that a server shows in the handshake (OpenSSH PROTOCOL.certkeys), as no real server shows them: cut off,
//! of other keys, of other types, with lengths that lie. Whoever judges is asked about what the server has proved to
//! hold, and about nothing else. Certificates of real servers are in the connector's tests.

use bytes::{BufMut, Bytes, BytesMut};
use sansftp_keys::certificate::{Certificate, CertificateError, CertificateKind, Demand};
use sansftp_proto::crypto::{
    CryptoError, PublicKey, SecureRandom, SigningKey, certificate_algorithm, write_signature,
};
use sansftp_proto::error::{Error, PeerMisbehaved};
use sansftp_proto::session::{ClientEvent, HostKey};
use sansftp_testkit::pair::{Ends, Pair};
use sansftp_testkit::suite::Suite;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SUITES: [Suite; 2] = [Suite::Ring, Suite::RustCrypto];
const PLAIN: &str = "ssh-ed25519";

fn string(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap());
    out.put_slice(bytes);
}

/// The name of certificates for Ed25519 keys.
fn certified() -> &'static str {
    certificate_algorithm(PLAIN).unwrap()
}

/// A certificate of `kind` (1 for users, 2 for hosts) for the key, whose extensions and authority are these.
fn certificate(
    key: &PublicKey,
    kind: u32,
    critical: &[u8],
    authority: &dyn SigningKey,
    random: &dyn SecureRandom,
) -> Bytes {
    let mut out = BytesMut::new();
    string(&mut out, certified().as_bytes());
    string(&mut out, &[9; 32]);
    // The key's own fields, behind its type.
    out.put_slice(&key.as_bytes()[4 + PLAIN.len()..]);
    out.put_u64(7);
    out.put_u32(kind);
    string(&mut out, b"a host");
    let mut names = BytesMut::new();
    string(&mut names, b"host.example");
    string(&mut out, &names);
    out.put_u64(0);
    out.put_u64(u64::MAX);
    string(&mut out, critical);
    string(&mut out, b"");
    string(&mut out, b"");
    string(&mut out, authority.public_key().as_bytes());
    let signature = authority.sign(PLAIN, &out, random).unwrap();
    string(&mut out, &write_signature(PLAIN, &signature));
    out.freeze()
}

/// Shows something as its host key, under one name, and signs with another's key.
#[derive(Debug)]
struct Shows {
    shown: PublicKey,
    algorithms: &'static [&'static str],
    key: Arc<dyn SigningKey>,
}

impl SigningKey for Shows {
    fn public_key(&self) -> &PublicKey {
        &self.shown
    }

    fn algorithms(&self) -> &'static [&'static str] {
        self.algorithms
    }

    fn sign(
        &self,
        _: &str,
        data: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, CryptoError> {
        self.key.sign(PLAIN, data, random)
    }
}

/// What comes of a handshake in which the server shows this under this algorithm, signing with the suite's key 3.
fn shown(suite: Suite, blob: &[u8], algorithm: &'static str) -> Result<HostKey, Error> {
    let algorithms: &[&str] = match algorithm {
        PLAIN => &["ssh-ed25519"],
        _ => &["ssh-ed25519-cert-v01@openssh.com"],
    };
    let mut ends = Ends::over(suite);
    ends.server.local.host_keys = vec![Arc::new(Shows {
        shown: PublicKey::new(Bytes::copy_from_slice(blob)).expect("it begins with a name"),
        algorithms,
        key: suite.key(3),
    })];
    for list in [
        &mut ends.client.algorithms.host_key,
        &mut ends.server.algorithms.host_key,
    ] {
        *list = vec![algorithm.to_owned()];
    }
    let mut pair: Pair = ends.start();
    pair.drive();
    match pair.client_events.pop_front() {
        Some(ClientEvent::HostKey(key)) => Ok(key),
        _ => Err(pair
            .client
            .error()
            .expect("the handshake has ended")
            .clone()),
    }
}

fn wrong() -> Error {
    PeerMisbehaved::WrongHostKeyAlgorithm.into()
}

/// Whether the certificate in `key` holds for the host that it names.
fn judged(suite: Suite, key: &PublicKey) -> Result<(), String> {
    let certificate = Certificate::parse(key).map_err(|error| error.to_string())?;
    let now: SystemTime = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let judged: Result<(), CertificateError> = certificate.check(&Demand {
        kind: CertificateKind::Host,
        names: &[b"host.example"],
        now,
        from: None,
        algorithms: &suite.provider(1).signatures,
    });
    judged.map_err(|error| error.to_string())
}

fn good(suite: Suite) -> Bytes {
    let (key, authority, random) = (suite.key(3), suite.key(4), suite.provider(1).random);
    certificate(key.public_key(), 2, b"", &*authority, &*random)
}

#[test]
fn a_certificate_of_the_key_that_signed_is_asked_about_whole() {
    for suite in SUITES {
        let blob = good(suite);
        let key = shown(suite, &blob, certified()).unwrap();
        assert_eq!(key.key().as_bytes(), &blob);
        assert_eq!(key.algorithm(), certified());
        assert_eq!(judged(suite, key.key()), Ok(()));
    }
}

#[test]
fn a_certificate_cut_anywhere_is_refused_or_holds_for_nobody() {
    for suite in SUITES {
        let whole = good(suite);
        let mut asked = 0;
        // Behind the name of its type: without that it is no key at all.
        for end in 4 + certified().len()..whole.len() {
            match shown(suite, &whole[..end], certified()) {
                Ok(key) => {
                    asked += 1;
                    assert!(judged(suite, key.key()).is_err(), "cut at {end}");
                }
                Err(error) => assert_eq!(error, wrong(), "cut at {end}"),
            }
        }
        // The front, up to the end of the key, is what the handshake needs.
        assert_eq!(
            asked,
            whole.len() - (4 + certified().len() + 4 + 32 + 4 + 32)
        );
    }
}

#[test]
fn a_length_that_lies_anywhere_is_refused_or_holds_for_nobody() {
    let suite = Suite::Ring;
    let whole = good(suite);
    for at in 4 + certified().len()..whole.len() - 3 {
        for lie in [u32::MAX, 0x0004_0000, 0] {
            let mut blob = whole.to_vec();
            blob[at..at + 4].copy_from_slice(&lie.to_be_bytes());
            if blob == whole {
                continue;
            }
            match shown(suite, &blob, certified()) {
                Ok(key) => assert!(judged(suite, key.key()).is_err(), "{lie} at {at}"),
                Err(error) => assert!(
                    error == wrong() || matches!(error, Error::HostKeyUnproven(_)),
                    "{lie} at {at}: {error}"
                ),
            }
        }
    }
}

#[test]
fn whoever_does_not_hold_the_key_inside_is_not_asked_about() {
    for suite in SUITES {
        let (other, authority) = (suite.key(5), suite.key(4));
        let random = suite.provider(1).random;
        let blob = certificate(other.public_key(), 2, b"", &*authority, &*random);
        let error = shown(suite, &blob, certified()).unwrap_err();
        assert!(matches!(error, Error::HostKeyUnproven(_)), "{error}");
        // Nor does the authority's own key stand in for the one inside.
        let blob = certificate(authority.public_key(), 2, b"", &*suite.key(3), &*random);
        let error = shown(suite, &blob, certified()).unwrap_err();
        assert!(matches!(error, Error::HostKeyUnproven(_)), "{error}");
    }
}

#[test]
fn what_is_shown_is_of_the_form_that_was_agreed_on() {
    for suite in SUITES {
        let plain = suite.key(3).public_key().as_bytes().clone();
        assert_eq!(shown(suite, &plain, certified()).unwrap_err(), wrong());
        assert_eq!(shown(suite, &good(suite), PLAIN).unwrap_err(), wrong());
        assert!(shown(suite, &plain, PLAIN).is_ok());
        // Of another type of key, of an unknown one, and none at all.
        for name in [
            "ecdsa-sha2-nistp256-cert-v01@openssh.com",
            "ssh-dss-cert-v01@openssh.com",
            "sk-ssh-ed25519-cert-v01@openssh.com",
            "-cert-v01@openssh.com",
            "ssh-ed25519-cert-v00@openssh.com",
        ] {
            let mut blob = BytesMut::new();
            string(&mut blob, name.as_bytes());
            blob.put_slice(&good(suite)[4 + certified().len()..]);
            let error = shown(suite, &blob, certified()).unwrap_err();
            assert_eq!(error, wrong(), "{name}");
        }
    }
}

#[test]
fn a_certificate_that_holds_for_no_host_is_asked_about_and_says_why_it_does_not() {
    for suite in SUITES {
        let (key, authority, random) = (suite.key(3), suite.key(4), suite.provider(1).random);
        let key = key.public_key();
        let mut option = BytesMut::new();
        string(&mut option, b"only-on-sundays");
        string(&mut option, b"");
        let made = |kind, critical: &[u8]| certificate(key, kind, critical, &*authority, &*random);
        let mut forged = made(2, b"").to_vec();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        let mut longer = made(2, b"").to_vec();
        longer.push(0);
        // An authority that is a certificate itself.
        let chained = certificate(
            key,
            2,
            b"",
            &Shows {
                shown: PublicKey::new(good(suite)).unwrap(),
                algorithms: &["ssh-ed25519"],
                key: suite.key(3),
            },
            &*random,
        );
        for (blob, why) in [
            (made(1, b""), "for users"),
            (made(3, b""), "neither users nor hosts"),
            (made(2, &option), "critical option"),
            (forged.into(), "does not verify"),
            (longer.into(), "trailing"),
            (chained, "signed with a certificate"),
        ] {
            let asked = shown(suite, &blob, certified()).unwrap();
            let judged = judged(suite, asked.key()).unwrap_err();
            assert!(judged.contains(why), "{why}: {judged}");
        }
    }
}
