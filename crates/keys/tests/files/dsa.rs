//! DSA keys in every format that programs put them in: whole, under a passphrase, damaged. Made by openssl and
//! puttygen, because newer versions of ssh-keygen make none.

use super::common::{Keys, armour, content};
use sansftp_keys::{KeyError, KeyFormat, read_private_key, read_public, write_openssh};
use sansftp_proto::crypto::Secret;

/// A key named `key` in PKCS#8, and `old` in OpenSSL's own format; and what `key.pub` says.
fn make(keys: &Keys) {
    keys.openssl(
        "genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024 -pkeyopt dsa_paramgen_q_bits:160 \
         -out group",
    );
    keys.openssl("genpkey -paramfile group -out key");
    keys.openssl("pkey -in key -traditional -out old");
    let public = keys.run("puttygen", &["old", "-O", "public-openssh"]);
    keys.write("key.pub", public);
    keys.write("none", "");
    keys.write("phrase", "open sesame");
}

fn putty(keys: &Keys, how: &[&str], phrase: &str) -> Vec<u8> {
    let mut arguments = vec!["old", "-o", "out", "--new-passphrase", phrase, "-O"];
    arguments.extend(how);
    keys.run("puttygen", &arguments);
    keys.bytes("out")
}

#[test]
fn a_dsa_key_is_read_from_every_format_plain_and_under_a_passphrase() {
    let keys = Keys::new();
    make(&keys);
    let public = keys.public("key");
    let ppk2 = ["private", "--ppk-param", "version=2"];
    let ppk3 = ["private", "--ppk-param", "version=3,memory=256,passes=1"];
    let plain = [
        (keys.bytes("key"), KeyFormat::Pkcs8),
        (keys.bytes("old"), KeyFormat::Dsa),
        (
            putty(&keys, &["private-openssh-new"], "none"),
            KeyFormat::OpenSsh,
        ),
        (putty(&keys, &ppk2, "none"), KeyFormat::Ppk),
        (putty(&keys, &ppk3, "none"), KeyFormat::Ppk),
    ];
    for (file, format) in plain {
        let read = read_private_key(&file, None).unwrap_or_else(|it| panic!("{format:?}: {it}"));
        assert_eq!(read.key.public_key(), public, "{format:?}");
        assert_eq!(read.format, format);
    }
    let pass = ["-passout", "pass:open sesame"];
    let sealed = [
        (
            keys.run(
                "openssl",
                &[&["pkcs8", "-topk8", "-in", "key"][..], &pass].concat(),
            ),
            KeyFormat::EncryptedPkcs8,
        ),
        (
            keys.run(
                "openssl",
                &[&["dsa", "-in", "key", "-aes256"][..], &pass].concat(),
            ),
            KeyFormat::EncryptedPem,
        ),
        (
            putty(&keys, &["private-openssh-new"], "phrase"),
            KeyFormat::OpenSsh,
        ),
        (putty(&keys, &ppk2, "phrase"), KeyFormat::Ppk),
        (putty(&keys, &ppk3, "phrase"), KeyFormat::Ppk),
    ];
    for (file, format) in sealed {
        let with = |phrase: &str| read_private_key(&file, Some(&Secret::from(phrase)));
        let read = with("open sesame").unwrap_or_else(|it| panic!("{format:?}: {it}"));
        assert_eq!(read.key.public_key(), public, "{format:?}");
        assert_eq!(read.format, format);
        assert_eq!(with("x").unwrap_err(), KeyError::PassphraseWrong(format));
        let missing = read_private_key(&file, None).unwrap_err();
        assert_eq!(missing, KeyError::PassphraseMissing(format));
    }
}

#[test]
fn a_dsa_key_that_is_written_is_read_by_puttygen_and_by_us() {
    let keys = Keys::new();
    make(&keys);
    let key = read_private_key(&keys.bytes("key"), None).unwrap().key;
    let text = write_openssh(&key, "anew", 1);
    let again = read_private_key(text.as_bytes(), None).unwrap();
    assert_eq!(*write_openssh(&again.key, "anew", 1), *text, "every number");
    keys.write("written", text.as_bytes());
    let public = keys.run("puttygen", &["written", "-O", "public-openssh"]);
    assert_eq!(read_public(&public).unwrap().key, keys.public("key"));
}

#[test]
fn a_dsa_file_cut_off_or_changed_anywhere_is_an_error_or_the_same_key() {
    let keys = Keys::new();
    make(&keys);
    let public = keys.public("key");
    let openssh = putty(&keys, &["private-openssh-new"], "none");
    for (file, label, derives) in [
        (openssh, "OPENSSH PRIVATE KEY", false),
        (keys.bytes("old"), "DSA PRIVATE KEY", false),
        // It has no public half that another number would disagree with.
        (keys.bytes("key"), "PRIVATE KEY", true),
    ] {
        let good = content(&file);
        for at in 0..good.len() {
            let cut = read_private_key(&armour(label, &good[..at]), None);
            assert!(cut.is_err(), "{label} cut to {at}");
        }
        for at in (0..good.len()).step_by(3) {
            for change in [1, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= change;
                let Ok(read) = read_private_key(&armour(label, &bad), None) else {
                    continue;
                };
                // The order of the subgroup takes no part in the public half, but is one of its numbers.
                let differs = read.key.public_key() != public;
                assert!(
                    !differs || derives || label == "DSA PRIVATE KEY",
                    "{label} {at}"
                );
            }
        }
    }
}

#[test]
fn a_dsa_key_with_numbers_that_are_absurd_is_refused_before_anything_is_computed() {
    let number = |len: usize| {
        let mut bytes = vec![2, 0x82];
        bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
        bytes.push(0x41);
        bytes.resize(4 + len - 1, 0);
        bytes.push(1);
        bytes
    };
    let small = |value: u8| vec![2, 1, value];
    let file = |numbers: [Vec<u8>; 5]| {
        let body = [small(0), numbers.concat()].concat();
        let len = u16::try_from(body.len()).unwrap();
        let mut der = vec![0x30];
        match u8::try_from(len) {
            Ok(len) => der.push(len),
            Err(_) => der.extend([&[0x82][..], &len.to_be_bytes()].concat()),
        }
        der.extend(body);
        read_private_key(&armour("DSA PRIVATE KEY", &der), None).unwrap_err()
    };
    let [p, q] = [number(256), number(256)];
    let unsupported = |error| matches!(error, KeyError::Unsupported(KeyFormat::Dsa, _));
    let g = small(2);
    assert!(unsupported(file([
        number(2048),
        small(5),
        g.clone(),
        g.clone(),
        g.clone()
    ])));
    assert!(unsupported(file([
        p.clone(),
        q,
        g.clone(),
        g.clone(),
        g.clone()
    ])));
    for numbers in [
        [small(0), small(5), g.clone(), g.clone(), g.clone()],
        [small(8), small(5), g.clone(), g.clone(), g.clone()],
        [p.clone(), small(0), g.clone(), g.clone(), g.clone()],
        [p.clone(), small(5), small(0), g.clone(), g.clone()],
        [p.clone(), small(5), g.clone(), g.clone(), small(0)],
    ] {
        assert!(matches!(file(numbers), KeyError::Malformed(..)));
    }
    for numbers in [
        [small(7), small(5), small(9), g.clone(), g.clone()],
        [p.clone(), small(5), g.clone(), g.clone(), number(256)],
        [p, small(5), g.clone(), g, small(3)],
    ] {
        assert!(matches!(file(numbers), KeyError::Halves(_)));
    }
}
