//! Keys that change every 1 MiB while files move in both directions, at the server's wish, at ours,
//! and at both (RFC 4253 §9, RFC 4344 §3).

use crate::common::{Login, disk_hash, get_hash, put, put_noise};
use crate::provider;
use sansftp_crypto::ZLIB;
use sansftp_proto::session::Config;
use sansftp_testkit::sshd::{Sftp, Sshd};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// Who wants new keys after 1 MiB in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Servers,
    Ours,
    Both,
}

/// A cipher, and a MAC where it needs one.
type Suite = (&'static str, Option<&'static str>);

const GCM: Suite = ("aes128-gcm@openssh.com", None);
const CHACHA: Suite = ("chacha20-poly1305@openssh.com", None);
const CTR_ETM: Suite = ("aes128-ctr", Some("hmac-sha2-256-etm@openssh.com"));
const CTR: Suite = ("aes256-ctr", Some("hmac-sha2-512"));
const CBC: Suite = ("aes128-cbc", Some("hmac-sha1"));
const CBC_ETM: Suite = ("aes256-cbc", Some("hmac-sha2-256-etm@openssh.com"));
const TRIPLE_DES: Suite = ("3des-cbc", Some("hmac-md5"));

/// Moves `mib` MiB there and back, and asserts that keys changed about once for each of them.
async fn moves(whose: Wish, (cipher, mac): Suite, mib: u64) {
    let mut builder = Sshd::builder().sftp(Sftp::Internal);
    if cipher.ends_with("-cbc") {
        builder = builder.config(format!("Ciphers {cipher}"));
        builder = builder.config("MACs +hmac-md5");
    }
    if whose != Wish::Ours {
        builder = builder.config("RekeyLimit 1M");
    }
    let sshd = builder.start();
    let mut config = Config::client(provider());
    config.algorithms.cipher = vec![cipher.to_owned()];
    // Beside an AEAD cipher it is not used, but an empty list would not be an offer.
    config.algorithms.mac = vec![mac.unwrap_or("hmac-sha2-256").to_owned()];
    if whose != Wish::Servers {
        config.limits.rekey_bytes = Some(MIB);
    }
    let (client, sftp) = Login::new(&sshd).config(config).session().await;
    assert_eq!(client.exchanges(), 1);

    let sent = put_noise(&sftp, b"file", mib * MIB).await;
    assert_eq!(disk_hash(&sshd.home().join("file")), sent, "{cipher}");
    let up = client.exchanges() - 1;
    assert!(plausible(mib).contains(&up), "{whose:?}, {cipher}: {up}");

    assert_eq!(get_hash(&sftp, b"file").await, sent, "{cipher}");
    let down = client.exchanges() - 1 - up;
    let most = match whose {
        Wish::Ours => mib + mib / 4,
        // OpenSSH counts the bytes of the packet that it is about to send as blocks, so that each of
        // 64 KiB or more has keys of its own; and it fills few of them.
        Wish::Servers | Wish::Both => mib * 16,
    };
    assert!(
        (mib / 4..=most).contains(&down),
        "{whose:?}, {cipher}: {down}"
    );
    println!("{whose:?}, {cipher}, {mib} MiB: {up} exchanges up, {down} down");
    client.close().await;
}

/// An exchange begins when 1 MiB has passed, and until the other end has heard of it as much as its
/// window allows, 2 MiB, passes under the old keys.
fn plausible(mib: u64) -> RangeInclusive<u64> {
    mib / 4..=mib + mib / 4
}

#[tokio::test]
async fn the_server_changes_keys_every_mebibyte_of_200() {
    moves(Wish::Servers, GCM, 200).await;
}

#[tokio::test]
async fn we_change_keys_every_mebibyte_of_200() {
    moves(Wish::Ours, GCM, 200).await;
}

#[tokio::test]
async fn keys_change_under_each_framing() {
    for suite in [CHACHA, CTR_ETM, CTR] {
        moves(Wish::Servers, suite, 20).await;
        moves(Wish::Ours, suite, 20).await;
    }
}

#[tokio::test]
async fn keys_change_in_cbc_mode() {
    for suite in [CBC, CBC_ETM, TRIPLE_DES] {
        moves(Wish::Servers, suite, 8).await;
        moves(Wish::Ours, suite, 8).await;
    }
}

#[tokio::test]
async fn compression_begins_anew_with_each_exchange() {
    let sshd = Sshd::builder()
        .sftp(Sftp::Internal)
        .config("RekeyLimit 1M")
        .start();
    let mut config = Config::client(provider());
    config.compression = Some(ZLIB);
    let (client, sftp) = Login::new(&sshd).config(config).session().await;
    let agreed = client.negotiated().unwrap();
    assert_eq!(agreed.compression_to_server, Some(ZLIB.name()));
    assert_eq!(agreed.compression_to_client, Some(ZLIB.name()));
    let sent = put_noise(&sftp, b"noise", 4 * MIB).await;
    assert_eq!(disk_hash(&sshd.home().join("noise")), sent);
    assert_eq!(get_hash(&sftp, b"noise").await, sent);
    let text = b"a line that comes again\n".repeat(200_000);
    put(&sftp, b"text", &text).await;
    assert_eq!(std::fs::read(sshd.home().join("text")).unwrap(), text);
    assert!(client.exchanges() >= 4, "{}", client.exchanges());
    client.close().await;
}

#[tokio::test]
async fn both_ends_may_begin_at_once() {
    for suite in [GCM, CHACHA, CTR_ETM] {
        moves(Wish::Both, suite, 20).await;
    }
}

#[tokio::test]
async fn old_keys_are_changed_while_nothing_moves() {
    let sshd = Sshd::start();
    let mut config = Config::client(provider());
    config.limits.rekey_interval = Duration::from_millis(100);
    let (client, sftp) = Login::new(&sshd).config(config).session().await;
    let end = Instant::now() + Duration::from_secs(10);
    while client.exchanges() < 4 {
        assert!(Instant::now() < end, "{} exchanges", client.exchanges());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sftp.real_path(b".").await.unwrap();
}
