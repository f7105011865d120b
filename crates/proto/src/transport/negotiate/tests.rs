//! What two offers come to, with algorithms that have nothing but names.

use super::*;
use crate::crypto::{
    ActiveKex, AeadAlgorithm, Compress, CryptoError, Decompress, Hash, KexAlgorithm, KeyLoader,
    Mac, MacMode, NumberEncoding, OpenPacket, PrivateKey, SealPacket, Secret, SecureRandom,
    SigningKey, StreamAlgorithm, StreamCipher,
};
use crate::role::Client;
use crate::wire::Field;
use bytes::BytesMut;
use std::sync::Arc;

/// An algorithm of whatever sort. Nothing is ever done with it.
#[derive(Debug)]
struct Named(&'static str);

impl KexAlgorithm for Named {
    fn name(&self) -> &'static str {
        self.0
    }

    fn hash(&self) -> &'static dyn Hash {
        unreachable!()
    }

    fn share_encoding(&self) -> NumberEncoding {
        unreachable!()
    }

    fn secret_encoding(&self) -> NumberEncoding {
        unreachable!()
    }

    fn start(&self, _: &dyn SecureRandom) -> Result<Box<dyn ActiveKex>, CryptoError> {
        unreachable!()
    }

    fn respond(&self, _: &[u8], _: &dyn SecureRandom) -> Result<(Vec<u8>, Secret), CryptoError> {
        unreachable!()
    }
}

impl AeadAlgorithm for Named {
    fn name(&self) -> &'static str {
        self.0
    }

    fn key_len(&self) -> usize {
        unreachable!()
    }

    fn iv_len(&self) -> usize {
        unreachable!()
    }

    fn rekey_after(&self) -> u64 {
        unreachable!()
    }

    fn sealer(&self, _: &[u8], _: &[u8]) -> Result<Box<dyn SealPacket>, CryptoError> {
        unreachable!()
    }

    fn opener(&self, _: &[u8], _: &[u8]) -> Result<Box<dyn OpenPacket>, CryptoError> {
        unreachable!()
    }
}

impl StreamAlgorithm for Named {
    fn name(&self) -> &'static str {
        self.0
    }

    fn key_len(&self) -> usize {
        unreachable!()
    }

    fn iv_len(&self) -> usize {
        unreachable!()
    }

    fn block_len(&self) -> usize {
        unreachable!()
    }

    fn rekey_after(&self) -> u64 {
        unreachable!()
    }

    fn encryptor(&self, _: &[u8], _: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError> {
        unreachable!()
    }

    fn decryptor(&self, _: &[u8], _: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError> {
        unreachable!()
    }
}

impl MacAlgorithm for Named {
    fn name(&self) -> &'static str {
        self.0
    }

    fn mode(&self) -> MacMode {
        unreachable!()
    }

    fn key_len(&self) -> usize {
        unreachable!()
    }

    fn tag_len(&self) -> usize {
        unreachable!()
    }

    fn start(&self, _: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        unreachable!()
    }
}

impl CompressionAlgorithm for Named {
    fn name(&self) -> &'static str {
        self.0
    }

    fn compressor(&self) -> Box<dyn Compress> {
        unreachable!()
    }

    fn decompressor(&self) -> Box<dyn Decompress> {
        unreachable!()
    }
}

impl SignatureAlgorithm for Named {
    fn name(&self) -> &'static str {
        self.0
    }

    fn key_kind(&self) -> &'static str {
        match self.0 {
            "rsa-sha2-256" | "rsa-sha2-512" => "ssh-rsa",
            same => same,
        }
    }

    fn verify(&self, _: &PublicKey, _: &[u8], _: &[u8]) -> Result<(), CryptoError> {
        unreachable!()
    }
}

#[derive(Debug)]
struct Nothing;

impl KeyLoader for Nothing {
    fn load(&self, _: &PrivateKey) -> Result<Arc<dyn SigningKey>, CryptoError> {
        unreachable!()
    }
}

impl SecureRandom for Nothing {
    fn fill(&self, _: &mut [u8]) -> Result<(), CryptoError> {
        unreachable!()
    }
}

/// Two of each, one after the other preferred; stream and AEAD.
fn config() -> Config<Client> {
    let provider = CryptoProvider {
        kex: vec![Kex::Shares(&Named("kex-a")), Kex::Shares(&Named("kex-b"))].into(),
        ciphers: vec![
            Cipher::Aead(&Named("aead")),
            Cipher::Stream(&Named("stream")),
        ]
        .into(),
        macs: vec![
            &Named("mac-a") as &dyn MacAlgorithm,
            &Named("mac-b") as &dyn MacAlgorithm,
        ]
        .into(),
        signatures: vec![
            &Named("ssh-ed25519") as &dyn SignatureAlgorithm,
            &Named("rsa-sha2-256") as &dyn SignatureAlgorithm,
        ]
        .into(),
        keys: Arc::new(Nothing),
        random: Arc::new(Nothing),
    };
    let mut config = Config::client(provider).with_all_algorithms();
    config.algorithms.host_key = [
        "ssh-ed25519-cert-v01@openssh.com",
        "ssh-ed25519",
        "rsa-sha2-256",
    ]
    .map(str::to_owned)
    .into();
    config
}

fn offer() -> Offer {
    Offer::new(&config(), |_| true)
}

fn list(names: &str) -> NameList<'static> {
    NameList::join(names.split(','), Box::leak(Box::default()))
}

/// What a peer offers that has all of it.
fn init() -> KexInit<'static> {
    KexInit {
        cookie: [0; 16],
        kex: list("kex-a,kex-b"),
        host_key: list("ssh-ed25519-cert-v01@openssh.com,ssh-ed25519,rsa-sha2-256"),
        cipher_to_server: list("aead,stream"),
        cipher_to_client: list("aead,stream"),
        mac_to_server: list("mac-a,mac-b"),
        mac_to_client: list("mac-a,mac-b"),
        compression_to_server: list("none"),
        compression_to_client: list("none"),
        languages_to_server: NameList::default(),
        languages_to_client: NameList::default(),
        first_kex_packet_follows: false,
        reserved: 0,
    }
}

fn agreed(client: &KexInit<'_>, server: &KexInit<'_>) -> Negotiated {
    let agreement = offer().agree(client, server, Side::Client).unwrap();
    agreement.names(false, offered(server))
}

#[test]
fn the_clients_first_name_that_the_server_has_is_taken_from_each_list() {
    let client = KexInit {
        kex: list("kex-c,kex-b,kex-a"),
        host_key: list("rsa-sha2-256,ssh-ed25519"),
        cipher_to_server: list("stream,aead"),
        ..init()
    };
    let server = KexInit {
        kex: list("kex-a,kex-b,kex-c"),
        cipher_to_server: list("aead,stream"),
        mac_to_server: list("mac-b"),
        ..init()
    };
    let agreed = agreed(&client, &server);
    assert_eq!(agreed.kex, "kex-b", "kex-c is not known here");
    assert_eq!(agreed.host_key, "rsa-sha2-256");
    assert_eq!(
        (agreed.cipher_to_server, agreed.cipher_to_client),
        ("stream", "aead")
    );
    assert_eq!(
        (agreed.mac_to_server, agreed.mac_to_client),
        (Some("mac-b"), None)
    );
    assert_eq!(
        (agreed.compression_to_server, agreed.compression_to_client),
        (None, None)
    );
}

#[test]
fn beside_an_aead_cipher_the_macs_need_have_nothing_in_common() {
    let client = KexInit {
        mac_to_server: list("mac-a"),
        mac_to_client: list("mac-a"),
        ..init()
    };
    let server = KexInit {
        mac_to_server: list("mac-b"),
        mac_to_client: list("mac-b"),
        ..init()
    };
    assert_eq!(agreed(&client, &server).mac_to_server, None);
    let client = KexInit {
        cipher_to_server: list("stream"),
        ..client
    };
    let error = offer().agree(&client, &server, Side::Client).unwrap_err();
    assert!(
        matches!(error, Error::PeerIncompatible { list: "mac", .. }),
        "{error:?}"
    );
}

#[test]
fn an_error_has_both_lists_as_each_end_sees_them() {
    let client = KexInit {
        kex: list("kex-a"),
        ..init()
    };
    let server = KexInit {
        kex: list("kex-b"),
        ..init()
    };
    for (side, mine, other) in [
        (Side::Client, "kex-a", "kex-b"),
        (Side::Server, "kex-b", "kex-a"),
    ] {
        let error = offer().agree(&client, &server, side).unwrap_err();
        let Error::PeerIncompatible {
            list, ours, theirs, ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!((list, &*ours, &*theirs), ("kex", mine, other));
    }
}

#[test]
fn compression_is_what_was_configured_or_none() {
    let mut config = config();
    config.compression = Some(&Named("squeeze"));
    let offer = Offer::new(&config, |_| true);
    let client = KexInit {
        compression_to_server: list("squeeze,none"),
        compression_to_client: list("other,none"),
        ..init()
    };
    let server = KexInit {
        compression_to_server: list("none,squeeze"),
        compression_to_client: list("none,other"),
        ..init()
    };
    let agreement = offer.agree(&client, &server, Side::Client).unwrap();
    let names = agreement.names(true, Offered::default());
    assert_eq!(
        (names.compression_to_server, names.compression_to_client),
        (Some("squeeze"), None)
    );
    assert!(names.strict_kex);
    let sent = |side| {
        agreement
            .sent_by(side)
            .compression
            .map(CompressionAlgorithm::name)
    };
    assert_eq!(
        (sent(Side::Client), sent(Side::Server)),
        (Some("squeeze"), None)
    );
}

#[test]
fn names_that_the_provider_lacks_or_cannot_sign_for_are_not_offered() {
    let mut config = config();
    let names = |names: &[&str]| names.iter().copied().map(str::to_owned).collect::<Vec<_>>();
    config.algorithms.kex = names(&["kex-z", "kex-b"]);
    config.algorithms.cipher = names(&["stream", "other"]);
    config.algorithms.mac = names(&["mac-b", "mac-z"]);
    config.algorithms.host_key = names(&[
        "ssh-ed25519-cert-v01@openssh.com",
        "ssh-rsa-cert-v01@openssh.com",
        "ssh-dss",
        "rsa-sha2-256",
    ]);
    let offer = Offer::new(&config, |name| name != "rsa-sha2-256");
    offer.with_kex_init(Side::Client, false, [7; 16], |init| {
        assert_eq!(init.cookie, [7; 16]);
        assert_eq!(init.kex.as_str(), "kex-b");
        assert_eq!(init.host_key.as_str(), "ssh-ed25519-cert-v01@openssh.com");
        assert_eq!(init.cipher_to_server.as_str(), "stream");
        assert_eq!(init.mac_to_client.as_str(), "mac-b");
        assert_eq!(init.compression_to_client.as_str(), "none");
    });
}

#[test]
fn an_empty_list_is_said_to_lack() {
    assert_eq!(offer().lacking(), None);
    let mut config = config();
    config.algorithms.cipher.clear();
    assert_eq!(Offer::new(&config, |_| true).lacking(), Some("cipher"));
    assert_eq!(Offer::new(&config, |_| false).lacking(), Some("host key"));
    config.algorithms.kex.clear();
    assert_eq!(Offer::new(&config, |_| false).lacking(), Some("kex"));
}

#[test]
fn only_the_first_offer_has_pseudo_names_and_nobody_sees_them_as_algorithms() {
    let of = |side, first| {
        offer().with_kex_init(side, first, [0; 16], |init| {
            let markers = Markers::of(init, side);
            let bare = offered(init).kex == ["kex-a", "kex-b"];
            (markers.ext_info, markers.strict, bare)
        })
    };
    assert_eq!(of(Side::Client, true), (true, true, true));
    assert_eq!(of(Side::Client, false), (false, false, true));
    assert_eq!(of(Side::Server, true), (false, true, true));
    assert_eq!(of(Side::Server, false), (false, false, true));
    // What a client says means nothing from a server.
    offer().with_kex_init(Side::Client, true, [0; 16], |init| {
        let markers = Markers::of(init, Side::Server);
        assert!(!markers.ext_info && !markers.strict);
    });
    let old = KexInit {
        kex: list("kex-a,kex-strict-s-v00@openssh.com,ext-info-s"),
        ..init()
    };
    let markers = Markers::of(&old, Side::Server);
    assert!(markers.ext_info && markers.strict);
    assert_eq!(offered(&old).kex, ["kex-a"]);
}

#[test]
fn all_that_is_offered_is_told() {
    let init = KexInit {
        cipher_to_client: list("stream"),
        mac_to_client: list("mac-b"),
        compression_to_server: list("squeeze"),
        ..init()
    };
    let told = offered(&init);
    assert_eq!(told.kex, ["kex-a", "kex-b"]);
    assert_eq!(told.host_key.len(), 3);
    assert_eq!(told.cipher_to_server, ["aead", "stream"]);
    assert_eq!(told.cipher_to_client, ["stream"]);
    assert_eq!(told.mac_to_server, ["mac-a", "mac-b"]);
    assert_eq!(told.mac_to_client, ["mac-b"]);
    assert_eq!(told.compression_to_server, ["squeeze"]);
    assert_eq!(told.compression_to_client, ["none"]);
}

#[test]
fn a_guess_is_right_if_both_first_choices_agree() {
    let other_kex = KexInit {
        kex: list("kex-b,kex-a"),
        ..init()
    };
    let other_key = KexInit {
        host_key: list("rsa-sha2-256"),
        ..init()
    };
    assert!(guess_is_right(&init(), &init()));
    assert!(!guess_is_right(&init(), &other_kex));
    assert!(!guess_is_right(&init(), &other_key));
}

fn key(kind: &str) -> PublicKey {
    let mut blob = BytesMut::new();
    kind.write(&mut blob);
    b"point".as_slice().write(&mut blob);
    PublicKey::new(blob).unwrap()
}

#[test]
fn the_key_that_is_shown_has_to_be_of_the_kind_agreed_on() {
    let provider = config().provider;
    let plain = HostKeyAlgorithm::named("rsa-sha2-256", &provider).unwrap();
    assert_eq!(plain.name(), "rsa-sha2-256");
    assert_eq!(plain.signer(&key("ssh-rsa")).unwrap(), key("ssh-rsa"));
    assert_eq!(
        plain.signer(&key("ssh-ed25519")),
        Err(PeerMisbehaved::WrongHostKeyAlgorithm.into())
    );
    let name = "ssh-ed25519-cert-v01@openssh.com";
    let certified = HostKeyAlgorithm::named(name, &provider).unwrap();
    assert_eq!(certified.name(), name);
    let mut blob = BytesMut::new();
    name.write(&mut blob);
    b"nonce".as_slice().write(&mut blob);
    b"point".as_slice().write(&mut blob);
    let certificate = PublicKey::new(blob).unwrap();
    assert_eq!(certified.signer(&certificate).unwrap(), key("ssh-ed25519"));
    assert_eq!(
        certified.signer(&key("ssh-ed25519")),
        Err(PeerMisbehaved::WrongHostKeyAlgorithm.into()),
        "a bare key where a certificate was agreed on"
    );
    assert!(HostKeyAlgorithm::named("ssh-dss", &provider).is_none());
    assert!(HostKeyAlgorithm::named("ssh-dss-cert-v01@openssh.com", &provider).is_none());
}
