//! Each algorithm that we offer, forced one at a time: once by us, once by the server's
//! configuration (RFC 4253 §6.3, §6.4, §6.5, §6.6, §7.1).

use crate::common::{Login, Noise, get, put};
use crate::provider;
use sansftp_proto::error::Error as Protocol;
use sansftp_proto::session::{Algorithms, Config};
use sansftp_proto::transport::Negotiated;
use sansftp_testkit::sshd::{HostKey, Sftp, Sshd};
use sansftp_tokio::{ConnectError, Stage};
use std::collections::BTreeSet;

/// What is forced.
#[derive(Debug, Clone, Copy)]
enum Forced {
    Kex(&'static str),
    HostKey(&'static str),
    Cipher(&'static str),
    /// Together with `aes128-ctr`: beside an AEAD cipher there is no MAC.
    Mac(&'static str),
}

const CASES: &[Forced] = &[
    Forced::Kex("sntrup761x25519-sha512@openssh.com"),
    Forced::Kex("curve25519-sha256"),
    Forced::Kex("curve25519-sha256@libssh.org"),
    Forced::Kex("ecdh-sha2-nistp256"),
    Forced::Kex("ecdh-sha2-nistp384"),
    Forced::Kex("ecdh-sha2-nistp521"),
    Forced::Kex("diffie-hellman-group14-sha256"),
    Forced::Kex("diffie-hellman-group16-sha512"),
    Forced::Kex("diffie-hellman-group18-sha512"),
    Forced::Kex("diffie-hellman-group-exchange-sha256"),
    Forced::Kex("diffie-hellman-group-exchange-sha1"),
    Forced::Kex("diffie-hellman-group14-sha1"),
    Forced::Kex("diffie-hellman-group1-sha1"),
    Forced::HostKey("ssh-ed25519"),
    Forced::HostKey("ecdsa-sha2-nistp256"),
    Forced::HostKey("ecdsa-sha2-nistp384"),
    Forced::HostKey("ecdsa-sha2-nistp521"),
    Forced::HostKey("rsa-sha2-256"),
    Forced::HostKey("rsa-sha2-512"),
    Forced::HostKey("ssh-rsa"),
    Forced::HostKey("ssh-dss"),
    Forced::Cipher("aes128-gcm@openssh.com"),
    Forced::Cipher("aes256-gcm@openssh.com"),
    Forced::Cipher("chacha20-poly1305@openssh.com"),
    Forced::Cipher("aes128-ctr"),
    Forced::Cipher("aes192-ctr"),
    Forced::Cipher("aes256-ctr"),
    Forced::Cipher("aes128-cbc"),
    Forced::Cipher("aes192-cbc"),
    Forced::Cipher("aes256-cbc"),
    Forced::Cipher("3des-cbc"),
    Forced::Mac("hmac-sha2-256"),
    Forced::Mac("hmac-sha2-512"),
    Forced::Mac("hmac-sha2-256-etm@openssh.com"),
    Forced::Mac("hmac-sha2-512-etm@openssh.com"),
    Forced::Mac("hmac-sha1"),
    Forced::Mac("hmac-sha1-etm@openssh.com"),
    Forced::Mac("hmac-md5"),
];

/// What sshd has and does not offer unasked.
const UNASKED: [&str; 4] = [
    "KexAlgorithms +diffie-hellman-group-exchange-sha256,diffie-hellman-group-exchange-sha1,\
     diffie-hellman-group14-sha1,diffie-hellman-group1-sha1",
    "HostKeyAlgorithms +ssh-rsa,ssh-dss",
    "Ciphers +aes128-cbc,aes192-cbc,aes256-cbc,3des-cbc",
    "MACs +hmac-md5",
];

/// What Debian 12's OpenSSH 9.2 does not have: each is tried with our own server and published answers.
const NOT_AT_OPENSSH: [&str; 2] = ["mlkem768x25519-sha256", "sntrup761x25519-sha512"];

const WITH_DSA: [HostKey; 6] = [
    HostKey::Ed25519,
    HostKey::EcdsaP256,
    HostKey::EcdsaP384,
    HostKey::EcdsaP521,
    HostKey::Rsa,
    HostKey::Dsa,
];

const BESIDE_MAC: &str = "aes128-ctr";

impl Forced {
    const fn name(self) -> &'static str {
        match self {
            Self::Kex(name) | Self::HostKey(name) | Self::Cipher(name) | Self::Mac(name) => name,
        }
    }

    /// By us: the list has nothing else in it.
    fn by_us(self, mut algorithms: Algorithms) -> Algorithms {
        let only = vec![self.name().to_owned()];
        match self {
            Self::Kex(_) => algorithms.kex = only,
            Self::HostKey(_) => algorithms.host_key = only,
            Self::Cipher(_) => algorithms.cipher = only,
            Self::Mac(_) => {
                algorithms.cipher = vec![BESIDE_MAC.to_owned()];
                algorithms.mac = only;
            }
        }
        algorithms
    }

    /// By the server.
    fn by_sshd(self) -> Sshd {
        let name = self.name();
        let builder = Sshd::builder().sftp(Sftp::Internal);
        match self {
            Self::Kex(_) => builder.config(format!("KexAlgorithms {name}")),
            Self::HostKey(_) => builder
                .host_keys(&WITH_DSA)
                .config(format!("HostKeyAlgorithms {name}")),
            Self::Cipher(_) => builder.config(format!("Ciphers {name}")),
            Self::Mac(_) => builder
                .config(format!("Ciphers {BESIDE_MAC}"))
                .config(format!("MACs {name}")),
        }
        .start()
    }

    /// Whether just that was agreed on.
    fn is_in(self, agreed: &Negotiated) -> bool {
        let ciphers = [agreed.cipher_to_server, agreed.cipher_to_client];
        let macs = [agreed.mac_to_server, agreed.mac_to_client];
        match self {
            Self::Kex(name) => agreed.kex == name,
            Self::HostKey(name) => agreed.host_key == name,
            Self::Cipher(name) => {
                let streams = name.ends_with("-ctr") || name.ends_with("-cbc");
                ciphers == [name; 2] && macs.iter().all(|mac| mac.is_some() == streams)
            }
            Self::Mac(name) => ciphers == [BESIDE_MAC; 2] && macs == [Some(name); 2],
        }
    }
}

/// Connects, sends and fetches a file, and tells whether the forced algorithm was the one.
async fn works(forced: Forced, sshd: &Sshd, config: Config<sansftp_proto::role::Client>) {
    let (client, sftp) = Login::new(sshd).config(config).session().await;
    let agreed = client.negotiated().unwrap();
    assert!(forced.is_in(&agreed), "{forced:?}: {agreed:?}");
    assert!(agreed.strict_kex, "{agreed:?}");
    // Not a multiple of anything.
    let data = Noise::all((1 << 20) + 4_321);
    put(&sftp, b"there", &data).await;
    let lies = sshd.home().join("there");
    assert!(std::fs::read(&lies).unwrap() == data, "{forced:?}: sent");
    assert!(get(&sftp, b"there").await == data, "{forced:?}: fetched");
    std::fs::remove_file(lies).unwrap();
    client.close().await;
}

#[tokio::test]
async fn each_algorithm_works_where_we_offer_no_other() {
    let mut builder = Sshd::builder().sftp(Sftp::Internal).host_keys(&WITH_DSA);
    for line in UNASKED {
        builder = builder.config(line);
    }
    let sshd = builder.start();
    for &forced in CASES {
        let mut config = Config::client(provider()).with_all_algorithms();
        config.algorithms = forced.by_us(config.algorithms);
        works(forced, &sshd, config).await;
    }
}

#[tokio::test]
async fn each_algorithm_works_where_the_server_takes_no_other() {
    for &forced in CASES {
        let config = Config::client(provider()).with_all_algorithms();
        works(forced, &forced.by_sshd(), config).await;
    }
}

#[test]
fn no_algorithm_that_the_provider_has_is_left_out_above() {
    let forced = CASES.iter().map(|it| it.name());
    let tested: BTreeSet<String> = forced.chain(NOT_AT_OPENSSH).map(str::to_owned).collect();
    let all = Algorithms::of(&provider());
    let lists = [all.kex, all.host_key, all.cipher, all.mac];
    assert_eq!(lists.into_iter().flatten().collect::<BTreeSet<_>>(), tested);
}

#[tokio::test]
async fn nothing_in_common_is_an_error_that_shows_both_lists() {
    let sshd = Sshd::builder().config("Ciphers aes256-ctr").start();
    let mut config = Config::client(provider());
    config.algorithms.cipher = vec!["aes128-gcm@openssh.com".to_owned()];
    let error = Login::new(&sshd)
        .config(config)
        .connect()
        .await
        .unwrap_err();
    let ConnectError::Lost { stage, lost } = error else {
        panic!("{error}")
    };
    assert_eq!(stage, Stage::Handshake);
    let Protocol::PeerIncompatible {
        list, ours, theirs, ..
    } = lost.protocol
    else {
        panic!("{lost}")
    };
    assert!(list.contains("cipher"), "{list}");
    assert_eq!(ours, "aes128-gcm@openssh.com");
    assert_eq!(theirs, "aes256-ctr");
}
