//! Key exchange opposite a peer that cheats, as others' implementations have been cheated: steps left out, proofs that prove
//! nothing, numbers and lists that cannot be, guesses without end. Not what is merely out of order; see `handshake`.

use bytes::BytesMut;
use sansftp_crypto::SeededRandom;
use sansftp_proto::auth::client::Credential;
use sansftp_proto::crypto::{
    ActiveKex, CryptoError, Curve, Hash, Kex, KexAlgorithm, NumberEncoding, PublicKey, Secret,
    SecureRandom, SigningKey, split_signature, write_signature,
};
use sansftp_proto::error::{DisconnectReason, Error, PeerMisbehaved};
use sansftp_proto::role::{Client, Role, Server, Side};
use sansftp_proto::session::{ClientEvent, Config};
use sansftp_proto::wire::{Field, Message, NameList, Reader, Rest, Text};
use sansftp_testkit::null::{self, NullKey, WideKex};
use sansftp_testkit::pair::Ends;
use sansftp_testkit::peer::messages::{
    AuthFailure, AuthSuccess, Disconnect, ExtInfo, Group, KexReply, KexStart, NewKeys, Open,
    OpenFailure, Ping, ServiceAccept,
};
use sansftp_testkit::peer::{Keys, Peer, Proposal};
use sansftp_testkit::suite::Suite;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const KEX_FAILED: u32 = DisconnectReason::KeyExchangeFailed as u32;

fn payload<'m, M: Message<'m>>(message: &M) -> Vec<u8> {
    let mut out = BytesMut::new();
    message.write(&mut out);
    out.to_vec()
}

/// A client that has heard the offer and has sent its share.
fn client_in_exchange() -> (Peer<Client>, Vec<u8>, Keys) {
    let mut peer = Peer::of_null_client();
    peer.greets();
    peer.offers(&Proposal::default());
    peer.hears_offer();
    let start = peer.expects::<KexStart<'_>>();
    let (reply, keys) = peer.replies_to(&start);
    (peer, reply, keys)
}

/// CVE-2025-14942: without the server's proof, or without its NEWKEYS, there is no user to be told of.
#[test]
fn a_server_that_leaves_out_a_step_of_the_exchange_hears_nothing_of_the_user() {
    let methods = {
        let mut buffer = String::new();
        let methods = NameList::join(["password"], &mut buffer);
        payload(&AuthFailure {
            methods,
            partial: false,
        })
    };
    let instead = [
        payload(&ServiceAccept {
            name: b"ssh-userauth",
        }),
        payload(&AuthSuccess {}),
        methods,
        vec![60, 0, 0, 0, 0],
        vec![80, 0, 0, 0, 1, b'x', 1],
    ];
    for proved in [false, true] {
        let newkeys = (!proved).then(|| payload(&NewKeys {}));
        for message in instead.iter().chain(&newkeys) {
            let (mut peer, reply, keys) = client_in_exchange();
            if proved {
                peer.sends_payload(&reply);
                peer.trusts();
                peer.hears_new_keys(&keys, Side::Server);
            }
            peer.sends_payload(message);
            assert!(
                matches!(peer.end.error(), Some(Error::PeerMisbehaved(_))),
                "{message:?}: {:?}",
                peer.end.error()
            );
            let said: Vec<u8> = std::iter::from_fn(|| peer.hears())
                .map(|said| said.number())
                .collect();
            assert!(
                said.iter().all(|number| [1, 5].contains(number)),
                "{message:?}: {said:?}"
            );
            // Once the key is proved a user may be asked for: what is said of him is sealed.
            let told = peer.events();
            assert!(
                !told.iter().any(|it| match it {
                    ClientEvent::Auth(_) => !proved,
                    it => matches!(it, ClientEvent::Authenticated),
                }),
                "{message:?}: {told:?}"
            );
        }
    }
}

/// A key of a type that was not negotiated.
#[derive(Debug)]
struct OfAnotherType(PublicKey);

impl SigningKey for OfAnotherType {
    fn public_key(&self) -> &PublicKey {
        &self.0
    }

    fn algorithms(&self) -> &'static [&'static str] {
        &[null::SIGNATURE]
    }

    fn sign(&self, _: &str, _: &[u8], _: &dyn SecureRandom) -> Result<Vec<u8>, CryptoError> {
        Err(CryptoError::Unsupported("the peer signs by itself"))
    }
}

/// CVE-2025-11625: no signature, an empty one, one under another name, a key of another type, no key at all.
#[test]
fn a_host_key_without_a_proof_of_its_own_is_no_host_key() {
    type Change = fn(&KexReply<'_>) -> Vec<u8>;
    let changes: [Change; 6] = [
        |it| {
            payload(&KexReply {
                signature: b"",
                ..*it
            })
        },
        |it| {
            let signature = &write_signature(null::SIGNATURE, b"");
            payload(&KexReply { signature, ..*it })
        },
        |it| {
            let signature = &write_signature("", b"");
            payload(&KexReply { signature, ..*it })
        },
        |it| {
            let own = split_signature(it.signature).unwrap();
            let signature = &write_signature("ssh-rsa", own.1);
            payload(&KexReply { signature, ..*it })
        },
        |it| {
            payload(&KexReply {
                host_key: b"",
                ..*it
            })
        },
        |it| {
            payload(&KexReply {
                host_key: it.signature,
                ..*it
            })
        },
    ];
    let refuses = |change: Option<Change>| {
        let mut peer = Peer::of_null_client();
        peer.greets();
        peer.offers(&Proposal::default());
        peer.hears_offer();
        let start = peer.expects::<KexStart<'_>>();
        let reply = match change {
            Some(change) => {
                let (reply, _) = peer.replies_to(&start);
                let mut reader = Reader::new(&reply[1..]);
                change(&KexReply::read_body(&mut reader).unwrap())
            }
            None => {
                let mut blob = BytesMut::new();
                "ssh-ed25519".write(&mut blob);
                let key = PublicKey::new(blob.freeze()).unwrap();
                let key: Arc<dyn SigningKey> = Arc::new(OfAnotherType(key));
                peer.replies_with(&key, &start).0
            }
        };
        peer.sends_payload(&reply);
        let error = peer.end.error().cloned();
        assert!(
            matches!(
                error,
                Some(
                    Error::HostKeyUnproven(_)
                        | Error::PeerMisbehaved(_)
                        | Error::InvalidMessage { number: 31, .. }
                )
            ),
            "{reply:?}: {error:?}"
        );
        let told = peer.events();
        assert!(
            !told.iter().any(|it| matches!(it, ClientEvent::HostKey(_))),
            "{reply:?}: nobody is asked about it"
        );
    };
    changes.into_iter().for_each(|change| refuses(Some(change)));
    refuses(None);
}

/// CVE-2025-26466: the answers would have to wait for the end of the exchange.
#[test]
fn pings_without_end_in_an_exchange_end_it_and_are_answered_to_none() {
    fn floods<R: Role>(peer: &mut Peer<R>) {
        let mut sent = 0;
        while peer.end.error().is_none() {
            peer.sends(&Ping { data: &[7; 1000] });
            sent += 1;
            assert!(sent < 5000, "it goes on and on");
        }
        assert_eq!(
            peer.end.error(),
            Some(&PeerMisbehaved::FloodInExchange.into())
        );
        let said: Vec<u8> = std::iter::from_fn(|| peer.hears())
            .map(|said| said.number())
            .collect();
        assert!(!said.contains(&193), "{said:?}");
    }
    let mut peer = Peer::of_null_server();
    peer.greets();
    peer.offers(&Proposal::default());
    floods(&mut peer);
    let mut peer = Peer::of_null_client();
    peer.greets();
    peer.offers(&Proposal::default());
    floods(&mut peer);
    let mut peer = Peer::of_null_server();
    peer.handshakes(&Proposal::default());
    peer.offers(&Proposal::default());
    floods(&mut peer);
}

/// CVE-2019-17498, CVE-2019-13115: each cut at each byte, and one byte too long.
#[test]
fn each_message_of_the_exchange_cut_anywhere_ends_it() {
    fn ends<R: Role>(message: &[u8], stage: impl Fn() -> Peer<R>) {
        for cut in 1..message.len() {
            let mut peer = stage();
            peer.sends_payload(&message[..cut]);
            // A farewell without its words is one all the same.
            assert!(
                match peer.end.error() {
                    Some(Error::InvalidMessage { number, .. }) => *number == message[0],
                    Some(Error::Disconnected { .. }) => message[0] == 1 && cut >= 5,
                    _ => false,
                },
                "{message:?} cut at {cut}: {:?}",
                peer.end.error()
            );
        }
        let mut peer = stage();
        peer.sends_payload(&[message, &[0]].concat());
        assert!(
            peer.end.error().is_some(),
            "{message:?} and a byte too many"
        );
    }
    let offer = Proposal::default().payload();
    let greeted = || {
        let mut peer = Peer::of_null_client();
        peer.greets();
        peer
    };
    ends(&offer, greeted);
    ends(
        &payload(&Disconnect {
            reason: 2,
            description: Text(b"why"),
            language: Text(b"en"),
        }),
        greeted,
    );
    let (_, reply, _) = client_in_exchange();
    ends(&reply, || client_in_exchange().0);
    ends(
        &payload(&KexStart {
            client_share: &[1; null::WIDTH + 1],
        }),
        || {
            let mut peer = Peer::of_null_server();
            peer.greets();
            peer.offers(&Proposal::default());
            peer
        },
    );
    ends(
        &payload(&Group {
            p: &null::GROUP_PRIME,
            g: &[2],
        }),
        || {
            let mut peer = Peer::of_null_client();
            peer.greets();
            peer.offers(&Proposal {
                kex: vec![null::KEX_GROUP],
                ..Proposal::default()
            });
            peer
        },
    );
    let keyed = || {
        let mut peer = Peer::of_null_client();
        peer.greets();
        peer.exchanges_keys(&Proposal::default());
        peer
    };
    ends(
        &payload(&ExtInfo {
            count: 1,
            extensions: Rest(b"\0\0\0\x01a\0\0\0\x01b"),
        }),
        keyed,
    );
    ends(&payload(&Ping { data: b"abc" }), keyed);
}

/// CVE-2026-55199: the count is a claim.
#[test]
fn extensions_are_as_many_as_there_are() {
    let one = b"\0\0\0\x01a\0\0\0\x01b";
    let many = one.repeat(257);
    for (count, extensions) in [
        (u32::MAX, &b""[..]),
        (1 << 31, one),
        (2, one),
        (0, one),
        (u32::MAX, &many),
        (257, &many),
        (1, b"\xff\xff\xff\xff"),
    ] {
        let message = ExtInfo {
            count,
            extensions: Rest(extensions),
        };
        let mut peer = Peer::of_null_client();
        peer.greets();
        peer.exchanges_keys(&Proposal::default());
        peer.sends(&message);
        assert!(
            matches!(
                peer.end.error(),
                Some(Error::InvalidMessage { number: 7, .. })
            ),
            "{count}: {:?}",
            peer.end.error()
        );
        let mut peer = Peer::of_null_server();
        peer.greets();
        peer.exchanges_keys(&Proposal::default());
        peer.sends(&message);
        assert!(peer.end.error().is_some(), "{count}");
    }
}

/// CVE-2021-3634: the session id is as long as the first hash, whatever the later ones are.
#[test]
fn keys_change_to_a_method_with_another_hash_and_back_and_the_session_stays() {
    let methods = || {
        let mut provider = null::provider(1);
        provider.kex.to_mut().push(Kex::Shares(&WideKex));
        provider
    };
    let offer = |kex| Proposal {
        kex: vec![kex],
        ..Proposal::default()
    };
    for first in [null::KEX, null::KEX_WIDE] {
        let mut peer = Peer::of_client(Config::client(methods()).with_all_algorithms());
        peer.handshakes(&offer(first));
        let keys = vec![NullKey::named("host key")];
        let mut other = Peer::of_server(Config::server(methods(), keys).with_all_algorithms());
        other.handshakes(&offer(first));
        for kex in [null::KEX_WIDE, null::KEX, null::KEX, null::KEX_WIDE] {
            // The peer derives the keys by itself: a session id of another length would be other keys.
            peer.exchanges_keys(&offer(kex));
            other.exchanges_keys(&offer(kex));
            peer.opens_channel(1);
            other.opens_channel(1);
        }
    }
}

/// CVE-2023-1667: as in the first exchange, at either end.
#[test]
fn a_guess_in_a_re_exchange_is_dropped_or_used_as_in_the_first() {
    let right = Proposal {
        guess: true,
        ..Proposal::default()
    };
    let mut wrong = right.clone();
    wrong.kex.insert(0, null::KEX_MPINT);
    let mut client = Peer::of_null_client();
    // A client's first choice decides; a guess of the server's is wrong because its own first is another.
    client.handshakes(&wrong);
    let mut server = Peer::of_null_server();
    server.handshakes(&right);
    for proposal in [&right, &wrong, &right] {
        client.exchanges_keys(proposal);
        assert_eq!(client.end.error(), None);
        client.opens_channel(1);
    }
    server.exchanges_keys(&right);
    // The method that is guessed is none that the server has, the next one is.
    wrong.kex[0] = "unknown-kex";
    for proposal in [&right, &wrong, &right] {
        server.exchanges_keys(proposal);
        assert_eq!(server.end.error(), None);
        server.opens_channel(1);
    }
}

/// The null provider's first method, which counts how often it is used and how much of it lives.
#[derive(Debug)]
struct Counted(&'static dyn KexAlgorithm);

static USED: AtomicUsize = AtomicUsize::new(0);

impl KexAlgorithm for Counted {
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
        self.0.start(random)
    }

    fn respond(
        &self,
        client_share: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Secret), CryptoError> {
        USED.fetch_add(1, Ordering::Relaxed);
        self.0.respond(client_share, random)
    }
}

/// CVE-2025-8277: no key is made for a wrong guess, so there is none to be left behind; and one exchange has one guess.
#[test]
fn wrong_guesses_again_and_again_leave_nothing_behind() {
    let mut provider = null::provider(2);
    let Kex::Shares(first) = provider.kex[0] else {
        panic!("the first method has one round trip")
    };
    let counted: &'static Counted = Box::leak(Box::new(Counted(first)));
    provider.kex = vec![Kex::Shares(counted)].into();
    let keys = vec![NullKey::named("host key")];
    let mut peer = Peer::of_server(Config::<Server>::server(provider, keys).with_all_algorithms());
    let wrong = Proposal {
        kex: vec!["unknown-kex", null::KEX],
        guess: true,
        ..Proposal::default()
    };
    peer.handshakes(&wrong);
    for round in 1..200 {
        assert_eq!(
            USED.load(Ordering::Relaxed),
            round,
            "once for each exchange"
        );
        peer.exchanges_keys(&wrong);
    }
    peer.offers(&wrong);
    peer.hears_offer();
    for _ in 0..2 {
        assert_eq!(peer.end.error(), None);
        peer.sends_payload(&[30, 0, 0, 0, 1, 2]);
    }
    assert_eq!(peer.end.error(), Some(&PeerMisbehaved::BadShare.into()));
}

/// A KEXINIT with these bytes as its list of methods.
fn offer_of(methods: &[u8]) -> Vec<u8> {
    let whole = Proposal::default().payload();
    let rest = 1 + 16 + 4 + null::KEX.len();
    let mut out = BytesMut::from(&whole[..17]);
    methods.write(&mut out);
    out.extend_from_slice(&whole[rest..]);
    out.to_vec()
}

/// libssh2 f52ffc1c: nothing, very many, very long, and what is no list of names.
#[test]
fn lists_of_any_length_are_searched_and_nothing_else_is_a_list() {
    let own = null::KEX.as_bytes();
    let many: Vec<u8> = b"x,".repeat(10_000);
    let after_many = [&many, own].concat();
    let long = vec![b'x'; 50_000];
    let beyond = vec![b'x'; 64 * 1024];
    enum Comes {
        Share,
        Nothing,
        End,
    }
    for (list, comes) in [
        (own, Comes::Share),
        (&after_many, Comes::Share),
        (&[own, b","].concat(), Comes::Share),
        (&[b",", own].concat(), Comes::Share),
        (&[&long, &b","[..], own].concat(), Comes::Share),
        (b"", Comes::Nothing),
        (&many, Comes::Nothing),
        (b",,,", Comes::Nothing),
        (&long, Comes::Nothing),
        (&beyond, Comes::End),
        (&[own, b"\0"].concat(), Comes::End),
        (b"\0", Comes::End),
        (b"\xff", Comes::End),
    ] {
        let mut peer = Peer::of_null_client();
        peer.greets();
        peer.sends_payload(&offer_of(list));
        let shown = String::from_utf8_lossy(&list[..list.len().min(30)]).into_owned();
        match comes {
            Comes::Share => {
                peer.hears_offer();
                peer.expects::<KexStart<'_>>();
            }
            Comes::Nothing => {
                assert!(
                    matches!(
                        peer.end.error(),
                        Some(Error::PeerIncompatible { list: "kex", .. })
                    ),
                    "{shown}"
                );
                peer.sees_disconnect(KEX_FAILED);
            }
            Comes::End => {
                assert!(
                    matches!(
                        peer.end.error(),
                        Some(Error::InvalidMessage { .. } | Error::PeerMisbehaved(_))
                    ),
                    "{shown}: {:?}",
                    peer.end.error()
                );
            }
        }
    }
}

/// russh #611: RFC 8308 §2.1.
#[test]
fn markers_alone_are_no_methods_at_either_end() {
    let markers = vec![
        "ext-info-c",
        "ext-info-s",
        "kex-strict-c-v00@openssh.com",
        "kex-strict-s-v00@openssh.com",
        "kex-strict-c",
        "kex-strict-s",
    ];
    let offer = Proposal {
        kex: markers,
        ..Proposal::default()
    };
    let mut peer = Peer::of_null_server();
    peer.greets();
    peer.offers(&offer);
    peer.sees_disconnect(KEX_FAILED);
    let mut peer = Peer::of_null_client();
    peer.greets();
    peer.offers(&offer);
    peer.sees_disconnect(KEX_FAILED);
}

/// CVE-2023-25136: nothing is done otherwise because of a name, and every byte of it is under the signature.
#[test]
fn however_odd_the_identification_the_exchange_is_the_same() {
    let long = [b"SSH-2.0-".as_slice(), &[b'x'; 245]].concat();
    for ident in [
        &b"SSH-2.0-"[..],
        b"SSH-2.0- ",
        b"SSH-2.0--",
        b"SSH-2.0-x -",
        b"SSH-2.0-OpenSSH_2.9p2",
        b"SSH-2.0-OpenSSH_9.1",
        b"SSH-2.0-PuTTY_Release_0.53b",
        b"SSH-2.0-FuTTYSH_9.1p1",
        b"SSH-2.0-dropbear_2012.55",
        b"SSH-2.0-Cisco-1.25",
        b"SSH-2.0-%n%n%s%x",
        b"SSH-2.0-../../etc/passwd",
        b"SSH-2.0-\x1b[2J\x07\x08",
        b"SSH-2.0-\xff\xfe\xc3\x28",
        b"SSH-2.0-a b c d  e",
        b"SSH-2.0-SSH-2.0-x",
        &long,
    ] {
        let mut peer = Peer::of_null_server();
        peer.greets_as(ident);
        peer.exchanges_keys(&Proposal::default());
        peer.asks_to_authenticate();
        assert_eq!(peer.end.error(), None, "{ident:?}");
        let mut peer = Peer::of_null_client();
        peer.greets_as(ident);
        peer.exchanges_keys(&Proposal::default());
        peer.is_asked_to_authenticate();
        assert_eq!(peer.end.error(), None, "{ident:?}");
    }
}

/// CVE-2023-38408, CVE-2025-32728: nothing is forwarded to a server, neither connections nor an agent; nobody is asked.
#[test]
fn what_a_server_opens_is_refused() {
    let mut peer = Peer::of_null_client();
    peer.handshakes(&Proposal::default());
    for kind in [
        &b"auth-agent@openssh.com"[..],
        b"auth-agent",
        b"x11",
        b"forwarded-tcpip",
        b"forwarded-streamlocal@openssh.com",
        b"session",
        b"tun@openssh.com",
        b"",
    ] {
        // What belongs to a type that nobody knows is not looked into.
        let rests = [&[][..], &[0; 16], &[0xff; 16]];
        let many = if kind == b"session" { 1 } else { 3 };
        for rest in &rests[..many] {
            peer.sends(&Open {
                kind,
                sender: 9,
                window: 1,
                max_packet: 1,
                rest: Rest(rest),
            });
            let said = peer.expects::<OpenFailure<'_>>();
            assert_eq!(said.read::<OpenFailure<'_>>().recipient, 9);
            assert!(peer.events().is_empty(), "{kind:?}");
        }
    }
    assert_eq!(peer.end.error(), None);
}

/// OpenSSH fd1c7e13: one curve that is listed is no licence for the others, of users' keys or of hosts'.
#[test]
fn one_curve_of_a_list_lets_in_no_other() {
    let suite = Suite::RustCrypto;
    let random = SeededRandom::new([9; 32]);
    let [p256, p384] = [Curve::P256, Curve::P384].map(|curve| {
        let key = sansftp_crypto::generate_ecdsa(curve, &random).unwrap();
        suite.provider(0).keys.load(&key).unwrap()
    });
    let only = || vec!["ecdsa-sha2-nistp384".to_owned()];
    for (key, welcome) in [(&p256, false), (&p384, true)] {
        let mut ends = Ends::over(suite);
        ends.server.local.user_algorithms = only();
        let mut pair = ends.start();
        let turn = pair.exchange_keys();
        let (user, key) = ("u".to_owned(), Arc::clone(key));
        let credential = Credential::PublicKey { user, key };
        pair.client.authenticate(turn, credential).unwrap();
        pair.drive();
        assert_eq!(pair.server_events.len(), usize::from(welcome));
        assert_eq!(pair.errors(), [None, None]);
    }
    for (key, welcome) in [(&p256, false), (&p384, true)] {
        let mut ends = Ends::over(suite);
        ends.client.algorithms.host_key = only();
        ends.server.algorithms.host_key =
            key.algorithms().iter().map(|it| (*it).to_owned()).collect();
        ends.server.local.host_keys = vec![Arc::clone(key)];
        let mut pair = ends.start();
        pair.drive();
        let told = pair.client_events.pop_front();
        assert_eq!(matches!(told, Some(ClientEvent::HostKey(_))), welcome);
    }
}
