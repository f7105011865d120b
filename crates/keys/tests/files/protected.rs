//! Private keys in PuTTY's format, and in PEM under a passphrase, as puttygen, openssl and ssh-keygen
//! make them: whole, pasted, damaged, and asking for too much.

use super::common::{Keys, TYPES, armour, content, pasted};
use sansftp_keys::{KeyError, KeyFormat, read_private_key};
use sansftp_proto::crypto::Secret;

/// Puts the key into PuTTY's format, under this passphrase or none.
fn puttygen(keys: &Keys, name: &str, passphrase: &str, parameters: &str) -> Vec<u8> {
    keys.write("phrase", passphrase);
    let arguments = [
        name,
        "-O",
        "private",
        "-o",
        "out.ppk",
        "--new-passphrase",
        "phrase",
        "--ppk-param",
        parameters,
    ];
    keys.run("puttygen", &arguments);
    keys.bytes("out.ppk")
}

/// The passphrase opens it, no other does, and without one it says so.
fn opens(keys: &Keys, name: &str, file: &[u8], format: KeyFormat, what: &str) {
    let with = |passphrase: &str| read_private_key(file, Some(&Secret::from(passphrase)));
    let read = with("open sesame").unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(read.key.public_key(), keys.public(name), "{what}");
    assert_eq!(read.format, format, "{what}");
    let missing = KeyError::PassphraseMissing(format);
    assert_eq!(read_private_key(file, None).unwrap_err(), missing, "{what}");
    assert_eq!(with("").unwrap_err(), missing, "{what}");
    for wrong in ["open sesame ", "x"] {
        let error = with(wrong).unwrap_err();
        assert_eq!(error, KeyError::PassphraseWrong(format), "{what}");
    }
}

#[test]
fn every_type_is_read_from_both_versions_of_putty() {
    let keys = Keys::new();
    for (name, arguments) in TYPES {
        keys.ssh_keygen(name, "", arguments);
        for version in ["version=2", "version=3"] {
            let plain = puttygen(&keys, name, "", version);
            let read = read_private_key(&plain, None).unwrap();
            assert_eq!(read.key.public_key(), keys.public(name), "{name} {version}");
            assert_eq!(read.format, KeyFormat::Ppk);
            assert_eq!(read.comment, "made for a test");
            let sealed = puttygen(&keys, name, "open sesame", version);
            opens(
                &keys,
                name,
                &sealed,
                KeyFormat::Ppk,
                &format!("{name} {version}"),
            );
        }
    }
}

#[test]
fn each_kind_of_argon2_is_done() {
    let keys = Keys::new();
    keys.ssh_keygen("key", "", "-t ed25519");
    for kind in ["argon2id", "argon2i", "argon2d"] {
        let parameters = format!("version=3,kdf={kind},memory=1024,passes=2,parallelism=3");
        let sealed = puttygen(&keys, "key", "open sesame", &parameters);
        opens(&keys, "key", &sealed, KeyFormat::Ppk, kind);
    }
}

#[test]
fn pem_under_a_passphrase_is_read_in_every_cipher() {
    let keys = Keys::new();
    keys.ssh_keygen("rsa", "", "-t rsa -b 2048 -m PEM");
    keys.ssh_keygen("p384", "", "-t ecdsa -b 384 -m PEM");
    let with = "-passout pass:open\u{20}sesame";
    let (pass, phrase) = with.split_once(' ').unwrap();
    let openssl = |arguments: &str| {
        let arguments = arguments.split_whitespace().chain([pass, phrase]);
        keys.run("openssl", &arguments.collect::<Vec<_>>())
    };
    for (name, command) in [("rsa", "rsa -traditional"), ("p384", "ec")] {
        for cipher in ["aes128", "aes192", "aes256", "des3"] {
            let file = openssl(&format!("{command} -in {name} -{cipher}"));
            let what = format!("{name} {cipher}");
            opens(&keys, name, &file, KeyFormat::EncryptedPem, &what);
        }
        for how in [
            "-v2 aes-128-cbc",
            "-v2 aes-192-cbc -v2prf hmacWithSHA1",
            "-v2 aes-256-cbc -v2prf hmacWithSHA224",
            "-v2 aes-256-cbc -v2prf hmacWithSHA384 -iter 10000",
            "-v2 des3 -v2prf hmacWithSHA512",
            "-scrypt",
            "-scrypt -scrypt_N 1024 -scrypt_r 4 -scrypt_p 3",
        ] {
            let file = openssl(&format!("pkcs8 -topk8 -in {name} {how}"));
            opens(&keys, name, &file, KeyFormat::EncryptedPkcs8, how);
        }
    }
    // As ssh-keygen writes them itself.
    for (name, arguments, format) in [
        ("pem", "-t rsa -b 2048 -m PEM", KeyFormat::EncryptedPem),
        ("sec1", "-t ecdsa -m PEM", KeyFormat::EncryptedPem),
        (
            "pkcs8",
            "-t rsa -b 2048 -m PKCS8",
            KeyFormat::EncryptedPkcs8,
        ),
    ] {
        keys.ssh_keygen(name, "open sesame", arguments);
        opens(&keys, name, &keys.bytes(name), format, name);
    }
}

#[test]
fn a_pasted_one_is_repaired() {
    let keys = Keys::new();
    keys.ssh_keygen("key", "", "-t ecdsa -b 256");
    keys.ssh_keygen("dek", "open sesame", "-t rsa -b 2048 -m PEM");
    keys.ssh_keygen("pbes", "open sesame", "-t ecdsa -m PKCS8");
    let ppk = puttygen(&keys, "key", "open sesame", "version=3,memory=256,passes=1");
    let plain = puttygen(&keys, "key", "", "version=2");
    for (name, file) in [
        ("key", ppk),
        ("key", plain),
        ("dek", keys.bytes("dek")),
        ("pbes", keys.bytes("pbes")),
    ] {
        for (how, text) in pasted(&file) {
            let read = read_private_key(text.as_bytes(), Some(&"open sesame".into()));
            let read = read.unwrap_or_else(|error| panic!("{name}, {how}: {error}\n{text}"));
            assert_eq!(read.key.public_key(), keys.public(name), "{name}, {how}");
        }
    }
}

#[test]
fn a_comment_is_kept_whatever_stands_in_it() {
    let keys = Keys::new();
    keys.ssh_keygen("key", "", "-t ed25519");
    for comment in ["C:\\new\\key of Encryption: none", "  blanks  ", "", "ünï"] {
        keys.run(
            "puttygen",
            &["key", "-O", "private", "-o", "a.ppk", "-C", comment],
        );
        let read = read_private_key(&keys.bytes("a.ppk"), None).unwrap();
        assert_eq!(read.comment, comment.trim());
    }
}

#[test]
fn a_putty_file_cut_off_or_changed_anywhere_is_an_error() {
    let keys = Keys::new();
    keys.ssh_keygen("key", "", "-t ecdsa -b 256");
    let phrase = Secret::from("x");
    for (passphrase, parameters) in [
        ("", "version=2"),
        ("", "version=3"),
        ("x", "version=2"),
        ("x", "version=3,memory=64,passes=1"),
    ] {
        let file = puttygen(&keys, "key", passphrase, parameters);
        let key = read_private_key(&file, Some(&phrase)).unwrap().key;
        let good = file.trim_ascii_end();
        for at in 0..good.len() {
            let cut = read_private_key(&good[..at], Some(&phrase));
            assert!(cut.is_err(), "{parameters} cut to {at}");
            for flip in [1, 0x20, 0x80] {
                let mut bad = good.to_vec();
                bad[at] ^= flip;
                // The case of a hexadecimal digit, or another blank.
                if let Ok(read) = read_private_key(&bad, Some(&phrase)) {
                    assert_eq!(read.key.public_key(), key.public_key(), "{parameters} {at}");
                }
            }
        }
    }
}

#[test]
fn an_encrypted_pem_file_cut_off_or_changed_anywhere_is_an_error_or_the_same_key() {
    let keys = Keys::new();
    keys.ssh_keygen("key", "", "-t ecdsa -b 256 -m PEM");
    let arguments = "pkcs8 -topk8 -in key -iter 1 -passout pass:x";
    let file = keys.openssl(arguments);
    let phrase = Secret::from("x");
    let key = read_private_key(&file, Some(&phrase)).unwrap().key;
    let (good, label) = (content(&file), "ENCRYPTED PRIVATE KEY");
    for at in 0..good.len() {
        let cut = read_private_key(&armour(label, &good[..at]), Some(&phrase));
        assert!(cut.is_err(), "cut to {at}");
        for change in [1, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= change;
            if let Ok(read) = read_private_key(&armour(label, &bad), Some(&phrase)) {
                assert_eq!(read.key.public_key(), key.public_key(), "{at} changed");
            }
        }
    }
    let file = keys.openssl("ec -in key -aes128 -passout pass:x");
    let text = file.trim_ascii_end();
    for at in 0..text.len() {
        assert!(
            read_private_key(&text[..at], Some(&phrase)).is_err(),
            "{at}"
        );
    }
}

#[test]
fn more_work_than_is_reasonable_is_refused_before_any_is_done() {
    let keys = Keys::new();
    keys.ssh_keygen("key", "", "-t ecdsa -m PEM");
    let phrase = Secret::from("x");
    let refused = |file: &[u8], format: KeyFormat| {
        let error = read_private_key(file, Some(&phrase)).unwrap_err();
        assert!(
            matches!(error, KeyError::TooMuchWork(it, _) if it == format),
            "{error}"
        );
        assert!(error.to_string().contains(error.remedy()), "{error}");
    };
    let ppk = puttygen(&keys, "key", "x", "version=3,memory=64,passes=1");
    let ppk = String::from_utf8(ppk).unwrap();
    for (from, to) in [
        ("Memory: 64", "Memory: 4294967295"),
        ("Memory: 64", "Memory: 262145"),
        ("Passes: 1", "Passes: 4294967295"),
        ("Parallelism: 1", "Parallelism: 4294967295"),
    ] {
        assert!(ppk.contains(from), "{ppk}");
        refused(ppk.replace(from, to).as_bytes(), KeyFormat::Ppk);
    }
    let malformed = ppk.replace("Memory: 64", "Memory: 1");
    let error = read_private_key(malformed.as_bytes(), Some(&phrase)).unwrap_err();
    assert!(
        matches!(error, KeyError::Malformed(KeyFormat::Ppk, _)),
        "{error}"
    );

    // 70,000 rounds as an ASN.1 integer become 8 million, a cost of 1,024 one that is no power of two.
    let label = "ENCRYPTED PRIVATE KEY";
    let mut many = content(&keys.openssl("pkcs8 -topk8 -in key -iter 70000 -passout pass:x"));
    let rounds = [2, 3, 1, 0x11, 0x70];
    let at = many.windows(5).position(|it| it == rounds).unwrap();
    many[at + 2] = 0x7f;
    refused(&armour(label, &many), KeyFormat::EncryptedPkcs8);
    let arguments = "pkcs8 -topk8 -in key -scrypt -scrypt_N 1024 -scrypt_r 8 -passout pass:x";
    let mut many = content(&keys.openssl(arguments));
    let at = many.windows(4).position(|it| it == [2, 2, 4, 0]).unwrap();
    many[at + 2] = 0x7f;
    let error = read_private_key(&armour(label, &many), Some(&phrase));
    assert!(
        matches!(error, Err(KeyError::Malformed(..))),
        "not a power of two: {error:?}"
    );
}
